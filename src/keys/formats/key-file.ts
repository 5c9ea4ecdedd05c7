/**
 * Files that hold one public key, in every common form: PEM and DER SubjectPublicKeyInfo, PKCS#1,
 * X.509 certificates, JWK, OpenSSH lines, CryptoAPI's PUBLICKEYBLOB.
 *
 * Reading detects the form by the bytes, never by the file's name. Writing is the inverse. A file
 * with an RSA key may hold the *OAEP record* too: which hash the holder's token can really unwrap
 * with. In PEM it is a line of text before the block (`p11seal-oaep: sha1`), which other tools
 * ignore; in a JWK it is `alg`; in an OpenSSH line it is a word of the comment
 * (`p11seal-oaep=sha1`). DER and a PUBLICKEYBLOB have no room for it.
 *
 * What a key is for is recorded in the same places: `p11seal-use: sign` or `exchange` in PEM,
 * `p11seal-use=sign` in an OpenSSH line, `use` in a JWK, the algorithm in a PUBLICKEYBLOB.
 */
import { ascii } from "../../bytes.js";
import { FormatError, UnsupportedError, UsageError } from "../../errors.js";
import { blobKind, encodePublicKeyBlob, parsePublicKeyBlob, signatureBlob } from "./capi-blob.js";
import { parseCertificate } from "./certificate.js";
import { DerReader, TAG } from "./der.js";
import { formatJwk, parseJwk } from "./jwk.js";
import type { ExchangePublicKey, OaepHash, PublicKey } from "../key.js";
import { formatPem, looksLikePem, parsePem, type PemBlock } from "./pem.js";
import { publicKeyFromFileSpki, publicKeyFromPkcs1, requireExchange } from "../public-key.js";
import { naming, privateKeyAsRecipient, signingKeyAsRecipient } from "../refusals.js";
import { formatSshLine, looksLikeSsh, parseSshLine } from "./ssh.js";

export interface KeyFile {
  readonly publicKey: PublicKey;
  /** The OAEP record; only with an RSA key. */
  readonly oaep?: OaepHash;
  /** Facts for the sender, in lower case: a certificate has expired, a key is for signatures. */
  readonly warnings: readonly string[];
  /** A PUBLICKEYBLOB of a signature key (CALG_RSA_SIGN). `requireRecipient` refuses it. */
  readonly signOnly?: true;
  /**
   * What the key is for, as its holder's p11seal recorded it. `requireRecipient` refuses `sign`.
   */
  readonly use?: "exchange" | "sign";
}

export type PublicKeyFormat = "pem" | "der" | "jwk" | "ssh" | "capi";

/** Largest key file, bytes. */
export const MAX_KEY_FILE_BYTES = 65_536;

/**
 * The one public key in a file's bytes. `requireRecipient` decides whether it may be sealed to.
 *
 * @param name - names the file in messages.
 * @param options - `now`: the time at which certificates are judged, by default the clock's.
 * @throws FormatError `ERR_KEY_FORMAT`, `ERR_KEY_FILE_SIZE`, `ERR_PEM`, `ERR_JWK`, `ERR_SSH_KEY`,
 *   `ERR_CERTIFICATE`, `ERR_BLOB`, `ERR_OAEP_RECORD`, those of `publicKeyFromSpki`, and for a
 *   private key `ERR_PRIVATE_KEY_AS_RECIPIENT`.
 * @throws UnsupportedError `ERR_KEY_TYPE`, `ERR_KEY_SIZE`, `ERR_KEY_FORMAT`.
 */
export function parsePublicKey(
  bytes: Uint8Array,
  name: string,
  options: { now?: Date } = {},
): KeyFile {
  return naming(name, () => parse(bytes, options.now ?? new Date()));
}

/**
 * The file's key, if a message may be sealed to it.
 *
 * @param options - `allowSigning`: also to a key that is recorded as one for signatures.
 * @throws UnsupportedError `ERR_SIGN_ONLY`; PolicyError `ERR_SIGNING_KEY_AS_RECIPIENT`; otherwise
 *   as `requireExchange`.
 */
export function requireRecipient(
  { publicKey, signOnly, use }: KeyFile,
  options: { allowWeak?: boolean; allowSigning?: boolean } = {},
): ExchangePublicKey {
  if (signOnly === true) throw signatureBlob();
  if (use === "sign" && publicKey.type !== "ed25519" && options.allowSigning !== true) {
    throw signingKeyAsRecipient("the key is recorded as one for signatures");
  }
  return requireExchange(publicKey, options);
}

/**
 * The bytes of a file with this key. `comment` is for people (PEM, OpenSSH); `oaep` is the OAEP
 * record. DER and a PUBLICKEYBLOB hold neither, a JWK holds no comment. `signOnly` records what the
 * key is for: signatures if true, exchange if false. Without it PEM and OpenSSH lines say nothing
 * of that, and a PUBLICKEYBLOB says exchange (CALG_RSA_KEYX). DER never says.
 *
 * @throws UsageError `ERR_COMMENT`: a comment of more than one line; `ERR_OAEP_RECORD`: a record
 *   with a key that is not RSA.
 * @throws UnsupportedError `ERR_KEY_FORMAT`: OpenSSH has no form for X25519, CryptoAPI only for
 *   RSA; `ERR_KEY_SIZE`: no room in a PUBLICKEYBLOB.
 */
