/**
 * Files that hold one public key, in every common form: PEM and DER SubjectPublicKeyInfo, PKCS#1,
 * X.509 certificates, JWK, OpenSSH lines, age recipients, CryptoAPI's PUBLICKEYBLOB, and the forms
 * of .NET and CNG.
 *
 * Reading detects the form by the bytes, never by the file's name. Writing is the inverse. PEM and
 * OpenSSH lines hold the records of `key-records.ts` too. A JWK has the OAEP hash in `alg` and what
 * the key is for in `use`; a PUBLICKEYBLOB says the latter by its algorithm; DER holds neither.
 */
import { ascii, equal, fromBase64, looksLikeUtf16 } from "../../bytes.js";
import { defined } from "../../defined.js";
import { FormatError, UnsupportedError, UsageError } from "../../errors.js";
import { ageRecipientIn, formatAgeRecipient, parseAgeRecipient } from "./age-keys.js";
import { blobKind, encodePublicKeyBlob, parsePublicKeyBlob, signatureBlob } from "./capi-blob.js";
import { parseX509, type Certificate } from "../../x509/certificate.js";
import { parseCertifiedKey } from "./certified-key.js";
import { DerReader, TAG } from "../../asn1/der.js";
import {
  looksLikeRsaKeyValue,
  parseCngBlob,
  parseRsaKeyValue,
  parseStrongName,
} from "./dotnet-key.js";
import { foreignKey, foreignPemBlock, textInUtf16, unknownForm } from "./foreign-key.js";
import { formatJwk, parseJwk } from "./jwk.js";
import {
  checkedComment,
  lineComment,
  linesBefore,
  recorded,
  recordsInComment,
  recordsInLines,
  type KeyUse,
} from "./key-records.js";
import type { ExchangePublicKey, OaepHash, PublicKey } from "../key.js";
import { formatPem, looksLikePem, parsePem, type PemBlock } from "../../asn1/pem.js";
import { keyInSpki, publicKeyFromPkcs1 } from "../public-key.js";
import { requireExchange } from "../recipient-strength.js";
import { naming, privateKeyAsRecipient, signingKeyAsRecipient } from "../refusals.js";
import {
  formatSshLine,
  hasTextBeforeSshKey,
  looksLikeSsh,
  parseSshLine,
  textBeforeSshKey,
} from "./ssh.js";

export interface KeyFile {
  readonly publicKey: PublicKey;
  /** The OAEP record; only with an RSA key. */
  readonly oaep?: OaepHash;
  /** Facts for the sender, in lower case: a certificate has expired, a key is for signatures. */
  readonly warnings: readonly string[];
  /** It was a PUBLICKEYBLOB, which says what its key is for: signatures if `signOnly`. */
  readonly isBlob?: true;
  /**
   * A PUBLICKEYBLOB of a signature key (CALG_RSA_SIGN), such as a strong-name key.
   * `requireRecipient` refuses it.
   */
  readonly signOnly?: true;
  /**
   * What the key is for, as its holder's p11seal recorded it, or its JWK, certificate or token says
   * of an exchange key. `requireRecipient` refuses `sign`; as a sender's, `exchange` is told.
   */
  readonly use?: KeyUse;
  /** The certificate that the key came in, or beside. */
  readonly certificate?: Certificate;
  /** Certificates behind that one in the file. Nothing says that they belong to it. */
  readonly chain?: readonly Certificate[];
}

export type PublicKeyFormat = "pem" | "der" | "jwk" | "ssh" | "age" | "capi";

/** Largest key file, bytes. */
export const MAX_KEY_FILE_BYTES = 65_536;

/**
 * The one public key in a file's bytes. `requireRecipient` decides whether it may be sealed to.
 *
 * @param name - names the file in messages.
 * @param options - `now`: the time at which certificates are judged, by default the clock's.
 * @throws FormatError `ERR_KEY_FORMAT`, `ERR_KEY_FILE_SIZE`, `ERR_PEM`, `ERR_JWK`, `ERR_SSH_KEY`,
 *   `ERR_BECH32`, `ERR_CERTIFICATE`, `ERR_BLOB`, `ERR_OAEP_RECORD`, those of `publicKeyFromSpki`,
 *   and for a private key `ERR_PRIVATE_KEY_AS_RECIPIENT`.
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
 * record. DER, an age recipient and a PUBLICKEYBLOB hold neither, a JWK holds no comment.
 * `signOnly` records what the key is for: signatures if true, exchange if false. Without it PEM and
 * OpenSSH lines say nothing of that, and a PUBLICKEYBLOB says exchange (CALG_RSA_KEYX). DER and age
 * never say.
 *
 * @throws UsageError `ERR_COMMENT`: a comment of more than one line; `ERR_OAEP_RECORD`: a record
 *   with a key that is not RSA.
 * @throws UnsupportedError `ERR_KEY_TYPE`: age can't address the key; `ERR_KEY_FORMAT`: OpenSSH has
 *   no form for X25519, CryptoAPI only for RSA; `ERR_KEY_SIZE`: no room in a PUBLICKEYBLOB.
 */
