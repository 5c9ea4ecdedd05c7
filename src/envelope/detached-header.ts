/** Headers apart from their bodies (docs/format.md §12). */
import { AuthenticationError } from "../errors.js";
import { Reader } from "../stream.js";
import type { SealedReaders } from "./envelope.js";

/**
 * The header, as `read` reads it; of a detached one, also that nothing follows it.
 *
 * @throws AuthenticationError `ERR_TRAILING`
 */
export async function headerOf<T>(
  { header, body }: SealedReaders,
  read: (header: Reader) => Promise<T>,
): Promise<T> {
  const parsed = await read(header);
  if (header !== body && (await header.upTo(1)).length > 0) {
    throw new AuthenticationError("ERR_TRAILING", "data follows the header in the key blob", {
      hint: "a key blob holds the header alone; a whole message is opened without --key-blob",
    });
  }
  return parsed;
}

/**
 * What `read` makes of all these bytes.
 *
 * @throws AuthenticationError `ERR_TRAILING`
 */
export async function wholeHeader<T>(
  bytes: Uint8Array,
  read: (header: Reader) => Promise<T>,
): Promise<T> {
  const reader = new Reader(bytes);
  const parsed = await read(reader);
  if (reader.consumed === bytes.length) return parsed;
  throw new AuthenticationError("ERR_TRAILING", "data follows the header", {
    hint: "a header for an agent ends where the body begins",
  });
}
