/**
 * Sealing and opening age files. Read top-down: `beginSealing` and `beginOpening` are the two
 * stories, in the order in which things must happen. What a header and its file key have to do with
 * each other, without a body, is in `sealHeader` and `openHeader`.
 */
import { randomBytes } from "node:crypto";
import { readChunk, type ChunkCipher } from "../../body/chunks.js";
import { concat } from "../../bytes.js";
import { defined } from "../../defined.js";
import type { ExchangePublicKey, Identity, KnownPublicKey, NamedKey } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import type { Reader } from "../../stream.js";
import { openByKey } from "../../wrap/opener.js";
import { headerOf, wholeHeader } from "../detached-header.js";
import type {
  BegunOpening,
  BegunSealing,
  HeldBodyKey,
  ProvenHeader,
  SealedReaders,
} from "../envelope.js";
import type { MessageInfo, SenderInfo } from "../message-info.js";
import type { Receiver } from "../receiver.js";
import type { SealOptions } from "../seal-options.js";
import {
  BODY_NONCE_BYTES,
  finishHeader,
  sealBodyUnder,
  VerifiedAgeHeader,
} from "./age-file-key.js";
import { AGE, encodeAgeHeader, readAgeHeader, transcriptOf, type RawHeader } from "./age-header.js";
import { ageInfo, messageIdOf } from "./age-info.js";
import { addressed } from "./age-recipients.js";
import { wrapFor, wrappedKeys } from "./age-wrap.js";
import { openByPassphrase, passphraseStanza } from "./passphrase.js";
import { encodeStanza, FILE_KEY_BYTES, parseStanzas, type Stanza } from "./stanzas.js";

export async function inspect(header: Reader): Promise<MessageInfo> {
  const { raw, stanzas } = await parsedHeader(header);
  return ageInfo(raw, stanzas);
}

export async function beginSealing(options: SealOptions): Promise<BegunSealing> {
  const recipients = addressed(options);
  const fileKey = new Secret(new Uint8Array(randomBytes(FILE_KEY_BYTES)));
  try {
    const header = await sealHeader(fileKey, recipients);
    const { nonce, cipher } = sealBodyUnder(fileKey);
    const body = { kind: "segments", start: nonce, cipher } as const;
    return { messageId: messageIdOf(header), header, body };
  } finally {
    fileKey.wipe();
  }
}

export async function beginOpening(
  sealed: SealedReaders,
  receiver: Receiver,
): Promise<BegunOpening> {
  const parsed = await headerOf(sealed, parsedHeader);
  await receiver.authenticate(undefined);
  const { identity, cipher } = await openedBody(parsed, sealed.body, receiver);
  return {
    info: ageInfo(parsed.raw, parsed.stanzas),
    ...defined({ identity }),
    body: { kind: "segments", cipher, readSegment: readChunk },
  };
}

/** By somebody else's key for this body, or by the file key. */
async function openedBody(
  parsed: ParsedAgeHeader,
  body: Reader,
  receiver: Receiver,
): Promise<{ readonly identity?: NamedKey<KnownPublicKey>; readonly cipher: ChunkCipher }> {
  const { raw, stanzas } = parsed;
  const readNonce = (): Promise<Uint8Array> =>
    body.exactly(BODY_NONCE_BYTES, "the age file's body");
  if (receiver.bodyKey === undefined || passphraseStanza(stanzas) !== undefined) {
    const { identity, fileKey } = await openHeader(parsed, receiver);
    const verified = VerifiedAgeHeader.verify(raw, fileKey);
    return { cipher: verified.openBody(await readNonce()), ...defined({ identity }) };
  }
  // The key for the body depends on its nonce too.
  const nonce = await readNonce();
  const bytes = concat(encodeAgeHeader(raw.transcript, raw.mac), nonce);
  const elsewhere = await receiver.bodyKey({ format: AGE, bytes, info: ageInfo(raw, stanzas) });
  if (elsewhere !== undefined) {
    const cipher = VerifiedAgeHeader.bodyVouchedFor(elsewhere.key);
    return { identity: elsewhere.openedBy, cipher };
  }
  const { identity, fileKey } = await openHeader(parsed, receiver);
  const verified = VerifiedAgeHeader.verify(raw, fileKey);
  return { cipher: verified.openBody(nonce), ...defined({ identity }) };
}

/** As `Envelope.bodyKey`; the body's nonce stands after the header. */
export async function bodyKey(bytes: Uint8Array, receiver: Receiver): Promise<HeldBodyKey> {
  const { parsed, nonce } = await wholeHeader(bytes, async (reader) => ({
    parsed: await parsedHeader(reader),
    nonce: await reader.exactly(BODY_NONCE_BYTES, "the nonce of the age file's body"),
  }));
  await receiver.authenticate(undefined);
  const { identity, fileKey } = await openHeader(parsed, receiver);
  if (identity === undefined) throw new TypeError("a passphrase is no key of an agent's");
  const key = VerifiedAgeHeader.verify(parsed.raw, fileKey).bodyKey(nonce);
  return { info: ageInfo(parsed.raw, parsed.stanzas), identity, key };
}

/** As `Envelope.proveHeader`. */
export async function proveHeader(header: Reader, receiver: Receiver): Promise<ProvenHeader> {
  const parsed = await parsedHeader(header);
  await receiver.authenticate(undefined);
  const { identity, fileKey } = await openHeader(parsed, receiver);
  VerifiedAgeHeader.verify(parsed.raw, fileKey).wipe();
  return { info: ageInfo(parsed.raw, parsed.stanzas), ...defined({ identity }) };
}

/** age files are never signed. */
export async function verifySender(sealed: SealedReaders): Promise<SenderInfo | undefined> {
  await headerOf(sealed, parsedHeader);
  return undefined;
}

// ── A header and its file key ──

/**
 * A header with this file key for these recipients.
 *
 * @throws UnsupportedError `ERR_KEY_TYPE`
 */
export async function sealHeader(
  fileKey: Secret,
  recipients: readonly ExchangePublicKey[],
): Promise<Uint8Array> {
  const stanzas = await Promise.all(recipients.map((key) => wrapFor(key, fileKey)));
  return finishHeader(fileKey, transcriptOf(stanzas.map(encodeStanza)));
}

/**
 * The file key, not yet known to be that of this header; and the identity it came by, unless it
 * came by a passphrase.
 */
export async function openHeader(
  { raw, stanzas }: ParsedAgeHeader,
  receiver: Receiver,
): Promise<{ readonly identity?: Identity<KnownPublicKey>; readonly fileKey: Secret }> {
  const passphrase = passphraseStanza(stanzas);
  if (passphrase !== undefined) return { fileKey: await openByPassphrase(passphrase, receiver) };
  const identities = await receiver.identities(ageInfo(raw, stanzas));
  const { identity, contentKey } = await openByKey(identities, wrappedKeys(stanzas));
  return { identity, fileKey: contentKey };
}

export interface ParsedAgeHeader {
  readonly raw: RawHeader;
  readonly stanzas: readonly Stanza[];
}

async function parsedHeader(reader: Reader): Promise<ParsedAgeHeader> {
  const raw = await readAgeHeader(reader);
  return { raw, stanzas: parseStanzas(raw.stanzas) };
}
