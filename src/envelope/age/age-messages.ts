/**
 * Sealing and opening age files. Read top-down: `beginSealing` and `beginOpening` are the two
 * stories, in the order in which things must happen. What a header and its file key have to do with
 * each other, without a body, is in `sealHeader` and `openHeader`.
 */
import { randomBytes } from "node:crypto";
import { readChunk } from "../../body/chunks.js";
import { defined } from "../../defined.js";
import type { ExchangePublicKey, Identity, KnownPublicKey } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import type { Reader } from "../../stream.js";
import { openByKey } from "../../wrap/opener.js";
import { headerOf } from "../detached-header.js";
import type { BegunOpening, BegunSealing, ProvenHeader, SealedReaders } from "../envelope.js";
import type { MessageInfo, SenderInfo } from "../message-info.js";
import type { Receiver } from "../receiver.js";
import type { SealOptions } from "../seal-options.js";
import {
  BODY_NONCE_BYTES,
  finishHeader,
  sealBodyUnder,
  VerifiedAgeHeader,
} from "./age-file-key.js";
import { readAgeHeader, transcriptOf, type RawHeader } from "./age-header.js";
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
  const { identity, fileKey } = await openHeader(parsed, receiver);
  const verified = VerifiedAgeHeader.verify(parsed.raw, fileKey);
  const nonce = await sealed.body.exactly(BODY_NONCE_BYTES, "the age file's body");
  return {
    info: ageInfo(parsed.raw, parsed.stanzas),
    ...defined({ identity }),
    body: { kind: "segments", cipher: verified.openBody(nonce), readSegment: readChunk },
  };
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
