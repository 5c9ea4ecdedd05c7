/** Signed messages that nobody may take for signed: each rule refuses one. */
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { derAlgorithm, DER_NULL } from "../../../src/asn1/algorithm-identifier.js";
import { der, TAG } from "../../../src/asn1/der.js";
import { derOid } from "../../../src/asn1/oid.js";
import { ascii, concat } from "../../../src/bytes.js";
import type { P11SealError } from "../../../src/errors.js";
import {
  openSigned,
  verifyDetached,
  type VerifyOptions,
} from "../../../src/envelope/signatures.js";
import type { SignedParts } from "../../../src/envelope/signatures.js";
import { keyUsage, rootAuthority, smallInteger } from "../../support/certificates.js";
import {
  ALICE,
  attribute,
  attributesOver,
  CONTENT,
  contentTypeAttribute,
  DATA,
  digestAttribute,
  SHA256,
  signedMessage,
  signerInfo,
  signingTime,
  type MessageOptions,
  type SignerOptions,
} from "../../support/signed-messages.js";
import { codeOf } from "../../support/streams.js";

async function verify(message: Uint8Array, options: VerifyOptions = {}): Promise<SignedParts> {
  const opened = await openSigned(message, options);
  await opened.content.bytes();
  return opened.signatures();
}

const refusal = async (message: Uint8Array, options: VerifyOptions = {}): Promise<unknown> =>
  codeOf(verify(message, options));

const by = (options: SignerOptions, message: MessageOptions = {}): Uint8Array =>
  signedMessage({ ...message, signers: [signerInfo(message.content ?? CONTENT, options)] });

const DIGEST = createHash("sha256").update(CONTENT).digest();
const SHA1 = { oid: "1.3.14.3.2.26" };

describe("a sound message", () => {
  it("is accepted", async () => {
    const { signers } = await verify(signedMessage());
    expect(signers).toHaveLength(1);
    expect(signers[0]).toMatchObject({
      algorithm: "ECDSA SHA-256",
      bound: false,
      lineEnds: "as-is",
    });
    expect(signers[0]?.certificate.der).toEqual(ALICE.certificate.der);
  });
});

describe("what is signed", () => {
  it("has attributes: a signature over the content alone is refused", async () => {
    expect(await refusal(by({ attributes: null }))).toBe("ERR_NO_SIGNED_ATTRIBUTES");
  });

  it("is not a set of attributes, passed off as content", async () => {
    const attributes = attributesOver(CONTENT);
    const content = der(TAG.set, ...attributes);
    // The signature of a message with attributes, over what is now the content.
    const stolen = signerInfo(content, { attributes: null });
    expect(await refusal(signedMessage({ content, signers: [stolen] }))).toBe(
      "ERR_ATTRIBUTES_AS_CONTENT",
    );
    expect(await refusal(signedMessage({ content }))).toBe("ERR_ATTRIBUTES_AS_CONTENT");
    const parts = verifyDetached(
      signedMessage({ content: null, signers: [signerInfo(content)] }),
      content,
    );
    expect(await codeOf(parts)).toBe("ERR_ATTRIBUTES_AS_CONTENT");
  });

  it("may be any other set", async () => {
    const content = der(TAG.set, smallInteger(1));
    await expect(verify(signedMessage({ content }))).resolves.toHaveProperty("signers.length");
  });

  it("is this content", async () => {
    const signers = [signerInfo(CONTENT)];
    const content = ascii("Pay Bob 900 crowns.\n");
    expect(await refusal(signedMessage({ content, signers }))).toBe("ERR_CONTENT_MISMATCH");
  });

  it("is content of the type that it is sent as", async () => {
    expect(await refusal(signedMessage({ contentType: "1.2.840.113549.1.9.16.1.4" }))).toBe(
      "ERR_SENDER_SIGNATURE",
    );
  });

  it("is signed by the key of the certificate", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    expect(await refusal(by({ key: privateKey }))).toBe("ERR_SENDER_SIGNATURE");
  });
});

