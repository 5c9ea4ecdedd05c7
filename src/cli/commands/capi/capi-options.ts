/** Options that several `capi` commands share. */
import type { OptionSpec } from "../../arguments/syntax.js";
import { force, general, jsonErrors, tokenAccess } from "../shared-options.js";

export const ALGORITHM_NAMES = [
  "aes256",
  "aes192",
  "aes128",
  "3des",
  "3des112",
  "des",
  "rc2",
  "rc4",
] as const;

/** Options of every command that uses a key and writes a file. */
export const common = {
  ...force,
  ...tokenAccess,
  ...jsonErrors,
  ...general,
} satisfies Record<string, OptionSpec>;

export const identity = {
  alias: "i",
  type: "string",
  describe: "Your exchange key: pkcs11: URI, or private key file",
} as const satisfies OptionSpec;

export const ownKey = {
  identity: { ...identity, required: true },
} satisfies Record<string, OptionSpec>;

export const oaep = {
  oaep: { type: "boolean", describe: "CRYPT_OAEP: the key is padded with OAEP over SHA-1" },
} satisfies Record<string, OptionSpec>;

export const allowWeak = {
  "allow-weak": { type: "boolean", describe: "Accept weak ciphers, ECB, and RSA below 2,048 bits" },
} satisfies Record<string, OptionSpec>;

export const allowWeakKeys = {
  "allow-weak": { type: "boolean", describe: "Accept RSA keys below 2,048 bits" },
} satisfies Record<string, OptionSpec>;

export const algorithm = {
  algorithm: {
    type: "string",
    choices: ALGORITHM_NAMES,
    default: "aes256",
    describe: "The session key's cipher; all but AES need --allow-weak",
  },
  "key-bits": { type: "string", describe: "RC2, RC4: length of the key, 40 to 128 (default: 128)" },
} satisfies Record<string, OptionSpec>;

/** Parameters of a message that no blob contains. */
export const cipher = {
  mode: {
    type: "string",
    choices: ["cbc", "ecb", "cfb"],
    describe: "KP_MODE of a block cipher (default: cbc)",
  },
  iv: { type: "string", describe: "KP_IV in hex, one block (default: zeros)" },
  "no-salt": { type: "boolean", describe: "CRYPT_NO_SALT: a 40-bit key without its zero salt" },
  salt: { type: "string", describe: "RC2, RC4: KP_SALT_EX in hex" },
  "effective-bits": { type: "string", describe: "RC2: KP_EFFECTIVE_KEYLEN (default: the key's)" },
} satisfies Record<string, OptionSpec>;

/** How a signature is made, which its bytes don't show. */
export const signatureForm = {
  hash: {
    type: "string",
    choices: ["sha256", "sha384", "sha512", "sha1", "md5"],
    default: "sha256",
    describe: "The hash that is signed; sha1 and md5 only for checking signatures",
  },
  description: { type: "string", describe: "sDescription: text that is hashed after the data" },
  "no-hash-oid": { type: "boolean", describe: "CRYPT_NOHASHOID: without naming the hash" },
} satisfies Record<string, OptionSpec>;

export const signer = {
  type: "string",
  names: { of: "senders", orFile: true },
  describe: "The signer's public key: PUBLICKEYBLOB, key file, certificate, or known sender",
} as const satisfies OptionSpec;

export const unauthenticated = {
  "allow-unauthenticated": {
    type: "boolean",
    describe: "Accept what nobody signed: it may be altered, and from anyone",
  },
} satisfies Record<string, OptionSpec>;
