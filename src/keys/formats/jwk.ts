/**
 * JSON Web Keys (RFC 7517; RFC 7518 §6 for RSA and EC, RFC 8037 §2 for X25519 and Ed25519),
 * public keys only. A JWK with private members is refused, so that nobody passes one on as a
 * recipient.
 */
import { createHash } from "node:crypto";
import { concat, toBase64Url } from "../../bytes.js";
import { defined } from "../../defined.js";
import { FormatError, UnsupportedError } from "../../errors.js";
import { privateKeyAsRecipient } from "../refusals.js";
import type { EcCurve, OaepHash, PublicKey } from "../key.js";
import {
  publicKeyFromEcPoint,
  publicKeyFromEd25519,
  publicKeyFromRsa,
  publicKeyFromX25519,
  rsaNumbers,
} from "../public-key.js";
import { CURVES, EC_CURVES } from "./spki.js";

export interface Jwk {
  readonly publicKey: PublicKey;
  /** What `alg` says of an RSA key: RSA-OAEP is SHA-1 (RFC 7518 §4.3). */
  readonly oaep?: OaepHash;
  /** True if `use`, `key_ops` or `alg` says that the key is for signatures. */
  readonly signOnly: boolean;
  /** Set if `use` says `enc`, or `key_ops` has no signatures. */
  readonly use?: "exchange";
}

/**
 * @throws FormatError `ERR_JWK`, and those of the numbers; `ERR_PRIVATE_KEY_AS_RECIPIENT`.
 * @throws UnsupportedError `ERR_KEY_TYPE`.
 */
export function parseJwk(text: string): Jwk {
  const members = parseObject(text);
  if (PRIVATE_MEMBERS.some((member) => Object.hasOwn(members, member))) {
    throw privateKeyAsRecipient("this JWK");
  }
  if (Object.hasOwn(members, "keys")) {
    throw new UnsupportedError("ERR_KEY_TYPE", "a JWK set, not a single JWK", {
      hint: "take the recipient's key out of the list under 'keys'",
    });
  }
  const publicKey = parseKey(members);
  const oaep = publicKey.type === "rsa" ? ALG_OAEP.get(optionalText(members, "alg")) : undefined;
  const signOnly = isForSignatures(members);
  const use = isForExchange(members) ? ("exchange" as const) : undefined;
  return { publicKey, signOnly, ...defined({ oaep, use }) };
}

/**
 * One line of JSON without a line break, with `use`, and with the thumbprint (RFC 7638) as `kid`.
 */
export function formatJwk(
  publicKey: PublicKey,
  oaep?: OaepHash,
  signOnly = publicKey.type === "ed25519",
): string {
  const required = requiredMembers(publicKey);
  const alg = [...ALG_OAEP].find(([, hash]) => hash === oaep)?.[0];
  return JSON.stringify({
    ...required,
    ...defined({ alg: oaep && alg }),
    use: signOnly ? "sig" : "enc",
    kid: thumbprint(required),
  });
}

// ── Members ──

type Members = Readonly<Record<string, unknown>>;

function parseObject(text: string): Members {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message would quote the text, which may be a private key.
    throw new FormatError("ERR_JWK", "not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError("ERR_JWK", "not a JSON object");
  }
  // .NET's JsonWebKey writes every member: those without a value as null, or as an empty list.
  const isAbsent = (member: unknown) =>
    member === null || (Array.isArray(member) && member.length === 0);
  return Object.fromEntries(Object.entries(value).filter(([, member]) => !isAbsent(member)));
}

function parseKey(members: Members): PublicKey {
  const kty = requiredText(members, "kty");
  switch (kty) {
    case "RSA": {
      const modulus = bytesOf(members, "n");
      const exponent = bytesOf(members, "e");
      // RFC 7518 §6.3.1: the fewest bytes that hold the number.
      if (modulus[0] === 0 || exponent[0] === 0) {
        throw new FormatError("ERR_JWK", "JWK has a number with leading zeros");
      }
      return publicKeyFromRsa(modulus, exponent);
    }
    case "EC": {
      const curve = EC_CURVES.find((name) => name === requiredText(members, "crv"));
      if (curve === undefined) throw unsupportedCurve(members);
      const point = [coordinate(members, "x", curve), coordinate(members, "y", curve)];
      return publicKeyFromEcPoint(curve, concat(Uint8Array.of(0x04), ...point));
    }
    case "OKP":
      switch (requiredText(members, "crv")) {
        case "X25519":
          return publicKeyFromX25519(bytesOf(members, "x"));
        case "Ed25519":
          return publicKeyFromEd25519(bytesOf(members, "x"));
        default:
          throw unsupportedCurve(members);
      }
    default:
      throw new UnsupportedError("ERR_KEY_TYPE", `unsupported JWK key type ${quoted(kty)}`);
  }
}

