/**
 * `CryptSignHash` and `CryptVerifySignature`: RSASSA-PKCS1-v1_5 (RFC 8017 §8.2) with the result's
 * bytes reversed.
 *
 * What is signed is a hash value. `CryptHashData` fills it with data, `CryptHashSessionKey` with
 * keys (session-key-hash.ts), a description at the end with text; a digest from elsewhere is
 * HP_HASHVAL.
 */
import { constants, createHash, publicDecrypt } from "node:crypto";
import { concat, equal, fromHex } from "../bytes.js";
import { FormatError, PolicyError, TokenError, UnsupportedError } from "../errors.js";
import type { RsaPrivateKey, RsaPublicKey } from "../keys/key.js";
import { requireCapability } from "../keys/purpose.js";
import { type ByteSource, chunks } from "../stream.js";
import type { CapiHash } from "./algorithms.js";
import { reversed } from "../keys/formats/little-endian.js";

/** The form of a signature; nothing in its bytes tells. */
export interface SignatureForm {
  readonly hash: CapiHash;
  /** `sDescription`: hashed after the data, as UTF-16LE without its terminating zero. */
  readonly description?: string;
  /** CRYPT_NOHASHOID: the bare digest is padded, not a DigestInfo that names its hash. */
  readonly noHashOid?: boolean;
}

/** The hash value of `CryptHashData` over the data, and the description after it. */
export async function hashData(data: ByteSource, form: SignatureForm): Promise<Uint8Array> {
  const hash = createHash(form.hash);
  for await (const chunk of chunks(data)) hash.update(chunk);
  hash.update(descriptionBytes(form));
  return new Uint8Array(hash.digest());
}

/**
 * `CryptHashData` and `CryptSignHash`.
 *
 * @throws PolicyError `ERR_WEAK_HASH`: SHA-1 and MD5 are for verifying only. TokenError from a key
 *   on a token; `ERR_BAD_SIGNATURE`: the result doesn't verify.
 */
export async function signData(
  key: RsaPrivateKey,
  data: ByteSource,
  form: SignatureForm,
): Promise<Uint8Array> {
  requireSigning(form);
  return signDigest(key, await hashData(data, form), form);
}

/** `CryptSignHash` of a finished hash value, the description included. Throws as `signData`. */
export async function signDigest(
  key: RsaPrivateKey,
  digest: Uint8Array,
  form: SignatureForm,
): Promise<Uint8Array> {
  requireSigning(form);
  const signature = reversed(await requireCapability(key, "signPkcs1")(payloadOf(digest, form)));
  // A signature with a computing fault in it can give the key away (Boneh, DeMillo, Lipton 1997).
  if (verifyDigest(key.publicKey, digest, signature, form)) return signature;
  throw new TokenError("ERR_BAD_SIGNATURE", "the signing key made a signature that does not hold", {
    hint: "the private key does not belong to the public key found with it",
  });
}

/**
 * `CryptHashData` and `CryptVerifySignature`. SHA-1 is taken, since old peers have nothing else;
 * MD5 only with `allowMd5`, for looking at old archives.
 *
 * @throws PolicyError `ERR_WEAK_HASH`: MD5 without `allowMd5`.
 */
export async function verifyData(
  publicKey: RsaPublicKey,
  data: ByteSource,
  signature: Uint8Array,
  form: SignatureForm & { readonly allowMd5?: boolean },
): Promise<boolean> {
  if (form.allowMd5 !== true) requireVerifiable(form);
  return verifyDigest(publicKey, await hashData(data, form), signature, form);
}

/** Refuses MD5. Throws PolicyError `ERR_WEAK_HASH`. */
export function requireVerifiable({ hash }: SignatureForm): void {
  if (hash !== "md5") return;
  throw new PolicyError("ERR_WEAK_HASH", "a signature over MD5 proves nothing", {
    hint: "Anyone can make two messages with one MD5 value; ask for SHA-256.",
  });
}