export function formatPublicKey(
  publicKey: PublicKey,
  format: PublicKeyFormat,
  options: { oaep?: OaepHash; comment?: string; signOnly?: boolean } = {},
): Uint8Array {
  const { oaep, signOnly } = options;
  const use = signOnly === undefined ? undefined : signOnly ? "sign" : "exchange";
  const comment = checkedComment(options.comment ?? "");
  if (oaep !== undefined && publicKey.type !== "rsa") {
    throw new UsageError("ERR_OAEP_RECORD", "an OAEP record with a key that is not RSA");
  }
  switch (format) {
    case "pem": {
      const before = [
        ...(comment === "" ? [] : [`# ${comment}`]),
        ...(oaep === undefined ? [] : [`${RECORD}: ${oaep}`]),
        ...(use === undefined ? [] : [`${USE_RECORD}: ${use}`]),
      ];
      return ascii(formatPem("PUBLIC KEY", publicKey.spki, before));
    }
    case "der":
      return publicKey.spki.slice();
    case "jwk":
      return ascii(`${formatJwk(publicKey, oaep, signOnly)}\n`);
    case "ssh": {
      const words = [
        comment,
        oaep === undefined ? "" : `${RECORD}=${oaep}`,
        use === undefined ? "" : `${USE_RECORD}=${use}`,
      ];
      const line = formatSshLine(publicKey, words.filter((word) => word !== "").join(" "));
      return ascii(`${line}\n`);
    }
    case "capi":
      if (publicKey.type !== "rsa") {
        throw new UnsupportedError("ERR_KEY_FORMAT", "a PUBLICKEYBLOB holds RSA keys only");
      }
      return encodePublicKeyBlob({
        use: options.signOnly === true ? "signature" : "exchange",
        publicKey,
      });
  }
}

// ── Telling the forms apart ──

function parse(bytes: Uint8Array, now: Date): KeyFile {
  if (bytes.length > MAX_KEY_FILE_BYTES) {
    throw new FormatError("ERR_KEY_FILE_SIZE", `more than ${MAX_KEY_FILE_BYTES} bytes`, {
      hint: "a public key is smaller than that; this is another kind of file",
    });
  }
  if (looksLikeDer(bytes)) return fromDer(bytes, now);
  if (blobKind(bytes) !== undefined) return fromBlob(bytes);
  const text = new TextDecoder("utf-8").decode(bytes);
  if (looksLikePem(text)) return fromPem(text, now);
  const trimmed = text.trim();
  if (trimmed.startsWith("{")) return fromJwk(trimmed);
  if (looksLikeSsh(trimmed)) return fromSsh(trimmed);
  throw unknownForm(bytes);
}

/**
 * A SEQUENCE whose length is long-form, or short and exactly the rest. No text starts like that.
 */
function looksLikeDer(bytes: Uint8Array): boolean {
  const [tag, length = 0] = bytes;
  return tag === TAG.sequence && (length >= 0x80 || bytes.length === 2 + length);
}

function fromDer(bytes: Uint8Array, now: Date): KeyFile {
  const file = new DerReader(bytes, "DER file");
  const outer = file.sequence();
  file.end();
  if (outer.peek() === TAG.integer) {
    // PKCS#1's public key starts with its modulus; all private forms and PKCS#12 start with a
    // version.
    if (outer.unsigned().length < 2) throw privateKeyAsRecipient("this DER file");
    return keyFile(publicKeyFromPkcs1(bytes));
  }
  if (outer.peek() !== TAG.sequence) throw unknownForm(bytes);
  outer.skip();
  const second = outer.peek();
  if (second === TAG.bitString) return keyFile(publicKeyFromFileSpki(bytes));
  if (second === TAG.sequence) return parseCertificate(bytes, now);
  // EncryptedPrivateKeyInfo, RFC 5958 §3.
  if (second === TAG.octetString) throw privateKeyAsRecipient("this DER file");
  throw unknownForm(bytes);
}

function fromBlob(bytes: Uint8Array): KeyFile {
  const { use, publicKey } = parsePublicKeyBlob(bytes);
  return use === "signature" ? { ...keyFile(publicKey), signOnly: true } : keyFile(publicKey);
}

