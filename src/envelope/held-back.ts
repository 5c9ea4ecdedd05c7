/**
 * Bytes that are kept back until their stream has ended: plaintext of formats whose content is
 * authentic only at the end, and content whose signature has to be checked first. They lie in
 * memory as far as it goes, then outside, encrypted under a key that this process alone has and
 * forgets.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { UsageError } from "../errors.js";
import { passing } from "../stream.js";
import type { Kept, Receiver } from "./receiver.js";

/** What is kept in memory without and with a place outside it, bytes. */
const MOST_IN_MEMORY = 64 * 1024 * 1024;
const MOST_BEFORE_SPOOL = 16 * 1024 * 1024;

/**
 * The same chunks, none of them before the last was there, unless the receiver sees to that.
 *
 * @throws UsageError `ERR_HELD_BACK`
 */
export async function* heldBack(
  plaintext: AsyncIterable<Uint8Array>,
  receiver: Pick<Receiver, "keepsUntilEnd" | "spool">,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (receiver.keepsUntilEnd === true) {
    yield* plaintext;
    return;
  }
  const kept = await keep(plaintext, receiver);
  try {
    yield* kept.chunks();
  } finally {
    await kept.close();
  }
}

/**
 * All of the chunks, which must not be written to again.
 *
 * @throws UsageError `ERR_HELD_BACK`: too many bytes for memory, and there is no spool
 */
export async function keep(
  chunks: AsyncIterable<Uint8Array>,
  { spool }: Pick<Receiver, "spool">,
): Promise<Kept> {
  const most = spool === undefined ? MOST_IN_MEMORY : MOST_BEFORE_SPOOL;
  const held: Uint8Array[] = [];
  let bytes = 0;
  const rest = chunks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await rest.next();
      if (next.done === true) break;
      held.push(next.value);
      bytes += next.value.length;
      if (bytes <= most) continue;
      if (spool === undefined) throw tooLong();
      return await encrypted(joined(held, rest), spool);
    }
  } finally {
    await rest.return?.();
  }
  return { chunks: () => all(held), close: () => Promise.resolve() };
}

async function encrypted(
  chunks: AsyncIterable<Uint8Array>,
  spool: NonNullable<Receiver["spool"]>,
): Promise<Kept> {
  const key = randomBytes(32);
  // The key is used for this one stream, so the counter may begin anywhere.
  const iv = Buffer.alloc(16);
  const cipher = createCipheriv("aes-256-ctr", key, iv);
  const kept = await spool(mapped(chunks, (bytes) => cipher.update(bytes)));
  return {
    chunks() {
      const decipher = createDecipheriv("aes-256-ctr", key, iv);
      return mapped(passing(kept.chunks()), (bytes) => decipher.update(bytes));
    },
    close() {
      key.fill(0);
      return kept.close();
    },
  };
}

// eslint-disable-next-line @typescript-eslint/require-await -- a stream of what is there
async function* all(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks;
}

/** What was taken from `rest` already, and the rest; each chunk is let go once it was taken. */
async function* joined(
  taken: Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let bytes = taken.shift(); bytes !== undefined; bytes = taken.shift()) yield bytes;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) return;
    yield next.value;
  }
}

async function* mapped(
  chunks: AsyncIterable<Uint8Array>,
  change: (bytes: Uint8Array) => Uint8Array,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const bytes of chunks) yield change(bytes);
}

function tooLong(): UsageError {
  return new UsageError(
    "ERR_HELD_BACK",
    `the message is longer than ${MOST_IN_MEMORY} bytes, and nothing of it may be seen before its end`,
    { hint: "pass `spool`, which keeps it elsewhere, or `keepsUntilEnd` if the caller waits" },
  );
}