describe("signed attributes", () => {
  const [type, time, digest] = attributesOver(CONTENT) as [Uint8Array, Uint8Array, Uint8Array];

  it.each<readonly [string, readonly Uint8Array[]]>([
    ["without contentType", [time, digest]],
    ["without messageDigest", [type, time]],
    ["not sorted", [digest, type, time]],
    ["with contentType twice", [type, type, time, digest]],
    ["with two contentTypes", [type, contentTypeAttribute(SHA256), time, digest]],
    [
      "with messageDigest twice",
      [type, time, digest, digestAttribute(new Uint8Array(32).fill(0xff))],
    ],
    [
      "with two values of messageDigest",
      [type, time, attribute("1.2.840.113549.1.9.4", der(4, DIGEST), der(4, new Uint8Array(33)))],
    ],
    ["with signingTime twice", [type, signingTime(0), time, digest]],
    ["with no value of contentType", [attribute("1.2.840.113549.1.9.3"), time, digest]],
    ["that are none", []],
    [
      "of more than 64 KiB",
      [type, time, digest, attribute("1.2.840.113549.1.9.99", der(4, new Uint8Array(65_536)))],
    ],
  ])("%s are refused", async (_, attributes) => {
    expect(await refusal(by({ attributes }))).toBe("ERR_ATTRIBUTES");
  });

  it("are signed, those that count", async () => {
    const attributes = [type, digest];
    expect(await refusal(by({ attributes, unsigned: [time] }))).toBe("ERR_ATTRIBUTES");
    const other = attribute("1.2.840.113549.1.9.16.2.14", der(TAG.sequence));
    await expect(verify(by({ unsigned: [other, other] }))).resolves.toHaveProperty(
      "signers.length",
    );
  });

  it("have a type and a set of values and nothing else, signed or not", async () => {
    const type = derOid("1.2.840.113549.1.9.16.2.14");
    const values = der(TAG.set, der(TAG.sequence));
    const unsigned = (...fields: readonly Uint8Array[]): Uint8Array =>
      by({ unsigned: [der(TAG.sequence, ...fields)] });
    await expect(verify(unsigned(type, values))).resolves.toHaveProperty("signers.length");
    expect(await refusal(unsigned(type, values, values))).toBe("ERR_TRAILING");
    expect(await refusal(unsigned(type, der(TAG.sequence)))).toBe("ERR_DER");
    expect(await refusal(unsigned(type))).toBe("ERR_TRUNCATED");
    const signed = der(TAG.sequence, type, values, values);
    const attributes = [...attributesOver(CONTENT), signed].toSorted((a, b) =>
      Buffer.compare(a, b),
    );
    expect(await refusal(by({ attributes }))).toBe("ERR_TRAILING");
  });

  it.each([
    ["a time that is none", "20260115000000"],
    ["a time without seconds", "2601150000Z"],
    ["the 30th of February", "260230000000Z"],
  ])("with %s are refused", async (_, text) => {
    const bad = attribute("1.2.840.113549.1.9.5", der(TAG.utcTime, ascii(text)));
    expect(
      await refusal(
        by({ attributes: [type, bad, digest].toSorted((a, b) => Buffer.compare(a, b)) }),
      ),
    ).toBe("ERR_DER");
  });

  it("in BER are refused, although what is signed is their DER", async () => {
    const joined = concat(type, time, digest);
    const info = signerInfo(CONTENT);
    const at = Buffer.from(info).indexOf(Buffer.from(der(0xa0, joined)));
    const after = info.subarray(at + der(0xa0, joined).length);
    const head = Buffer.from(info.subarray(0, at));
    const content = concat(
      head.subarray(2),
      Uint8Array.of(0xa0, 0x80),
      joined,
      new Uint8Array(2),
      after,
    );
    // A length of one byte more has to fit.
    const long = Buffer.from(info)[1] === 0x81 ? content.subarray(1) : content;
    expect(await refusal(signedMessage({ signers: [der(TAG.sequence, long)] }))).toBe(
      "ERR_ATTRIBUTES",
    );
  });
});

