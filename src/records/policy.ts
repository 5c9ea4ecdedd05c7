/**
 * What a receiver demands of a signed message before any key is touched: that it is signed, as its
 * sender left it, fresh, and not seen before. Who the sender is says the directory.
 *
 * Everything here looks at claims whose signature holds (`verifyCore`): without one, a time or a serial
 * is what an attacker wrote.
 */
import { PolicyError } from "../errors.js";
import { DAY_MS, formatDuration, moment } from "./duration.js";
import type { Ledger, Reservation, ReserveOptions, SignedMessage } from "./ledger/ledger.js";

/** How old a message may be, milliseconds: 7 days. */
export const DEFAULT_WINDOW_MS = 7 * DAY_MS;
/** How far a sender's clock may be ahead, milliseconds: 5 minutes. */
export const DEFAULT_SKEW_MS = 5 * 60_000;

export interface FreshnessOptions {
  /** The receiver's clock, milliseconds since 1970-01-01T00:00Z. */
  readonly nowMs: number;
  readonly windowMs?: number;
  readonly skewMs?: number;
}

/** @throws PolicyError `ERR_UNSIGNED` */
export function requireSigned<T extends SignedMessage>(sender: T | undefined): T {
  if (sender === undefined) {
    throw new PolicyError("ERR_UNSIGNED", "the message is not signed", {
      hint: "ask the sender to seal it with --sign-with; anyone can have sent this one",
    });
  }
  return sender;
}

/**
 * Refuses a message outside its time. An expiry is not stretched by the skew: it is the sender's word,
 * and who wants to allow for clocks has said a later one.
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
      { hint: "compare the clocks, the sender's and this one" },
    );
  }
  if (ageMs > windowMs) {
    const sealed = `sealed ${moment(sender.createdMs)}, more than ${formatDuration(windowMs)} ago`;
    throw new PolicyError("ERR_STALE", `the message was ${sealed}`, {
      hint: "ask the sender to seal it again; --window allows older ones",
    });
  }
  if (sender.expiresMs !== undefined && nowMs >= sender.expiresMs) {
    throw new PolicyError("ERR_EXPIRED", `the message expired ${moment(sender.expiresMs)}`, {
      hint: "its sender set this limit; ask for a new one",
    });
  }
}

/**
 * The ledger's place for a message that passes: fresh, with the recipients its sender signed, not seen
 * before. What is refused has cost no token call and burnt nothing.
 *
 * A message that was accepted, but cut off by a crash before its plaintext was delivered, passes
 * whatever its age is by now: a power cut must not lose it.
 *
 * @throws PolicyError `ERR_REWRAPPED`, those of `requireFresh` and of `Ledger.reserve`
 */
export async function admit(
  sender: SignedMessage,
  ledger: Ledger,
  options: FreshnessOptions & ReserveOptions,
): Promise<Reservation> {
  requireIntact(sender);
  try {
    requireFresh(sender, options);
  } catch (refused) {
    if (!(await ledger.isUndelivered(sender))) throw refused;
  }
  return ledger.reserve(sender, options);
}

/** @throws PolicyError `ERR_REWRAPPED` */
export function requireIntact(sender: Pick<SignedMessage, "recipientsIntact">): void {
  if (sender.recipientsIntact) return;
  throw new PolicyError("ERR_REWRAPPED", "the recipients are not the ones the sender signed", {
    hint: "somebody re-wrapped the message; ask the sender for the original",
  });
}
