/**
 * Private key files: one key in PEM, as PKCS#8 (encrypted or not), PKCS#1, SEC 1 or OpenSSH's own
 * form. The content is secret: no message quotes any of it, and no OpenSSL error is passed on as a
 * cause.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { equal, toHex } from "../../bytes.js";
import { FormatError, P11SealError, TokenError, UnsupportedError } from "../../errors.js";
import { DerReader, TAG } from "../../asn1/der.js";
import { foreignPrivate, foreignPrivateBlock } from "./foreign-private.js";
import type { SinglePublicKey } from "../key.js";
import { OPENSSH_LABEL, parseOpenSshPrivate } from "./openssh-private.js";
import { parsePem, type PemBlock } from "../../asn1/pem.js";
import { keyInSpki, publicKeyFromFileSpki } from "../public-key.js";
import { naming } from "../refusals.js";
import { parseX509 } from "../../x509/certificate.js";

/**
 * The private key in a file, and its public key.
 *
 * @param pem - the file: one private key.
 * @param name - names the file in messages; public.
 * @param passphrase - for encrypted PKCS#8; `needsPassphrase` says whether to ask for one.
 * @throws FormatError `ERR_PRIVATE_KEY`: not one private key in PEM, or damaged.
 * @throws UnsupportedError `ERR_KEY_FORMAT`, `ERR_KEY_TYPE`, `ERR_KEY_SIZE`.
 * @throws TokenError `ERR_PASSPHRASE`: missing, or the file doesn't decrypt with it.
 */
export function readPrivateKey(
  pem: Uint8Array | string,
  name: string,
  passphrase?: Uint8Array | string,
): {
  readonly key: KeyObject;
  readonly publicKey: SinglePublicKey;
  /** The key's certificates that stand beside it in the file, DER; those of others are left out. */
  readonly certificates: readonly Uint8Array[];
} {
  const key = privateKeyOf(privateBlock(pem, name), name, passphrase);
  const publicKey = namedPublicHalf(key, name);
  return { key, publicKey, certificates: certificatesOf(publicKey, pem, name) };
}

/** What can't be read is no certificate of the key; the private key is good all the same. */
function certificatesOf(
  publicKey: SinglePublicKey,
  pem: Uint8Array | string,
  name: string,
): Uint8Array[] {
  const blocks = parseBlocks(textOf(pem), name).filter(({ label }) => CERTIFICATES.has(label));
  return blocks.flatMap(({ bytes }) => {
    try {
      const { fingerprint } = keyInSpki(parseX509(bytes).spki).publicKey;
      return equal(fingerprint, publicKey.fingerprint) ? [bytes] : [];
    } catch (error) {
      if (error instanceof P11SealError) return [];
      throw error;
    }
  });
}

/** True if the file is encrypted PKCS#8. Throws as `readPrivateKey`. */
export function needsPassphrase(pem: Uint8Array | string, name: string): boolean {
  return privateBlock(pem, name).label === ENCRYPTED;
}

function privateBlock(pem: Uint8Array | string, name: string): PemBlock {
  const text = textOf(pem);
  if (text.length > MAX_FILE_LENGTH) {
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: too large to be a private key`);
  }
  const all = parseBlocks(text, name);
  const keys = all.filter(({ label }) => !BESIDE_THE_KEY.has(label));
  // A certificate alone is what was meant for the key.
  const blocks = keys.length === 0 && all.length === 1 ? all : keys;
  const [block] = blocks;
  if (block === undefined) {
    const foreign = typeof pem === "string" ? undefined : foreignPrivate(pem, name);
    if (foreign !== undefined) throw foreign;
  }
  if (block === undefined || blocks.length > 1) {
    throw new FormatError(
      "ERR_PRIVATE_KEY",
      `${name}: ${blocks.length} PEM blocks instead of one private key`,
    );
  }
  if (block.hasHeaders) throw oldEncryption("PEM's old encryption is", name);
  if (block.label === OPENSSH_LABEL) return block;
  if (!DER_TYPES.has(block.label)) throw foreignPrivateBlock(block.label, name);
  requireForm(block, name);
  if (block.label === ENCRYPTED) requireNewerCipher(block, name);
  return block;
}

function textOf(pem: Uint8Array | string): string {
  return typeof pem === "string" ? pem : new TextDecoder("utf-8").decode(pem);
}

function parseBlocks(text: string, name: string): PemBlock[] {
  try {
    return parsePem(text);
  } catch {
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: damaged PEM`);
  }
}

