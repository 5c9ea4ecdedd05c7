/**
 * Signed CMS messages with damage. Each is refused with one of our errors, or it is the same
 * signature, by the same key, over the same content: what was damaged is then not signed.
 */
import { describe, expect, it } from "@jest/globals";
import { toHex } from "../../src/bytes.js";
import { openSigned, signMessage, verifyDetached } from "../../src/envelope/signatures.js";
import type { SigningPublicKey } from "../../src/keys/key.js";
import { keyInSpki } from "../../src/keys/public-key.js";
import { softwareKey } from "../../src/software/software-key.js";
import { NOW_MS } from "../support/certificates.js";
import { fuzz, refusal } from "../support/mutate.js";
import { scaled } from "../support/scale.js";
import { ALICE, CONTENT, signedMessage } from "../support/signed-messages.js";
import { inSteps } from "../support/streams.js";

const publicKey = keyInSpki(ALICE.certificate.spki).publicKey as SigningPublicKey;
const signer = {
  key: softwareKey(ALICE.keys.privateKey, publicKey),
  certificate: ALICE.certificate,
  signingTimeMs: NOW_MS,
};

/** What a signature says, and over what. */
interface Said {
  readonly content: string;
  readonly signers: readonly string[];
}

async function read(message: Uint8Array): Promise<Said> {
  const opened = await openSigned(message);
  const content = toHex(await opened.content.bytes());
  const { signers } = await opened.signatures();
  return {
    content,
    signers: signers.map((one) => toHex(one.attributesHash) + toHex(one.publicKey.spki)),
  };
}

async function seedsOf(detached: boolean): Promise<Uint8Array[]> {
  const small = await signMessage(CONTENT, signer, { detached }).stream().bytes();
  if (detached) return [small];
  // In pieces, of unknown length.
  const pieces = await signMessage(inSteps(CONTENT, 7), signer).stream().bytes();
  const armored = await signMessage(CONTENT, signer).armored().bytes();
  return [small, pieces, armored, signedMessage()];
}

describe("a damaged signed message", () => {
  const tries = scaled(300_000, 6000);

  it(`is refused, or says the same, ${tries} times`, async () => {
    const seeds = await seedsOf(false);
    const known = await Promise.all(seeds.map(read));
    const contents = new Set(known.map(({ content }) => content));
    const signers = new Set(known.flatMap((one) => one.signers));
    const report = await fuzz(seeds, tries, 0x519ed, async (input) => {
      try {
        const said = await read(input);
        if (!contents.has(said.content)) return "another content";
        return said.signers.every((one) => signers.has(one)) ? true : "another signature";
      } catch (error) {
        return refusal(error);
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.taken).toBeGreaterThan(0);
    expect(report.codes.size).toBeGreaterThan(8);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 1_800_000);

  it("that lies apart from its content as well", async () => {
    const seeds = await seedsOf(true);
    const report = await fuzz(seeds, scaled(100_000, 3000), 0x519, async (input) => {
      try {
        const { signers } = await verifyDetached(input, CONTENT);
        return signers.every((one) => toHex(one.publicKey.spki) === toHex(publicKey.spki))
          ? true
          : "another signature";
      } catch (error) {
        return refusal(error);
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.size).toBeGreaterThan(5);
  }, 1_800_000);
});
