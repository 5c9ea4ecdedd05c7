/**
 * The sender's two signatures (docs/format.md §5 and §11).
 *
 * The long-term key, perhaps on a token, signs once, at the start: the message's description, its
 * addressees, the wrapped keys, and a one-time key. The one-time key signs the body at its end. So
 * the sender is known before the receiver's token is used, and the sender's token is touched once.
 * A co-recipient, who knows the file key, still can't put another body under the sender's name,
 * because the one-time private key is gone.
 */
import { createHash, createHmac, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import type { BodySummary, ExpectedTrailer } from "../../body/segment-stream.js";
import { ascii, concat, equal, toHex, u64 } from "../../bytes.js";
import { defined } from "../../defined.js";
import { AuthenticationError, P11SealError, PolicyError, TokenError } from "../../errors.js";
import type {
  ExchangePublicKey,
  KnownPublicKey,
  PrivateKey,
  SigningPublicKey,
} from "../../keys/key.js";
import { requireEd25519 } from "../../keys/curve25519.js";
import { publicKeyFromEd25519, publicKeyFromSpki } from "../../keys/public-key.js";
import { requireCapability } from "../../keys/purpose.js";
import { signatureAlgorithm, verifySignature } from "../../keys/signing.js";
import type { ClaimedSender, SenderInfo } from "../message-info.js";
import type { Sender } from "../seal-options.js";
import type { SignedClaims } from "./core.js";
import { FORMAT, type KeySignature, type ParsedHeader } from "./header.js";

/** Bytes of the trailer: one Ed25519 signature (RFC 8032 §5.1.6). */
export const TRAILER_BYTES = 64;

/** Makes a one-time key, and the claims that name it, for one message to `recipients`. */
export function signedClaims(
  sender: Sender,
  messageId: Uint8Array,
  recipients: readonly ExchangePublicKey[],
  recipsBlock: Uint8Array,
): { claims: SignedClaims; oneTimeKey: KeyObject } {
  if (recipients.some(({ fingerprint }) => equal(fingerprint, sender.publicKey.fingerprint))) {
    throw sameKey(
      "one key, one purpose: make a signing key with `p11seal keys generate --use sign`",
    );
  }
  // A key that no reader takes is refused before it is asked to sign.
  signatureAlgorithm(sender.publicKey);
  requireEncodable(sender);
  const oneTime = generateKeyPairSync("ed25519");
  const claims = {
    createdMs: sender.createdMs,
    ...defined({ expiresMs: sender.expiresMs }),
    senderKeyId: sender.publicKey.fingerprint,
    streamId: sender.streamId,
    serial: sender.serial,
    addressees: recipients.map((key) => addresseeTag(messageId, key)),
    oneTimeKey: rawEd25519(oneTime.publicKey),
    recipsHash: sha256(recipsBlock),
    ...defined({ rulesHash: sender.rulesHash }),
  };
  return { claims, oneTimeKey: oneTime.privateKey };
}

/** Refuses claims that CORE can't hold: nobody could read the message. */
function requireEncodable(sender: Sender): void {
  const { streamId, serial, createdMs, expiresMs = 0, rulesHash } = sender;
  if (streamId.length !== 16) throw new RangeError(`streamId has ${streamId.length} bytes, not 16`);
  if (rulesHash !== undefined && rulesHash.length !== 32) {
    throw new RangeError(`rulesHash has ${rulesHash.length} bytes, not 32`);
  }
  for (const [name, value] of Object.entries({ serial, createdMs, expiresMs })) {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} is ${value}`);
  }
}

/**
 * Has the sender's long-term key sign PRELUDE ‖ CORE, or somebody else who has it, and checks the
 * signature.
 *
 * @throws TokenError `ERR_BAD_SIGNATURE`
 */
export async function signCore(
  { publicKey, key }: Pick<Sender, "publicKey" | "key">,
  signedPart: Uint8Array,
): Promise<KeySignature> {
  const message = coreMessage(signedPart);
  if (!("signCore" in key)) return signWith({ publicKey, key }, message);
  const signature = await key.signCore({ format: FORMAT, bytes: signedPart });
  return checkedSignature(publicKey, message, signature);
}

/** A long-term key, both halves. */
export interface SigningPair {
  readonly publicKey: SigningPublicKey;
  readonly key: PrivateKey;
}

/**
 * Has a long-term key sign a message, and checks the signature.
 *
 * @throws TokenError `ERR_BAD_SIGNATURE`
 */
export async function signWith(
  { publicKey, key }: SigningPair,
  message: Uint8Array,
): Promise<KeySignature> {
  return checkedSignature(publicKey, message, await requireCapability(key, "sign")(message));
}

function checkedSignature(
  publicKey: SigningPublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): KeySignature {
  if (!verifySignature(publicKey, message, signature)) {
    throw new TokenError(
      "ERR_BAD_SIGNATURE",
      "the signing key made a signature that does not hold",
      { hint: "the private key does not belong to the public key found with it" },
    );
  }
  return { algorithm: signatureAlgorithm(publicKey).number, spki: publicKey.spki, signature };
}

/** The key that signed `message`, and how. */
export interface Signer {
  readonly publicKey: SigningPublicKey;
  readonly algorithm: string;
}

/**
 * Who signed `message`; `null` if the signature does not hold, or is by another key than the one
 * with this id, or by one that does not sign messages.
 */
export function verifiedSigner(
  { algorithm, spki, signature }: KeySignature,
  keyId: Uint8Array,
  message: Uint8Array,
): Signer | null {
  const publicKey = signerOf(spki);
  const expected = publicKey === null ? null : signatureAlgorithm(publicKey);
  if (
    publicKey === null ||
    expected?.number !== algorithm ||
    !equal(keyId, publicKey.fingerprint) ||
    !verifySignature(publicKey, message, signature)
  ) {
    return null;
  }
  return { publicKey, algorithm: expected.name };
}

/**
 * Checks the long-term signature of a signed header, and that it names a one-time key which nobody
 * but its holder can sign for. Nothing in the header may be trusted before.
 *
 * @throws AuthenticationError `ERR_SENDER_SIGNATURE`
 */
export function verifyCore(header: ParsedHeader): SenderInfo | undefined {
  const { claims, messageId } = header.core;
  if (header.signature === undefined || claims === undefined) return undefined;
  const message = coreMessage(header.signedPart);
  const signer = verifiedSigner(header.signature, claims.senderKeyId, message);
  if (signer === null) {
    throw new AuthenticationError("ERR_SENDER_SIGNATURE", "the sender's signature does not hold", {
      hint: "somebody else made or altered the message; don't use it",
    });
  }
  if (!isOneTimeKey(claims.oneTimeKey)) {
    throw new AuthenticationError(
      "ERR_SENDER_SIGNATURE",
      "the key that is to sign the body is not a valid Ed25519 key",
      { hint: "anybody could have written what follows; ask the sender about it" },
    );
  }
  return {
    ...signer,
    keyId: toHex(signer.publicKey.fingerprint),
    messageId: toHex(messageId),
    ...stated(claims),
    recipientsIntact: equal(claims.recipsHash, sha256(header.recipsBlock)),
  };
}

/** Of what a sender signed, that which needs no check of its own. */
export function stated({
  streamId,
  serial,
  createdMs,
  expiresMs,
  rulesHash,
}: SignedClaims): Pick<
  ClaimedSender,
  "streamId" | "serial" | "createdMs" | "expiresMs" | "rulesHash"
> {
  return {
    ...{ streamId: toHex(streamId), serial, createdMs },
    ...defined({ expiresMs, rulesHash: rulesHash && toHex(rulesHash) }),
  };
}

/** What comes before a body's segments. */
export interface BeforeSegments {
  /** PRELUDE ‖ CORE ‖ SIG. */
  readonly immutablePart: Uint8Array;
  readonly floeHeader: Uint8Array;
}

/** TRAILER, 64 bytes: the one-time key's signature over the whole body. */
export function signBody(
  oneTimeKey: KeyObject,
  before: BeforeSegments,
  summary: BodySummary,
): Uint8Array {
  return sign(null, bodyMessage(before, summary), oneTimeKey);
}

/** The trailer of a signed message. Its check throws AuthenticationError `ERR_TRAILER`. */
export function expectedTrailer(claims: SignedClaims, before: BeforeSegments): ExpectedTrailer {
  return {
    bytes: TRAILER_BYTES,
    check(summary, trailer) {
      verifyBody(claims.oneTimeKey, bodyMessage(before, summary), trailer);
    },
  };
}

function verifyBody(oneTimeKey: Uint8Array, message: Uint8Array, trailer: Uint8Array): void {
  const key = oneTimeKeyOf(oneTimeKey);
  if (key === null || !verifySignature(key, message, trailer)) {
    throw new AuthenticationError("ERR_TRAILER", "the sender did not sign this body", {
      hint: "another recipient, or whoever got the session key, replaced it; don't use it",
    });
  }
}

/**
 * False where the bytes are no key, or one that anybody can sign for. All that `verifyBody` asks of
 * the key before it is used; an audit uses none.
 */
export function isOneTimeKey(raw: Uint8Array): boolean {
  try {
    requireEd25519(raw);
    return true;
  } catch (error) {
    if (error instanceof P11SealError) return false;
    throw error;
  }
}

/** `null` where it is not one (`isOneTimeKey`). */
function oneTimeKeyOf(raw: Uint8Array): SigningPublicKey | null {
  try {
    return publicKeyFromEd25519(raw);
  } catch (error) {
    if (error instanceof P11SealError) return null;
    throw error;
  }
}

/** The sender's key, or `null` if it is not a key that can sign messages. */
function signerOf(spki: Uint8Array): SigningPublicKey | null {
  try {
    const key = publicKeyFromSpki(spki);
    if (key.type === "x25519" || key.type === "hybrid") return null;
    signatureAlgorithm(key);
    return key;
  } catch (error) {
    if (error instanceof P11SealError) return null;
    throw error;
  }
}

/** Names a recipient under a signature, 32 bytes; only those who know the key recognize it. */
export function addresseeTag(messageId: Uint8Array, key: KnownPublicKey): Uint8Array {
  const mac = createHmac("sha256", concat(ascii("p11seal/v1 addr"), messageId));
  return new Uint8Array(mac.update(key.fingerprint).digest());
}

export function sameKey(hint: string): PolicyError {
  const message = "the signing key is also a recipient's exchange key";
  return new PolicyError("ERR_SAME_KEY", message, { hint });
}

function coreMessage(signedPart: Uint8Array): Uint8Array {
  return concat(ascii("p11seal/v1 core\0"), sha384(signedPart));
}

function bodyMessage(before: BeforeSegments, summary: BodySummary): Uint8Array {
  return concat(
    ascii("p11seal/v1 body\0"),
    sha384(before.immutablePart),
    before.floeHeader,
    summary.root,
    u64(summary.plaintextBytes),
    u64(summary.segments),
  );
}

/**
 * Not as JWK: Node 20 exports that under the key's lock. If garbage is collected then, the job that
 * made the key goes, which waits for the same lock, and the process hangs.
 */
function rawEd25519(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: "der", type: "spki" }).subarray(-32));
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

export function sha384(bytes: Uint8Array): Uint8Array {
  return createHash("sha384").update(bytes).digest();
}
