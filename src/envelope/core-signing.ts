/**
 * The sender's signature, for an agent: it gets a message's own description from a program, and has
 * the private key. What it signs is a description that it has read, which names that very key and
 * the present time; never a hash, or bytes of somebody's choice.
 */
import { UnsupportedError } from "../errors.js";
import type { SigningPublicKey } from "../keys/key.js";
import type { CoreToSign } from "./envelope.js";
import { formatNamed } from "./formats.js";
import type { WholeCore } from "./seal-options.js";
import { isPresent } from "./present.js";
import { unsignable } from "./unsignable.js";

/**
 * Reads what is to be signed. No key is used.
 *
 * @throws as `Envelope.coreToSign`; UsageError `ERR_FORMAT_UNKNOWN`; UnsupportedError
 *   `ERR_AGENT_FORMAT`
 */
export async function readCore({ format, bytes }: WholeCore): Promise<CoreToSign> {
  const core = await formatNamed(format).coreToSign?.(bytes);
  if (core !== undefined) return core;
  throw new UnsupportedError("ERR_AGENT_FORMAT", `an agent signs no messages in ${format}`, {
    hint: "use the token itself: --no-agent",
  });
}

/**
 * Refuses what this key is not to sign now.
 *
 * @param nowMs - milliseconds since 1970-01-01T00:00Z
 * @throws PolicyError `ERR_AGENT_CORE`
 */
export function requireSignable(core: CoreToSign, key: SigningPublicKey, nowMs: number): void {
  if (!core.isFrom(key)) throw unsignable("it names another sender");
  if (core.addresses(key)) throw unsignable("the key that signs it would receive it, too");
  if (!isPresent(core.createdMs, nowMs)) throw unsignable("it is not from just now");
}
