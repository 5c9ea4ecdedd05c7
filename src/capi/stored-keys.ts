/**
 * Session keys on disk ("Storing Session Keys"): in a SIMPLEBLOB under one's own exchange key, and
 * signed. Without the signature whoever can write to the disk could put a key of theirs in its
 * place, and read whatever is encrypted with it from then on.
 *
 * For the day the own key is lost ("Using a Backup Authority"), the same session key goes to a
 * trusted authority, under its exchange key, with a serial number and a description. Microsoft
 * leaves the form of that record open; this one is CryptoAPI's in spirit, so that a program on
 * Windows can check it with one `CryptHashData`:
 *
 *     00 magic "PKB1"   04 hash ALG_ID (4)   08 serial number (8)
 *     10 blob length (4), SIMPLEBLOB   description length (4), UTF-16LE
 *     signature length (4), signature
 *
 * All integers little-endian. The signature is over every byte before its length.
 */
import { ascii, concat, Cursor, equal } from "../bytes.js";
import { AuthenticationError, FormatError, PolicyError, UsageError } from "../errors.js";
import type { RsaPrivateKey, RsaPublicKey } from "../keys/key.js";
import { requireExchange } from "../keys/recipient-strength.js";
import type { SessionKey } from "./algorithms.js";
import { parseSimpleBlob } from "./blob.js";
import { notDecrypted } from "./cipher.js";
import { wrapSessionKey } from "./exchange.js";
import { readU32le, readU64le, u32le, u64le } from "../keys/formats/little-endian.js";
import { type KeyPadding, requireFits, unwrapSessionKey } from "./session-key-unwrap.js";
import { requireVerifiable, signData, type SignatureForm, verifyData } from "./hash-signature.js";
import { doesNotHold } from "./signature-doubts.js";

/** A stored key: two things, or two files. */
export interface StoredKey {
  readonly blob: Uint8Array;
  /** `CryptSignHash` over the blob. */
  readonly signature: Uint8Array;
}

export interface StoreOptions {
  readonly signer: RsaPrivateKey;
  /** By default SHA-256 over the blob alone. */
  readonly form?: SignatureForm | undefined;
  readonly padding?: KeyPadding | undefined;
  /** Takes exchange keys below 2,048 bits. */
  readonly allowWeak?: boolean | undefined;
}

/**
 * Keeps a session key under one's own exchange key.
 *
 * @throws PolicyError `ERR_WEAK_HASH`, `ERR_WEAK_KEY`, `ERR_SAME_KEY`; UnsupportedError
 *   `ERR_KEY_SIZE`; TokenError.
 */
export async function storeSessionKey(
  key: SessionKey,
  ownKey: RsaPublicKey,
  options: StoreOptions,
): Promise<StoredKey> {
  const blob = wrapFor(key, ownKey, options);
  const signature = await signData(options.signer, blob, options.form ?? DEFAULT_FORM);
  return { blob, signature };
}

/**
 * Checks whose a stored key is, without its private key: before a token is looked at, say.
 *
 * @throws AuthenticationError `ERR_SENDER_SIGNATURE`; PolicyError `ERR_WEAK_HASH`
 */
export async function requireStored(
  { blob, signature }: StoredKey,
  signer: RsaPublicKey,
  form: SignatureForm = DEFAULT_FORM,
): Promise<void> {
  requireVerifiable(form);
  if (await verifyData(signer, blob, signature, form)) return;
  throw notStored({ bytes: signature, by: signer, form });
}

/**
 * The session key of a stored one. The signature is checked first; the private key is not used
 * before.
 *
 * @throws AuthenticationError `ERR_SENDER_SIGNATURE`: not what was stored; `ERR_DECRYPT`;
 *   FormatError; NoMatchError; PolicyError `ERR_WEAK_HASH`; TokenError.
 */
export async function openStoredKey(
  stored: StoredKey,
  privateKey: RsaPrivateKey,
  signer: RsaPublicKey,
  options: { readonly form?: SignatureForm; readonly padding?: KeyPadding } = {},
): Promise<SessionKey> {
  requireVerifiable(options.form ?? DEFAULT_FORM);
  const parsed = parseSimpleBlob(stored.blob);
  requireFits(parsed, privateKey.publicKey);
  await requireStored(stored, signer, options.form);
  return open(stored.blob, privateKey, options.padding);
}

/** What an authority keeps of a session key. */
export interface BackupRecord {
  readonly hash: BackupHash;
  /** 0 to 2^64 - 1; the client's own, new for each key. */
  readonly serialNumber: bigint;
  readonly description: string;
  /** The SIMPLEBLOB under the authority's exchange key. */
  readonly blob: Uint8Array;
  readonly signature: Uint8Array;
}

export type BackupHash = "sha256" | "sha384" | "sha512";

/**
 * The record of a session key for an authority.
 *
 * @throws as `storeSessionKey`; UsageError `ERR_SERIAL_NUMBER`; FormatError `ERR_DESCRIPTION`.
 */
export async function backUpSessionKey(
  key: SessionKey,
  authority: RsaPublicKey,
  about: { readonly serialNumber: bigint; readonly description: string },
  options: Omit<StoreOptions, "form"> & { readonly hash?: BackupHash },
): Promise<Uint8Array> {
  const { hash = "sha256", signer } = options;
  const record = { hash, ...about, blob: wrapFor(key, authority, options) };
  const signature = await signData(signer, signedPart(record), { hash });
  return encodeBackupRecord({ ...record, signature });
}

