/** What is refused of a CMS message, and whether that is before a key is touched. */
import { hkdfSync } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { der } from "../../../src/asn1/der.js";
import { derOid } from "../../../src/asn1/oid.js";
import { concat } from "../../../src/bytes.js";
import { Random } from "../../support/mutate.js";
import {
  attribute,
  contentTypeAttribute,
  digestAttribute,
  SIGNED_DATA,
  signedData,
} from "../../support/signed-messages.js";
import {
  agreement,
  algorithm,
  gcmAlgorithm,
  KEY,
  made,
  number,
  oaep,
  octets,
  OID,
  pkcs1,
  sequence,
  type AgreementParts,
  type Parts,
} from "./made.js";
import { curve, curveKeyId, rsa, to, tried } from "./tried.js";

const otherAttribute = attribute("1.2.3.4", number(1));

const agreed = (parts: AgreementParts = {}): Uint8Array => agreement(curve, curveKeyId, parts);
const offCurve = curve.point.map((byte, i) => (i === 64 ? byte ^ 1 : byte));
const explicit = sequence(number(1), sequence(number(23)));

const sha256Oaep = sequence(der(0xa0, algorithm("2.16.840.1.101.3.4.2.1")));
const TRIPLE_DES_WRAP: AgreementParts = {
  wrap: algorithm("1.2.840.113549.1.9.16.3.6", Uint8Array.of(5, 0)),
  cipher: ["des3-wrap", 24],
};

const oaepOnce = oaep(rsa, KEY);

const DERIVED = "1.2.840.113549.1.9.16.3.31";

/** RFC 9709: the content key is derived from the one that recipients get. */
const derived = {
  encryption: algorithm(DERIVED, gcmAlgorithm()),
  contentKey: new Uint8Array(
    hkdfSync("sha256", KEY, "The Cryptographic Message Syntax", gcmAlgorithm(), 32),
  ),
};

const good = { recipients: [to()] };
const signed = { ...good, contentType: SIGNED_DATA, plaintext: signedData() };

