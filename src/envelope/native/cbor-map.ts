/**
 * Maps in deterministic CBOR (RFC 8949 §4.2.1) with integer keys: CORE, and the fields of a re-wrap
 * record (docs/format.md §4, §6.1). Only the one encoding of a map is accepted, each key with its
 * type.
 */
import { decode, encode } from "cborg";
import { equal } from "../../bytes.js";
import type { P11SealError } from "../../errors.js";
import { STRICT_CBOR } from "../../strict-cbor.js";

/** Keys below this have the meanings given on the page; from here on, others may be skipped. */
export const FIRST_OTHER_KEY = 64;

/** Makes the error for a map that is not as the page says. */
export type Refuse = (detail: string) => P11SealError;

/** A map as it was read. Each getter throws what `refuse` makes. */
export class CborMap {
  readonly #entries: ReadonlyMap<unknown, unknown>;
  readonly #name: string;
  readonly #refuse: Refuse;

  /** @param name - what the map is called in errors */
  constructor(bytes: Uint8Array, name: string, refuse: Refuse) {
    this.#entries = decodeMap(bytes, name, refuse);
    this.#name = name;
    this.#refuse = refuse;
  }

  has(key: number): boolean {
    return this.#entries.has(key);
  }

  bytes(key: number, length: number): Uint8Array {
    const value = this.#entries.get(key);
    if (!(value instanceof Uint8Array) || value.length !== length) throw this.#wrong(key);
    return value;
  }

  uint(key: number): number {
    const value = this.#entries.get(key);
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
      throw this.#wrong(key);
    }
    return value;
  }

  /** 1 to `most` byte strings of 32 bytes. */
  tags(key: number, most: number): Uint8Array[] {
    const value = this.#entries.get(key);
    if (!Array.isArray(value) || value.length < 1 || value.length > most) throw this.#wrong(key);
    return value.map((tag: unknown) => {
      if (!(tag instanceof Uint8Array) || tag.length !== 32) throw this.#wrong(key);
      return tag;
    });
  }

  /**
   * The entries from key 64 on, which are byte strings; below, only keys up to `lastKnown` are
   * allowed. So nested values are never decoded; CBOR libraries disagree on which encodings of
   * those are deterministic.
   */
  others(lastKnown: number): Map<number, Uint8Array> {
    const others = new Map<number, Uint8Array>();
    for (const [key, value] of this.#entries) {
      if (typeof key !== "number" || !Number.isSafeInteger(key) || key < 1) {
        throw this.#refuse(`${this.#name}: key`);
      }
      if (key <= lastKnown) continue;
      if (key < FIRST_OTHER_KEY) throw this.#refuse(`${this.#name}: unknown key ${key}`);
      if (!(value instanceof Uint8Array)) throw this.#wrong(key);
      others.set(key, value);
    }
    return others;
  }

  #wrong(key: number): P11SealError {
    return this.#refuse(`${this.#name}: ${key}`);
  }
}

/** The map in its one encoding. */
export function encodeMap(entries: ReadonlyMap<number, unknown>): Uint8Array {
  return encode(entries);
}

/** Refuses bytes that are another encoding of what was read from them. */
export function requireDeterministic(
  encodedAgain: Uint8Array,
  bytes: Uint8Array,
  name: string,
  refuse: Refuse,
): void {
  // The decoder accepts any order of keys, and floats as integers; encoding again does not.
  if (!equal(encodedAgain, bytes)) throw refuse(`${name} is not deterministic CBOR`);
}

function decodeMap(bytes: Uint8Array, name: string, refuse: Refuse): ReadonlyMap<unknown, unknown> {
  let value: unknown;
  try {
    value = decode(bytes, STRICT_CBOR);
  } catch {
    throw refuse(`${name} is not CBOR`);
  }
  if (!(value instanceof Map)) throw refuse(`${name} is not a map`);
  return value;
}
