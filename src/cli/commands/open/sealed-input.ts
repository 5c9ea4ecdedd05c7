/**
 * A sealed message as it is read: hashed, kept on the disk or recorded where that is needed.
 */
import type { Hash } from "node:crypto";
import { verifySender } from "../../../envelope/messages.js";
import { defined } from "../../../defined.js";
import { tapped } from "../../../stream.js";
import type { OpeningLog } from "./opening-log.js";
import type { Input } from "../../io/inputs.js";
import { Spool } from "../../io/spool.js";

export interface Sealed {
  readonly input: Input;
  readonly header: AsyncIterable<Uint8Array> | undefined;
  /** Checks the sender's signature over the whole message, before any key is looked for. */
  readonly verify?: () => Promise<void>;
}

export interface Closable {
  close(): Promise<void>;
}

/** Returns its argument, which is closed when the message is done with. */
export type CloseLater = <T extends Closable>(opened: T) => T;

/**
 * @param blob - the header, where it is detached
 * @param how - `hash`: updated with all that is read; `spooled`: keep the message on the disk, so
 *   its end can be checked first
 */
export async function sealedFrom(
  input: Input,
  blob: Input | undefined,
  how: { readonly hash: Hash | undefined; readonly spooled: boolean; readonly log: OpeningLog },
  closeLater: CloseLater,
): Promise<Sealed> {
  const { hash, spooled, log } = how;
  const hashed = (chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> =>
    hash === undefined ? chunks : tapped(chunks, (bytes) => void hash.update(bytes));
  if (spooled) {
    const body = closeLater(await Spool.of(hashed(input.chunks)));
    const header = blob === undefined ? undefined : closeLater(await Spool.of(hashed(blob.chunks)));
    return {
      ...parts(withChunks(input, body.chunks()), header?.chunks(), log),
      async verify() {
        await body.finish();
        await verifySender(body.chunks(), defined({ header: header?.chunks() }));
      },
    };
  }
  if (hash === undefined) return parts(input, blob?.chunks, log);
  // Without a descriptor, so that no thread reads the file past the hash.
  return parts(withChunks(input, hashed(input.chunks)), blob && hashed(blob.chunks), log);
}

/** The part that holds the header is recorded. */
function parts(
  input: Input,
  header: AsyncIterable<Uint8Array> | undefined,
  log: OpeningLog,
): Sealed {
  if (header !== undefined) return { input, header: log.recorded(header) };
  return { input: { ...input, chunks: log.recorded(input.chunks) }, header };
}

function withChunks(input: Input, chunks: AsyncIterable<Uint8Array>): Input {
  const { name, size, id } = input;
  return { name, size, id, chunks, close: () => input.close() };
}
