/**
 * Implicit rejection: where a key does not come out of its wrap, another one goes on in its place
 * (RFC 3218 §2.3.2). What is under it then fails exactly as an altered message does, and nobody
 * learns from the error, or from the work done, how far a forged wrap got.
 */
import { createHmac, randomBytes } from "node:crypto";
import { ascii, concat } from "../bytes.js";
import { Secret } from "../secret.js";

export interface Rejection {
  /** True for a length, bytes, that the key may have. */
  readonly fits: (length: number) => boolean;
  /** The key to go on with. Made in any case: whether it is needed must not show in the time. */
  readonly substitute: Secret;
}

/** A key, and whether it is the one that was wrapped. */
export interface Unwrapped {
  readonly key: Secret;
  /**
   * False: the key is a substitute. To be looked at only after everything was done with the key
   * that would have been done, and only where whoever sees the outcome can't choose wraps.
   */
  readonly genuine: boolean;
}

/**
 * The key that `operation` gives, or the substitute where it gives none or one of another length,
 * whatever a token says: an empty AES key is a key to some. Rejects as `operation` does.
 */
export async function orSubstitute(
  operation: () => Promise<Secret | null>,
  { fits, substitute }: Rejection,
): Promise<Unwrapped> {
  const unwrapped = await operation();
  const genuine = unwrapped !== null && fits(unwrapped.length);
  const [key, other] = genuine ? [unwrapped, substitute] : [substitute, unwrapped];
  other?.wipe();
  return { key, genuine };
}

/** A substitute of `bytes` bytes that nobody can predict. */
export function randomSubstitute(bytes: number): Secret {
  return new Secret(new Uint8Array(randomBytes(bytes)));
}

/**
 * A substitute that only this host can predict, and the same each time `wrap` is tried: for
 * paddings where well-formed wraps can be found by guessing, as PKCS#1 v1.5, two different outcomes
 * for one wrap would tell that it is not well formed.
 *
 * @param label - what it is for, ASCII
 * @param hostSecret - 32 bytes
 * @param bytes - length of the substitute, at most 32
 */
export function derivedSubstitute(
  label: string,
  wrap: Uint8Array,
  hostSecret: Secret,
  bytes: number,
): Secret {
  const mac = createHmac("sha256", hostSecret.expose()).update(concat(ascii(label), wrap));
  return new Secret(new Uint8Array(mac.digest()).slice(0, bytes));
}
