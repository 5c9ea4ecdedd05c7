/** Keys under id-RSAES-OAEP (RFC 4055 §4), as some HSMs and smartcard tools export them. */
import { describe, expect, it } from "@jest/globals";
import { ascii, concat, fromHex } from "../../../src/bytes.js";
import { der, DerReader, TAG } from "../../../src/asn1/der.js";
import { parsePublicKey } from "../../../src/keys/formats/key-file.js";
import { formatPem } from "../../../src/asn1/pem.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { codeOf, refusal, testKey } from "../support.js";

const plain = testKey("rsa2048");
const oid = (hex: string) => der(TAG.oid, fromHex(hex));
const algorithm = (hex: string, ...parameters: Uint8Array[]) =>
  der(TAG.sequence, oid(hex), ...parameters);
const NULL = der(TAG.null);

const HASHES = {
  sha1: "2b0e03021a",
  sha256: "608648016503040201",
  sha384: "608648016503040202",
  sha512: "608648016503040203",
} as const;
const SHA224 = "608648016503040204";
const hash = (hex: string) => der(0xa0, algorithm(hex, NULL));
const mgf = (hex: string) => der(0xa1, algorithm("2a864886f70d010108", algorithm(hex, NULL)));
const label = (text: string) =>
  der(0xa2, algorithm("2a864886f70d010109", der(TAG.octetString, ascii(text))));
const both = (hex: string) => [hash(hex), mgf(hex)];

/** Without `parameters`, the field is absent. */
function spki(parameters?: readonly Uint8Array[]): Uint8Array {
  const outer = new DerReader(plain.spki, "test").sequence();
  outer.skip();
  const fields = parameters === undefined ? [] : [der(TAG.sequence, ...parameters)];
  return der(TAG.sequence, algorithm("2a864886f70d010107", ...fields), outer.next(TAG.bitString));
}

const read = (bytes: Uint8Array) => parsePublicKey(bytes, "a file");

describe("an RSAES-OAEP key", () => {
  it.each([
    ["no restriction", undefined, undefined],
    ["the defaults", [], "sha1"],
    ["SHA-1, written out, and no label", [...both(HASHES.sha1), label("")], "sha1"],
    ["SHA-256", both(HASHES.sha256), "sha256"],
    ["SHA-384", both(HASHES.sha384), "sha384"],
    ["SHA-512", both(HASHES.sha512), "sha512"],
  ] as const)("with %s is the RSA key, with its hash", (_name, parameters, expected) => {
    for (const file of [spki(parameters), ascii(formatPem("PUBLIC KEY", spki(parameters)))]) {
      const { publicKey, oaep } = read(file);
      expect(publicKey.spki).toEqual(plain.spki);
      expect(oaep).toBe(expected);
    }
  });

  it.each([
    ["another hash in MGF1", [hash(HASHES.sha256), mgf(HASHES.sha1)]],
    ["SHA-256 and MGF1's default", [hash(HASHES.sha256)]],
    ["SHA-224", both(SHA224)],
    ["a label", [...both(HASHES.sha256), label("x")]],
    ["another mask function", [hash(HASHES.sha1), der(0xa1, algorithm(HASHES.sha1))]],
  ])("with %s is refused, as that", (_name, parameters) => {
    const found = refusal(() => read(spki(parameters)));
    expect(found.code).toBe("ERR_KEY_TYPE");
    expect(found.text).toContain("RSAES-OAEP");
  });

  it("with something after its parameters is damaged", () => {
    expect(codeOf(() => read(spki([...both(HASHES.sha256), NULL])))).toBe("ERR_TRAILING");
    const sha256 = algorithm(HASHES.sha256, NULL);
    const twice = der(0xa0, sha256, sha256);
    expect(codeOf(() => read(spki([twice, mgf(HASHES.sha256)])))).toBe("ERR_TRAILING");
    const mask = algorithm("2a864886f70d010108", sha256, NULL);
    expect(codeOf(() => read(spki([hash(HASHES.sha256), der(0xa1, mask)])))).toBe("ERR_TRAILING");
    const source = algorithm("2a864886f70d010109", der(TAG.octetString), NULL);
    expect(codeOf(() => read(spki([...both(HASHES.sha256), der(0xa2, source)])))).toBe(
      "ERR_TRAILING",
    );
    const cut = spki(both(HASHES.sha256));
    expect(codeOf(() => read(concat(cut, NULL)))).toMatch(/^ERR_/);
  });

  it("in a file with a record of another hash is refused", () => {
    const pem = (record: string) =>
      ascii(formatPem("PUBLIC KEY", spki(both(HASHES.sha256)), [`p11seal-oaep: ${record}`]));
    expect(read(pem("sha256")).oaep).toBe("sha256");
    expect(codeOf(() => read(pem("sha1")))).toBe("ERR_OAEP_RECORD");
  });

  it("is no key of a message, where a key has one encoding", () => {
    expect(codeOf(() => publicKeyFromSpki(spki(both(HASHES.sha256))))).toBe("ERR_KEY");
  });
});
