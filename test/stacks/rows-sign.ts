/** Rows about signatures: made on the token, checked on the host. */
import { expect } from "@jest/globals";
import { verifySignature } from "../../src/keys/signing.js";
import type { KeyInfo, KeyType } from "../../src/token/values.js";
import type { Bench } from "./bench.js";
import { row, type Row } from "./row.js";
import { sign } from "../support/private-key.js";

const message = new TextEncoder().encode("what the sender says");

const TYPES = [
  ["rsa:2048", "sign-rsa-pss"],
  ["ec:p256", "sign-p256"],
  ["ec:p384", "sign-p384"],
  ["ed25519", "sign-ed25519"],
] as const satisfies [KeyType, string][];

export const signRows: readonly Row[] = TYPES.map(([type, id]) =>
  row(id, async (bench) => {
    await signs(bench, await bench.key(type, "sign"));
  }),
);

async function signs(bench: Bench, key: KeyInfo): Promise<void> {
  const identity = bench.door.identity(key, "sign");
  const signingKey = await identity.unlock();
  // Twice: a key may require the PIN each time, and accept the login as the first.
  for (const said of [message, message.subarray(1)]) {
    const signature = await sign(signingKey, said);
    expect(verifySignature(identity.publicKey, said, signature)).toBe(true);
    expect(verifySignature(identity.publicKey, message.subarray(2), signature)).toBe(false);
  }
}
