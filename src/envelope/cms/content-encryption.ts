/**
 * The ciphers that CMS encrypts content with: what an AlgorithmIdentifier says, which is refused
 * before any key is used, and decryption as a stream.
 *
 * AES-GCM belongs into AuthEnvelopedData and nowhere else, CBC into EnvelopedData: an identifier in
 * the wrong place is somebody's attempt to have authenticated content opened without its tag.
 */
import { createDecipheriv, hkdfSync } from "node:crypto";
import {
  derAlgorithm,
  readAlgorithm,
  type AlgorithmIdentifier,
} from "../../asn1/algorithm-identifier.js";
import { DerReader, TAG } from "../../asn1/der.js";
import { tagWithoutAad } from "../../body/gcm-aad.js";
import { ascii } from "../../bytes.js";
import { FormatError, PolicyError, UnsupportedError } from "../../errors.js";
import type { Secret } from "../../secret.js";
import { Rc2Cbc } from "./rc2-cbc.js";

/** A cipher with its parameters. */
export interface ContentCipher {
  /** As in `aes-256-gcm`. */
  readonly name: string;
  readonly mode: "gcm" | "cbc";
  readonly keyBytes: number;
  /** The nonce of GCM, the initialization vector of CBC. */
  readonly iv: Uint8Array;
  /** How much may be decrypted: what one nonce of GCM allows (SP 800-38D §5.2.1.1). */
  readonly mostBytes: number;
  /** A cipher of old messages, with blocks of 64 bits. */
  readonly isLegacy: boolean;
  /** Of RC2. */
  readonly effectiveBits?: number;
  /**
   * The content key is derived from the one that recipients get, with this for what (RFC 9709): DER
   * of the cipher's identifier.
   */
  readonly derivedFor?: Uint8Array;
}

/**
 * @param authenticated - true in AuthEnvelopedData
 * @throws FormatError `ERR_CMS`; PolicyError `ERR_TAG_LENGTH`; UnsupportedError `ERR_ALGORITHM`
 */
export function parseContentCipher(
  algorithm: AlgorithmIdentifier,
  authenticated: boolean,
): ContentCipher {
  if (algorithm.oid === CEK_HKDF_SHA256) return derivedCipher(algorithm, authenticated);
  const gcmKeyBytes = GCM.get(algorithm.oid);
  const cbc = CBC.get(algorithm.oid);
  if (gcmKeyBytes !== undefined) {
    if (!authenticated) throw gcmWithoutTag();
    return gcm(algorithm, gcmKeyBytes);
  }
  if (cbc !== undefined) {
    if (authenticated) throw cbcAsAuthenticated(cbc.name);
    return { ...cbc, mode: "cbc", mostBytes: Infinity, ...cbcParameters(algorithm, cbc) };
  }
  throw new UnsupportedError(
    "ERR_ALGORITHM",
    `the content of the CMS message is encrypted with ${algorithm.oid}, which is not supported`,
    { hint: "supported: AES-GCM, and AES-CBC, triple DES and RC2 to read old messages" },
  );
}

function gcm({ parameters }: AlgorithmIdentifier, keyBytes: number): ContentCipher {
  const fields = parametersOf(parameters);
  const iv = fields.read(TAG.octetString);
  // RFC 5084 §3.2: 12 where it is not stated.
  const tagBytes = fields.peek() === undefined ? 12 : fields.count();
  fields.end();
  if (tagBytes !== GCM_TAG_BYTES) {
    throw new PolicyError(
      "ERR_TAG_LENGTH",
      `the CMS message has tags of ${tagBytes} bytes, and only ${GCM_TAG_BYTES} are accepted`,
      { hint: "a short tag is easier to forge; ask the sender for one of 16 bytes" },
    );
  }
  if (iv.length < 12 || iv.length > 16) throw malformedIv(iv);
  const name = `aes-${keyBytes * 8}-gcm`;
  return { name, mode: "gcm", keyBytes, iv, mostBytes: MAX_GCM_BYTES, isLegacy: false };
}

