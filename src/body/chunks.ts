/**
 * The body of an age file (C2SP, "age", §"Payload"): STREAM over ChaCha20-Poly1305.
 *
 *     chunk    ciphertext ‖ tag 16        64 KiB of plaintext; the last has 1 byte … 64 KiB
 *     nonce    position, 11 bytes big-endian ‖ 01 for the last chunk, 00 for the others
 * Only the last chunk of an empty body is empty. The nonce of a chunk is its position, so a key
 * must seal no more than one body: the caller derives a new one for each.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto";
import { u64 } from "../bytes.js";
import type { Reader } from "../stream.js";
import { cutWithin, notAuthentic } from "./segment-faults.js";

/** How long chunks are; all but the last are full. */
export const CHUNK_SIZES = { segmentBytes: 65_552, plaintextBytes: 65_536 } as const;

const CIPHER = "chacha20-poly1305";
const TAG_BYTES = CHUNK_SIZES.segmentBytes - CHUNK_SIZES.plaintextBytes;

/** The state of a `ChunkCipher` in plain values, for another thread. Holds a key. */
export interface ChunkState {
  readonly kind: "chunks";
  /** 32 bytes. */
  readonly key: Uint8Array;
}

/** Seals or opens the chunks of one body. */
export class ChunkCipher {
  readonly segmentBytes = CHUNK_SIZES.segmentBytes;
  readonly plaintextBytes = CHUNK_SIZES.plaintextBytes;
  readonly #state: ChunkState;
  readonly #key: KeyObject;

  /** @param state - its key is for this one body. */
  constructor(state: ChunkState) {
    this.#state = state;
    this.#key = createSecretKey(state.key);
  }

  /** The state from which another thread makes the same cipher. Holds a key. */
  exportState(): ChunkState {
    return this.#state;
  }

  /** Seals the plaintext of chunk `index`, which is full unless `final`. */
  seal(index: number, final: boolean, plaintext: Uint8Array): [Uint8Array, Uint8Array] {
    const full = this.plaintextBytes;
    if (final ? plaintext.length > full : plaintext.length !== full) {
      throw new RangeError(`chunk ${index}: ${plaintext.length} bytes of plaintext`);
    }
    const options = { authTagLength: TAG_BYTES };
    const cipher = createCipheriv(CIPHER, this.#key, nonceOf(index, final), options);
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    return [ciphertext, cipher.getAuthTag()];
  }

  /** Opens chunk `index`; `chunk` is all of it. Returns authentic plaintext, or throws. */
  open(index: number, final: boolean, chunk: Uint8Array): Uint8Array {
    const full = this.segmentBytes;
    const fits = final ? chunk.length >= TAG_BYTES && chunk.length <= full : chunk.length === full;
    if (!fits) throw notAuthentic(index);
    const tagAt = chunk.length - TAG_BYTES;
    const options = { authTagLength: TAG_BYTES };
    const decipher = createDecipheriv(CIPHER, this.#key, nonceOf(index, final), options);
    decipher.setAuthTag(chunk.subarray(tagAt));
    const plaintext = decipher.update(chunk.subarray(0, tagAt));
    try {
      decipher.final();
    } catch {
      throw notAuthentic(index);
    }
    return plaintext;
  }
}

/**
 * Reads chunk `index`, whole, to the start of `room`, which a full chunk fills. The chunk after
 * which nothing comes is the last.
 *
 * @throws AuthenticationError `ERR_TRUNCATED`
 */
export async function readChunk(
  reader: Reader,
  room: Uint8Array,
  index: number,
): Promise<{ readonly segment: Uint8Array; readonly final: boolean }> {
  const length = await reader.into(room);
  if (length < TAG_BYTES) throw cutWithin(index);
  const final = length < room.length || (await reader.peek(1)).length === 0;
  return { segment: room.subarray(0, length), final };
}

function nonceOf(index: number, final: boolean): Uint8Array {
  const nonce = new Uint8Array(12);
  nonce.set(u64(index), 3);
  nonce[11] = final ? 1 : 0;
  return nonce;
}
