/**
 * Bytes that will not print. A `Secret` shows as `[secret]` in templates, JSON and `inspect`;
 * `expose` is the word to search for in review.
 */
import { inspect } from "node:util";

export class Secret {
  readonly #bytes: Uint8Array;
  #wiped = false;

  /** Takes the bytes over: `wipe` overwrites them. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** The bytes themselves, not a copy. Throws once they are wiped: zeros are a key anyone knows. */
  expose(): Uint8Array {
    if (this.#wiped) throw new TypeError("a wiped secret was used");
    return this.#bytes;
  }

  /** Overwrites the bytes with zeros. A copy made elsewhere, by the runtime or by a module, stays. */
  wipe(): void {
    this.#bytes.fill(0);
    this.#wiped = true;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [inspect.custom](): string {
    return "[secret]";
  }
}