function cbcParameters(
  { parameters }: AlgorithmIdentifier,
  { name }: CbcFacts,
): Pick<ContentCipher, "iv" | "keyBytes" | "effectiveBits"> {
  if (name === RC2_NAME) return rc2Parameters(parameters);
  const { keyBytes, blockBytes } = CBC_SIZES[name];
  if (parameters?.[0] !== TAG.octetString) throw withoutParameters();
  const iv = new DerReader(parameters, WHAT).read(TAG.octetString);
  if (iv.length !== blockBytes) throw malformedIv(iv);
  return { iv, keyBytes };
}

/** RFC 3370 §5.2: a number that stands for the effective bits, and the vector. */
function rc2Parameters(
  parameters: Uint8Array | undefined,
): Pick<ContentCipher, "iv" | "keyBytes" | "effectiveBits"> {
  const fields = parametersOf(parameters);
  const version = fields.count();
  const iv = fields.read(TAG.octetString);
  fields.end();
  const effectiveBits = RC2_VERSIONS.get(version);
  if (effectiveBits === undefined || iv.length !== 8) throw withoutParameters();
  return { iv, keyBytes: effectiveBits / 8, effectiveBits };
}

/** RFC 9709 §2: the parameters are the identifier of the cipher. */
function derivedCipher({ parameters }: AlgorithmIdentifier, authenticated: boolean): ContentCipher {
  if (parameters?.[0] !== TAG.sequence) throw withoutParameters();
  const inner = readAlgorithm(new DerReader(parameters, WHAT));
  if (inner.oid === CEK_HKDF_SHA256) throw withoutParameters();
  return { ...parseContentCipher(inner, authenticated), derivedFor: derAlgorithm(inner) };
}

function parametersOf(parameters: Uint8Array | undefined): DerReader {
  if (parameters?.[0] !== TAG.sequence) throw withoutParameters();
  return new DerReader(parameters, WHAT).sequence();
}

// ── Decryption ──

/** One content as it is decrypted. Nothing tells whether it was altered, before `finish`. */
export class ContentDecryption {
  readonly #key: Uint8Array;
  readonly #decipher: Decrypting;
  readonly #gcm: ReturnType<typeof gcmDecipher> | undefined;
  readonly #mostBytes: number;
  #bytes = 0;

  /** Takes ownership of `contentKey`, `cipher.keyBytes` long, and wipes it. */
  constructor(cipher: ContentCipher, contentKey: Secret) {
    this.#mostBytes = cipher.mostBytes;
    this.#key = keyOf(cipher, contentKey);
    if (cipher.mode === "gcm") this.#gcm = gcmDecipher(cipher, this.#key);
    this.#decipher = this.#gcm ?? cbcDecipher(cipher, this.#key);
  }

  /** @throws FormatError `ERR_CMS`: more than `mostBytes` */
  update(ciphertext: Uint8Array): Uint8Array {
    this.#bytes += ciphertext.length;
    if (this.#bytes > this.#mostBytes) {
      throw new FormatError("ERR_CMS", "the CMS message is longer than one AES-GCM nonce allows");
    }
    return this.#decipher.update(ciphertext);
  }

