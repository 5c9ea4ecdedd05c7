/** Whose certificate a recipient of a message names: nothing else leads to a private key. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { der, TAG } from "../../../src/asn1/der.js";
import { derOid } from "../../../src/asn1/oid.js";
import { ascii, concat } from "../../../src/bytes.js";
import type { Identity } from "../../../src/keys/key.js";
import { extension, keyIdentifier, nameBytes, rootAuthority } from "../../support/certificates.js";
import { testKeyPair } from "../../support/keys.js";
import { agreement, made, octets, sequence } from "./made.js";
import { curve, curveIdentity, curveKeyId, tried } from "./tried.js";

const OWN_ID = new Uint8Array(20).fill(5);
const ISSUER = { O: "Example Ltd", CN: "Root" };
const issued = (serial: number, id?: Uint8Array): Uint8Array =>
  rootAuthority("Root", { subject: ISSUER }).issue({
    keys: testKeyPair("p256"),
    serial,
    ...(id === undefined ? {} : { extensions: [extension("2.5.29.14", octets(id))] }),
  }).certificate.der;

const holder = (...certificates: readonly Uint8Array[]): Identity => ({
  ...curveIdentity,
  unlock: () => curveIdentity.unlock(),
  certificates,
});

/** What becomes of a message to whom `rid` names. */
const outcome = (rid: Uint8Array, identity: Identity) =>
  tried(made({ recipients: [agreement(curve, curveKeyId, { rid })] }), {}, [identity]);

const OPENS = { code: undefined, unlocked: true };
const IS_FOR_OTHERS = { code: "ERR_NO_MATCH", unlocked: false };

const named = (issuer: Uint8Array, ...serial: readonly number[]): Uint8Array =>
  sequence(issuer, der(TAG.integer, Uint8Array.from(serial)));
const byKeyId = (id: Uint8Array): Uint8Array => der(0xa0, octets(id));

/** O and CN, each of a string type. */
function issuerIn(tag: number, encode: (text: string) => Uint8Array): Uint8Array {
  const attribute = (type: string, text: string): Uint8Array =>
    der(TAG.set, sequence(derOid(type), der(tag, encode(text))));
  return sequence(attribute("2.5.4.10", "Example Ltd"), attribute("2.5.4.3", "Root"));
}

describe("a recipient that is named by issuer and serial number", () => {
  const identity = holder(issued(200));

  it.each([
    ["as the certificate has them", nameBytes(ISSUER)],
    ["in PrintableString", issuerIn(TAG.printableString, ascii)],
    ["in BMPString", issuerIn(TAG.bmpString, (text) => Buffer.from(text, "utf16le").swap16())],
    ["in other case", nameBytes({ O: "EXAMPLE  ltd", CN: "root" })],
  ])("matches %s", async (_, issuer) => {
    expect(await outcome(named(issuer, 0, 200), identity)).toEqual(OPENS);
  });

  it("matches by the number, not by how it is written", async () => {
    expect(await outcome(named(nameBytes(ISSUER), 0, 0, 200), identity)).toEqual(OPENS);
    const negative = named(nameBytes(ISSUER), 200);
    expect(await outcome(negative, identity)).toEqual(IS_FOR_OTHERS);
  });

  it.each([
    ["another number", named(nameBytes(ISSUER), 7)],
    ["another issuer", named(nameBytes({ ...ISSUER, CN: "Other" }), 0, 200)],
    ["an issuer below", named(nameBytes({ ...ISSUER, OU: "Below" }), 0, 200)],
    ["no issuer", named(sequence(), 0, 200)],
  ])("does not match by %s", async (_, rid) => {
    expect(await outcome(rid, identity)).toEqual(IS_FOR_OTHERS);
  });

  it("matches any of a key's certificates, and no key without one", async () => {
    const rid = named(nameBytes(ISSUER), 0, 200);
    expect(await outcome(rid, holder(issued(7), issued(200)))).toEqual(OPENS);
    expect(await outcome(rid, holder(issued(7)))).toEqual(IS_FOR_OTHERS);
    expect(await outcome(rid, holder())).toEqual(IS_FOR_OTHERS);
  });
});

describe("a recipient that is named by a key identifier", () => {
  it("matches the certificate's, whatever that was made of", async () => {
    expect(await outcome(byKeyId(OWN_ID), holder(issued(7, OWN_ID)))).toEqual(OPENS);
    expect(await outcome(byKeyId(OWN_ID), holder(issued(7)))).toEqual(IS_FOR_OTHERS);
  });

  it("matches a key without a certificate by what RFC 5280 makes of it", async () => {
    expect(await outcome(byKeyId(keyIdentifier(curve.spki)), holder())).toEqual(OPENS);
  });

  const bits = curve.spki.slice(-65);
  const hash = (name: string, bytes: Uint8Array): Uint8Array =>
    new Uint8Array(createHash(name).update(bytes).digest());
  const short = hash("sha1", bits)
    .slice(-8)
    .map((byte, at) => (at === 0 ? 0x40 | (byte & 15) : byte));

  it.each([
    ["RFC 5280 §4.2.1.2 method 2", short],
    ["RFC 7093 §2 method 1", hash("sha256", bits).slice(0, 20)],
    ["RFC 7093 §2 method 2", hash("sha384", bits).slice(0, 20)],
    ["RFC 7093 §2 method 3", hash("sha512", bits).slice(0, 20)],
    ["RFC 7093 §2 method 4", hash("sha256", curve.spki)],
  ])("matches a key without a certificate by %s", async (_, id) => {
    expect(await outcome(byKeyId(id), holder())).toEqual(OPENS);
    const other = id.with(-1, (id.at(-1) ?? 0) ^ 1);
    expect(await outcome(byKeyId(other), holder())).toEqual(IS_FOR_OTHERS);
  });

  it.each([
    ["a beginning", curveKeyId.subarray(0, 19)],
    ["nothing", new Uint8Array(0)],
    ["one more byte", concat(curveKeyId, Uint8Array.of(0))],
  ])("does not match by %s", async (_, id) => {
    expect(await outcome(byKeyId(id), holder(issued(7, OWN_ID)))).toEqual(IS_FOR_OTHERS);
  });

  it("may have a date and more beside it", async () => {
    const date = der(TAG.generalizedTime, ascii("20260101000000Z"));
    const more = sequence(derOid("1.2.3.4"));
    expect(await outcome(der(0xa0, octets(curveKeyId), date, more), holder())).toEqual(OPENS);
  });
});
