/**
 * What a receiver demands of a message before any key is touched: a signature, the recipients its
 * sender signed, freshness, and that it was not accepted before. Whose signature counts is the
 * directory's matter.
 *
 * All claims examined here come from under a signature that holds (`verifyCore`). Without one, a
 * time or a serial would be whatever an attacker wrote.
 */
import { toHex } from "../bytes.js";
import { PolicyError } from "../errors.js";
import type { DirectoryEntry } from "./directory/directory.js";
import { DAY_MS, formatDuration, moment } from "./duration.js";
import type { Ledger, Reservation, ReserveOptions, SignedMessage } from "./ledger/ledger.js";

/** How old a message may be, milliseconds: 7 days. */
export const DEFAULT_WINDOW_MS = 7 * DAY_MS;
/** How far a sender's clock may be ahead, milliseconds: 5 minutes. */
export const DEFAULT_SKEW_MS = 5 * 60_000;

export interface FreshnessOptions {
  /** The receiver's clock, milliseconds since 1970-01-01T00:00Z. */
  readonly nowMs: number;
  readonly windowMs?: number | undefined;
  readonly skewMs?: number | undefined;
}

/**
 * A sender whose signature says when it was made: in CMS that is the signer's choice.
 *
 * @throws PolicyError `ERR_UNSIGNED`, `ERR_NO_SIGNING_TIME`
 */
export function requireSigned<T extends { readonly createdMs?: number }>(
  sender: T | undefined,
): T & { readonly createdMs: number } {
  if (sender === undefined) {
    throw new PolicyError("ERR_UNSIGNED", "the message is not signed", {
      hint: "anyone can have sent it; ask the sender to seal it with --sign-with",
    });
  }
  const { createdMs } = sender;
  if (createdMs === undefined) {
    throw new PolicyError("ERR_NO_SIGNING_TIME", "the signature does not say when it was made", {
      hint: "how old the message is can't be told; ask the sender to sign with the time",
    });
  }
  return { ...sender, createdMs };
}

/**
 * Refuses a message that is too old, expired, or from the future. The skew does not extend an
 * expiry: a sender who wants to allow for differing clocks sets it later.
 *
 * @throws PolicyError `ERR_STALE`, `ERR_FROM_FUTURE`, `ERR_EXPIRED`
 */
export function requireFresh(
  sender: Pick<SignedMessage, "createdMs" | "expiresMs">,
  options: FreshnessOptions,
): void {
  const { nowMs, windowMs = DEFAULT_WINDOW_MS, skewMs = DEFAULT_SKEW_MS } = options;
  const ageMs = nowMs - sender.createdMs;
  if (ageMs < -skewMs) {
    throw new PolicyError(
      "ERR_FROM_FUTURE",
      `the message says it was sealed ${formatDuration(-ageMs)} from now, ${moment(sender.createdMs)}`,
      { hint: "compare the sender's clock with this one" },
    );
  }
  if (ageMs > windowMs) {
    const sealed = `sealed ${moment(sender.createdMs)}, more than ${formatDuration(windowMs)} ago`;
    throw new PolicyError("ERR_STALE", `the message was ${sealed}`, {
      hint: "ask the sender to seal it again; --window accepts older messages",
    });
  }
  if (sender.expiresMs !== undefined && nowMs >= sender.expiresMs) {
    throw new PolicyError("ERR_EXPIRED", `the message expired ${moment(sender.expiresMs)}`, {
      hint: "its sender set this limit; ask for a new message",
    });
  }
}

export interface AdmitOptions extends FreshnessOptions, ReserveOptions {
  /**
   * Whose re-wrapping is accepted: what `trustedCustodian` returned for this message. By default a
   * message must have the recipients that its sender signed.
   */
  readonly custodian?: Pick<DirectoryEntry, "publicKey"> | undefined;
}

/**
 * Reserves a message in the ledger if it is fresh, has the recipients its sender signed or an
 * accepted custodian passed it on to, and was not accepted before. A refusal costs no call to a
 * token and leaves no trace.
 *
 * Re-wrapping changes none of what the sender signed. So it makes no message fresh again, and a
 * re-wrapped copy of an accepted message is a replay.
 *
 * If a message was accepted and a crash then prevented its delivery, its age no longer matters: a
 * power cut must not lose it.
 *
 * @throws PolicyError `ERR_REWRAPPED`, those of `requireFresh` and of `Ledger.reserve`
 */
export async function admit(
  sender: SignedMessage,
  ledger: Ledger,
  options: AdmitOptions,
): Promise<Reservation> {
  requireIntact(sender, options.custodian);
  try {
    requireFresh(sender, options);
  } catch (refused) {
    if (!(await ledger.isUndelivered(sender))) throw refused;
  }
  return ledger.reserve(sender, options);
}

/**
 * Refuses a message whose recipients neither its sender nor an accepted custodian signed.
 *
 * @throws PolicyError `ERR_REWRAPPED`
 */
export function requireIntact(
  { recipientsIntact, passedOn }: Pick<SignedMessage, "recipientsIntact" | "passedOn">,
  custodian: AdmitOptions["custodian"],
): void {
  if (recipientsIntact) return;
  const accepted = custodian && toHex(custodian.publicKey.fingerprint);
  if (passedOn !== undefined && passedOn.keyId === accepted) return;
  throw new PolicyError("ERR_REWRAPPED", "the recipients are not the ones the sender signed", {
    hint: "somebody re-wrapped the message for others; ask the sender for the original",
  });
}
