/**
 * Nothing may stand in a message where nobody reads it: a value more, at the end of any of its
 * structures, refuses the message before a key is touched.
 */
import { hkdfSync } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { CONSTRUCTED } from "../../../src/asn1/ber.js";
import { der, DerReader } from "../../../src/asn1/der.js";
import { derOid } from "../../../src/asn1/oid.js";
import { ascii } from "../../../src/bytes.js";
import { nameBytes } from "../../support/certificates.js";
import { contentTypeAttribute } from "../../support/signed-messages.js";
import {
  agreement,
  algorithm,
  gcmAlgorithm,
  KEY,
  made,
  madeInCbc,
  number,
  octets,
  OID,
  PLAINTEXT,
  sequence,
} from "./made.js";
import { curve, curveKeyId, to, tried } from "./tried.js";

const named = sequence(nameBytes({ O: "Example", CN: "Root" }), number(7));
const NULL = Uint8Array.of(5, 0);
const SHA1 = algorithm("1.3.14.3.2.26", NULL);

const OAEP_IN_FULL = algorithm(
  OID.oaep,
  sequence(
    der(0xa0, SHA1),
    der(0xa1, algorithm("1.2.840.113549.1.1.8", SHA1)),
    der(0xa2, algorithm("1.2.840.113549.1.1.9", octets(new Uint8Array(0)))),
  ),
);

/** KEMRecipientInfo of nobody here. */
const kem = der(
  0xa4,
  derOid("1.2.840.113549.1.9.16.13.3"),
  sequence(
    ...[number(0), named, algorithm("2.16.840.1.101.3.4.4.2"), octets(new Uint8Array(1088))],
    ...[algorithm("1.2.840.113549.1.9.16.3.28"), number(32), der(0xa0, octets(new Uint8Array(8)))],
    ...[algorithm("2.16.840.1.101.3.4.1.45"), octets(new Uint8Array(40))],
  ),
);

const byKeyIdAndDate = der(0xa0, octets(curveKeyId), der(0x18, ascii("20260101000000Z")));

const recipients = [
  to({ algorithm: OAEP_IN_FULL }),
  agreement(curve, curveKeyId, { ukm: curveKeyId, rid: named }),
  agreement(curve, curveKeyId, { rid: byKeyIdAndDate }),
  kem,
];

const derived = {
  encryption: algorithm("1.2.840.113549.1.9.16.3.31", gcmAlgorithm()),
  contentKey: new Uint8Array(
    hkdfSync("sha256", KEY, "The Cryptographic Message Syntax", gcmAlgorithm(), 32),
  ),
};

const RC2 = algorithm("1.2.840.113549.3.2", sequence(number(58), octets(new Uint8Array(8))));

/** Messages, and what becomes of them as they are. */
const MESSAGES: readonly (readonly [string, Uint8Array, string | undefined])[] = [
  ["in GCM", made({ recipients, attributes: [contentTypeAttribute(OID.data)] }), undefined],
  ["in GCM with a derived key", made({ recipients, ...derived }), undefined],
  ["in CBC", madeInCbc(recipients, PLAINTEXT), undefined],
  ["in RC2", madeInCbc(recipients, PLAINTEXT, { encryption: RC2 }), "ERR_NOT_AUTHENTIC"],
];

const STRUCTURE = /^ERR_(TRAILING|BER|DER|CMS|ATTRIBUTES)$/;

const ALL = { legacy: true, unauthenticated: true };

describe("a message", () => {
  it.each(MESSAGES)("%s has nothing at the end of any structure", async (name, message, code) => {
    const isGcm = name.startsWith("in GCM");
    expect(await tried(message, ALL)).toEqual({ code, unlocked: true });
    let count = 0;
    for (const [path, changed] of withMore(message, "")) {
      const isRead = !BEHIND_CONTENT.includes(path);
      const { code: refusal = "opened", unlocked } = await tried(changed, ALL);
      // Behind content in CBC, every failure is the same.
      const expected = isRead || isGcm ? STRUCTURE : /^ERR_NOT_AUTHENTIC$/;
      expect([path, refusal]).toEqual([path, expect.stringMatching(expected)]);
      expect([path, unlocked]).toEqual([path, !isRead]);
      count++;
    }
    expect(count).toBeGreaterThan(50);
  });
});

/** ContentInfo, its content, the envelope, EncryptedContentInfo, authenticated attributes. */
const BEHIND_CONTENT = ["", "/1", "/1/0", "/1/0/2", "/1/0/3", "/1/0/3/0", "/1/0/3/0/1"];

/**
 * The message once for each constructed value in it, which has two more values at its end: the
 * first of them may be the parameters of an algorithm that had none.
 */
function* withMore(value: Uint8Array, path: string): Generator<[string, Uint8Array]> {
  const tag = value[0] as number;
  if ((tag & CONSTRUCTED) === 0) return;
  const fields: Uint8Array[] = [];
  const reader = new DerReader(value, "message").constructed(tag);
  while (reader.peek() !== undefined) fields.push(reader.any());
  yield [path, der(tag, ...fields, NULL, NULL)];
  for (const [at, field] of fields.entries()) {
    for (const [inner, changed] of withMore(field, `${path}/${at}`)) {
      yield [inner, der(tag, ...fields.map((one, i) => (i === at ? changed : one)))];
    }
  }
}
