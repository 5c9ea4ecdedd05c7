/**
 * Frames on a socket: a length of 4 bytes, big-endian, and as many bytes. Whoever is at the other
 * end may send anything, so nothing is set aside for a length that is only announced.
 */
import { concat, concatAll, Cursor, u32 } from "../bytes.js";
import { TokenError } from "../errors.js";

/** Longest frame, bytes, without its length. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024;

const LENGTH_BYTES = 4;

export function frameOf(body: Uint8Array): Uint8Array {
  return concat(u32(body.length), body);
}

/** Puts frames together from chunks of any size. */
export class FrameReader {
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  /** True in the middle of a frame. */
  get isWaiting(): boolean {
    return this.#bytes > 0;
  }

  /**
   * The frames that this chunk completes.
   *
   * @throws TokenError `ERR_AGENT_PROTOCOL`: a length of 0, or one that is too long
   */
  *push(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= LENGTH_BYTES) {
      const length = new Cursor(this.#peek(LENGTH_BYTES), "a frame").u32();
      if (length === 0 || length > MAX_FRAME_BYTES) {
        throw new TokenError("ERR_AGENT_PROTOCOL", `a frame of ${length} bytes`);
      }
      if (this.#bytes < LENGTH_BYTES + length) return;
      const all = concatAll(this.#chunks);
      const rest = all.subarray(LENGTH_BYTES + length);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#bytes = rest.length;
      yield all.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
    }
  }

  #peek(length: number): Uint8Array {
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= length) return first.subarray(0, length);
    // Chunks that are shorter than a length are rare, and are joined once.
    const joined = concatAll(this.#chunks);
    this.#chunks = [joined];
    return joined.subarray(0, length);
  }
}