describe("a CMS message", () => {
  it.each<[string, Parts]>([
    ["as it should be", good],
    [
      "with OAEP's hash written out",
      {
        recipients: [
          to({
            algorithm: algorithm(
              OID.oaep,
              sequence(der(0xa0, algorithm("1.3.14.3.2.26", Uint8Array.of(5, 0)))),
            ),
          }),
        ],
      },
    ],
    ["with a derived content key", { recipients: [to()], ...derived }],
    ["with attributes", { ...good, attributes: [contentTypeAttribute(OID.data)] }],
    ["with attributes that name no type", { ...good, attributes: [otherAttribute] }],
    [
      "with signed data, its type authenticated",
      { ...signed, attributes: [contentTypeAttribute(SIGNED_DATA)] },
    ],
    ["with a key agreement", { recipients: [agreed()] }],
    ["with user keying material", { recipients: [agreed({ ukm: curveKeyId })] }],
    ["with 1,024 recipients of one key agreement", { recipients: [agreed({ times: 1024 })] }],
    // RFC 5753 §3.1.1: absent, NULL, or a curve; none of which counts.
    ["with no curve beside the originator's key", { recipients: [agreed({ curve: [] })] }],
    ["with NULL there", { recipients: [agreed({ curve: [Uint8Array.of(5, 0)] })] }],
    ["with another curve there", { recipients: [agreed({ curve: [derOid("1.3.132.0.34")] })] }],
    ["with explicit parameters there", { recipients: [agreed({ curve: [explicit] })] }],
    ["with other recipients", { recipients: [der(0xa3, number(0)), to()] }],
    [
      "with 1,024 recipients",
      { recipients: Array.from({ length: 1024 }, () => to({ encryptedKey: oaepOnce })) },
    ],
  ])("%s opens", async (_, parts) => {
    expect(await tried(made(parts))).toEqual({ code: undefined, unlocked: true });
  });

  it.each<[string, Parts, string]>([
    [
      "RSA-OAEP without parameters",
      { recipients: [to({ algorithm: algorithm(OID.oaep) })] },
      "ERR_CMS",
    ],
    [
      "RSA-OAEP with NULL",
      { recipients: [to({ algorithm: algorithm(OID.oaep, Uint8Array.of(5, 0)) })] },
      "ERR_CMS",
    ],
    [
      "RSA-OAEP with nonsense",
      { recipients: [to({ algorithm: algorithm(OID.oaep, sequence(number(1))) })] },
      "ERR_TRAILING",
    ],
    [
      "RSA-OAEP whose hash has parameters",
      {
        recipients: [
          to({
            algorithm: algorithm(
              OID.oaep,
              sequence(der(0xa0, algorithm("1.3.14.3.2.26", octets(new Uint8Array(2))))),
            ),
          }),
        ],
      },
      "ERR_CMS",
    ],
    [
      "RSA-OAEP with MGF1 without a hash",
      {
        recipients: [
          to({
            algorithm: algorithm(OID.oaep, sequence(der(0xa1, algorithm("1.2.840.113549.1.1.8")))),
          }),
        ],
      },
      "ERR_CMS",
    ],
    [
      "a malformed recipient beside a good one",
      { recipients: [to(), to({ algorithm: algorithm(OID.oaep) })] },
      "ERR_CMS",
    ],
    [
      "PKCS#1 v1.5 without permission",
      { recipients: [to({ algorithm: algorithm(OID.rsa, Uint8Array.of(5, 0)) })] },
      "ERR_LEGACY",
    ],
    [
      "an RSA ciphertext that is too short",
      { recipients: [to({ encryptedKey: oaep(rsa, KEY).subarray(1) })] },
      "ERR_CMS",
    ],
    ["a recipient whose version does not fit", { recipients: [to({ version: 0 })] }, "ERR_CMS"],
    ["a recipient of no known form", { recipients: [der(0xa5, number(0))] }, "ERR_CMS"],
    ["no recipients", {}, "ERR_CMS"],
    [
      "1,025 recipients",
      { recipients: Array.from({ length: 1025 }, () => to({ encryptedKey: oaepOnce })) },
      "ERR_CMS",
    ],
    ["only a password", { recipients: [der(0xa3, number(0))] }, "ERR_NO_MATCH"],
    [
      "another kind of recipient, with two values",
      { recipients: [der(0xa4, derOid("1.2.3.4"), number(0), number(0))] },
      "ERR_TRAILING",
    ],
    [
      "only another kind of recipient",
      { recipients: [der(0xa4, derOid("1.2.3.4"), number(0))] },
      "ERR_NO_MATCH",
    ],
    ["a key agreement without a key wrap", { recipients: [agreed({ wrap: null })] }, "ERR_CMS"],
    [
      "a key wrap whose parameters go on",
      {
        recipients: [
          agreed({ wrap: concat(algorithm("2.16.840.1.101.3.4.1.45"), Uint8Array.of(5, 0)) }),
        ],
      },
      "ERR_TRAILING",
    ],
    ["a key agreement of another version", { recipients: [agreed({ version: 2 })] }, "ERR_CMS"],
    ["1,025 recipients of one key agreement", { recipients: [agreed({ times: 1025 })] }, "ERR_CMS"],
    ["an unknown key agreement", { recipients: [agreed({ scheme: "1.2.3.4" })] }, "ERR_ALGORITHM"],
    [
      "an unknown key wrap",
      { recipients: [agreed({ wrap: algorithm("1.2.3.4") })] },
      "ERR_ALGORITHM",
    ],
    [
      "triple DES around the key of another cipher",
      { recipients: [agreed(TRIPLE_DES_WRAP)] },
      "ERR_LEGACY",
    ],
    [
      "a point that is not on the curve",
      { recipients: [agreed({ point: offCurve })] },
      "ERR_POINT",
    ],
    ["a tag length of 4", { ...good, encryption: gcmAlgorithm(4) }, "ERR_TAG_LENGTH"],
    ["a tag length of 15", { ...good, encryption: gcmAlgorithm(15) }, "ERR_TAG_LENGTH"],
    ["no tag length, which means 12", { ...good, encryption: gcmAlgorithm(12) }, "ERR_TAG_LENGTH"],
    [
      "a nonce of 17 bytes",
      { ...good, encryption: gcmAlgorithm(16, new Uint8Array(17)) },
      "ERR_CMS",
    ],
    ["a short nonce", { ...good, encryption: gcmAlgorithm(16, new Uint8Array(8)) }, "ERR_CMS"],
    ["GCM without parameters", { ...good, encryption: algorithm(OID.aes256Gcm) }, "ERR_CMS"],
    ["AES-GCM in EnvelopedData", { ...good, type: OID.envelopedData, version: 2 }, "ERR_CMS"],
    [
      "AES-CBC in AuthEnvelopedData",
      { ...good, encryption: algorithm(OID.aes256Cbc, octets(new Uint8Array(16))) },
      "ERR_CMS",
    ],
    [
      "CBC without a vector",
      { ...good, type: OID.envelopedData, version: 2, encryption: algorithm(OID.aes256Cbc) },
      "ERR_CMS",
    ],
    [
      "a vector of another length",
      {
        ...good,
        type: OID.envelopedData,
        version: 2,
        encryption: algorithm(OID.aes256Cbc, octets(new Uint8Array(8))),
      },
      "ERR_CMS",
    ],
    [
      "RC2 with a key of unknown length",
      {
        ...good,
        type: OID.envelopedData,
        version: 2,
        encryption: algorithm(
          "1.2.840.113549.3.2",
          sequence(number(59), octets(new Uint8Array(8))),
        ),
      },
      "ERR_CMS",
    ],
    [
      "RC2 without permission",
      {
        ...good,
        type: OID.envelopedData,
        version: 2,
        encryption: algorithm(
          "1.2.840.113549.3.2",
          sequence(number(58), octets(new Uint8Array(8))),
        ),
      },
      "ERR_LEGACY",
    ],
    [
      "triple DES without permission",
      {
        ...good,
        type: OID.envelopedData,
        version: 2,
        encryption: algorithm("1.2.840.113549.3.7", octets(new Uint8Array(8))),
      },
      "ERR_LEGACY",
    ],
    [
      "a derived key for a cipher in the wrong place",
      { ...good, type: OID.envelopedData, version: 2, encryption: derived.encryption },
      "ERR_CMS",
    ],
    [
      "a key that is derived twice",
      { ...good, encryption: algorithm(DERIVED, derived.encryption) },
      "ERR_CMS",
    ],
    ["a derived key for no cipher", { ...good, encryption: algorithm(DERIVED) }, "ERR_CMS"],
    ["an unknown cipher", { ...good, encryption: algorithm("1.2.3.4") }, "ERR_ALGORITHM"],
    ["content that is elsewhere", { ...good, content: null }, "ERR_CMS_DETACHED"],
    ["a version that does not exist", { ...good, version: 1 }, "ERR_CMS"],
    ["another type of message", { ...good, type: "1.2.840.113549.1.7.6" }, "ERR_CMS_TYPE"],
  ])("with %s is refused before a key is touched", async (_, parts, code) => {
    expect(await tried(made(parts))).toEqual({ code, unlocked: false });
  });

  it.each<[string, Parts, string]>([
    [
      "PKCS#1 v1.5 where OAEP is named",
      { recipients: [to({ encryptedKey: pkcs1(rsa, KEY) })] },
      "ERR_NOT_AUTHENTIC",
    ],
    [
      "a content key that is too short",
      { recipients: [to({ encryptedKey: oaep(rsa, KEY.subarray(16)) })] },
      "ERR_NOT_AUTHENTIC",
    ],
    [
      "an empty content key",
      { recipients: [to({ encryptedKey: oaep(rsa, new Uint8Array(0)) })] },
      "ERR_NOT_AUTHENTIC",
    ],
    [
      "another content key",
      { recipients: [to({ encryptedKey: oaep(rsa, new Uint8Array(32)) })] },
      "ERR_NOT_AUTHENTIC",
    ],
    [
      "a key wrap that does not open",
      { recipients: [agreed({ encryptedKey: new Uint8Array(40) })] },
      "ERR_NOT_AUTHENTIC",
    ],
    [
      "a key wrap of an impossible length",
      { recipients: [agreed({ encryptedKey: new Uint8Array(7) })] },
      "ERR_NOT_AUTHENTIC",
    ],
    [
      "RSA-OAEP of another hash than is named",
      { recipients: [to({ algorithm: algorithm(OID.oaep, sha256Oaep) })] },
      "ERR_NOT_AUTHENTIC",
    ],
    [
      "RSA-OAEP of another label than is named",
      {
        recipients: [
          to({
            algorithm: algorithm(
              OID.oaep,
              sequence(der(0xa2, algorithm("1.2.840.113549.1.1.9", octets(Uint8Array.of(1))))),
            ),
          }),
        ],
      },
      "ERR_NOT_AUTHENTIC",
    ],
    ["a tag of 15 bytes", { ...good, tagBytes: 15 }, "ERR_CMS"],
    ["no tag", { ...good, trailer: [] }, "ERR_BER"],
    ["bytes behind it", { ...good, after: Uint8Array.of(0) }, "ERR_TRAILING"],
    [
      "attributes in another order",
      { ...good, attributes: [otherAttribute, contentTypeAttribute(OID.data)].reverse() },
      "ERR_ATTRIBUTES",
    ],
    [
      "an attribute twice",
      { ...good, attributes: [contentTypeAttribute(OID.data), contentTypeAttribute(OID.data)] },
      "ERR_ATTRIBUTES",
    ],
    [
      "attributes with a digest",
      {
        ...good,
        attributes: [contentTypeAttribute(OID.data), digestAttribute(new Uint8Array(32))],
      },
      "ERR_CMS",
    ],
    [
      "attributes with two types of content",
      {
        ...good,
        attributes: [attribute("1.2.840.113549.1.9.3", derOid("1.2.3.4"), derOid(OID.data))],
      },
      "ERR_ATTRIBUTES",
    ],
    [
      "attributes of another content",
      { ...good, attributes: [contentTypeAttribute("1.2.3.4")] },
      "ERR_CMS",
    ],
    [
      "content of an unknown type that is not authenticated",
      { ...good, contentType: "1.2.3.4" },
      "ERR_CMS",
    ],
    ["signed data whose type is not authenticated", signed, "ERR_CMS"],
    [
      "bytes behind the signed data in it",
      {
        ...signed,
        attributes: [contentTypeAttribute(SIGNED_DATA)],
        plaintext: concat(signedData(), Uint8Array.of(0)),
      },
      "ERR_TRAILING",
    ],
    [
      "another message where signed data is announced",
      { ...signed, attributes: [contentTypeAttribute(SIGNED_DATA)], plaintext: made(good) },
      "ERR_CMS",
    ],
    [
      "signed data, and attributes that do not name its type",
      { ...signed, attributes: [otherAttribute] },
      "ERR_CMS",
    ],
  ])("with %s is refused", async (_, parts, code) => {
    expect((await tried(made(parts))).code).toBe(code);
  });

  it("whose PKCS#1 v1.5 wrap is bad fails the same way each time", async () => {
    const random = new Random(15);
    for (let i = 0; i < 20; i++) {
      const encryptedKey = random.bytes(256);
      encryptedKey[0] = 0;
      const message = made({
        recipients: [to({ algorithm: algorithm(OID.rsa, Uint8Array.of(5, 0)), encryptedKey })],
      });
      const outcome = await tried(message, { legacy: true });
      expect(outcome).toEqual({ code: "ERR_NOT_AUTHENTIC", unlocked: true });
      expect(await tried(message, { legacy: true })).toEqual(outcome);
    }
  });
});
