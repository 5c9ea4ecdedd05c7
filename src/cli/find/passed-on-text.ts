/** What is said of a message that a custodian passed on. */
import type { MessageInfo, PassedOn, SenderInfo } from "../../envelope/message-info.js";
import { fingerprintText } from "../../keys/public-key.js";
import { moment } from "../../records/duration.js";
import type { Context } from "../command.js";
import type { HeldRecord } from "./accepted-custodians.js";
import { knownSigner, nameOrFingerprint, senderData } from "./sender.js";

/** For people: who sealed a message, and who passed it on to whoever reads this. */
export async function passedOnText(
  record: HeldRecord,
  sealedBy: string,
  context: Context,
): Promise<string> {
  const { rewrappedMs, generation } = record;
  const by = await custodianText(record, context);
  return (
    `sealed by ${sealedBy} for others; given to you by ${by} on ${moment(rewrappedMs)}, ` +
    `generation ${generation}`
  );
}

/**
 * The note on a message that somebody passed on, where no policy named its sender. Of an unsigned
 * message there is only whose record it is.
 */
export async function notePassedOn(
  sender: SenderInfo | undefined,
  { passedOn }: MessageInfo,
  context: Context,
): Promise<void> {
  if (sender?.passedOn !== undefined) {
    const sealedBy = await nameOrFingerprint(sender, context);
    context.report.note(await passedOnText(sender.passedOn, sealedBy, context));
  } else if (sender === undefined && passedOn !== undefined) {
    context.report.note(await unsignedText(passedOn, context));
  }
}

/** For people: who passed on what nobody signed. */
export async function unsignedText(record: HeldRecord, context: Context): Promise<string> {
  const by = await custodianText(record, context);
  const { rewrappedMs, generation } = record;
  return (
    `given to you by ${by} on ${moment(rewrappedMs)}, generation ${generation}; ` +
    "nobody signed what it holds"
  );
}

/** The custodian's name, or why there is none. */
export async function custodianText(
  { keyId, rewrappedMs }: Pick<HeldRecord, "keyId" | "rewrappedMs">,
  context: Context,
): Promise<string> {
  const known = await knownSigner({ keyId, createdMs: rewrappedMs }, "custodians", context);
  if (known === undefined) return `an unknown key, SHA256:${keyId},`;
  if (known.limit === undefined) return `custodian "${known.name}"`;
  return `a key that was not valid, SHA256:${keyId} (${known.limit}),`;
}

/** A record as JSON has it. */
export async function passedOnData(record: PassedOn, context: Context): Promise<object> {
  const { publicKey, ...facts } = record;
  const { keyId, rewrappedMs } = facts;
  const known = await knownSigner({ keyId, createdMs: rewrappedMs }, "custodians", context);
  return { ...senderData(known), fingerprint: fingerprintText(publicKey), ...facts };
}
