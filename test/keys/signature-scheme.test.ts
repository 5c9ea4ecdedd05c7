/** Which algorithms signatures of certificates and CMS messages may name, and what they verify. */
import { constants, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { derAlgorithm, DER_NULL } from "../../src/asn1/algorithm-identifier.js";
import { der, TAG } from "../../src/asn1/der.js";
import { ascii, concat } from "../../src/bytes.js";
import type { PublicKey } from "../../src/keys/key.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import {
  schemeVerifies,
  signatureDigest,
  signatureScheme,
} from "../../src/keys/signature-scheme.js";

const MESSAGE = ascii("message");
const SHA1 = "1.3.14.3.2.26";
const SHA256 = "2.16.840.1.101.3.4.2.1";
const SHA384 = "2.16.840.1.101.3.4.2.2";
const PSS = "1.2.840.113549.1.1.10";
const MGF1 = "1.2.840.113549.1.1.8";

interface Pair {
  readonly privateKey: KeyObject;
  readonly key: PublicKey;
}

const pairOf = (pair: { publicKey: KeyObject; privateKey: KeyObject }): Pair => ({
  privateKey: pair.privateKey,
  key: publicKeyFromSpki(pair.publicKey.export({ format: "der", type: "spki" })),
});
const RSA = pairOf(generateKeyPairSync("rsa", { modulusLength: 2048 }));
const P256 = pairOf(generateKeyPairSync("ec", { namedCurve: "P-256" }));
const P521 = pairOf(generateKeyPairSync("ec", { namedCurve: "P-521" }));
const ED25519 = pairOf(generateKeyPairSync("ed25519"));

/** RSASSA-PSS-params. */
function pss(
  hash: string,
  mgfHash: string,
  salt: number,
  ...more: readonly Uint8Array[]
): Uint8Array {
  const mgf = derAlgorithm({ oid: MGF1, parameters: derAlgorithm({ oid: mgfHash }) });
  return der(
    TAG.sequence,
    der(0xa0, derAlgorithm({ oid: hash, parameters: DER_NULL })),
    der(0xa1, mgf),
    der(0xa2, der(TAG.integer, Uint8Array.of(salt))),
    ...more,
  );
}

describe("a scheme", () => {
  it.each([
    ["RSA SHA-1", "1.2.840.113549.1.1.5", RSA, "sha1"],
    ["RSA SHA-256", "1.2.840.113549.1.1.11", RSA, "sha256"],
    ["RSA SHA-512", "1.2.840.113549.1.1.13", RSA, "sha512"],
    ["ECDSA SHA-256", "1.2.840.10045.4.3.2", P256, "sha256"],
    ["ECDSA SHA-512", "1.2.840.10045.4.3.4", P521, "sha512"],
    ["Ed25519", "1.3.101.112", ED25519, null],
  ] as const)("%s verifies what its key signed, and nothing else", (name, oid, pair, hash) => {
    const scheme = signatureScheme({ oid });
    expect(scheme).toMatchObject({ name, digest: hash });
    const signature = sign(hash, MESSAGE, pair.privateKey);
    expect(schemeVerifies(scheme, pair.key, MESSAGE, signature)).toBe(true);
    expect(schemeVerifies(scheme, pair.key, ascii("massage"), signature)).toBe(false);
    const other = [RSA, P256, ED25519].find(({ key }) => key.type !== pair.key.type) ?? RSA;
    expect(schemeVerifies(scheme, other.key, MESSAGE, signature)).toBe(false);
    const longer = concat(signature, Uint8Array.of(0));
    expect(schemeVerifies(scheme, pair.key, MESSAGE, longer)).toBe(false);
    expect(schemeVerifies(scheme, pair.key, MESSAGE, new Uint8Array(0))).toBe(false);
  });

  it("of RSASSA-PSS has the salt that its parameters say", () => {
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    const signature = sign("sha384", MESSAGE, { key: RSA.privateKey, padding, saltLength: 20 });
    const right = signatureScheme({ oid: PSS, parameters: pss(SHA384, SHA384, 20) });
    expect(right.name).toBe("RSA-PSS SHA-384");
    expect(schemeVerifies(right, RSA.key, MESSAGE, signature)).toBe(true);
    const wrong = signatureScheme({ oid: PSS, parameters: pss(SHA384, SHA384, 48) });
    expect(schemeVerifies(wrong, RSA.key, MESSAGE, signature)).toBe(false);
  });

  it("of RSASSA-PSS is SHA-1 with a salt of 20 bytes by default", () => {
    const scheme = signatureScheme({ oid: PSS, parameters: der(TAG.sequence) });
    expect(scheme).toMatchObject({ type: "rsa-pss", digest: "sha1", saltBytes: 20 });
  });

  it.each([
    ["no parameters", undefined, "ERR_SIGNATURE_ALGORITHM"],
    ["two hashes", pss(SHA256, SHA1, 32), "ERR_SIGNATURE_ALGORITHM"],
    [
      "another trailer",
      pss(SHA256, SHA256, 32, der(0xa3, der(2, Uint8Array.of(2)))),
      "ERR_SIGNATURE_ALGORITHM",
    ],
    ["something after it", pss(SHA256, SHA256, 32, der(0xa4)), "ERR_TRAILING"],
    ["MD5", pss("1.2.840.113549.2.5", SHA256, 16), "ERR_SIGNATURE_ALGORITHM"],
    ["a negative salt", pss(SHA256, SHA256, 200), "ERR_DER"],
  ])("of RSASSA-PSS with %s is refused", (_, parameters, code) => {
    const algorithm = parameters === undefined ? { oid: PSS } : { oid: PSS, parameters };
    expect(() => signatureScheme(algorithm)).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    ["MD5", "1.2.840.113549.1.1.4", "RSA MD5"],
    ["DSA", "1.2.840.10040.4.3", "DSA SHA-1"],
    ["a bare RSA key", "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.1"],
  ])("with %s is refused", (_, oid, name) => {
    expect(() => signatureScheme({ oid })).toThrow(`signature algorithm ${name} is not supported`);
  });

  it("is a bare key's, with the hash that a message says", () => {
    const rsa = { oid: "1.2.840.113549.1.1.1", parameters: DER_NULL };
    expect(signatureScheme(rsa, "sha384").name).toBe("RSA SHA-384");
    expect(signatureScheme({ oid: "1.2.840.10045.2.1" }, "sha256").name).toBe("ECDSA SHA-256");
  });

  it("has no parameters but NULL, and Ed25519 none at all", () => {
    const code = "ERR_SIGNATURE_ALGORITHM";
    const refused = (oid: string, parameters: Uint8Array): void => {
      expect(() => signatureScheme({ oid, parameters })).toThrow(expect.objectContaining({ code }));
    };
    refused("1.2.840.113549.1.1.11", der(TAG.sequence));
    refused("1.2.840.10045.4.3.2", der(TAG.sequence));
    refused("1.3.101.112", DER_NULL);
    expect(signatureScheme({ oid: "1.2.840.113549.1.1.11", parameters: DER_NULL })).toBeDefined();
  });
});

describe("a hash", () => {
  it("is one that signatures are made over", () => {
    expect(signatureDigest({ oid: SHA256 })).toBe("sha256");
    expect(signatureDigest({ oid: SHA256, parameters: DER_NULL })).toBe("sha256");
    expect(signatureDigest({ oid: "1.2.840.113549.2.5" })).toBeUndefined();
    expect(() => signatureDigest({ oid: SHA256, parameters: der(TAG.sequence) })).toThrow(
      expect.objectContaining({ code: "ERR_SIGNATURE_ALGORITHM" }),
    );
  });
});