export function formatPublicKey(
  publicKey: PublicKey,
  format: PublicKeyFormat,
  options: { oaep?: OaepHash; comment?: string; signOnly?: boolean } = {},
): Uint8Array {
  const { oaep, signOnly } = options;
  const use = signOnly === undefined ? undefined : signOnly ? "sign" : "exchange";
  const beside = { comment: checkedComment(options.comment ?? ""), oaep, use } as const;
  if (oaep !== undefined && publicKey.type !== "rsa") {
    throw new UsageError("ERR_OAEP_RECORD", "an OAEP record with a key that is not RSA");
  }
  switch (format) {
    case "pem":
      return ascii(formatPem("PUBLIC KEY", publicKey.spki, linesBefore(beside)));
    case "der":
      return publicKey.spki.slice();
    case "jwk":
      return ascii(`${formatJwk(publicKey, oaep, signOnly)}\n`);
    case "ssh":
      return ascii(`${formatSshLine(publicKey, lineComment(beside))}\n`);
    case "age":
      return ascii(`${formatAgeRecipient(publicKey)}\n`);
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
  const binary = fromBinary(bytes, now);
  if (binary !== undefined) return binary;
  // Before it is taken for text: "{" and a zero byte would look like damaged JSON.
  if (looksLikeUtf16(bytes)) throw textInUtf16("ERR_KEY_FORMAT");
  const text = new TextDecoder("utf-8").decode(bytes);
  const trimmed = text.trim();
  const foreign = foreignKey(bytes, trimmed);
  if (foreign !== undefined) throw foreign;
  if (looksLikePem(text)) return fromPem(text, now);
  if (trimmed.startsWith("{")) return fromJwk(trimmed);
  if (looksLikeSsh(trimmed)) return fromSsh(trimmed);
  const recipient = ageRecipientIn(trimmed);
  if (recipient !== undefined) return keyFile(parseAgeRecipient(recipient));
  if (looksLikeRsaKeyValue(trimmed)) return keyFile(parseRsaKeyValue(trimmed));
  const inBase64 = fromBinary(base64Inside(trimmed), now);
  if (inBase64 !== undefined) return inBase64;
  if (hasTextBeforeSshKey(trimmed)) throw textBeforeSshKey();
  throw unknownForm(bytes);
}

/** The binary forms; `undefined` for anything else. */
function fromBinary(bytes: Uint8Array, now: Date): KeyFile | undefined {
  if (looksLikeDer(bytes)) return fromDer(bytes, now);
  if (blobKind(bytes) !== undefined) return fromBlob(bytes);
  const strongName = parseStrongName(bytes);
  if (strongName !== undefined) return { ...keyFile(strongName), signOnly: true };
  const cng = parseCngBlob(bytes);
  return cng && { ...keyFile(cng.publicKey), ...defined({ use: cng.use }) };
}

/** Code in .NET and Java carries binary forms in base64; empty where the text is none. */
function base64Inside(text: string): Uint8Array {
  const nothing = new Uint8Array(0);
  if (!/^[A-Za-z0-9+/=\s]*$/.test(text)) return nothing;
  try {
    return fromBase64(text.replace(/\s+/g, ""));
  } catch {
    return nothing;
  }
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
  if (second === TAG.bitString) return fromSpki(bytes);
  if (second === TAG.sequence) return parseCertifiedKey(bytes, now);
  // EncryptedPrivateKeyInfo, RFC 5958 §3.
  if (second === TAG.octetString) throw privateKeyAsRecipient("this DER file");
  throw unknownForm(bytes);
}

/** The hash of an RSAES-OAEP key is as good as a record of it. */
function fromSpki(bytes: Uint8Array): KeyFile {
  return { ...keyInSpki(bytes), warnings: [] };
}

function fromBlob(bytes: Uint8Array): KeyFile {
  const { use, publicKey } = parsePublicKeyBlob(bytes);
  const file: KeyFile = { ...keyFile(publicKey), isBlob: true };
  return use === "signature" ? { ...file, signOnly: true } : file;
}

function fromPem(text: string, now: Date): KeyFile {
  const blocks = parsePem(text);
  const isCertificate = blocks.map(({ label }) => CERTIFICATE_LABELS.has(label));
  if (blocks.some(({ label }) => label.endsWith("PRIVATE KEY"))) {
    const hint = "take the certificate out of it with: openssl x509 -in FILE -out certificate.pem";
    throw privateKeyAsRecipient("this PEM file", isCertificate.includes(true) ? hint : undefined);
  }
  const [first] = blocks;
  if (first?.label === "P11SEAL HYBRID KEY") {
    throw privateKeyAsRecipient(
      "the file of a hybrid key",
      "its public key is written by: p11seal keys export FILE -o PUBLIC",
    );
  }
  // A key may stand beside its certificate, and the certificate before its issuers'. That key and
  // certificate belong together is checked.
  const [certificate, ...issuers] = blocks.filter((_, index) => isCertificate[index]);
  const ends = blocks.filter((block) => !issuers.includes(block));
  if (first === undefined || ends.length - (certificate === undefined ? 0 : 1) > 1) {
    throw new FormatError("ERR_PEM", `${blocks.length} PEM blocks instead of one key`, {
      hint: "give the recipient's key or certificate alone",
    });
  }
  const chain = issuersIn(issuers);
  const found = ends.map((block) => fromBlock(block, now));
  const publicKey = (found[0] as KeyFile).publicKey;
  if (!found.every((other) => equal(other.publicKey.spki, publicKey.spki))) {
    throw new FormatError("ERR_PEM", "a key and a certificate of another key", {
      hint: "give the recipient's key or certificate alone",
    });
  }
  const records = recordsInLines(blocks.flatMap((block) => block.before));
  const own = new Set(found.flatMap(({ oaep }) => oaep ?? []));
  const isOther = (record: string): boolean => !own.has(record as OaepHash);
  if (own.size > 1 || (own.size > 0 && records.oaep.some(isOther))) {
    throw new FormatError("ERR_OAEP_RECORD", "the key's own OAEP hash is not the recorded one");
  }
  const oaep = records.oaep.length === 0 ? [...own] : records.oaep;
  // What p11seal recorded counts before what a certificate says.
  const certified = found.find(({ use }) => use !== undefined)?.use;
  return {
    publicKey,
    warnings: found.flatMap((one) => one.warnings),
    ...defined({
      use: certified,
      certificate: found.find((one) => one.certificate !== undefined)?.certificate,
    }),
    ...recorded(publicKey, { ...records, oaep }),
    ...(chain.length > 0 && { chain }),
  };
}

/**
 * Certificates that may be those of issuers. Others would be of people who then get nothing.
 *
 * @throws FormatError `ERR_PEM`
 */
function issuersIn(blocks: readonly PemBlock[]): Certificate[] {
  const certificates = blocks.map(({ bytes }) => parseX509(bytes));
  const mayIssue = certificates.every(
    ({ version, basicConstraints }) => version === 1 || basicConstraints?.ca === true,
  );
  if (mayIssue) return certificates;
  throw new FormatError("ERR_PEM", "certificates of several keys instead of one and its issuers'", {
    hint: "put the recipient's certificate first, and only those of its issuers behind it",
  });
}

function fromBlock({ label, bytes, hasHeaders }: PemBlock, now: Date): KeyFile {
  if (hasHeaders) throw new FormatError("ERR_PEM", `PEM block ${label} has headers`);
  if (CERTIFICATE_LABELS.has(label)) return parseCertifiedKey(bytes, now);
  switch (label) {
    case "PUBLIC KEY":
      return fromSpki(bytes);
    case "RSA PUBLIC KEY":
      return keyFile(publicKeyFromPkcs1(bytes));
    default:
      throw foreignPemBlock(label);
  }
}

function fromJwk(text: string): KeyFile {
  const { publicKey, oaep, signOnly, use } = parseJwk(text);
  const warnings =
    signOnly && publicKey.type !== "ed25519" ? ["the JWK says its key is for signatures"] : [];
  return { publicKey, warnings, ...defined({ oaep, use }) };
}

function fromSsh(text: string): KeyFile {
  if (/[\r\n]/.test(text)) {
    throw new FormatError("ERR_SSH_KEY", "more than one line instead of one OpenSSH key");
  }
  const { publicKey, comment } = parseSshLine(text);
  return { ...keyFile(publicKey), ...recorded(publicKey, recordsInComment(comment)) };
}

function keyFile(publicKey: PublicKey): KeyFile {
  return { publicKey, warnings: [] };
}

const CERTIFICATE_LABELS = new Set(["CERTIFICATE", "X509 CERTIFICATE"]);