/**
 * The authority's side: checks the client's signature, then opens the key. Whether whoever asks is
 * the client is the authority's policy; for the client's new exchange key, `wrapSessionKey` makes
 * the blob.
 *
 * @throws as `openStoredKey`.
 */
export async function openBackup(
  record: BackupRecord,
  privateKey: RsaPrivateKey,
  client: RsaPublicKey,
  options: { readonly padding?: KeyPadding } = {},
): Promise<SessionKey> {
  const parsed = parseSimpleBlob(record.blob);
  requireFits(parsed, privateKey.publicKey);
  const { hash, signature } = record;
  if (!(await verifyData(client, signedPart(record), signature, { hash }))) {
    throw notStored({ bytes: signature, by: client, form: { hash } });
  }
  return open(record.blob, privateKey, options.padding);
}

export function encodeBackupRecord(record: BackupRecord): Uint8Array {
  return concat(signedPart(record), u32le(record.signature.length), record.signature);
}

/** Throws FormatError `ERR_RECORD`, `ERR_TRUNCATED`, `ERR_TRAILING`; and as `parseSimpleBlob`. */
export function parseBackupRecord(bytes: Uint8Array): BackupRecord {
  if (bytes.length > MAX_RECORD_BYTES) throw malformed(`it has ${bytes.length} bytes`);
  const cursor = new Cursor(bytes, "the backup record");
  if (!equal(cursor.take(4), MAGIC)) throw malformed('it does not start with "PKB1"');
  const id = readU32le(cursor);
  const hash = HASHES.find((name) => HASH_IDS[name] === id);
  if (hash === undefined) throw malformed("its hash is none of SHA-256, SHA-384, SHA-512");
  const serialNumber = readU64le(cursor);
  const blob = new Uint8Array(cursor.take(readU32le(cursor)));
  parseSimpleBlob(blob);
  const text = cursor.take(readU32le(cursor));
  const description = Buffer.from(text).toString("utf16le");
  if (text.length % 2 !== 0 || !isDescription(description)) {
    throw malformed("its description is not text");
  }
  const signature = new Uint8Array(cursor.take(readU32le(cursor)));
  cursor.end();
  return { hash, serialNumber, description, blob, signature };
}

// ── Details ──

function wrapFor(
  key: SessionKey,
  recipient: RsaPublicKey,
  { signer, padding, allowWeak = false }: Omit<StoreOptions, "form">,
): Uint8Array {
  requireExchange(recipient, { allowWeak });
  if (equal(recipient.fingerprint, signer.publicKey.fingerprint)) {
    throw new PolicyError("ERR_SAME_KEY", "the signing key is also the exchange key", {
      hint: "One key, one purpose: sign with the AT_SIGNATURE key.",
    });
  }
  return wrapSessionKey(key, recipient, padding);
}

async function open(
  blob: Uint8Array,
  privateKey: RsaPrivateKey,
  padding: KeyPadding | undefined,
): Promise<SessionKey> {
  const { key, genuine } = await unwrapSessionKey(parseSimpleBlob(blob), privateKey, { padding });
  if (genuine) return key;
  key.bytes.wipe();
  throw notDecrypted();
}

export function signedPart(record: Omit<BackupRecord, "signature">): Uint8Array {
  const { hash, serialNumber, description, blob } = record;
  if (serialNumber < 0n || serialNumber > MAX_SERIAL) {
    throw new UsageError("ERR_SERIAL_NUMBER", "a serial number is 0 to 2^64 - 1");
  }
  if (!isDescription(description)) {
    throw new FormatError(
      "ERR_DESCRIPTION",
      `a description is text of at most ${MAX_DESCRIPTION} characters, without line breaks`,
    );
  }
  const text = new Uint8Array(Buffer.from(description, "utf16le"));
  return concat(
    MAGIC,
    u32le(HASH_IDS[hash]),
    u64le(serialNumber),
    u32le(blob.length),
    blob,
    u32le(text.length),
    text,
  );
}

/** Shown to people one day: no control characters, and nothing that is not Unicode. */
function isDescription(text: string): boolean {
  return text.length <= MAX_DESCRIPTION && !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(text);
}

function malformed(detail: string): FormatError {
  return new FormatError("ERR_RECORD", `not a backup record: ${detail}`);
}

function notStored(signature: Parameters<typeof doesNotHold>[2]): AuthenticationError {
  return doesNotHold(
    "the stored key's signature does not hold",
    "Somebody put another key in its place, or it is signed with another key; don't use it.",
    signature,
  );
}

const DEFAULT_FORM: SignatureForm = { hash: "sha256" };
const MAGIC = ascii("PKB1");
const MAX_SERIAL = 0xffff_ffff_ffff_ffffn;
const MAX_DESCRIPTION = 1024;
const MAX_RECORD_BYTES = 16_384;

/** `CALG_SHA_256`, `CALG_SHA_384`, `CALG_SHA_512`. */
const HASH_IDS: Readonly<Record<BackupHash, number>> = {
  sha256: 0x800c,
  sha384: 0x800d,
  sha512: 0x800e,
};
const HASHES = Object.keys(HASH_IDS) as readonly BackupHash[];
