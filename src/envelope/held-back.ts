/**
 * Plaintext that is kept back until its stream has ended, for formats whose content is authentic
 * only at the end: in memory as far as it goes, then outside, encrypted under a key that this
 * process alone has and forgets.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { UsageError } from "../errors.js";
import type { Receiver } from "./envelope.js";

/** What is kept in memory without and with a place outside it, bytes. */
const MOST_IN_MEMORY = 64 * 1024 * 1024;
const MOST_BEFORE_SPOOL = 16 * 1024 * 1024;

/**
 * The same chunks, none of them before the last was there.
 *
 * @throws UsageError `ERR_HELD_BACK`: too long for memory, and there is no spool
 */
export async function* heldBack(
  plaintext: AsyncIterable<Uint8Array>,
  { keepsUntilEnd, spool }: Pick<Receiver, "keepsUntilEnd" | "spool">,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (keepsUntilEnd === true) {
    yield* plaintext;
    return;
  }
  const most = spool === undefined ? MOST_IN_MEMORY : MOST_BEFORE_SPOOL;
  const held: Uint8Array[] = [];
  let bytes = 0;
  const rest = plaintext[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await rest.next();
      if (next.done === true) break;
      held.push(next.value);
      bytes += next.value.length;
      if (bytes <= most) continue;
      if (spool === undefined) throw tooLong();
      yield* spooled(joined(held, rest), spool);
      return;
    }
  } finally {
    await rest.return?.();
  }
  yield* held;
}

async function* spooled(
  plaintext: AsyncIterable<Uint8Array>,
  spool: NonNullable<Receiver["spool"]>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const key = randomBytes(32);
  // The key is used for this one stream, so the counter may begin anywhere.
  const iv = Buffer.alloc(16);
  const cipher = createCipheriv("aes-256-ctr", key, iv);
  const kept = await spool(mapped(plaintext, (bytes) => cipher.update(bytes)));
  try {
    const decipher = createDecipheriv("aes-256-ctr", key, iv);
    yield* mapped(kept.chunks(), (bytes) => decipher.update(bytes));
  } finally {
    key.fill(0);
    await kept.close();
  }
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
