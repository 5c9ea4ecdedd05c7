/**
 * What signatures are to be over: a content, seen once as it passes, of any length.
 */
import { DerReader, TAG } from "../../asn1/der.js";
import { concatAll } from "../../bytes.js";
import { P11SealError } from "../../errors.js";
import type { SignatureDigest } from "../../keys/signature-scheme.js";
import { ATTRIBUTE_TYPE, MAX_ATTRIBUTES_BYTES, readAttributes } from "./attributes.js";
import { ContentDigests, type DigestOptions, type Digests } from "./content-digests.js";

export interface SeenContent {
  readonly digests: Digests;
  /**
   * True if the content is itself a set of signed attributes: a signature over those would pass for
   * one over this content, with the attributes left out
   * (draft-ietf-lamps-cms-euf-cma-signeddata). No one means to sign such a content.
   */
  readonly isAttributes: boolean;
}

export class ContentWatch {
  readonly #digests: ContentDigests;
  /** What may still turn out to be attributes; undefined: nothing can. */
  #kept: Uint8Array[] | undefined = [];
  #bytes = 0;

  constructor(digests: readonly SignatureDigest[], options: DigestOptions = {}) {
    this.#digests = new ContentDigests(digests, options);
  }

  see(bytes: Uint8Array): void {
    this.#digests.update(bytes);
    if (this.#kept === undefined || bytes.length === 0) return;
    const isStart = this.#bytes === 0;
    this.#bytes += bytes.length;
    const isPossible = (!isStart || bytes[0] === TAG.set) && this.#bytes <= MAX_KEPT_BYTES;
    if (isPossible) this.#kept.push(bytes.slice());
    else this.#kept = undefined;
  }

  /** To be called once, at the content's end. */
  finish(): SeenContent {
    const isAttributes = this.#kept !== undefined && areAttributes(concatAll(this.#kept));
    return { digests: this.#digests.finish(), isAttributes };
  }
}

function areAttributes(content: Uint8Array): boolean {
  try {
    const file = new DerReader(content, "content");
    const attributes = readAttributes(file.read(TAG.set), "content");
    file.end();
    return (
      attributes.has(ATTRIBUTE_TYPE.contentType) && attributes.has(ATTRIBUTE_TYPE.messageDigest)
    );
  } catch (error) {
    if (error instanceof P11SealError) return false;
    throw error;
  }
}

/** Attributes with their tag and length. */
const MAX_KEPT_BYTES = MAX_ATTRIBUTES_BYTES + 5;