describe("algorithms", () => {
  it("are not SHA-1, unless that is allowed", async () => {
    const attributes = attributesOver(CONTENT, "sha1");
    const message = by(
      { attributes, digest: SHA1, hash: "sha1", algorithm: { oid: "1.2.840.10045.4.1" } },
      { digests: [SHA1] },
    );
    expect(await refusal(message)).toBe("ERR_WEAK_SIGNATURE");
    await expect(verify(message, { allowLegacy: true })).resolves.toHaveProperty("signers.length");
  });

  it("are not MD5, ever", async () => {
    const md5 = { oid: "1.2.840.113549.2.5", parameters: DER_NULL };
    const message = by(
      { attributes: attributesOver(CONTENT, "md5"), digest: md5 },
      { digests: [md5] },
    );
    expect(await refusal(message, { allowLegacy: true })).toBe("ERR_WEAK_SIGNATURE");
  });

  it("are not DSA", async () => {
    const message = by({ algorithm: { oid: "2.16.840.1.101.3.4.3.2" } });
    expect(await refusal(message, { allowLegacy: true })).toBe("ERR_SIGNATURE_ALGORITHM");
  });

  it("have one hash in both places", async () => {
    expect(await refusal(by({ algorithm: { oid: "1.2.840.10045.4.3.3" }, hash: "sha384" }))).toBe(
      "ERR_SIGNATURE_ALGORITHM",
    );
  });

  it("have no parameters of somebody else's", async () => {
    const parameters = der(TAG.octetString);
    expect(
      await refusal(by({ digest: { oid: SHA256, parameters } }, { digests: [{ oid: SHA256 }] })),
    ).toBe("ERR_SIGNATURE_ALGORITHM");
  });

  it("are announced before the content", async () => {
    expect(await refusal(signedMessage({ digests: [] }))).toBe("ERR_ATTRIBUTES");
  });
});

describe("signers", () => {
  it("are not stripped: none is not signed", async () => {
    expect(await refusal(signedMessage({ signers: [] }))).toBe("ERR_UNSIGNED");
  });

  it("must all have signed: the one that has not is named", async () => {
    const mallory = rootAuthority("Somewhere").issue({ subject: { CN: "Mallory" }, serial: 77 });
    const bad = signerInfo(CONTENT, { signer: mallory, key: ALICE.keys.privateKey });
    const message = signedMessage({
      certificates: [ALICE.certificate.der, mallory.certificate.der],
      signers: [signerInfo(CONTENT), bad],
    });
    await expect(verify(message)).rejects.toMatchObject({
      code: "ERR_SENDER_SIGNATURE",
      message: "signer 2 of 2, serial number 4d of CN=Somewhere: the signature does not hold",
    });
  });

  it("are 64 at most", async () => {
    const info = signerInfo(CONTENT);
    const many = (count: number): Uint8Array =>
      signedMessage({ signers: new Array<Uint8Array>(count).fill(info) });
    expect((await verify(many(64))).signers).toHaveLength(64);
    expect(await refusal(many(65))).toBe("ERR_TOO_MANY_SIGNERS");
  });

  it("have their certificate in the message, or beside it", async () => {
    const message = signedMessage({ certificates: [] });
    expect(await refusal(message)).toBe("ERR_SIGNER_CERTIFICATE");
    await expect(
      verify(message, { certificates: [ALICE.certificate.der] }),
    ).resolves.toHaveProperty("signers.length");
  });

  it("have a certificate that can be read; others need not be", async () => {
    const extensions = [keyUsage("digitalSignature"), keyUsage("digitalSignature")];
    const bad = rootAuthority("Root").issueBytes({ extensions });
    const certificates = [bad];
    expect(await refusal(signedMessage({ certificates }))).toBe("ERR_CERTIFICATE");
    const both = signedMessage({ certificates: [bad, ALICE.certificate.der] });
    await expect(verify(both)).resolves.toHaveProperty("signers.length", 1);
  });

  it("have 4 certificates of one name at most", async () => {
    const root = rootAuthority("Root");
    const { serial } = ALICE.certificate;
    const same = { serial: (serial[0] ?? 0) * 256 + (serial[1] ?? 0) };
    const others = Array.from({ length: 4 }, () => root.issueBytes(same));
    const message = signedMessage({ certificates: [ALICE.certificate.der, ...others] });
    expect(await refusal(message)).toBe("ERR_SIGNER_CERTIFICATE");
    // The same one twice is one.
    const doubled = signedMessage({
      certificates: [...others.slice(1), ALICE.certificate.der, ALICE.certificate.der],
    });
    await expect(verify(doubled)).resolves.toHaveProperty("signers.length");
  });

  it("are of the version that their name has", async () => {
    expect(await refusal(by({ version: 3 }))).toBe("ERR_VERSION");
    expect(await refusal(by({ id: der(0x80, randomBytes(20)) }))).toBe("ERR_VERSION");
  });
});

