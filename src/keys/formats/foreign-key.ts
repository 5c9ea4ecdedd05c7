/**
 * What people give for a public key and p11seal doesn't read, each called by its name, with the
 * way to a form that is read. Nothing of the file is quoted: it may be a private key.
 */
import { FormatError, type P11SealError, UnsupportedError } from "../../errors.js";
import { privateKeyAsRecipient } from "../refusals.js";

/** The error for UTF-16, in which Windows' older tools save text. */
export function textInUtf16(code: string): FormatError {
  return new FormatError(code, "text in UTF-16", {
    hint: "save it as UTF-8 or ASCII; PowerShell's '>' writes UTF-16",
  });
}

/**
 * The error for a file in a known form that is no public key of ours; `undefined` if it looks like
 * none of them. `text` is the file as UTF-8, trimmed.
 */
export function foreignKey(bytes: Uint8Array, text: string): P11SealError | undefined {
  return openPgpKey(bytes) ?? TEXTS.find(([start]) => start.test(text))?.[1]();
}

/** The error for a PEM block that is neither a public key nor a certificate. */
export function foreignPemBlock(label: string): UnsupportedError {
  const hint = PEM_HINTS.get(label) ?? KNOWN_FORMS;
  return new UnsupportedError("ERR_KEY_FORMAT", `PEM block ${label} is not a public key`, { hint });
}

/** The error for what nobody knows. */
export function unknownForm(bytes: Uint8Array): FormatError {
  const fact = bytes.length === 0 ? "empty file" : "not a public key in any known form";
  return new FormatError("ERR_KEY_FORMAT", fact, { hint: KNOWN_FORMS });
}

/** RFC 9580 §4.2, §5.5: a packet of a key, version 3 to 6, with at most two bytes of length. */
function openPgpKey(bytes: Uint8Array): P11SealError | undefined {
  const [tag, first, second, third] = bytes;
  const kind = tag === undefined ? undefined : OPENPGP_TAGS.get(tag);
  if (kind === undefined) return undefined;
  const isOld = (tag as number) < 0xc0;
  const lengthBytes = isOld ? 1 + ((tag as number) & 1) : (first ?? 0) < 192 ? 1 : 2;
  const version = lengthBytes === 1 ? second : third;
  if (version === undefined || version < 3 || version > 6) return undefined;
  return kind === "private" ? privateKeyAsRecipient("this OpenPGP file") : publicOpenPgpKey();
}

function publicOpenPgpKey(): P11SealError {
  return named("an OpenPGP key", "take an OpenSSH line of it with: gpg --export-ssh-key KEYID");
}

function named(what: string, hint: string): UnsupportedError {
  return new UnsupportedError("ERR_KEY_FORMAT", `${what}, which is not supported`, { hint });
}

/** Packet tags 5 and 6, in the old form with one or two bytes of length and in the new one. */
const OPENPGP_TAGS: ReadonlyMap<number, "private" | "public"> = new Map([
  [0x94, "private"],
  [0x95, "private"],
  [0xc5, "private"],
  [0x98, "public"],
  [0x99, "public"],
  [0xc6, "public"],
]);

/** By how the text starts, or what its first lines have. */
const TEXTS: readonly (readonly [RegExp, () => P11SealError])[] = [
  [/^-----BEGIN PGP PUBLIC KEY BLOCK-----/m, publicOpenPgpKey],
  [/^-----BEGIN PGP PRIVATE KEY BLOCK-----/m, () => privateKeyAsRecipient("this OpenPGP file")],
  [
    /^---- BEGIN SSH2 PUBLIC KEY ----/,
    () => named("a key in SSH2's form (RFC 4716)", "convert it with: ssh-keygen -i -f FILE"),
  ],
  [/^PuTTY-User-Key-File-[0-9]:/, () => privateKeyAsRecipient("this PuTTY file")],
  [/^(?:#[^\n]*\n)*AGE-(?:SECRET-KEY|PLUGIN)-/, () => privateKeyAsRecipient("this age identity")],
  [
    /^(?:#[^\n]*\n)*age1[a-z0-9]{30,}\s+[^#\s]/,
    () => named("more than one age recipient", "give them as a file of recipients, with -R"),
  ],
  [
    /^untrusted comment:/,
    () => named("a key or signature of minisign or signify", "such keys can only sign"),
  ],
  [
    /^<(?:[\s\S]{0,400}<)?(?:[A-Za-z]{1,8}:)?(?:KeyInfo|KeyValue|ECKeyValue|X509Data)[\s>]/,
    () =>
      named(
        "a key inside an XML signature's KeyInfo",
        "take out the RSAKeyValue, or the certificate as PEM",
      ),
  ],
];

const PEM_HINTS: ReadonlyMap<string, string> = new Map([
  [
    "CERTIFICATE REQUEST",
    "it is a certificate request; take its key with: openssl req -in FILE -noout -pubkey",
  ],
  [
    "NEW CERTIFICATE REQUEST",
    "it is a certificate request; take its key with: openssl req -in FILE -noout -pubkey",
  ],
  ["TRUSTED CERTIFICATE", "convert it with: openssl x509 -in FILE -out certificate.pem"],
  ["PKCS7", "take the certificate out with: openssl pkcs7 -in FILE -print_certs"],
]);

export const KNOWN_FORMS =
  "known forms: PEM or DER public key, X.509 certificate, JWK, ssh-rsa or ecdsa-sha2 line, " +
  "age recipient, CryptoAPI's PUBLICKEYBLOB, strong-name key, CNG blob, RSAKeyValue";
