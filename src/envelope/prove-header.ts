/** What an audit with a key asks of a message; neither sealing nor opening needs it. */
import { Reader, type ByteSource } from "../stream.js";
import type { ProvenHeader } from "./envelope.js";
import { formatOf } from "./formats.js";
import type { OpenOptions } from "./open-options.js";
import { OrderedReceiver } from "./ordered-receiver.js";
import { watched } from "./watched.js";

/**
 * Checks with a key that a message's header is authentic: that what is wrapped for this key is the
 * message's file key, which no one else can tell. Reads no byte of the body.
 *
 * @returns undefined where only the body's end would show it, as in CMS; no key was used then
 * @throws as `openMessage`
 */
export async function proveHeader(
  sealed: ByteSource,
  options: OpenOptions,
): Promise<ProvenHeader | undefined> {
  const reader = new Reader(watched(sealed, options));
  try {
    const envelope = await formatOf(reader);
    if (envelope.proveHeader === undefined) return undefined;
    const receiver = new OrderedReceiver(options);
    const proven = await envelope.proveHeader(reader, receiver);
    receiver.requireAuthenticated();
    return proven;
  } finally {
    await reader.close();
  }
}