  /**
   * What is left, once the content is known to be what was encrypted; `null` if it is not: a wrong
   * tag, or wrong padding.
   *
   * @param aad - the authenticated attributes, DER
   */
  finish(tag?: Uint8Array, aad?: Uint8Array): Uint8Array | null {
    try {
      if (this.#gcm !== undefined && tag !== undefined) {
        const expected = aad === undefined ? tag : tagWithoutAad(this.#key, tag, aad, this.#bytes);
        this.#gcm.setAuthTag(expected);
      }
      return this.#decipher.final();
    } catch {
      return null;
    } finally {
      this.wipe();
    }
  }

  wipe(): void {
    this.#key.fill(0);
  }
}

function keyOf({ keyBytes, derivedFor }: ContentCipher, contentKey: Secret): Uint8Array {
  try {
    const key = contentKey.expose();
    if (derivedFor === undefined) return new Uint8Array(key);
    return new Uint8Array(hkdfSync("sha256", key, CEK_HKDF_SALT, derivedFor, keyBytes));
  } finally {
    contentKey.wipe();
  }
}

/** What every cipher does. */
interface Decrypting {
  update(ciphertext: Uint8Array): Uint8Array;
  /** @throws where the end is not what was encrypted */
  final(): Uint8Array;
}

function gcmDecipher({ keyBytes, iv }: ContentCipher, key: Uint8Array) {
  const name = keyBytes === 16 ? "aes-128-gcm" : keyBytes === 24 ? "aes-192-gcm" : "aes-256-gcm";
  return createDecipheriv(name, key, iv, { authTagLength: GCM_TAG_BYTES });
}

function cbcDecipher(cipher: ContentCipher, key: Uint8Array): Decrypting {
  if (cipher.effectiveBits !== undefined) return new Rc2Cbc(key, cipher.effectiveBits, cipher.iv);
  return createDecipheriv(cipher.name, key, cipher.iv);
}

// ── What there is ──

export const GCM_TAG_BYTES = 16;

/** What AES-GCM may encrypt under one nonce (SP 800-38D §5.2.1.1). */
export const MAX_GCM_BYTES = 2 ** 36 - 32;

/** Key lengths, bytes (RFC 5084 §3.2). */
const GCM: ReadonlyMap<string, number> = new Map([
  ["2.16.840.1.101.3.4.1.6", 16],
  ["2.16.840.1.101.3.4.1.26", 24],
  ["2.16.840.1.101.3.4.1.46", 32],
]);

type CbcName = "aes-128-cbc" | "aes-192-cbc" | "aes-256-cbc" | "des-ede3-cbc";

const RC2_NAME = "rc2-cbc";

interface CbcFacts {
  readonly name: CbcName | typeof RC2_NAME;
  readonly isLegacy: boolean;
}

const CBC: ReadonlyMap<string, CbcFacts> = new Map([
  ["2.16.840.1.101.3.4.1.2", { name: "aes-128-cbc", isLegacy: false }],
  ["2.16.840.1.101.3.4.1.22", { name: "aes-192-cbc", isLegacy: false }],
  ["2.16.840.1.101.3.4.1.42", { name: "aes-256-cbc", isLegacy: false }],
  ["1.2.840.113549.3.7", { name: "des-ede3-cbc", isLegacy: true }],
  ["1.2.840.113549.3.2", { name: RC2_NAME, isLegacy: true }],
]);

const CBC_SIZES: Readonly<Record<CbcName, { keyBytes: number; blockBytes: number }>> = {
  "aes-128-cbc": { keyBytes: 16, blockBytes: 16 },
  "aes-192-cbc": { keyBytes: 24, blockBytes: 16 },
  "aes-256-cbc": { keyBytes: 32, blockBytes: 16 },
  "des-ede3-cbc": { keyBytes: 24, blockBytes: 8 },
};

/** Effective bits by the number that stands for them (RFC 2268 §6). */
const RC2_VERSIONS: ReadonlyMap<number, number> = new Map([
  [160, 40],
  [120, 64],
  [58, 128],
]);

/** id-alg-cek-hkdf-sha256 (RFC 9709 §2). */
const CEK_HKDF_SHA256 = "1.2.840.113549.1.9.16.3.31";
const CEK_HKDF_SALT = ascii("The Cryptographic Message Syntax");

// ── Refusals ──

const WHAT = "the CMS message's content encryption";

function withoutParameters(): FormatError {
  return new FormatError("ERR_CMS", `${WHAT} has missing or malformed parameters`);
}

function malformedIv({ length }: Uint8Array): FormatError {
  return new FormatError("ERR_CMS", `${WHAT} has an initialization vector of ${length} bytes`);
}

function gcmWithoutTag(): FormatError {
  return new FormatError("ERR_CMS", "the CMS message has AES-GCM in EnvelopedData, without a tag", {
    hint:
      "old BouncyCastle and PKI.js write such; ask for AuthEnvelopedData " +
      "(CMSAuthEnvelopedDataGenerator)",
  });
}

function cbcAsAuthenticated(name: string): FormatError {
  return new FormatError(
    "ERR_CMS",
    `the CMS message claims that ${name} authenticates its content`,
  );
}