/** `CryptVerifySignature` of a finished hash value, the description included. */
export function verifyDigest(
  publicKey: RsaPublicKey,
  digest: Uint8Array,
  signature: Uint8Array,
  form: SignatureForm,
): boolean {
  const length = publicKey.modulus.length;
  if (signature.length !== length) return false;
  // RFC 8017 §8.2.2: the whole block is built and compared. Parsing what the signer padded is how
  // signatures under e = 3 were forged (Bleichenbacher 2006).
  const expected = encodedMessage(payloadOf(digest, form), length);
  if (expected === undefined) return false;
  try {
    const padding = constants.RSA_NO_PADDING;
    const opened = publicDecrypt({ key: publicKey.object, padding }, reversed(signature));
    return equal(opened, expected);
  } catch {
    return false;
  }
}

/** The hash of a name, for new signatures. Throws UnsupportedError `ERR_HASH`; PolicyError. */
export function signingHash(name: string): CapiHash {
  const hash = capiHash(name);
  requireSigning({ hash });
  return hash;
}

/** The hash of a name as CryptoAPI or a person writes it. Throws UnsupportedError `ERR_HASH`. */
export function capiHash(name: string): CapiHash {
  const plain = name.toLowerCase().replaceAll(/[-_]/g, "");
  const hash = HASHES.find((known) => known === plain);
  if (hash !== undefined) return hash;
  throw new UnsupportedError("ERR_HASH", `no hash "${name}"`, {
    hint: `known: ${HASHES.join(", ")}`,
  });
}

/** Refuses SHA-1 and MD5. Throws PolicyError `ERR_WEAK_HASH`. */
export function requireSigning({ hash }: SignatureForm): void {
  if (hash !== "sha1" && hash !== "md5") return;
  throw new PolicyError("ERR_WEAK_HASH", `no new signatures are made over ${hash}`, {
    hint: "Use sha256; Windows XP with service pack 3 and everything since verifies it.",
  });
}

/** What a description adds to the hash. Throws FormatError `ERR_DESCRIPTION`. */
export function descriptionBytes({ description }: SignatureForm): Uint8Array {
  if (description === undefined) return new Uint8Array(0);
  // A lone surrogate has no place in UTF-16 text.
  if (/\p{Cs}/u.test(description)) {
    throw new FormatError("ERR_DESCRIPTION", "the description is not well-formed Unicode");
  }
  return new Uint8Array(Buffer.from(description, "utf16le"));
}

// ── Details ──

/** T of RFC 8017 §9.2 step 2, or the digest alone. */
function payloadOf(digest: Uint8Array, { hash, noHashOid }: SignatureForm): Uint8Array {
  if (digest.length !== DIGEST_BYTES[hash]) {
    throw new TypeError(`a ${hash} value has ${DIGEST_BYTES[hash]} bytes, not ${digest.length}`);
  }
  return noHashOid === true ? digest : concat(fromHex(DIGEST_INFO[hash]), digest);
}

/** EMSA-PKCS1-v1_5 (RFC 8017 §9.2): 00 01 FF…FF 00 T. */
function encodedMessage(payload: Uint8Array, length: number): Uint8Array | undefined {
  const filling = length - payload.length - 3;
  if (filling < 8) return undefined;
  const ff = new Uint8Array(filling).fill(0xff);
  return concat(Uint8Array.of(0, 1), ff, Uint8Array.of(0), payload);
}

const HASHES = ["sha256", "sha384", "sha512", "sha1", "md5"] as const satisfies readonly CapiHash[];

export const DIGEST_BYTES: Readonly<Record<CapiHash, number>> = {
  md5: 16,
  sha1: 20,
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** The DER of a DigestInfo before its digest (RFC 8017 §9.2, note 1). */
export const DIGEST_INFO: Readonly<Record<CapiHash, string>> = {
  md5: "3020300c06082a864886f70d020505000410",
  sha1: "3021300906052b0e03021a05000414",
  sha256: "3031300d060960864801650304020105000420",
  sha384: "3041300d060960864801650304020205000430",
  sha512: "3051300d060960864801650304020305000440",
};
