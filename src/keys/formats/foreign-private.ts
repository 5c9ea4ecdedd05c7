/**
 * What people give for a private key and p11seal doesn't read as one, each called by its name, with
 * the way to one that is read. Nothing of the file is quoted: it may be a secret.
 */
import { looksLikeUtf16 } from "../../bytes.js";
import { defined } from "../../defined.js";
import { FormatError } from "../../errors.js";
import { textInUtf16 } from "./foreign-key.js";
import { looksLikeSsh } from "./ssh.js";

/**
 * The error for a file that is not in PEM; undefined if it looks like nothing that is known.
 *
 * @param name - names the file in messages; public.
 */
export function foreignPrivate(bytes: Uint8Array, name: string): FormatError | undefined {
  if (looksLikeUtf16(bytes)) return textInUtf16(CODE).at(name);
  const text = new TextDecoder("utf-8").decode(bytes.subarray(0, ENOUGH_BYTES)).trimStart();
  if (looksLikeSsh(text)) return refusal(name, "a public OpenSSH key", PUBLIC_HINT);
  const [, what, hint] =
    TEXTS.find(([start]) => start.test(text)) ?? DERS.find(([kind]) => kind(bytes)) ?? [];
  return what === undefined ? undefined : refusal(name, what, hint);
}

/** The error for a PEM block of another kind. */
export function foreignPrivateBlock(label: string, name: string): FormatError {
  const [, hint] = BLOCKS.find(([kind]) => kind.test(label)) ?? [];
  return refusal(name, `a PEM block ${label}`, hint);
}

function refusal(name: string, what: string, hint: string | undefined): FormatError {
  return new FormatError(
    CODE,
    `${name}: ${what} instead of a private key in PEM`,
    defined({ hint }),
  );
}

const CODE = "ERR_PRIVATE_KEY";

const PUBLIC_HINT =
  "messages are sealed to a public key; to open or to sign, name its private key or its token";

/** By how the text starts. */
const TEXTS: readonly (readonly [RegExp, string, string])[] = [
  [
    /^PuTTY-User-Key-File-[0-9]:/,
    "a PuTTY key",
    "convert it with: puttygen KEY.ppk -O private-openssh -o NEW",
  ],
  [
    /^(?:#[^\n]*\n)*AGE-(?:SECRET-KEY|PLUGIN)-/,
    "an age identity",
    "it opens messages: name it with -i when you open one",
  ],
  [
    /^\{[\s\S]{0,4000}"kty"/,
    "a JWK",
    "convert a private one to PEM first; a public one can't open or sign",
  ],
  [/^untrusted comment:/, "a key of minisign or signify", "use an Ed25519 key in PEM instead"],
];

/** By the first bytes of DER. */
const DERS: readonly (readonly [(bytes: Uint8Array) => boolean, string, string])[] = [
  [
    (bytes) => afterLength(bytes, [0x02, 0x01, 0x03, 0x30]),
    "a PKCS#12 file",
    "take the key out with: openssl pkcs12 -in FILE -nocerts -out NEW",
  ],
  [
    (bytes) => [0x00, 0x01].some((version) => afterLength(bytes, [0x02, 0x01, version])),
    "a private key in DER",
    "convert it with: openssl pkey -inform DER -in FILE -out NEW",
  ],
  [
    (bytes) => afterLength(bytes, [0x30]),
    "a certificate, a public key or an encrypted key in DER",
    "convert an encrypted key with: openssl pkey -inform DER -in FILE -out NEW",
  ],
];

/** True for a SEQUENCE with this content. */
function afterLength(bytes: Uint8Array, content: readonly number[]): boolean {
  const [tag, length = 0] = bytes;
  const start = length < 0x80 ? 2 : 2 + (length & 0x7f);
  return tag === 0x30 && content.every((byte, at) => bytes[start + at] === byte);
}

const BLOCKS: readonly (readonly [RegExp, string])[] = [
  [/PUBLIC KEY$/, PUBLIC_HINT],
  [/CERTIFICATE$/, PUBLIC_HINT],
  [
    /^ENCRYPTED (?:COSIGN|SIGSTORE) PRIVATE KEY$/,
    "it is cosign's, and only cosign can decrypt it; its keys are for signatures",
  ],
  [/^PGP /, "it is GnuPG's; a key on an OpenPGP card is used through the card's PKCS#11 module"],
];

/** Enough to tell what a file is. */
const ENOUGH_BYTES = 8192;
