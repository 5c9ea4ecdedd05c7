/**
 * Keys as age writes them (C2SP, "age", §"Native recipient types"), in Bech32:
 *
 *     age1…               X25519: 32 bytes
 *     age1tag1…           P-256, of a hardware key: a compressed point
 *     age1pq1…, age1tagpq1…   the same two with ML-KEM-768: its key, then the other
 *     AGE-SECRET-KEY-1…, AGE-SECRET-KEY-PQ-1…   private keys: 32 bytes
 * RSA keys are addressed by their OpenSSH line.
 */
import { concat } from "../../bytes.js";
import { FormatError, UnsupportedError } from "../../errors.js";
import type { HybridKem, PublicKey } from "../key.js";
import {
  compress,
  decompress,
  publicKeyFromEcPoint,
  publicKeyFromHybrid,
  publicKeyFromX25519,
} from "../public-key.js";
import { requireExchange } from "../recipient-strength.js";
import { naming } from "../refusals.js";
import { Secret } from "../../secret.js";
import { decodeBech32, encodeBech32 } from "./bech32.js";
import { formatSshLine } from "./ssh.js";

/** True if the text begins as a recipient does, of age's own or of a plugin's. */
export function looksLikeAgeRecipient(text: string): boolean {
  return /^age1[a-z0-9]{30,}$/.test(text);
}

/** The one recipient in the text of a file, besides `#` comments. */
export function ageRecipientIn(text: string): string | undefined {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const [recipient = "", ...more] = lines.filter((line) => line !== "" && !line.startsWith("#"));
  return looksLikeAgeRecipient(recipient) && more.length === 0 ? recipient : undefined;
}

/**
 * The key of an `age1…` recipient.
 *
 * @throws FormatError `ERR_BECH32`, `ERR_KEY`, `ERR_POINT`; UnsupportedError `ERR_KEY_TYPE`: of a
 *   plugin, or of a type that is not known
 */
export function parseAgeRecipient(text: string): PublicKey {
  const { prefix, bytes } = decodeBech32(text);
  switch (prefix) {
    case "age":
      return requireExchange(publicKeyFromX25519(bytes));
    case "age1tag":
      requireLength(bytes, 33);
      return publicKeyFromEcPoint("P-256", decompress("P-256", bytes));
    case "age1pq":
      return requireExchange(publicKeyFromHybrid("mlkem768-x25519", bytes));
    case "age1tagpq":
      return publicKeyFromHybrid("mlkem768-p256", bytes);
    default:
      throw unsupported(prefix);
  }
}

/**
 * How a sender with age addresses the key: `age1…`, `age1tag1…`, or an OpenSSH line.
 *
 * @throws UnsupportedError `ERR_KEY_TYPE`: age can't address such a key
 */
export function formatAgeRecipient(publicKey: PublicKey): string {
  switch (publicKey.type) {
    case "x25519":
      return encodeBech32("age", publicKey.point);
    case "rsa":
      return formatSshLine(publicKey);
    case "ec":
      if (publicKey.curve === "P-256") return encodeBech32("age1tag", compress(publicKey.point));
      throw notAddressable(publicKey);
    case "hybrid": {
      const prefix = HYBRIDS.get(publicKey.kem);
      if (prefix === undefined) throw notAddressable(publicKey);
      return encodeBech32(prefix, concat(publicKey.mlkem, publicKey.dh.point));
    }
    case "ed25519":
      throw notAddressable(publicKey);
  }
}

const HYBRIDS: ReadonlyMap<HybridKem, string> = new Map([
  ["mlkem768-x25519", "age1pq"],
  ["mlkem768-p256", "age1tagpq"],
]);

/** True if age files can be sealed to the key. */
export function isAgeAddressable(publicKey: PublicKey): boolean {
  if (publicKey.type === "ec") return publicKey.curve === "P-256";
  if (publicKey.type === "hybrid") return HYBRIDS.has(publicKey.kem);
  return publicKey.type !== "ed25519";
}

/** The error for a key that no age file can be sealed to. */
export function notAddressable(publicKey: PublicKey): UnsupportedError {
  const kind =
    publicKey.type === "ec"
      ? publicKey.curve
      : publicKey.type === "hybrid"
        ? publicKey.kem
        : publicKey.type;
  return new UnsupportedError("ERR_KEY_TYPE", `age can't address a key of type ${kind}`, {
    hint: "age takes X25519, P-256, RSA and MLKEM768-P256 keys; p11seal's own format, every exchange key",
  });
}

/** A private key of age's, 32 bytes. */
export interface AgeSecretKey {
  readonly type: "x25519" | "mlkem768-x25519";
  /** The caller's to wipe. */
  readonly secret: Secret;
  /** Its line in the file, from 1. */
  readonly line: number;
}

/** True if a file is one of identities that age-keygen or a plugin wrote. */
export function looksLikeAgeIdentities(text: string): boolean {
  const lines = text.split("\n").map((line) => line.trim());
  const first = lines.find((line) => line !== "" && !line.startsWith("#")) ?? "";
  return /^AGE-(?:SECRET-KEY|PLUGIN)-/i.test(first);
}

/**
 * The keys of an age identity file: one a line, and `#` comments.
 *
 * @param name - the file's name in messages; public
 * @throws FormatError `ERR_PRIVATE_KEY`, `ERR_BECH32`; UnsupportedError `ERR_KEY_TYPE`
 */
export function parseAgeIdentities(text: string, name: string): AgeSecretKey[] {
  return text.split(/\r?\n/).flatMap((written, index) => {
    const trimmed = written.trim();
    if (trimmed === "" || trimmed.startsWith("#")) return [];
    const line = index + 1;
    return [{ ...naming(`${name}:${line}`, () => parseAgeIdentity(trimmed)), line }];
  });
}

/** @throws as `parseAgeIdentities` */
function parseAgeIdentity(text: string): Omit<AgeSecretKey, "line"> {
  // Before the checksum: what a plugin puts there is its own affair.
  if (/^AGE-PLUGIN-/i.test(text)) {
    throw new UnsupportedError("ERR_KEY_TYPE", "an identity of an age plugin", {
      hint: "give the token's key itself, as a pkcs11: URI",
    });
  }
  const { prefix, bytes } = decodeBech32(text);
  const type = SECRETS.get(prefix);
  if (type === undefined || bytes.length !== 32) bytes.fill(0);
  if (type === undefined) {
    throw new UnsupportedError("ERR_KEY_TYPE", "not an age identity of a known type");
  }
  requireLength(bytes, 32);
  return { type, secret: new Secret(bytes) };
}

const SECRETS: ReadonlyMap<string, AgeSecretKey["type"]> = new Map([
  ["AGE-SECRET-KEY-", "x25519"],
  ["AGE-SECRET-KEY-PQ-", "mlkem768-x25519"],
]);

function requireLength(bytes: Uint8Array, length: number): void {
  if (bytes.length === length) return;
  throw new FormatError("ERR_KEY", `age key has ${bytes.length} bytes instead of ${length}`);
}

function unsupported(prefix: string): UnsupportedError {
  const plugin = /^age1([a-z0-9]{1,32})$/.exec(prefix)?.[1];
  if (plugin === undefined) return new UnsupportedError("ERR_KEY_TYPE", "not an age recipient");
  return new UnsupportedError("ERR_KEY_TYPE", `a recipient of the age plugin "${plugin}"`, {
    hint: "ask for an age1…, age1tag1… or ssh-rsa recipient, or for the key in PEM",
  });
}