function privateKeyOf(
  { label, bytes }: PemBlock,
  name: string,
  passphrase: Uint8Array | string | undefined,
): KeyObject {
  if (label === OPENSSH_LABEL) return naming(name, () => parseOpenSshPrivate(bytes));
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const type = typeOf(label);
  if (label !== ENCRYPTED) {
    try {
      return createPrivateKey({ key, format: "der", type });
    } catch {
      throw new FormatError("ERR_PRIVATE_KEY", `${name}: damaged or unknown private key`);
    }
  }
  if (passphrase === undefined) {
    throw new TokenError("ERR_PASSPHRASE", `${name}: private key is encrypted`, {
      hint: "give its passphrase",
    });
  }
  try {
    const secret = typeof passphrase === "string" ? passphrase : Buffer.from(passphrase);
    return createPrivateKey({ key, format: "der", type, passphrase: secret });
  } catch (error) {
    // `ERR_OSSL_EVP_UNSUPPORTED`, `…_UNKNOWN_PBE_ALGORITHM` and others: no passphrase would do.
    const { code = "" } = error as { code?: string };
    if (/^ERR_OSSL_EVP_UN(?:SUPPORTED|KNOWN)/.test(code)) throw unknownEncryption(name);
    throw new TokenError("ERR_PASSPHRASE", `${name}: private key doesn't decrypt`, {
      hint: "the passphrase is wrong, or the file is damaged",
    });
  }
}

/** The public half of a private key. Throws as `publicKeyFromFileSpki`. */
export function publicHalfOf(key: KeyObject): SinglePublicKey {
  // `createPublicKey` of a private key gives its public key.
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  const publicKey = publicKeyFromFileSpki(new Uint8Array(spki));
  if (publicKey.type === "hybrid") throw new TypeError("OpenSSL has no hybrid keys");
  return publicKey;
}

