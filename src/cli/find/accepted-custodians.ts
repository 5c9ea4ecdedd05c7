/**
 * Custodians: which ones this receiver accepts, by the command line and `config.toml`; and what is
 * said of a message that one passed on.
 */
import type { MessageInfo, PassedOn, SenderInfo } from "../../envelope/message-info.js";
import { PolicyError } from "../../errors.js";
import { fingerprintText } from "../../keys/public-key.js";
import { acceptedCustodians, readConfig } from "../../records/config.js";
import { readDirectory } from "../../records/directory/directory-file.js";
import type { DirectoryEntry } from "../../records/directory/directory.js";
import { trustedCustodian } from "../../records/directory/trusted-custodian.js";
import { moment } from "../../records/duration.js";
import type { Arguments } from "../arguments/arguments.js";
import type { Context } from "../command.js";
import { homeOf } from "../io/home.js";
import { knownSigner, nameOrFingerprint, senderData } from "./sender.js";

/** A record whose signature holds. */
export type HeldRecord = Pick<PassedOn, "publicKey" | "keyId" | "rewrappedMs" | "generation">;

export class AcceptedCustodians {
  readonly #home: string;
  readonly #accepted: readonly string[];
  readonly #skewMs: number | undefined;

  private constructor(
    home: string,
    accepted: readonly string[],
    { skewMs }: { readonly skewMs?: number },
  ) {
    this.#home = home;
    this.#accepted = accepted;
    this.#skewMs = skewMs;
  }

  /** @throws UsageError; FormatError `ERR_CONFIG` */
  static async of(args: Arguments, { io }: Context): Promise<AcceptedCustodians> {
    const home = homeOf(io);
    const config = await readConfig(home);
    const accepted = acceptedCustodians(config, args.texts("custodian"));
    return new AcceptedCustodians(home, accepted, config);
  }

  /**
   * The custodian who passed a message on, if their word counts here. Needs no key and no token.
   *
   * @throws as `trustedCustodian`, `readDirectory`
   */
  async take(record: HeldRecord): Promise<DirectoryEntry> {
    const custodians = await readDirectory(this.#home, "custodians");
    const options = { accepted: this.#accepted, nowMs: Date.now(), skewMs: this.#skewMs };
    return trustedCustodian(custodians, record, options);
  }
}

/**
 * What opening does about a message's recipients before it looks for a key. It refuses a record
 * that does not hold. Of an unsigned message it asks no more, nor of one that is as its sender
 * sealed it. Of others it takes an accepted custodian's word, or refuses them.
 *
 * @returns the custodian's record, if their word counts
 * @throws PolicyError: opening would refuse the message; as `AcceptedCustodians.of`
 */
export async function requireAcceptable(
  { sender, recordFault }: MessageInfo,
  args: Arguments,
  context: Context,
): Promise<PassedOn | undefined> {
  // Opening ends there with another error; whether a sender is believed is not judged here.
  if (sender?.signature === "does not hold") return undefined;
  if (recordFault !== undefined) {
    throw new PolicyError("ERR_REWRAP_RECORD", recordFault, {
      hint: "somebody else re-wrapped or altered the message; ask the custodian for it again",
    });
  }
  if (sender === undefined || sender.recipientsIntact) return undefined;
  const { passedOn } = sender;
  if (passedOn === undefined) {
    throw new PolicyError("ERR_REWRAPPED", "the recipients are not the ones the sender signed", {
      hint: "somebody re-wrapped the message; ask the sender for the original",
    });
  }
  await (await AcceptedCustodians.of(args, context)).take(passedOn);
  return passedOn;
}

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
