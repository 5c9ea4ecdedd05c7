/** RC2 in CBC mode with PKCS#7 padding, decrypted in pieces as by a `Decipher` of Node. */
import { Rc2 } from "../../body/rc2.js";
import { concat } from "../../bytes.js";

const BLOCK_BYTES = 8;

export class Rc2Cbc {
  readonly #rc2: Rc2;
  #previous: Uint8Array;
  #held: Uint8Array = new Uint8Array(0);

  constructor(key: Uint8Array, effectiveBits: number, iv: Uint8Array) {
    this.#rc2 = new Rc2(key, effectiveBits);
    this.#previous = iv;
  }

  /** All but the last block, which has the padding. */
  update(ciphertext: Uint8Array): Uint8Array {
    const bytes = concat(this.#held, ciphertext);
    const blocks = Math.max(0, Math.ceil(bytes.length / BLOCK_BYTES) - 1);
    this.#held = bytes.subarray(blocks * BLOCK_BYTES);
    return this.#decrypted(bytes, blocks);
  }

  /** @throws Error: bad padding, or not whole blocks */
  final(): Uint8Array {
    if (this.#held.length !== BLOCK_BYTES) throw new Error("not whole blocks");
    const block = this.#decrypted(this.#held, 1);
    const padding = block.at(-1) as number;
    const isPadded =
      padding >= 1 &&
      padding <= BLOCK_BYTES &&
      block.subarray(BLOCK_BYTES - padding).every((byte) => byte === padding);
    if (!isPadded) throw new Error("bad padding");
    return block.subarray(0, BLOCK_BYTES - padding);
  }

  #decrypted(bytes: Uint8Array, blocks: number): Uint8Array {
    const plaintext = new Uint8Array(blocks * BLOCK_BYTES);
    for (let at = 0; at < plaintext.length; at += BLOCK_BYTES) {
      const block = bytes.subarray(at, at + BLOCK_BYTES);
      const decrypted = this.#rc2.decrypt(block);
      for (let i = 0; i < BLOCK_BYTES; i++) {
        plaintext[at + i] = (decrypted[i] as number) ^ (this.#previous[i] as number);
      }
      this.#previous = block;
    }
    return plaintext;
  }
}
