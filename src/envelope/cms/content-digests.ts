/**
 * The digests of a content, made while it passes. Text is often signed with line ends CR LF, and
 * kept with LF (RFC 8551 §3.1.1): where it is not known which form was signed, both are digested.
 */
import { createHash, type Hash } from "node:crypto";
import type { SignatureDigest } from "../../keys/signature-scheme.js";

/** In which form a content was signed: with the line ends it has, or all of them CR LF. */
export type LineEnds = "as-is" | "crlf";

/** A content's digests, by the form that was digested and by hash. */
export type Digests = Readonly<
  Record<LineEnds, ReadonlyMap<SignatureDigest, Uint8Array> | undefined>
>;

export class ContentDigests {
  readonly #asIs: ReadonlyMap<SignatureDigest, Hash>;
  readonly #tryCrlf: boolean;
  /** From the first bare LF on; before it, both forms are the same. */
  #crlf: ReadonlyMap<SignatureDigest, Hash> | undefined;
  #endsInCr = false;
  #converted = new Uint8Array(0);

  /** @param tryCrlf - digest the form with CR LF as well */
  constructor(algorithms: Iterable<SignatureDigest>, tryCrlf: boolean) {
    this.#asIs = new Map([...algorithms].map((name) => [name, createHash(name)]));
    this.#tryCrlf = tryCrlf;
  }

  update(bytes: Uint8Array): void {
    if (this.#tryCrlf) this.#updateCrlf(bytes);
    for (const hash of this.#asIs.values()) hash.update(bytes);
  }

  /** To be called once, at the content's end. The form with CR LF is absent if it is no other. */
  finish(): Digests {
    return { "as-is": digested(this.#asIs), crlf: this.#crlf && digested(this.#crlf) };
  }

  /** Comes before the same bytes are digested as they are. */
  #updateCrlf(bytes: Uint8Array): void {
    const converted = this.#convert(bytes);
    if (converted.length > bytes.length) {
      this.#crlf ??= new Map([...this.#asIs].map(([name, hash]) => [name, hash.copy()]));
    }
    for (const hash of this.#crlf?.values() ?? []) hash.update(converted);
  }

  /** With a CR before each LF that has none. The result holds until the next call. */
  #convert(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    if (this.#converted.length < 2 * length) this.#converted = new Uint8Array(2 * length);
    const target = this.#converted;
    let filled = 0;
    let last = this.#endsInCr ? CR : 0;
    for (let at = 0; at < length; at++) {
      const byte = bytes[at] as number;
      if (byte === LF && last !== CR) target[filled++] = CR;
      target[filled++] = byte;
      last = byte;
    }
    this.#endsInCr = last === CR;
    return target.subarray(0, filled);
  }
}

function digested(hashes: ReadonlyMap<SignatureDigest, Hash>): Map<SignatureDigest, Uint8Array> {
  return new Map([...hashes].map(([name, hash]) => [name, hash.digest()]));
}

const CR = 13;
const LF = 10;
