import { describe, expect, it } from "@jest/globals";
import { ascii, concat, toBase64 } from "../../../src/bytes.js";
import { encodePublicKeyBlob } from "../../../src/keys/formats/capi-blob.js";
import { parsePublicKey, requireRecipient } from "../../../src/keys/formats/key-file.js";
import { rsaNumbers } from "../../../src/keys/public-key.js";
import type { RsaPublicKey } from "../../../src/keys/key.js";
import { codeOf, refusal, testKey } from "../support.js";

const KEY = testKey("rsa2048") as RsaPublicKey;
const { modulus, exponent } = rsaNumbers(KEY);
const N = toBase64(modulus);
const E = toBase64(exponent);

const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const blob = (use: "exchange" | "signature") => encodePublicKeyBlob({ use, publicKey: KEY });
const parse = (file: Uint8Array | string) =>
  parsePublicKey(typeof file === "string" ? ascii(file) : file, "key");
const codeOfFile = (file: Uint8Array | string) => codeOf(() => parse(file));

function cng(magic: string, lengths = [2048, exponent.length, modulus.length, 0, 0]): Uint8Array {
  return concat(ascii(magic), ...lengths.map(u32), exponent, modulus);
}

const strongName = (length = 276, signature = 0x2400) =>
  concat(u32(signature), u32(0x8004), u32(length), blob("signature"));

const xml = (inside = `<Modulus>${N}</Modulus><Exponent>${E}</Exponent>`) =>
  `<RSAKeyValue>${inside}</RSAKeyValue>\n`;

describe("the forms of Windows and .NET", () => {
  it.each<[string, Uint8Array | string]>([
    ["a strong-name key", strongName()],
    ["a CNG blob", cng("RSA1")],
    ["an RSAKeyValue", xml()],
    ["an RSAKeyValue over several lines, numbers swapped, with a declaration", longXml()],
    ["a PUBLICKEYBLOB in base64", `${toBase64(blob("exchange"))}\n`],
    ["a CNG blob in base64, wrapped", toBase64(cng("RSA1")).replace(/.{64}/g, "$&\r\n")],
    ["a strong-name key in base64", toBase64(strongName())],
    ["a SubjectPublicKeyInfo in base64", toBase64(KEY.spki)],
  ])("%s is the key", (_name, file) => {
    expect(parse(file).publicKey.spki).toEqual(KEY.spki);
  });

  it("a strong-name key is no recipient, and no record overrides that", () => {
    const file = parse(strongName());
    expect(codeOf(() => requireRecipient(file, { allowSigning: true }))).toBe("ERR_SIGN_ONLY");
  });

  it.each<[string, Uint8Array | string]>([
    ["CNG", cng("RSA2")],
    ["CNG, with all numbers", cng("RSA3")],
    ["CNG, ECDH on P-256", concat(ascii("ECK2"), u32(32), new Uint8Array(96))],
    ["CNG, ECDSA on P-521", concat(ascii("ECS6"), u32(66), new Uint8Array(198))],
    ["CNG, a curve named elsewhere", concat(ascii("ECKV"), u32(32), new Uint8Array(96))],
    ["XML", xml(`<Modulus>${N}</Modulus><Exponent>${E}</Exponent><D>AQAB</D>`)],
    ["XML, the private numbers first", xml(`<D>AQAB</D><Modulus>${N}</Modulus>`)],
    ["base64", toBase64(cng("RSA2"))],
  ])("a private key in %s is refused as one", (_name, file) => {
    expect(codeOfFile(file)).toBe("ERR_PRIVATE_KEY_AS_RECIPIENT");
  });

  it.each([
    ["P-256", "p256", 32, "1"],
    ["P-384", "p384", 48, "3"],
    ["P-521", "p521", 66, "5"],
  ] as const)("an EC blob of CNG on %s is the key, and says its use", (_, name, length, digit) => {
    const key = testKey(name);
    const coordinates = key.spki.slice(-2 * length);
    const file = (magic: string) => parse(concat(ascii(magic), u32(length), coordinates));
    expect(file(`ECK${digit}`)).toMatchObject({ use: "exchange" });
    expect(file(`ECS${digit}`)).toMatchObject({ use: "sign" });
    expect(file(`ECK${digit}`).publicKey.spki).toEqual(key.spki);
  });
});

describe("damage in the forms of Windows and .NET", () => {
  const p256 = testKey("p256").spki.slice(-64);

  it.each<[string, Uint8Array | string, string]>([
    ["a CNG blob cut by a byte", cng("RSA1").slice(0, -1), "ERR_TRUNCATED"],
    ["a CNG blob with a byte more", concat(cng("RSA1"), u32(0).slice(0, 1)), "ERR_TRAILING"],
    ["a CNG blob of other bits", cng("RSA1", [2047, 3, 256, 0, 0]), "ERR_BLOB"],
    ["a CNG blob with primes", cng("RSA1", [2048, 3, 256, 128, 128]), "ERR_BLOB"],
    ["a CNG blob of 4 GiB", cng("RSA1", [2048, 3, 0xffffffff, 0, 0]), "ERR_TRUNCATED"],
    ["a CNG blob cut elsewhere", cng("RSA1", [2040, 4, 255, 0, 0]), "ERR_BLOB"],
    ["a point of another curve", concat(ascii("ECK3"), u32(32), p256), "ERR_BLOB"],
    [
      "a point off its curve",
      concat(
        ascii("ECK1"),
        u32(32),
        p256.map(() => 1),
      ),
      "ERR_POINT",
    ],
    ["a curve that is not named", concat(ascii("ECKP"), u32(32), p256), "ERR_KEY_TYPE"],
    ["a strong-name key of another length", strongName(277), "ERR_BLOB"],
    ["a strong-name key of another kind", strongName(276, 0x2401), "ERR_KEY_FORMAT"],
    ["XML without an exponent", xml(`<Modulus>${N}</Modulus>`), "ERR_KEY_FORMAT"],
    ["XML with two moduli", xml(`<Modulus>${N}</Modulus>`.repeat(2)), "ERR_KEY_FORMAT"],
    ["XML with an unknown element", xml("<Seed>AQAB</Seed>"), "ERR_KEY_FORMAT"],
    ["XML with a comment", xml(`<!-- x --><Modulus>${N}</Modulus>`), "ERR_KEY_FORMAT"],
    ["XML with something after it", `${xml()}<a/>`, "ERR_KEY_FORMAT"],
    ["XML with base64 that is not canonical", xml("<Exponent>AQA</Exponent>"), "ERR_KEY_FORMAT"],
  ])("%s is refused", (_name, file, code) => {
    expect(codeOfFile(file)).toBe(code);
  });

  it("text that begins like a CNG blob is not taken for one", () => {
    expect(codeOfFile("RSA1 is the magic of a blob\n")).toBe("ERR_KEY_FORMAT");
  });

  it("nothing of a damaged file is quoted", () => {
    const said = refusal(() => parse(xml(`<Modulus>${N}*</Modulus>`))).text;
    expect(said).not.toContain(N.slice(0, 12));
  });
});

function longXml(): string {
  const lines = (N.match(/.{1,64}/g) ?? []).map((line) => `    ${line}`).join("\r\n");
  return `<?xml version="1.0" encoding="utf-8"?>\r\n<RSAKeyValue xmlns="http://www.w3.org/2000/09/xmldsig#">
  <Exponent>${E}</Exponent>
  <Modulus>\r\n${lines}\r\n  </Modulus>\r\n</RSAKeyValue>\r\n`;
}
