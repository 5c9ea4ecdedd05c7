/** Reads a file while what was read before is worked on: on two processors that takes less time. */
import type { Input } from "./inputs.js";

/** The input's chunks. Of a regular file, the next one is being read when one is passed on. */
export function readAhead({ chunks, descriptor }: Input): AsyncIterable<Uint8Array> {
  // Other sources may put the next chunk in the same memory.
  return descriptor === undefined ? chunks : ahead(chunks);
}

async function* ahead(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = source[Symbol.asyncIterator]();
  let coming = chunks.next();
  try {
    for (;;) {
      const chunk = await coming;
      if (chunk.done === true) return;
      coming = chunks.next();
      // Whoever waits for it gets the rejection; nobody may.
      coming.catch(() => undefined);
      yield chunk.value;
    }
  } finally {
    await coming.catch(() => undefined);
    await chunks.return?.();
  }
}
