/**
 * OpenSSH public key lines: `type base64 comment`. The base64 holds the type again, and the numbers
 * in SSH's wire form (RFC 4251 §5, RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4).
 */
import { ascii, concat, concatAll, Cursor, fromBase64, toBase64, u32 } from "../../bytes.js";
import { FormatError, UnsupportedError } from "../../errors.js";
import { withoutLeadingZeros } from "../../asn1/der.js";
import type { OaepParameters, PublicKey } from "../key.js";
import {
  publicKeyFromEcPoint,
  publicKeyFromEd25519,
  publicKeyFromRsa,
  rsaNumbers,
} from "../public-key.js";
import { CURVES, EC_CURVES } from "./spki.js";

/** How age applies RSA-OAEP to an `ssh-rsa` key: with MGF1-SHA-256, and a label. */
export const AGE_SSH_OAEP = {
  hash: "sha256",
  label: ascii("age-encryption.org/v1/ssh-rsa"),
} as const satisfies OaepParameters;

export interface SshKey {
  readonly publicKey: PublicKey;
  /** What follows the key, blanks trimmed; often `user@host`. */
  readonly comment: string;
}

/** True if the text begins like an OpenSSH key of any type, supported or not. */
export function looksLikeSsh(text: string): boolean {
  return /^(?:ssh-[a-z0-9-]+|(?:sk-)?ecdsa-sha2-[a-z0-9-]+|sk-ssh-[a-z0-9-]+)(?:@[a-z.]+)?[ \t]/.test(
    text,
  );
}

/** The type of an OpenSSH key that can only sign, if that is what the line begins with. */
export function signingSshType(line: string): string | undefined {
  const type = /^(?:ssh-(?:ed25519|ed448|dss)|sk-[a-z0-9-]+@openssh\.com)(?=[ \t])/.exec(line)?.[0];
  return type?.includes("-cert-v") === true ? undefined : type;
}

/**
 * True for an OpenSSH key with something before it: options, as in authorized_keys (sshd(8)), or a
 * host's name, as in known_hosts.
 */
export function hasTextBeforeSshKey(text: string): boolean {
  const [line = ""] = text.split(/[\r\n]/, 1);
  const found = /[ \t](?:ssh|(?:sk-)?ecdsa-sha2|sk-ssh)-[a-z0-9@.-]+[ \t]+AAAA/.exec(line);
  return found !== null && !looksLikeSsh(line);
}

/** The error for such a line. */
export function textBeforeSshKey(): FormatError {
  return new FormatError("ERR_SSH_KEY", "an OpenSSH key with options or a host's name before it", {
    hint: "give the part of the line from ssh-rsa or ecdsa-sha2-… on",
  });
}

/**
 * Parses one line, without options before it and without a line break.
 *
 * @throws FormatError `ERR_SSH_KEY` and those of the numbers; UnsupportedError `ERR_KEY_TYPE`.
 */
export function parseSshLine(line: string): SshKey {
  const match = /^([!-~]{1,64})[ \t]+([A-Za-z0-9+/=]+)(?:[ \t]+([^\r\n]*))?$/.exec(line);
  if (match === null) throw new FormatError("ERR_SSH_KEY", "not an OpenSSH public key line");
  const [, type = "", base64 = "", comment = ""] = match;
  return { publicKey: parseBlob(type, decode(base64)), comment: comment.trim() };
}

/**
 * The line of a key, without a line break.
 *
 * @throws UnsupportedError `ERR_KEY_FORMAT`: OpenSSH has no form for X25519 keys.
 */
export function formatSshLine(publicKey: PublicKey, comment = ""): string {
  const { type, blob } = wireKey(publicKey);
  return `${type} ${toBase64(blob)}${comment === "" ? "" : ` ${comment}`}`;
}

/** What the line has in base64, as SSH hashes it. Throws as `formatSshLine`. */
export function sshBlob(publicKey: PublicKey): Uint8Array {
  return wireKey(publicKey).blob;
}

// ── The blob ──

function wireKey(publicKey: PublicKey): { type: string; blob: Uint8Array } {
  const { type, fields } = wireFields(publicKey);
  return { type, blob: concatAll([ascii(type), ...fields].map((field) => wireString(field))) };
}