/** In alphabetical order, as RFC 7638 §3.3 hashes them. */
function requiredMembers(publicKey: PublicKey): Readonly<Record<string, string>> {
  switch (publicKey.type) {
    case "rsa": {
      const { modulus, exponent } = rsaNumbers(publicKey);
      return { e: toBase64Url(exponent), kty: "RSA", n: toBase64Url(modulus) };
    }
    case "ec": {
      const { curve, point } = publicKey;
      const middle = 1 + CURVES[curve].fieldBytes;
      const x = toBase64Url(point.subarray(1, middle));
      return { crv: curve, kty: "EC", x, y: toBase64Url(point.subarray(middle)) };
    }
    case "x25519":
      return { crv: "X25519", kty: "OKP", x: toBase64Url(publicKey.point) };
    case "ed25519":
      // RFC 8410 §4: the bare 32 bytes are the end of the SubjectPublicKeyInfo.
      return { crv: "Ed25519", kty: "OKP", x: toBase64Url(publicKey.spki.subarray(-32)) };
    case "hybrid":
      throw new UnsupportedError("ERR_KEY_FORMAT", "JWK has no form for hybrid keys", {
        hint: "export it as PEM or DER",
      });
  }
}

/** RFC 7638 §3: SHA-256 of the required members in alphabetical order, base64url. */
function thumbprint(required: Readonly<Record<string, string>>): string {
  return createHash("sha256").update(JSON.stringify(required)).digest("base64url");
}

/** RFC 7517 §4.2 to §4.4. */
function isForSignatures(members: Members): boolean {
  const operations = members["key_ops"];
  const receives = ["wrapKey", "encrypt", "deriveKey", "deriveBits"];
  return (
    members["use"] === "sig" ||
    (Array.isArray(operations) && !receives.some((name) => operations.includes(name))) ||
    /^(?:RS|PS|ES|HS)[0-9]|^EdDSA$|^Ed25519$/.test(optionalText(members, "alg"))
  );
}

function isForExchange(members: Members): boolean {
  const operations = members["key_ops"];
  const signs = Array.isArray(operations) ? operations.includes("verify") : undefined;
  return signs === undefined ? members["use"] === "enc" : !signs && !isForSignatures(members);
}

function coordinate(members: Members, name: "x" | "y", curve: EcCurve): Uint8Array {
  const bytes = bytesOf(members, name);
  const { fieldBytes } = CURVES[curve];
  // RFC 7518 §6.2.1.2: the full size of a coordinate, including leading zeros.
  if (bytes.length === fieldBytes) return bytes;
  throw new FormatError(
    "ERR_JWK",
    `JWK member '${name}' has ${bytes.length} bytes instead of ${fieldBytes}`,
  );
}

function bytesOf(members: Members, name: string): Uint8Array {
  const text = requiredText(members, name);
  const bytes = new Uint8Array(Buffer.from(text, "base64url"));
  if (toBase64Url(bytes) === text) return bytes;
  throw new FormatError("ERR_JWK", `JWK member '${name}' is not canonical base64url`);
}

function requiredText(members: Members, name: string): string {
  const value = Object.hasOwn(members, name) ? members[name] : undefined;
  if (typeof value === "string") return value;
  throw new FormatError("ERR_JWK", `JWK member '${name}' is not a string`);
}

function optionalText(members: Members, name: string): string {
  return Object.hasOwn(members, name) ? requiredText(members, name) : "";
}

function unsupportedCurve(members: Members): UnsupportedError {
  const curve = quoted(requiredText(members, "crv"));
  return new UnsupportedError("ERR_KEY_TYPE", `unsupported JWK curve ${curve}`);
}

/** A public name from the file, short and printable. */
function quoted(name: string): string {
  return /^[A-Za-z0-9._-]{1,40}$/.test(name) ? `'${name}'` : "of an unknown name";
}

/**
 * RFC 7518 §6.2.2, §6.3.2, §6.4; RFC 8037 §2. `k` is a symmetric key, as secret as the others.
 */
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

const ALG_OAEP: ReadonlyMap<string, OaepHash> = new Map([
  ["RSA-OAEP", "sha1"],
  ["RSA-OAEP-256", "sha256"],
  ["RSA-OAEP-384", "sha384"],
  ["RSA-OAEP-512", "sha512"],
]);
