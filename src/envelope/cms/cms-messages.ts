/**
 * Opening CMS messages, and mails that are one. `beginOpening` is the story, in the order that it
 * must have: signatures that lie outside, then the sender, then keys.
 */
import { UnsupportedError, UsageError } from "../../errors.js";
import { Reader } from "../../stream.js";
import type { AtEnd, BegunOpening, SealedReaders } from "../envelope.js";
import type { MessageInfo, SenderInfo } from "../message-info.js";
import type { Kept, Receiver } from "../receiver.js";
import { heldBack, keep } from "../held-back.js";
import { envelopedInfo, signedInfo } from "./cms-info.js";
import { cmsSender } from "./cms-sender.js";
import { isPlain, layerWithin, outermostLayer, type Layer, type SignedLayer } from "./layers.js";
import { LayersOpening } from "./open-layers.js";
import { checkSigned } from "./signed-data.js";

export async function inspect(header: Reader): Promise<MessageInfo> {
  let layer: Layer | undefined = await outermostLayer(header, {});
  let isSigned = false;
  for (; layer?.kind === "signed"; isSigned = true) {
    const { content, contentType } = layer.begun;
    layer = await layerWithin(new Reader(content), contentType, {});
  }
  if (layer !== undefined) return envelopedInfo(layer.header, isSigned);
  throw new UnsupportedError("ERR_CMS_TYPE", "the CMS message is signed, and not encrypted", {
    hint: "see who signed it with: p11seal verify FILE",
  });
}

export async function beginOpening(
  sealed: SealedReaders,
  receiver: Receiver,
): Promise<BegunOpening> {
  requireWhole(sealed);
  const opening = new LayersOpening(receiver);
  let layer = await outermostLayer(sealed.header, opening.policy);
  let kept: Kept | undefined;
  while (layer.kind === "signed") {
    const { begun } = layer;
    const content = new Reader(begun.content);
    if (await isPlain(content, begun.contentType)) {
      return signedAlone(await verified(layer, content, opening, receiver), opening, receiver);
    }
    const before = kept;
    kept = await verified(layer, content, opening, receiver);
    await before?.close();
    const next = await layerWithin(new Reader(kept.chunks()), begun.contentType, opening.policy);
    if (next === undefined) return signedAlone(kept, opening, receiver);
    layer = next;
  }
  const isLater = opening.sender === undefined && receiver.authenticateLater?.() === true;
  if (!isLater) await receiver.authenticate(opening.signers);
  const { header } = layer;
  const contentKey = await opening.contentKey(layer);
  const plaintext = opening.enveloped(layer, contentKey);
  const body = isLater ? thenAuthenticated(plaintext, opening, receiver) : plaintext;
  return begunWith(
    envelopedInfo(header, opening.sender !== undefined),
    body,
    kept,
    opening,
    receiver,
  );
}

/**
 * Checks signatures that lie outside.
 *
 * @throws AuthenticationError; PolicyError
 */
export async function verifySender(sealed: SealedReaders): Promise<SenderInfo | undefined> {
  requireWhole(sealed);
  const layer = await outermostLayer(sealed.header, {});
  if (layer.kind !== "signed") return undefined;
  await drained(layer.begun.content);
  return senderOf(layer, {});
}

/** All of a signature's content, once the signature holds. */
async function verified(
  layer: SignedLayer,
  content: Reader,
  opening: LayersOpening,
  receiver: Receiver,
): Promise<Kept> {
  opening.enter();
  const kept = await keep(remaining(content), receiver);
  try {
    // The outermost signature is the one that the message came with.
    const sender = await senderOf(layer, opening.policy);
    if (opening.sender === undefined) opening.sender = sender;
    else opening.insiders.push(sender);
    return kept;
  } catch (error) {
    await kept.close();
    throw error;
  }
}

async function senderOf(
  { begun }: SignedLayer,
  policy: LayersOpening["policy"],
): Promise<SenderInfo> {
  const parts = await begun.rest();
  return cmsSender(checkSigned(begun.contentType, parts, begun.watch.finish(), policy));
}

/** A message that is signed, and not encrypted. */
async function signedAlone(
  kept: Kept,
  opening: LayersOpening,
  receiver: Receiver,
): Promise<BegunOpening> {
  const sender = opening.signers;
  if (sender === undefined) throw new TypeError("no signature was checked");
  try {
    await receiver.authenticate(sender);
  } catch (error) {
    await kept.close();
    throw error;
  }
  return begunWith(signedInfo(sender), kept.chunks(), kept, opening, receiver);
}

function begunWith(
  info: MessageInfo,
  plaintext: AsyncIterable<Uint8Array>,
  kept: Kept | undefined,
  opening: LayersOpening,
  receiver: Receiver,
): BegunOpening {
  const { identity, signers: sender } = opening;
  const atEnd: AtEnd = {
    get sender() {
      return sender ?? opening.signers;
    },
    get authenticated() {
      return !opening.isUnauthenticated;
    },
  };
  const open = (): AsyncIterable<Uint8Array> =>
    heldBack(kept === undefined ? plaintext : closing(plaintext, kept), receiver);
  return {
    info,
    ...(identity === undefined ? {} : { identity }),
    ...(sender === undefined ? {} : { sender }),
    atEnd,
    body: { kind: "stream", open },
  };
}

/**
 * The sender is the receiver's matter once the signature inside holds, or there is none. Whoever
 * reads a body holds its last chunk back until then (`openStream`).
 */
async function* thenAuthenticated(
  plaintext: AsyncIterable<Uint8Array>,
  opening: LayersOpening,
  receiver: Receiver,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* plaintext;
  await receiver.authenticate(opening.signers);
}

async function* closing(
  chunks: AsyncIterable<Uint8Array>,
  kept: Kept,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* chunks;
  } finally {
    await kept.close();
  }
}

async function* remaining(reader: Reader): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const bytes = await reader.some();
    if (bytes === undefined) return;
    // A copy: whoever made the bytes may use their memory again.
    yield new Uint8Array(bytes);
  }
}

async function drained(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

function requireWhole({ header, body }: SealedReaders): void {
  if (header === body) return;
  throw new UsageError("ERR_USAGE", "CMS messages have no header that is stored apart", {
    hint: "leave out --key-blob",
  });
}