function parseBlob(type: string, blob: Uint8Array): PublicKey {
  const curve = EC_CURVES.find((name) => type === `ecdsa-sha2-${CURVES[name].ssh}`);
  if (curve === undefined && type !== RSA && type !== ED25519) throw unsupportedType(type);

  const cursor = new Cursor(blob, "OpenSSH key");
  const string = () => cursor.take(cursor.u32());
  requireText(string(), type, "type");
  if (type === RSA) {
    const exponent = unsignedMpint(string());
    const modulus = unsignedMpint(string());
    cursor.end();
    return publicKeyFromRsa(modulus, exponent);
  }
  // RFC 5656 §3.1: the curve's name again, then the point.
  if (curve !== undefined) requireText(string(), CURVES[curve].ssh, "curve");
  const point = string();
  cursor.end();
  return curve === undefined ? publicKeyFromEd25519(point) : publicKeyFromEcPoint(curve, point);
}

function wireFields(publicKey: PublicKey): { type: string; fields: Uint8Array[] } {
  switch (publicKey.type) {
    case "rsa": {
      const { modulus, exponent } = rsaNumbers(publicKey);
      return { type: RSA, fields: [mpint(exponent), mpint(modulus)] };
    }
    case "ec": {
      const curve = CURVES[publicKey.curve].ssh;
      return { type: `ecdsa-sha2-${curve}`, fields: [ascii(curve), publicKey.point] };
    }
    case "ed25519":
      // RFC 8410 §4: the bare 32 bytes are the end of the SubjectPublicKeyInfo.
      return { type: ED25519, fields: [publicKey.spki.slice(-32)] };
    case "x25519":
      throw new UnsupportedError("ERR_KEY_FORMAT", "OpenSSH has no form for X25519 keys", {
        hint: "export it as PEM, DER or JWK",
      });
    case "hybrid":
      throw new UnsupportedError("ERR_KEY_FORMAT", "OpenSSH has no form for hybrid keys", {
        hint: "export it as PEM or DER",
      });
  }
}

/** RFC 4251 §5: two's complement, big-endian, no needless bytes; ours are never negative. */
function unsignedMpint(bytes: Uint8Array): Uint8Array {
  const [first, second = 0] = bytes;
  if (first !== undefined && (first & 0x80) !== 0) {
    throw new FormatError("ERR_SSH_KEY", "OpenSSH key has a negative number");
  }
  if (first === 0 && (second & 0x80) === 0) {
    throw new FormatError("ERR_SSH_KEY", "OpenSSH key has a number with needless zeros");
  }
  return withoutLeadingZeros(bytes);
}

function mpint(value: Uint8Array): Uint8Array {
  return ((value[0] ?? 0) & 0x80) === 0 ? value : concat(Uint8Array.of(0), value);
}

function wireString(bytes: Uint8Array): Uint8Array {
  return concat(u32(bytes.length), bytes);
}

function requireText(found: Uint8Array, wanted: string, what: string): void {
  if (Buffer.from(found).toString("latin1") === wanted) return;
  throw new FormatError("ERR_SSH_KEY", `OpenSSH key does not contain the ${what} ${wanted}`);
}

function decode(base64: string): Uint8Array {
  try {
    return fromBase64(base64);
  } catch {
    throw new FormatError("ERR_SSH_KEY", "OpenSSH key is not canonical base64");
  }
}

function unsupportedType(type: string): UnsupportedError | FormatError {
  if (!looksLikeSsh(`${type} `)) {
    return new FormatError("ERR_SSH_KEY", "not an OpenSSH public key line");
  }
  if (type.includes("-cert-v")) {
    return new UnsupportedError("ERR_KEY_TYPE", `OpenSSH certificate (${type}), not a plain key`, {
      hint: "give the key that it certifies: the file whose name lacks -cert",
    });
  }
  if (type.startsWith("sk-")) {
    return new UnsupportedError("ERR_KEY_TYPE", `OpenSSH key of type ${type} can only sign`, {
      hint: "a FIDO key can only sign; ask for a key that can receive",
    });
  }
  return new UnsupportedError("ERR_KEY_TYPE", `OpenSSH keys of type ${type} are not supported`);
}

const RSA = "ssh-rsa";
const ED25519 = "ssh-ed25519";
