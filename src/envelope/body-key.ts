/**
 * The key for a message's body, for an agent: it gets a header and has private keys, and its client
 * has the body. Only formats whose header alone shows that it is authentic take part; so nobody
 * gets what a private key makes of bytes of their choice.
 */
import { UnsupportedError } from "../errors.js";
import type { HeldBodyKey } from "./envelope.js";
import { formatNamed } from "./formats.js";
import type { OpenOptions } from "./open-options.js";
import { OrderedReceiver } from "./ordered-receiver.js";

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
  const envelope = formatNamed(format);
  if (envelope.bodyKey === undefined) {
    throw new UnsupportedError("ERR_AGENT_FORMAT", `an agent opens no messages in ${format}`, {
      hint: "only their end shows that they are authentic; open it without the agent: --no-agent",
    });
  }
  const receiver = new OrderedReceiver(options);
  const held = await envelope.bodyKey(header, receiver);
  receiver.requireAuthenticated();
  return held;
}
