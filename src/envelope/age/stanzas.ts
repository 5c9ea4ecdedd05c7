/**
 * The recipient stanzas of age (C2SP, "age", §"Native recipient types"; `piv-p256` and `ssh-rsa`
 * as age-plugin-yubikey and age write them): the file key, wrapped for one recipient.
 *
 * All stanzas of a header are parsed here before any key is looked for: one malformed stanza of a
 * known type refuses the file. A stanza whose file key is not 16 bytes long is never tried, as it
 * could be made to open under several keys ("partitioning oracle").
 */
import { createHash, createHmac } from "node:crypto";
import { ascii, fromBareBase64, toBareBase64 } from "../../bytes.js";
import { FormatError, P11SealError } from "../../errors.js";
import type { EcPublicKey, RsaPublicKey } from "../../keys/key.js";
import { sshBlob } from "../../keys/formats/ssh.js";
import { compress, decompress, publicKeyFromX25519, validatePoint } from "../../keys/public-key.js";
import { requireExchange } from "../../keys/recipient-strength.js";
import { malformed, type RawStanza } from "./age-header.js";

export const FILE_KEY_BYTES = 16;
/** The file key under an AEAD with a tag of 16 bytes. */
const WRAPPED_BYTES = FILE_KEY_BYTES + 16;
const TAG_BYTES = 4;

/** A stanza of a type that is known; `unknown`: it is for somebody else. */
export type Stanza =
  /** `share`: the sender's one-time key. */
  | { readonly type: "X25519"; readonly share: Uint8Array; readonly body: Uint8Array }
  /** `enc`: HPKE's encapsulated key. */
  | TaggedStanza<"p256tag">
  | TaggedStanza<"mlkem768p256tag">
  | { readonly type: "mlkem768x25519"; readonly enc: Uint8Array; readonly body: Uint8Array }
  /** `share`: a compressed point. */
  | {
      readonly type: "piv-p256";
      readonly tag: Uint8Array;
      readonly share: Uint8Array;
      readonly body: Uint8Array;
    }
  /** `body`: as long as the modulus. */
  | { readonly type: "ssh-rsa"; readonly tag: Uint8Array; readonly body: Uint8Array }
  | {
      readonly type: "scrypt";
      readonly salt: Uint8Array;
      /** Base-two logarithm of the work factor. */
      readonly logN: number;
      readonly body: Uint8Array;
    }
  | { readonly type: "unknown"; readonly raw: RawStanza };

interface TaggedStanza<Type> {
  readonly type: Type;
  readonly tag: Uint8Array;
  readonly enc: Uint8Array;
  readonly body: Uint8Array;
}

/** The types whose file key is under HPKE. */
export type HpkeType = "p256tag" | "mlkem768p256tag" | "mlkem768x25519";

/**
 * The stanzas of a header.
 *
 * @throws AuthenticationError `ERR_HEADER`: one of a known type is malformed, or a passphrase
 *   stands beside other recipients
 */
export function parseStanzas(raw: readonly RawStanza[]): Stanza[] {
  const stanzas = raw.map(parseStanza);
  // Whoever opens with a passphrase expects that only those who know it could write the file.
  if (stanzas.length > 1 && stanzas.some(({ type }) => type === "scrypt")) {
    throw malformed("a passphrase beside other recipients");
  }
  return stanzas;
}

/** The same for one stanza. */
export function parseStanza(raw: RawStanza): Stanza {
  try {
    return parseKnown(new Arguments(raw)) ?? { type: "unknown", raw };
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    throw malformed(`a recipient of type ${raw.type}: ${error.message}`);
  }
}

/** A stanza as it stands in a header. */
export function encodeStanza(stanza: Stanza): RawStanza {
  if (stanza.type === "unknown") return stanza.raw;
  const { type, body } = stanza;
  return { type, args: argumentsOf(stanza), body };
}

// ── Tags: which key a stanza is for ──

/** What HPKE and the tag of these stanzas are bound to. */
export function stanzaLabel(type: HpkeType): Uint8Array {
  return ascii(`age-encryption.org/${type}`);
}

/**
 * The tag, 4 bytes, of a `p256tag` or `mlkem768p256tag` stanza with this `enc`, for the key with
 * this P-256 point.
 */
export function enclosedTag(
  type: "p256tag" | "mlkem768p256tag",
  enc: Uint8Array,
  point: Uint8Array,
): Uint8Array {
  // The hybrid key is known by its uncompressed point, the other by its compressed one.
  const recipient = type === "p256tag" ? compress(point) : point;
  // HKDF-Extract (RFC 5869 §2.2).
  const mac = createHmac("sha256", stanzaLabel(type)).update(enc).update(shortHash(recipient));
  return new Uint8Array(mac.digest().subarray(0, TAG_BYTES));
}

