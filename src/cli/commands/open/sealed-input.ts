/** A sealed message as it is to be read: hashed, kept, and recorded, as each is needed. */
import type { Hash } from "node:crypto";
import { verifySender } from "../../../envelope/native/native.js";
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

/** Something that `closed` closes when the message is done with. */
export interface Closing {
  close(): Promise<void>;
}

export type Closed = <T extends Closing>(opened: T) => T;

/**
 * @param blob - the header, where it comes apart
 * @param how - `hash`: of all that is read; `spooled`: kept on the disk until its end was seen.
 */
export async function sealedFrom(
  input: Input,
  blob: Input | undefined,
  how: { readonly hash: Hash | undefined; readonly spooled: boolean; readonly log: OpeningLog },
  closed: Closed,
): Promise<Sealed> {
  const { hash, spooled, log } = how;
  const hashed = (chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> =>
    hash === undefined ? chunks : tapped(chunks, (bytes) => void hash.update(bytes));
  if (spooled) {
    const body = closed(await Spool.of(hashed(input.chunks)));
    const header = blob === undefined ? undefined : closed(await Spool.of(hashed(blob.chunks)));
    return {
      ...parts(withChunks(input, body.chunks()), header?.chunks(), log),
      async verify() {
        await body.finish();
        const again = header === undefined ? {} : { header: header.chunks() };
        await verifySender(body.chunks(), again);
      },
    };
  }
  if (hash === undefined) return parts(input, blob?.chunks, log);
  // Without its descriptor no thread reads the file past the hash.
  return parts(withChunks(input, hashed(input.chunks)), blob && hashed(blob.chunks), log);
}

/** With the part recorded that holds the header. */
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
