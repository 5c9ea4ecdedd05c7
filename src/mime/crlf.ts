/** Text with every line ended by CRLF, as S/MIME signs and sends it (RFC 8551 §3.1.1). */

/** Converts one text, chunk by chunk. */
export class CrlfConversion {
  /** Across chunks: a CR may be in one, and its LF in the next. */
  #endsInCr = false;
  #converted = new Uint8Array(0);

  /** The chunk with a CR before each LF that has none. The result holds until the next call. */
  convert(chunk: Uint8Array): Uint8Array {
    const { length } = chunk;
    if (this.#converted.length < 2 * length) this.#converted = new Uint8Array(2 * length);
    const target = this.#converted;
    let filled = 0;
    let last = this.#endsInCr ? CR : 0;
    for (let at = 0; at < length; at++) {
      const byte = chunk[at] as number;
      if (byte === LF && last !== CR) target[filled++] = CR;
      target[filled++] = byte;
      last = byte;
    }
    this.#endsInCr = last === CR;
    return target.subarray(0, filled);
  }
}

const CR = 0x0d;
const LF = 0x0a;