/** The tag, 4 bytes, of the `piv-p256` stanzas for this key. */
export function pivTag(key: EcPublicKey): Uint8Array {
  return shortHash(compress(key.point));
}

/** The tag, 4 bytes, of the `ssh-rsa` stanzas for this key. */
export function sshTag(key: RsaPublicKey): Uint8Array {
  return shortHash(sshBlob(key));
}

function shortHash(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest().subarray(0, TAG_BYTES));
}

// ── Types ──

function parseKnown(args: Arguments): Stanza | undefined {
  const { type } = args;
  switch (type) {
    case "X25519": {
      const share = args.bytes(32);
      requireShare(share);
      return { type, share, body: args.wrapped() };
    }
    case "p256tag":
      return tagged(type, args, POINT_BYTES);
    case "mlkem768p256tag":
      return tagged(type, args, MLKEM_BYTES + POINT_BYTES);
    case "mlkem768x25519": {
      const enc = args.bytes(MLKEM_BYTES + 32);
      requireShare(enc.subarray(MLKEM_BYTES));
      return { type, enc, body: args.wrapped() };
    }
    case "piv-p256": {
      const tag = args.bytes(TAG_BYTES);
      const share = args.bytes(33);
      validatePoint("P-256", decompress("P-256", share));
      return { type, tag, share, body: args.wrapped() };
    }
    case "ssh-rsa": {
      const tag = args.bytes(TAG_BYTES);
      return { type, tag, body: args.body(MIN_RSA_BYTES, MAX_RSA_BYTES) };
    }
    case "scrypt": {
      const salt = args.bytes(16);
      const logN = args.number();
      return { type, salt, logN, body: args.wrapped() };
    }
    default:
      return undefined;
  }
}

function tagged(type: "p256tag" | "mlkem768p256tag", args: Arguments, encBytes: number): Stanza {
  const tag = args.bytes(TAG_BYTES);
  const enc = args.bytes(encBytes);
  validatePoint("P-256", enc.subarray(encBytes - POINT_BYTES));
  return { type, tag, enc, body: args.wrapped() };
}

/** A one-time key that gives every recipient the same secret, or has two encodings, is forged. */
function requireShare(share: Uint8Array): void {
  requireExchange(publicKeyFromX25519(share), { allowWeak: true });
}

function argumentsOf(stanza: Exclude<Stanza, { type: "unknown" }>): string[] {
  switch (stanza.type) {
    case "X25519":
      return [toBareBase64(stanza.share)];
    case "p256tag":
    case "mlkem768p256tag":
      return [toBareBase64(stanza.tag), toBareBase64(stanza.enc)];
    case "mlkem768x25519":
      return [toBareBase64(stanza.enc)];
    case "piv-p256":
      return [toBareBase64(stanza.tag), toBareBase64(stanza.share)];
    case "ssh-rsa":
      return [toBareBase64(stanza.tag)];
    case "scrypt":
      return [toBareBase64(stanza.salt), String(stanza.logN)];
  }
}

/** An uncompressed point of P-256. */
const POINT_BYTES = 65;
/** ML-KEM-768's ciphertext (FIPS 203, table 3). */
const MLKEM_BYTES = 1088;

/** RSA-2048, the shortest that age seals to, and OpenSSL's longest. */
export const MIN_RSA_BYTES = 256;
const MAX_RSA_BYTES = 2048;

/** A stanza's arguments, taken one after the other, and then its body. */
class Arguments {
  readonly type: string;
  readonly #args: readonly string[];
  readonly #body: Uint8Array;
  #next = 0;

  constructor({ type, args, body }: RawStanza) {
    this.type = type;
    this.#args = args;
    this.#body = body;
  }

  bytes(length: number): Uint8Array {
    const bytes = fromBareBase64(this.#take());
    if (bytes.length !== length) throw fault("an argument's length");
    return bytes;
  }

  /** Decimal, without leading zeros. */
  number(): number {
    const text = this.#take();
    if (!/^[1-9][0-9]{0,9}$/.test(text)) throw fault("an argument is not a number");
    return Number(text);
  }

  /** The body, if it is a wrapped file key; after all arguments were taken. */
  wrapped(): Uint8Array {
    return this.body(WRAPPED_BYTES, WRAPPED_BYTES);
  }

  body(least: number, most: number): Uint8Array {
    if (this.#next !== this.#args.length) throw fault("too many arguments");
    const { length } = this.#body;
    if (length < least || length > most) throw fault("its body's length");
    return this.#body;
  }

  #take(): string {
    const text = this.#args[this.#next++];
    if (text === undefined) throw fault("too few arguments");
    return text;
  }
}

function fault(detail: string): FormatError {
  return new FormatError("ERR_HEADER", detail);
}
