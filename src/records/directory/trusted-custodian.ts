/**
 * Whether to take a message from the custodian who re-wrapped it for its recipients. The directory
 * says who is a custodian. Even so, a custodian's word counts only for a receiver who accepts that
 * custodian by name.
 */
import { PolicyError } from "../../errors.js";
import type { PublicKey } from "../../keys/key.js";
import { moment } from "../duration.js";
import { DEFAULT_SKEW_MS } from "../policy.js";
import {
  findEntry,
  holderOf,
  limitAt,
  spokenFingerprint,
  type DirectoryEntry,
} from "./directory.js";

export interface CustodianOptions {
  /** Names of the custodians whose re-wrapping is accepted, in upper or lower case. */
  readonly accepted: readonly string[];
  /** The receiver's clock, milliseconds since 1970-01-01T00:00Z. */
  readonly nowMs: number;
  /** How far a custodian's clock may be ahead, milliseconds; by default 5 minutes. */
  readonly skewMs?: number | undefined;
}

/** What a custodian's record says, under a signature that holds. */
export interface RewrapRecord {
  readonly publicKey: PublicKey;
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly rewrappedMs: number;
}

/**
 * The accepted custodian whose key signed the record. The key must have been valid when the message
 * was re-wrapped. It need not be valid now: an archive stays readable after its custodian has
 * changed keys.
 *
 * @throws PolicyError `ERR_REWRAPPED`: no custodian has the key, or this one is not accepted;
 *   `ERR_CUSTODIAN_EXPIRED`, `ERR_CUSTODIAN_NOT_YET_VALID`; `ERR_FROM_FUTURE`
 */
export function trustedCustodian(
  custodians: readonly DirectoryEntry[],
  record: RewrapRecord,
  options: CustodianOptions,
): DirectoryEntry {
  const { accepted, nowMs, skewMs = DEFAULT_SKEW_MS } = options;
  const entry = holderOf(custodians, record);
  if (entry === undefined || !accepted.some((name) => findEntry([entry], name))) {
    throw notAccepted(entry, custodians, record, accepted);
  }
  const limit = custodianLimit(entry, record.rewrappedMs);
  if (limit !== undefined) {
    const code = limit.early ? "ERR_CUSTODIAN_NOT_YET_VALID" : "ERR_CUSTODIAN_EXPIRED";
    const when = `the message was re-wrapped ${moment(record.rewrappedMs)}`;
    throw new PolicyError(code, `${limit.fact}, and ${when}`, {
      hint: "ask for a message that a custodian re-wrapped with a valid key",
    });
  }
  // A key whose validity has yet to begin could sign for that day, too.
  if (record.rewrappedMs - nowMs > skewMs) {
    const fact = `the message says it was re-wrapped in the future, ${moment(record.rewrappedMs)}`;
    throw new PolicyError("ERR_FROM_FUTURE", fact, {
      hint: "compare the custodian's clock with this one",
    });
  }
  return entry;
}

/** Why a custodian's key does not count for what it signed at that time; undefined if it does. */
export function custodianLimit(
  entry: DirectoryEntry,
  rewrappedMs: number,
): ReturnType<typeof limitAt> {
  const limit = limitAt(entry, rewrappedMs);
  return limit && { ...limit, fact: `the key of custodian "${entry.name}" ${limit.fact}` };
}

function notAccepted(
  entry: DirectoryEntry | undefined,
  custodians: readonly DirectoryEntry[],
  { publicKey, rewrappedMs }: RewrapRecord,
  accepted: readonly string[],
): PolicyError {
  const who =
    entry === undefined
      ? `an unknown key, ${spokenFingerprint(publicKey)},`
      : `custodian "${entry.name}"`;
  const unknown = accepted.find((name) => findEntry(custodians, name) === undefined);
  const hint =
    entry !== undefined
      ? `to accept that, open it with --custodian ${entry.name}, or write ` +
        `custodians = ["${entry.name}"] in config.toml`
      : unknown !== undefined
        ? `no custodian is called "${unknown}": p11seal custodians list shows the names`
        : "if a custodian confirms that fingerprint, add the key with p11seal custodians add, " +
          "and name it with open --custodian";
  return new PolicyError(
    "ERR_REWRAPPED",
    `the recipients are not the ones the sender signed: ${who} re-wrapped the message for others, ` +
      moment(rewrappedMs),
    { hint },
  );
}
