/**
 * From an envelope's plaintext to what is at the bottom of it, as one stream: through signatures
 * and further envelopes, at most eight deep.
 *
 * What a layer is made of is judged only once the layer around it was read to its end and found
 * authentic: an error inside would tell a forger how close he came. Under CBC, where nothing but a
 * signature inside can show that, every failure is the same error.
 */
import {
  AuthenticationError,
  FormatError,
  P11SealError,
  PolicyError,
  UnsupportedError,
} from "../../errors.js";
import type { Identity, KnownPublicKey } from "../../keys/key.js";
import type { Secret } from "../../secret.js";
import { Reader } from "../../stream.js";
import type { SenderInfo } from "../message-info.js";
import type { Receiver } from "../receiver.js";
import { envelopedInfo } from "./cms-info.js";
import { cmsSender } from "./cms-sender.js";
import { notAuthentic, openContent } from "./enveloped.js";
import { layerWithin, type EnvelopedLayer, type SignedLayer } from "./layers.js";
import { openRecipient, requireCurrent } from "./recipient-key.js";
import { checkSigned, type SignedOptions } from "./signed-data.js";

/** How many layers may be around one another. */
export const MAX_LAYERS = 8;

/** One message as it is opened. */
export class LayersOpening {
  /** Who signed, as far as is known: the outermost of those whose signatures hold. */
  sender: SenderInfo | undefined;
  /** Who else signed, in layers inside the sender's: theirs alone would be a message as well. */
  readonly insiders: SenderInfo[] = [];
  /** Which identity opened the outermost envelope. */
  identity: Identity<KnownPublicKey> | undefined;
  /** True once content was read that is in CBC without a signature inside. */
  isUnauthenticated = false;
  readonly #receiver: Receiver;
  #layers = 0;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
  }

  /** The sender, with everybody else who is known to have signed. */
  get signers(): SenderInfo | undefined {
    if (this.sender === undefined || this.insiders.length === 0) return this.sender;
    const insiders = this.insiders.flatMap((one) => [one, ...(one.cosigners ?? [])]);
    return { ...this.sender, cosigners: [...(this.sender.cosigners ?? []), ...insiders] };
  }

  get policy(): SignedOptions {
    return { allowLegacy: this.#receiver.allows?.legacy === true };
  }

  /** Counts one more. @throws FormatError `ERR_CMS` */
  enter(): void {
    this.#layers += 1;
    if (this.#layers <= MAX_LAYERS) return;
    throw new FormatError("ERR_CMS", `the CMS message has more than ${MAX_LAYERS} layers`);
  }

  /** The content key of an envelope. */
  async contentKey({ header }: EnvelopedLayer): Promise<Secret> {
    requireCurrent(header, this.#receiver);
    const info = envelopedInfo(header, this.sender !== undefined);
    const { identity, contentKey } = await openRecipient(header, info, this.#receiver);
    this.identity ??= identity;
    return contentKey;
  }

  /** What is at the bottom of an envelope. */
  async *enveloped(
    { ber, header, leave }: EnvelopedLayer,
    contentKey: Secret,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    this.enter();
    const plaintext = openContent(ber, header, contentKey, leave);
    const outside = this.#takeSender();
    const known = this.insiders.length;
    if (header.isAuthenticated) yield* this.within(plaintext, header.contentType);
    else yield* this.#inCbc(this.within(plaintext, header.contentType));
    if (outside === undefined) return;
    if (this.sender !== undefined) this.insiders.push(this.sender);
    this.sender = outside;
    // The receiver knows those outside an envelope by the time it is opened.
    for (const insider of this.insiders.slice(known)) await this.#receiver.alsoSigned?.(insider);
  }

  async *#inCbc(plaintext: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* plaintext;
    } catch (error) {
      throw isOfContent(error) ? this.#failureInCbc() : error;
    }
    // Only a signature inside will do: one outside is anybody's, over what he need not understand.
    if (this.sender !== undefined) return;
    if (this.#receiver.allows?.unauthenticated !== true) throw this.#failureInCbc();
    this.isUnauthenticated = true;
  }

  /** What is at the bottom of a signature, which is checked at the end. */
  async *signed({ begun }: SignedLayer): AsyncGenerator<Uint8Array, void, undefined> {
    this.enter();
    yield* this.within(begun.content, begun.contentType);
    const parts = await begun.rest();
    if (this.sender !== undefined) this.insiders.push(this.sender);
    this.sender = cmsSender(
      checkSigned(begun.contentType, parts, begun.watch.finish(), this.policy),
    );
  }

  /** What is at the bottom of content of this type. */
  async *within(
    content: AsyncIterable<Uint8Array>,
    contentType: string,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const outer = new OuterContent(content);
    try {
      const reader = new Reader(outer);
      const layer = await layerWithin(reader, contentType, this.policy);
      if (layer === undefined) yield* rest(reader);
      else if (layer.kind === "signed") yield* this.signed(layer);
      else yield* this.enveloped(layer, await this.contentKey(layer));
      // Whoever looked for a layer may have met the end of this one's faults, and gone on.
      await outer.drain();
    } catch (error) {
      await outer.drain();
      throw error;
    } finally {
      await outer.close();
    }
  }

  #takeSender(): SenderInfo | undefined {
    const { sender } = this;
    this.sender = undefined;
    return sender;
  }

  #failureInCbc(): P11SealError {
    if (this.#receiver.allows?.unauthenticated === true) return notAuthentic();
    return new PolicyError(
      "ERR_UNAUTHENTICATED",
      "the CMS message is encrypted in CBC mode, and no signature in it shows that it was not altered",
      {
        hint:
          "ask for AuthEnvelopedData (AES-GCM), or a signature inside; open this one all the same " +
          "with --allow-unauthenticated",
      },
    );
  }
}

/** True for what may be wrong with content; a token's or a receiver's refusal is none of it. */
function isOfContent(error: unknown): boolean {
  return (
    error instanceof FormatError ||
    error instanceof AuthenticationError ||
    error instanceof UnsupportedError ||
    error instanceof PolicyError
  );
}

/** The content of a layer as the next one reads it. */
class OuterContent implements AsyncIterable<Uint8Array> {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;

  constructor(content: AsyncIterable<Uint8Array>) {
    this.#chunks = content[Symbol.asyncIterator]();
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return { next: () => this.#next() };
  }

  /** Reads on to the end, so that what is wrong with this layer comes first. */
  async drain(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    while (!this.#ended) await this.#next();
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#chunks.return?.();
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    try {
      const next = await this.#chunks.next();
      if (next.done === true) this.#ended = true;
      return next;
    } catch (error) {
      this.#ended = true;
      this.#failure = { error };
      throw error;
    }
  }
}

/** All that the reader has left. */
async function* rest(reader: Reader): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const bytes = await reader.some();
    if (bytes === undefined) return;
    yield bytes;
  }
}
