/**
 * The key for a message's body, for an agent: it gets a header and has private keys, and its client
 * has the body. Only formats whose header alone shows that it is authentic take part; so nobody
 * gets what a private key makes of bytes of their choice.
 */
import { UnsupportedError } from "../errors.js";
import { wholeHeader } from "./detached-header.js";
import type { Envelope, HeldBodyKey } from "./envelope.js";
import { formatNamed } from "./formats.js";
import type { OpenOptions } from "./open-options.js";
import { OrderedReceiver } from "./ordered-receiver.js";
import type { RewrapMessageOptions } from "./rewrap-message.js";
import type { Rewrapped } from "./rewrapping.js";
import { Reader } from "../stream.js";

/**
 * Opens a header as `openMessage` does, and gives the body's key.
 *
 * @param format - the envelope's name
 * @param header - as in `WholeHeader`: not armored, and nothing after it
 * @throws as `openMessage`; UnsupportedError `ERR_AGENT_FORMAT`; AuthenticationError `ERR_TRAILING`
 */
export async function bodyKeyOf(
  format: string,
  header: Uint8Array,
  options: OpenOptions,
): Promise<HeldBodyKey> {
  const envelope = servedFormat(format);
  const receiver = new OrderedReceiver(options);
  const held = await envelope.bodyKey(header, receiver);
  receiver.requireAuthenticated();
  return held;
}

/**
 * Makes a header for other recipients, of a signed message with a custodian's record.
 *
 * @param header - without a byte of the body
 * @throws as `rewrapMessage`; UnsupportedError `ERR_AGENT_FORMAT`; AuthenticationError
 *   `ERR_TRAILING`
 */
export async function rewrapWhole(
  format: string,
  header: Uint8Array,
  options: RewrapMessageOptions,
): Promise<Rewrapped> {
  const envelope = servedFormat(format);
  // No key is used for a header that something follows.
  await wholeHeader(header, (reader) => envelope.inspect(reader));
  const receiver = new OrderedReceiver(options);
  const rewrapped = await envelope.rewrap?.(new Reader(header), receiver, options);
  if (rewrapped === undefined) throw notServed(format);
  receiver.requireAuthenticated();
  return rewrapped;
}

type Served = Envelope & Required<Pick<Envelope, "bodyKey">>;

function servedFormat(format: string): Served {
  const envelope = formatNamed(format);
  if (isServed(envelope)) return envelope;
  throw notServed(format);
}

function isServed(envelope: Envelope): envelope is Served {
  return envelope.bodyKey !== undefined;
}

function notServed(format: string): UnsupportedError {
  return new UnsupportedError("ERR_AGENT_FORMAT", `an agent serves no messages in ${format}`, {
    hint: "only their end shows that they are authentic; do it without the agent: --no-agent",
  });
}
