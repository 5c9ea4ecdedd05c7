/**
 * Encrypted CMS messages with damage. Each is refused with one of our errors, or opens to the same
 * content: what was damaged then vouches for nothing, as the names of other recipients do.
 */
import { describe, expect, it } from "@jest/globals";
import { der, TAG } from "../../src/asn1/der.js";
import { derOid } from "../../src/asn1/oid.js";
import { inspectMessage, openMessage } from "../../src/envelope/messages.js";
import type { Identity } from "../../src/keys/key.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { made, number, OID, PLAINTEXT, sequence, transport } from "../envelope/cms/made.js";
import { keyIdentifier } from "../support/certificates.js";
import { TEST_KEYS } from "../support/keys.js";
import { fuzz, refusal } from "../support/mutate.js";
import { mutatedDer } from "../support/mutate-der.js";
import { scaled } from "../support/scale.js";

const identity: Identity = softwareIdentity(TEST_KEYS.rsa2048, "rsa");
const key = publicKeyFromSpki(identity.publicKey.spki);
if (key.type !== "rsa") throw new Error("not RSA");

const recipient = transport(key, { keyId: keyIdentifier(key.spki) });
const contentType = sequence(derOid("1.2.840.113549.1.9.3"), der(TAG.set, derOid(OID.data)));
const seeds = [
  made({ recipients: [recipient] }),
  made({ recipients: [der(0xa3, number(0)), recipient] }),
  made({ recipients: [recipient], attributes: [contentType] }),
];

describe("a damaged CMS message", () => {
  const tries = scaled(1_000_000, 10_000);

  it(`shows what is in it or is refused, ${tries} times`, async () => {
    const report = await fuzz(
      seeds,
      tries,
      0xc35,
      (input) => inspectMessage(input).then(() => true, refusal),
      mutatedDer,
    );
    expect(report.broken).toEqual([]);
    expect(report.taken).toBeGreaterThan(report.tried / 100);
    expect(report.codes.size).toBeGreaterThan(5);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 3_600_000);

  it("opens to what was sealed, or to nothing", async () => {
    const report = await fuzz(
      seeds,
      scaled(20_000, 1000),
      0xc36,
      async (input) => {
        try {
          const { plaintext } = await openMessage(input, { identities: [identity] });
          const bytes = await plaintext.bytes();
          return Buffer.compare(bytes, PLAINTEXT) === 0 || "opened to something else";
        } catch (error) {
          return refusal(error);
        }
      },
      mutatedDer,
    );
    expect(report.broken).toEqual([]);
    expect(report.codes.has("ERR_NOT_AUTHENTIC")).toBe(true);
  }, 3_600_000);
});