function fromPem(text: string, now: Date): KeyFile {
  const blocks = parsePem(text);
  if (blocks.some(({ label }) => label.endsWith("PRIVATE KEY"))) {
    throw privateKeyAsRecipient("this PEM file");
  }
  const [block] = blocks;
  if (block === undefined || blocks.length > 1) {
    throw new FormatError("ERR_PEM", `${blocks.length} PEM blocks instead of one key`, {
      hint: "give the recipient's key or certificate alone, without its chain",
    });
  }
  if (block.hasHeaders) throw new FormatError("ERR_PEM", `PEM block ${block.label} has headers`);
  const found = fromBlock(block, now);
  const records = block.before.flatMap((line) => PEM_RECORD.exec(line)?.[1] ?? []);
  const uses = block.before.flatMap((line) => PEM_USE.exec(line)?.[1] ?? []);
  return withUse(keyFile(found.publicKey, records, found.warnings), uses);
}

function fromBlock({ label, bytes }: PemBlock, now: Date): KeyFile {
  switch (label) {
    case "PUBLIC KEY":
      return keyFile(publicKeyFromFileSpki(bytes));
    case "RSA PUBLIC KEY":
      return keyFile(publicKeyFromPkcs1(bytes));
    case "CERTIFICATE":
    case "X509 CERTIFICATE":
      return parseCertificate(bytes, now);
    default:
      throw new UnsupportedError("ERR_KEY_FORMAT", `PEM block ${label} is not a public key`, {
        hint: FORMS,
      });
  }
}

function fromJwk(text: string): KeyFile {
  const { publicKey, oaep, signOnly } = parseJwk(text);
  const warnings =
    signOnly && publicKey.type !== "ed25519" ? ["the JWK says its key is for signatures"] : [];
  return oaep === undefined ? { publicKey, warnings } : { publicKey, oaep, warnings };
}

function fromSsh(text: string): KeyFile {
  if (/[\r\n]/.test(text)) {
    throw new FormatError("ERR_SSH_KEY", "more than one line instead of one OpenSSH key");
  }
  const { publicKey, comment } = parseSshLine(text);
  const words = comment.split(/\s+/);
  const records = words.flatMap((word) => SSH_RECORD.exec(word)?.[1] ?? []);
  const uses = words.flatMap((word) => SSH_USE.exec(word)?.[1] ?? []);
  return withUse(keyFile(publicKey, records), uses);
}

// ── The OAEP record, comments, messages ──

function keyFile(
  publicKey: PublicKey,
  records: readonly string[] = [],
  warnings: readonly string[] = [],
): KeyFile {
  const [record] = records;
  if (record === undefined) return { publicKey, warnings };
  const oaep = OAEP_HASHES.find((hash) => hash === record);
  if (oaep === undefined) {
    throw new FormatError(
      "ERR_OAEP_RECORD",
      `the OAEP record is not one of ${OAEP_HASHES.join(", ")}`,
    );
  }
  if (records.length > 1) throw new FormatError("ERR_OAEP_RECORD", "more than one OAEP record");
  if (publicKey.type !== "rsa") {
    throw new FormatError("ERR_OAEP_RECORD", "an OAEP record beside a key that is not RSA");
  }
  return { publicKey, oaep, warnings };
}

function withUse(file: KeyFile, records: readonly string[]): KeyFile {
  const [use] = records;
  if (use === undefined) return file;
  if (records.length > 1 || (use !== "sign" && use !== "exchange")) {
    throw new FormatError("ERR_USE_RECORD", "the record of the key's use is not exchange or sign");
  }
  return { ...file, use };
}

function checkedComment(comment: string): string {
  // A line break, or what looks like a record, would end the comment and start something else.
  if (
    /\p{Cc}|\p{Zl}|\p{Zp}/u.test(comment) ||
    [RECORD, USE_RECORD].some((record) => comment.includes(record))
  ) {
    throw new UsageError(
      "ERR_COMMENT",
      "the comment contains a control character, or looks like a record of ours",
    );
  }
  return comment.trim();
}

function unknownForm(bytes: Uint8Array): FormatError {
  if (bytes.length === 0) return new FormatError("ERR_KEY_FORMAT", "empty file", { hint: FORMS });
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    return new FormatError("ERR_KEY_FORMAT", "text in UTF-16", {
      hint: "PowerShell's '>' writes UTF-16; save the key as UTF-8 or ASCII",
    });
  }
  return new FormatError("ERR_KEY_FORMAT", "not a public key in any known form", { hint: FORMS });
}

const RECORD = "p11seal-oaep";
const PEM_RECORD = /^\s*p11seal-oaep\s*:\s*(.*?)\s*$/;
const USE_RECORD = "p11seal-use";
const PEM_USE = /^\s*p11seal-use\s*:\s*(.*?)\s*$/;
const SSH_USE = /^p11seal-use=(.*)$/;
const SSH_RECORD = /^p11seal-oaep=(.*)$/;

export const OAEP_HASHES = [
  "sha1",
  "sha256",
  "sha384",
  "sha512",
] as const satisfies readonly OaepHash[];

const FORMS =
  "known forms: PEM or DER public key, X.509 certificate, JWK, ssh-rsa or ecdsa-sha2 line, " +
  "CryptoAPI's PUBLICKEYBLOB.";
