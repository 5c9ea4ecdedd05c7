/**
 * Bytes that never get printed. A `Secret` shows as `[secret]` in templates, JSON and `inspect`.
 * To review who uses the bytes, search for `expose`.
 */
import { inspect } from "node:util";

export class Secret {
  readonly #bytes: Uint8Array;
  #wiped = false;

  /** Takes ownership of the bytes, which `wipe` overwrites. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** The bytes themselves, not a copy. Throws after `wipe`: zeros are a key that anyone knows. */
  expose(): Uint8Array {
    if (this.#wiped) throw new TypeError("a wiped secret was used");
    return this.#bytes;
  }

  /** Overwrites the bytes with zeros. Copies made by the runtime or by a module remain. */
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
