/**
 * The library's story of re-wrapping: a header for other recipients, before the same body. Apart
 * from `messages.ts`, because neither sealing nor opening needs it.
 */
import { UnsupportedError } from "../errors.js";
import { Reader, type ByteSource } from "../stream.js";
import { formatOf } from "./formats.js";
import { interruptible } from "./interruptible.js";
import type { OpenOptions } from "./open-options.js";
import { OrderedReceiver } from "./ordered-receiver.js";
import type { Rewrapped, RewrappedHeader, RewrapOptions } from "./rewrapping.js";
import { watched, type Watching } from "./watched.js";

export interface RewrapMessageOptions
  extends
    RewrapOptions,
    Pick<
      OpenOptions,
      | "identities"
      | "certificates"
      | "allows"
      | "authenticate"
      | "passedOn"
      | "rejectionSecret"
      | "rewrapped"
    >,
    Watching {}

/**
 * Makes a new header, for other recipients, to go before the same body; nothing is encrypted again.
 * Whoever could open the message before may have kept its key.
 *
 * @param sealed - the message, of which the body is read only where it vouches for the header, as
 *   in CMS; or only its header, where that was detached from the body
 * @throws as `openMessage`; UsageError `ERR_NO_RECIPIENTS`, `ERR_CUSTODIAN`: a signed message needs
 *   one; PolicyError `ERR_MIXED_RECIPIENTS`, `ERR_TOO_MANY_RECIPIENTS`, `ERR_WEAK_KEY`;
 *   UnsupportedError `ERR_REWRAP`: this message can't be re-wrapped
 */
export async function rewrapMessage(
  sealed: ByteSource,
  options: RewrapMessageOptions,
): Promise<Rewrapped> {
  const reader = new Reader(watched(sealed, options));
  try {
    const rewrapped = await interruptible(options, (interrupted) =>
      rewrapHeader(reader, { ...options, ...interrupted }),
    );
    await rewrapped.verifyBody?.();
    return rewrapped;
  } finally {
    await reader.close();
  }
}

/**
 * The first half of `rewrapMessage`, which reads the header alone: the body is what `reader` has
 * next when this is done. Throws alike.
 */
export async function rewrapHeader(
  reader: Reader,
  options: RewrapMessageOptions,
): Promise<RewrappedHeader> {
  const envelope = await formatOf(reader);
  if (envelope.rewrap === undefined) {
    throw new UnsupportedError("ERR_REWRAP", `messages of ${envelope.name} can't be re-wrapped`, {
      hint: "open it, and seal it again",
    });
  }
  const receiver = new OrderedReceiver(options);
  const rewrapped = await envelope.rewrap(reader, receiver, options);
  receiver.requireAuthenticated();
  return rewrapped;
}
