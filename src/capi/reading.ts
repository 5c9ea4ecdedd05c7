/** What is left in a reader, in chunks. */
import type { Reader } from "../stream.js";

/** The rest of `reader`'s source. Whoever made the reader closes it. */
export async function* readRest(reader: Reader): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const chunk = await reader.upTo(CHUNK_BYTES);
    if (chunk.length > 0) yield chunk;
    if (chunk.length < CHUNK_BYTES) return;
  }
}

const CHUNK_BYTES = 65_536;
