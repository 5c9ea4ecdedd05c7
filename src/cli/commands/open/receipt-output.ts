/** The receipt for a message: a signed statement that it was received, in a file of its own. */
import type { Hash } from "node:crypto";
import { equal } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import type { TimedSender } from "./gate.js";
import { PolicyError } from "../../../errors.js";
import type { KnownPublicKey } from "../../../keys/key.js";
import { passedOnBy } from "../../../records/audit/passed-on.js";
import { makeReceipt } from "../../../records/audit/receipt.js";
import type { Input } from "../../io/inputs.js";
import type { Output } from "../../io/output.js";
import { fileOutput } from "../../io/outputs.js";
import type { ReceiptSettings } from "./settings.js";

export function receiptOutput(
  { path }: ReceiptSettings,
  inputs: readonly Input[],
  force: boolean,
): Promise<Output> {
  return fileOutput(path, { force, mode: "public", inputs, durable: true });
}

/**
 * Signs and writes the receipt. Comes before the message is accepted: if it fails, the message can
 * be opened again.
 *
 * @param hash - SHA-256 of all that was read of the sealed message.
 * @throws PolicyError `ERR_SAME_KEY`; whatever finding and unlocking the receipt's key throws
 */
export async function writeReceipt(
  { identity: find }: ReceiptSettings,
  output: Output,
  about: {
    readonly sender: TimedSender;
    /** Absent: the message was signed alone. */
    readonly openedWith: KnownPublicKey | undefined;
    readonly hash: Hash;
  },
): Promise<void> {
  const identity = await find();
  const { publicKey } = identity;
  const { openedWith } = about;
  if (openedWith !== undefined && equal(publicKey.fingerprint, openedWith.fingerprint)) {
    throw new PolicyError("ERR_SAME_KEY", "the receipt key is the key that opened the message", {
      hint: "one key, one purpose: make a signing key with `p11seal keys generate --use sign`",
    });
  }
  const key = await identity.unlock();
  const { messageId, keyId, streamId, serial, createdMs, passedOn } = about.sender;
  const statement = {
    ...{ messageId, sender: keyId, streamId, serial, createdMs },
    receivedMs: Date.now(),
    sealedSha256: about.hash.digest("hex"),
    ...defined({ passedOn: passedOn && passedOnBy(passedOn) }),
  };
  await output.write(await makeReceipt(statement, publicKey, key));
  await output.prepare();
}
