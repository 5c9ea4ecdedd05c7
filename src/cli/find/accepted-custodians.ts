/** Which custodians this receiver accepts, by the command line and `config.toml`. */
import type { MessageInfo, PassedOn } from "../../envelope/message-info.js";
import { PolicyError } from "../../errors.js";
import { acceptedCustodians, readConfig } from "../../records/config.js";
import type { DirectoryEntry } from "../../records/directory/directory.js";
import type { Arguments } from "../arguments/arguments.js";
import type { Context } from "../command.js";
import { homeOf } from "../io/home.js";

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
    // Loaded here: most messages come as they were sealed.
    const { readDirectory } = await import("../../records/directory/directory-file.js");
    const { trustedCustodian } = await import("../../records/directory/trusted-custodian.js");
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