describe("the message", () => {
  it("has 128 certificates at most", async () => {
    const { der: certificate } = ALICE.certificate;
    const many = (count: number): Uint8Array =>
      signedMessage({ certificates: new Array<Uint8Array>(count).fill(certificate) });
    await expect(verify(many(128))).resolves.toHaveProperty("signers.length");
    expect(await refusal(many(129))).toBe("ERR_TOO_MANY_CERTIFICATES");
  });

  it("has nothing after it", async () => {
    expect(await refusal(concat(signedMessage(), Uint8Array.of(0)))).toBe("ERR_TRAILING");
  });

  it("has one value, and nothing after it, in each piece of revocation information", async () => {
    const [value, ocsp, other] = [der(TAG.sequence), "1.3.6.1.5.5.7.16.2", "1.2.3.4"];
    const carrying = (type: string, ...values: readonly Uint8Array[]): Uint8Array =>
      signedMessage({ crls: [der(0xa1, derOid(type), ...values)] });
    await expect(verify(carrying(ocsp, value))).resolves.toMatchObject({ ocsp: [value] });
    await expect(verify(carrying(other, value))).resolves.toMatchObject({ ocsp: [] });
    for (const type of [ocsp, other]) {
      expect(await refusal(carrying(type, value, value))).toBe("ERR_TRAILING");
      expect(await refusal(carrying(type))).toBe("ERR_TRUNCATED");
    }
  });

  it("is of a known version", async () => {
    expect(await refusal(signedMessage({ version: 2 }))).toBe("ERR_VERSION");
  });

  it("is signed data", async () => {
    const other = der(TAG.sequence, derOid(DATA), der(0xa0, der(TAG.octetString)));
    expect(await refusal(other)).toBe("ERR_NOT_SIGNED_DATA");
    expect(await refusal(ascii("hello, world"))).toBe("ERR_NOT_SIGNED_DATA");
  });

  it("cut anywhere is no message", async () => {
    const message = signedMessage();
    for (let length = 0; length < message.length; length++) {
      expect(await refusal(message.subarray(0, length))).toMatch(
        /^ERR_(TRUNCATED|NOT_SIGNED_DATA)$/,
      );
    }
  });

  it("altered anywhere is refused, or says the same of the same content", async () => {
    const message = signedMessage();
    const sound = (await verify(message)).signers[0];
    for (let at = 0; at < message.length; at++) {
      const altered = message.slice();
      altered[at] = (altered[at] ?? 0) ^ 1;
      try {
        const { signers } = await verify(altered);
        expect(signers[0]?.attributesHash).toEqual(sound?.attributesHash);
        expect(signers[0]?.publicKey.spki).toEqual(sound?.publicKey.spki);
      } catch (error) {
        expect((error as P11SealError).code).toBeDefined();
      }
    }
  });
});

