/**
 * The digests of a content, made while it passes. Text is often signed with line ends CR LF, and
 * kept with LF (RFC 8551 §3.1.1): where it is not known which form was signed, both are digested.
 */
import { createHash, type Hash } from "node:crypto";
import type { SignatureDigest } from "../../keys/signature-scheme.js";
import { CrlfConversion } from "../../mime/crlf.js";

/** In which form a content was signed: with the line ends it has, or all of them CR LF. */
export type LineEnds = "as-is" | "crlf";

/** A content's digests, by the form that was digested and by hash. */
export type Digests = Readonly<
  Record<LineEnds, ReadonlyMap<SignatureDigest, Uint8Array> | undefined>
>;

export interface DigestOptions {
  /** It may have been signed with line ends CR LF, although it has others: digest both forms. */
  readonly anyLineEnds?: boolean | undefined;
  /** Of a long content, only these of the hashes are made, if any is among them. */
  readonly likely?: readonly SignatureDigest[] | undefined;
}

export class ContentDigests {
  readonly #asIs: Map<SignatureDigest, Hash>;
  readonly #tryCrlf: boolean;
  readonly #likely: ReadonlySet<SignatureDigest> | undefined;
  /** From the first bare LF on; before it, both forms are the same. */
  #crlf: Map<SignatureDigest, Hash> | undefined;
  readonly #conversion = new CrlfConversion();
  #bytes = 0;

  constructor(algorithms: readonly SignatureDigest[], options: DigestOptions = {}) {
    const { anyLineEnds = false, likely = [] } = options;
    this.#asIs = new Map(algorithms.map((name) => [name, createHash(name)]));
    this.#tryCrlf = anyLineEnds;
    const hinted = algorithms.filter((name) => likely.includes(name));
    this.#likely = hinted.length === 0 ? undefined : new Set(hinted);
  }

  update(bytes: Uint8Array): void {
    if (this.#tryCrlf) this.#updateCrlf(bytes);
    for (const hash of this.#asIs.values()) hash.update(bytes);
    this.#bytes += bytes.length;
    if (this.#likely !== undefined && this.#bytes > ALL_UP_TO_BYTES) this.#narrow(this.#likely);
  }

  /** To be called once, at the content's end. The form with CR LF is absent if it is no other. */
  finish(): Digests {
    return { "as-is": digested(this.#asIs), crlf: this.#crlf && digested(this.#crlf) };
  }

  #narrow(likely: ReadonlySet<SignatureDigest>): void {
    for (const name of this.#asIs.keys()) {
      if (likely.has(name)) continue;
      this.#asIs.delete(name);
      this.#crlf?.delete(name);
    }
  }

  /** Comes before the same bytes are digested as they are. */
  #updateCrlf(bytes: Uint8Array): void {
    const converted = this.#conversion.convert(bytes);
    if (converted.length > bytes.length) {
      this.#crlf ??= new Map([...this.#asIs].map(([name, hash]) => [name, hash.copy()]));
    }
    for (const hash of this.#crlf?.values() ?? []) hash.update(converted);
  }
}

function digested(hashes: ReadonlyMap<SignatureDigest, Hash>): Map<SignatureDigest, Uint8Array> {
  return new Map([...hashes].map(([name, hash]) => [name, hash.digest()]));
}

/** As long a content costs little, whatever is digested. */
const ALL_UP_TO_BYTES = 4 * 1024 * 1024;