function namedPublicHalf(key: KeyObject, name: string): SinglePublicKey {
  try {
    return naming(name, () => publicHalfOf(key));
  } catch (error) {
    if (error instanceof UnsupportedError) throw error;
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: not a usable private key`);
  }
}

/** Requires one value of the form that the label names; newer OpenSSL versions don't check that. */
function requireForm({ label, bytes }: Pick<PemBlock, "label" | "bytes">, name: string): void {
  try {
    const reader = new DerReader(bytes, "private key");
    const fields = reader.sequence();
    reader.end();
    if (label !== ENCRYPTED) fields.read(TAG.integer); // The version.
    fields.read(AFTER_VERSION[typeOf(label)]);
  } catch {
    throw new FormatError(
      "ERR_PRIVATE_KEY",
      `${name}: damaged private key, or not of the kind that its label says`,
    );
  }
}

/** Refuses ciphers that OpenSSL has put aside, before anybody is asked for a passphrase. */
function requireNewerCipher({ bytes }: PemBlock, name: string): void {
  let oids: string[];
  try {
    const scheme = new DerReader(bytes, "private key").sequence().sequence();
    oids = [toHex(scheme.read(TAG.oid))];
    if (oids[0] === PBES2) {
      const parameters = scheme.sequence();
      parameters.sequence(); // The key derivation.
      oids.push(toHex(parameters.sequence().read(TAG.oid)));
    }
  } catch {
    return; // OpenSSL says what is wrong with it.
  }
  const cipher = oids.map(oldCipher).find((old) => old !== undefined);
  if (cipher !== undefined) throw oldEncryption(`encryption with ${cipher} is`, name);
}

/** RFC 8018 A.4. */
const PBES2 = "2a864886f70d01050d";

/** Beginnings of OIDs, in the hexadecimal digits of their DER content, with what they stand for. */
const OLD_CIPHERS: readonly (readonly [start: string, ends: readonly string[], cipher: string])[] =
  [
    // PKCS#5 and PKCS#12: a password's scheme with its cipher (RFC 8018 A.3, RFC 7292 appendix C).
    ["2a864886f70d0105", ["01", "03", "0a"], "DES"],
    ["2a864886f70d0105", ["04", "06", "0b"], "RC2"],
    ["2a864886f70d010c01", ["01", "02"], "RC4"],
    ["2a864886f70d010c01", ["05", "06"], "RC2"],
    ["2a864886f67d0742", ["0c"], "CAST5"],
    // PBES2's ciphers: RFC 8018 B.2, and those that OpenSSL and Bouncy Castle write.
    ["2b0e0302", ["06", "07", "08", "09"], "DES"],
    ["2a864886f70d03", ["02", "03"], "RC2"],
    ["2a864886f70d03", ["04"], "RC4"],
    ["2a864886f70d03", ["08", "09"], "RC5"],
    ["2b06010401975501", ["01", "02", "03", "04"], "Blowfish"], // cryptlib's numbers
    ["2a864886f67d0742", ["0a"], "CAST5"], // RFC 2984
    ["2a831a8c9a4401", ["03", "04", "05", "06"], "SEED"], // RFC 4269
    ["2b06010401813c070101", ["01", "02", "03", "04"], "IDEA"],
  ];

function oldCipher(oid: string): string | undefined {
  return OLD_CIPHERS.find(([start, ends]) => ends.some((end) => oid === start + end))?.[2];
}

function oldEncryption(what: string, name: string): UnsupportedError {
  return new UnsupportedError("ERR_KEY_FORMAT", `${name}: ${what} not supported`, {
    hint: "it is no protection today; convert with: openssl pkcs8 -topk8 -provider default -provider legacy -in OLD -out NEW",
  });
}

function unknownEncryption(name: string): UnsupportedError {
  return new UnsupportedError("ERR_KEY_FORMAT", `${name}: encrypted in a way that OpenSSL lacks`, {
    hint: "write it again with the program that made it, as PKCS#8 with AES-256 and PBKDF2",
  });
}

/**
 * `openssl ecparam -genkey` writes the curve's name before the key. HAProxy, stunnel and
 * `openssl pkcs12` keep a key in one file with its certificates, and with a server's DH parameters.
 */
const CERTIFICATES: ReadonlySet<string> = new Set(["CERTIFICATE", "X509 CERTIFICATE"]);
const BESIDE_THE_KEY: ReadonlySet<string> = new Set([
  ...CERTIFICATES,
  ...["EC PARAMETERS", "DH PARAMETERS", "TRUSTED CERTIFICATE"],
]);

const MAX_FILE_LENGTH = 65_536;

/** RFC 5958 §3. */
const ENCRYPTED = "ENCRYPTED PRIVATE KEY";

type DerType = "pkcs8" | "pkcs1" | "sec1";

function typeOf(label: string): DerType {
  return DER_TYPES.get(label) ?? "pkcs8";
}

/**
 * RFC 5958 §2 and §3: the algorithm; RFC 8017 A.1.2: the modulus; RFC 5915 §3: the private key.
 */
const AFTER_VERSION: Readonly<Record<DerType, number>> = {
  pkcs8: TAG.sequence,
  pkcs1: TAG.integer,
  sec1: TAG.octetString,
};

const DER_TYPES: ReadonlyMap<string, DerType> = new Map([
  ["PRIVATE KEY", "pkcs8"],
  ["ENCRYPTED PRIVATE KEY", "pkcs8"],
  ["RSA PRIVATE KEY", "pkcs1"],
  ["EC PRIVATE KEY", "sec1"],
]);