describe("signing-certificate-v2", () => {
  const bound = (hash: Uint8Array, ...rest: readonly Uint8Array[]): Uint8Array => {
    const id = der(TAG.sequence, der(TAG.octetString, hash), ...rest);
    const value = attribute("1.2.840.113549.1.9.16.2.47", der(TAG.sequence, der(TAG.sequence, id)));
    const attributes = [...attributesOver(CONTENT), value].toSorted((a, b) => Buffer.compare(a, b));
    return by({ attributes });
  };
  const own = createHash("sha256").update(ALICE.certificate.der).digest();

  it("binds to the signer's certificate", async () => {
    expect((await verify(bound(own))).signers[0]?.bound).toBe(true);
  });

  it("of another certificate is refused", async () => {
    expect(await refusal(bound(randomBytes(32)))).toBe("ERR_SENDER_SIGNATURE");
  });

  it("with another serial number is refused", async () => {
    const names = der(TAG.sequence, der(0xa4, ALICE.certificate.issuer.der));
    const issuerSerial = (serial: Uint8Array): Uint8Array =>
      der(TAG.sequence, names, der(TAG.integer, serial));
    await expect(
      verify(bound(own, issuerSerial(ALICE.certificate.serial))),
    ).resolves.toHaveProperty("signers.length");
    expect(await refusal(bound(own, issuerSerial(Uint8Array.of(1))))).toBe("ERR_SENDER_SIGNATURE");
  });

  it("by a hash that is not known is refused", async () => {
    const md5 = derAlgorithm({ oid: "1.2.840.113549.2.5" });
    const id = der(TAG.sequence, md5, der(TAG.octetString, new Uint8Array(16)));
    const value = attribute("1.2.840.113549.1.9.16.2.47", der(TAG.sequence, der(TAG.sequence, id)));
    const attributes = [...attributesOver(CONTENT), value].toSorted((a, b) => Buffer.compare(a, b));
    expect(await refusal(by({ attributes }))).toBe("ERR_SIGNATURE_ALGORITHM");
  });
});

describe("line ends of a content that lies apart", () => {
  const signature = (content: string): Uint8Array =>
    signedMessage({ content: null, signers: [signerInfo(Buffer.from(content))] });
  const ends = async (signed: string, kept: string): Promise<unknown> => {
    try {
      const once = await verifyDetached(signature(signed), Buffer.from(kept));
      const twice = await verifyDetached(signature(signed), () => Buffer.from(kept));
      expect(twice.signers[0]?.lineEnds).toBe(once.signers[0]?.lineEnds);
      return once.signers[0]?.lineEnds;
    } catch (error) {
      return (error as P11SealError).code;
    }
  };

  it("are those that were signed, or all CR LF, and nothing else", async () => {
    expect(await ends("a\nb\n", "a\nb\n")).toBe("as-is");
    expect(await ends("a\r\nb\r\n", "a\nb\n")).toBe("crlf");
    expect(await ends("a\r\nb\r\n", "a\r\nb\n")).toBe("crlf");
    expect(await ends("a\r\nb\r\n", "a\r\nb\r\n")).toBe("as-is");
    expect(await ends("a\nb\n", "a\r\nb\r\n")).toBe("ERR_CONTENT_MISMATCH");
    expect(await ends("a\r\nb\n", "a\nb\n")).toBe("ERR_CONTENT_MISMATCH");
    expect(await ends("a\r\nb", "a\rb")).toBe("ERR_CONTENT_MISMATCH");
    expect(await ends("\r\n\r\n", "\n\n")).toBe("crlf");
  });
});
