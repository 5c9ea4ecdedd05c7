/** A long signed content whose chunks share memory is the same content, and its signature holds. */
import { randomBytes } from "node:crypto";
import { expect, it } from "@jest/globals";
import { openSigned, signMessage } from "../../../src/envelope/signatures.js";
import type { SigningPublicKey } from "../../../src/keys/key.js";
import { keyInSpki } from "../../../src/keys/public-key.js";
import { softwareKey } from "../../../src/software/software-key.js";
import { fillingSource } from "../../../src/stream.js";
import { NOW_MS } from "../../support/certificates.js";
import { ALICE } from "../../support/signed-messages.js";

const publicKey = keyInSpki(ALICE.certificate.spki).publicKey as SigningPublicKey;
const signer = {
  key: softwareKey(ALICE.keys.privateKey, publicKey),
  certificate: ALICE.certificate,
  signingTimeMs: NOW_MS,
};

it("passes on long content in memory that is used again", async () => {
  const content = new Uint8Array(randomBytes(3_000_000));
  const message = await signMessage(content, signer).stream().bytes();
  let at = 0;
  const source = fillingSource((target) => {
    const part = message.subarray(at, at + Math.min(target.length, 1_000_003));
    target.set(part);
    at += part.length;
    return Promise.resolve(part.length);
  });
  const opened = await openSigned(source, { reuse: true });
  const copies: Uint8Array[] = [];
  const memory = new Set<ArrayBufferLike>();
  for await (const chunk of opened.content) {
    copies.push(chunk.slice());
    memory.add(chunk.buffer);
  }
  expect(Buffer.concat(copies).equals(content)).toBe(true);
  expect(memory.size).toBeLessThan(copies.length);
  expect((await opened.signatures()).signers).toHaveLength(1);
});
