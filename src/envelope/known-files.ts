/**
 * What people give for a message and other programs have written, by its first bytes; with the tool
 * that opens it. No guess by a file's name, and nothing of the file is quoted.
 */
import { fromHex, toHex } from "../bytes.js";

export interface KnownFile {
  /** With its article, as in `an age file`. */
  readonly what: string;
  /** The way to open it. */
  readonly hint: string;
}

/**
 * What a file seems to be; `undefined` if it looks like nothing in the table.
 *
 * @param start - its first bytes
 * @param text - the same as text, one character a byte
 */
export function knownFile(start: Uint8Array, text: string): KnownFile | undefined {
  const hex = toHex(start.subarray(0, LONGEST_PREFIX));
  const found =
    PREFIXES.find(([prefix]) => hex.startsWith(prefix)) ??
    TEXTS.find(([form]) => form.test(text)) ??
    (isTar(start) ? TAR : undefined);
  if (found !== undefined) return { what: found[1], hint: found[2] };
  return der(start) ?? openPgp(start);
}

type Row<T> = readonly [T, what: string, hint: string];

/** In hexadecimal, with what the formats' documents call magic number or signature. */
const PREFIXES: readonly Row<string>[] = [
  ["504b0304", "a ZIP archive", "unpack it with: unzip FILE"],
  ["504b0506", "an empty ZIP archive", "there is nothing in it"],
  ["504b0708", "a ZIP archive in several parts", "unpack it with: 7z x FILE"],
  ["1f8b", "gzip", "unpack it first: gunzip -c FILE | p11seal open …"],
  ["425a68", "bzip2", "unpack it first: bunzip2 -c FILE | p11seal open …"],
  ["fd377a585a00", "xz", "unpack it first: xz -dc FILE | p11seal open …"],
  ["28b52ffd", "Zstandard", "unpack it first: zstd -dc FILE | p11seal open …"],
  ["04224d18", "LZ4", "unpack it first: lz4 -dc FILE | p11seal open …"],
  ["377abcaf271c", "a 7z archive", "unpack it with: 7z x FILE"],
  ["526172211a07", "a RAR archive", "unpack it with: unrar x FILE"],
  [
    "25504446",
    "a PDF document",
    "open it with a PDF viewer; encrypted PDF needs its password there",
  ],
  ["d0cf11e0a1b11ae1", "a document of older Microsoft Office", "open it with an office program"],
  ["4c554b53babe", "a LUKS volume", "open it with: cryptsetup open FILE NAME"],
  ["03d9a29a", "a KeePass database", "open it with KeePassXC"],
  ["53514c69746520666f726d6174203300", "an SQLite database", "open it with: sqlite3 FILE"],
  ["feedfeed", "a Java keystore", "look into it with: keytool -list -keystore FILE"],
  ["7f454c46", "a program (ELF)", "it is no file that somebody sealed"],
  ["01020000", "a CryptoAPI SIMPLEBLOB", "open it with: p11seal capi receive"],
  ["06020000", "a CryptoAPI PUBLICKEYBLOB", "it is a public key; give it to: p11seal seal -r FILE"],
  ["07020000", "a CryptoAPI PRIVATEKEYBLOB", "it is a private key, not a message"],
  ["08020000", "a CryptoAPI PLAINTEXTKEYBLOB", "it is a session key, not a message"],
];

/** By the text at the start, or by lines of a header there. */
const TEXTS: readonly Row<RegExp>[] = [
  [/^age-encr/, "an age file", "its first line was changed or is cut off; get it again"],
  [
    /-----BEGIN AGE ENCRYPTED FILE-----/,
    "an age file as text",
    "save the lines from BEGIN to END as they were, and nothing else",
  ],
  [/^\s*YWdlLWVuY3J5cHRpb24/, "an age file in base64", "decode it first: base64 -d FILE > m.age"],
  [/^\s*-----BEGIN PGP MESSAGE-----/m, "an OpenPGP message", "open it with: gpg --decrypt FILE"],
  [
    /^\s*-----BEGIN PGP SIGNED MESSAGE-----/m,
    "a text signed with OpenPGP",
    "check it with: gpg --verify FILE",
  ],
  [
    /^\s*-----BEGIN PGP SIGNATURE-----/m,
    "an OpenPGP signature",
    "check it with: gpg --verify FILE DATA",
  ],
  [/^\s*-----BEGIN PGP /m, "an OpenPGP key", "look at it with: gpg --show-keys FILE"],
  [
    /^\s*-----BEGIN (?:CMS|PKCS7|PKCS #7 SIGNED DATA|ENVELOPED DATA)-----/m,
    "a CMS message in PEM that does not stand alone",
    "save the lines from -----BEGIN CMS----- to its end, and nothing else",
  ],
  [
    /^\s*-----BEGIN SSH SIGNATURE-----/,
    "a signature by ssh-keygen in PEM",
    "check it with: ssh-keygen -Y verify",
  ],
  [
    /^\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/m,
    "a private key in PEM",
    "give it with -i, and the message as FILE",
  ],
  [
    /^\s*-----BEGIN [A-Z0-9 ]*(?:PUBLIC KEY|CERTIFICATE)-----/m,
    "a public key or certificate in PEM",
    "messages are sealed to it: p11seal seal -r FILE",
  ],
  [/^\s*-----BEGIN /m, "a PEM file", "look at its first line: it says what the file holds"],
  [
    /^(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-nistp[0-9]+|sk-[a-z0-9-]+@openssh\.com) /,
    "a public OpenSSH key",
    "messages are sealed to it: p11seal seal -r FILE",
  ],
  [
    /^Salted__/,
    "a file of openssl enc",
    "open it with: openssl enc -d -in FILE, and the cipher and options it was made with",
  ],
  [
    /^U2FsdGVkX1/,
    "a file of openssl enc in base64",
    "open it with: openssl enc -d -a -in FILE, and the cipher and options it was made with",
  ],
  [/^untrusted comment:/, "a file of minisign or signify", "check it with: minisign -V -m DATA"],
  [
    /^\s*eyJ[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+\s*$|^\s*eyJ[\w-]+\.[\w-]*\.[\w-]+\.[\w-]{64}/,
    "a JWE (JSON Web Encryption)",
    "open it with a JOSE tool, such as: jose jwe dec -i FILE -k KEY",
  ],
  [/^\s*eyJ[\w-]+\.[\w-]*\.[\w-]*\s*$/, "a JWS or JWT", "check it with a JOSE tool"],
  [
    /^\s*\{(?=[^]*"ciphertext"\s*:)(?=[^]*"(?:protected|recipients|encrypted_key)"\s*:)/,
    "a JWE (JSON Web Encryption)",
    "open it with a JOSE tool, such as: jose jwe dec -i FILE -k KEY",
  ],
  [/^\s*\{[^]*"kty"\s*:/, "a JWK", "it is a key; messages are sealed to it: p11seal seal -r FILE"],
  [/^\s*\{[^]*"sops"\s*:/, "a file of SOPS", "open it with: sops -d FILE"],
  [/^\$ANSIBLE_VAULT;/, "a file of Ansible Vault", "open it with: ansible-vault view FILE"],
  [/^\s*BEGIN [A-Za-z0-9]* ?SALTPACK /, "a Saltpack message", "open it with: keybase decrypt"],
  [
    /^Content-Type:[^\n]*\n?[^\n]*application\/pgp-encrypted/im,
    "a mail encrypted with OpenPGP",
    "open it with the mail program, or its part with: gpg --decrypt FILE",
  ],
  [
    /^Content-Type:[^\n]*\n?[^\n]*application\/(?:x-)?pkcs7-(?:mime|signature)/im,
    "a mail with an S/MIME part in it",
    "save that part, smime.p7m, as a file of its own, and open it",
  ],
  [
    /^(?:Content-Type|MIME-Version|Return-Path|Received|From|Message-ID): [^\n]*\n[A-Za-z-]+:/im,
    "a mail",
    "save the attachment from the mail program, and give that",
  ],
  [
    /^version https:\/\/git-lfs\.github\.com\/spec\//,
    "a pointer of Git LFS, not the file",
    "fetch the file with: git lfs pull",
  ],
  [
    /^\s*<(?:!DOCTYPE html|html)[\s>]/i,
    "a web page",
    "the download gave a page instead of the file; a login may be needed",
  ],
  [
    /<(?:[\w-]+:)?EncryptedData[\s>]/,
    "XML Encryption",
    "open it with: xmlsec1 --decrypt --privkey-pem KEY FILE",
  ],
];

// ── Formats whose start takes more than a comparison ──

/** POSIX ustar, at byte 257. */
function isTar(start: Uint8Array): boolean {
  return Buffer.from(start.subarray(257, 262)).toString("latin1") === "ustar";
}

const TAR: Row<null> = [null, "a tar archive", "unpack it with: tar -xf FILE"];

/** DER or BER: keys. CMS messages are opened. */
function der(start: Uint8Array): KnownFile | undefined {
  const [tag, length = 0] = start;
  if (tag !== 0x30) return undefined;
  const content = toHex(start.subarray(length <= 0x80 ? 2 : 2 + (length & 0x7f)).subarray(0, 13));
  const other = DER_TYPES.find(([form]) => form.test(content));
  return other && { what: other[1], hint: other[2] };
}

/** By what a SEQUENCE begins with. */
const DER_TYPES: readonly Row<RegExp>[] = [
  [/^02010330/, "a PKCS#12 file", "it holds keys: openssl pkcs12 -in FILE -nocerts -out NEW"],
  [/^02010[01](?:30|02|04)/, "a private key in DER", "it is a key, not a message"],
  [
    /^30(?:[0-7].|8[12])/,
    "a certificate or public key in DER",
    "messages are sealed to it: p11seal seal -r FILE",
  ],
];

/**
 * The first packet of an OpenPGP file (RFC 9580 §4.2, §5): its tag, and the version that its body
 * begins with. Without the latter, one byte would make a message of anything.
 */
function openPgp(start: Uint8Array): KnownFile | undefined {
  const [first = 0, second = 0] = start;
  if ((first & 0x80) === 0) return undefined;
  const isNew = (first & 0x40) !== 0;
  const tag = isNew ? first & 0x3f : (first & 0x3c) >> 2;
  const size = first & 3;
  // RFC 9580 §4.2.1: one byte, two, or five; §4.2.2: 1, 2, 4 bytes, or none.
  const lengthBytes = isNew
    ? second < 192 || (second >= 224 && second < 255)
      ? 1
      : second < 255
        ? 2
        : 5
    : size === 3
      ? 0
      : 1 << size;
  const version = start[1 + lengthBytes];
  const row = PGP_PACKETS.find(([packet, versions]) => {
    return packet === tag && version !== undefined && versions.includes(version);
  });
  return row && { what: row[2], hint: row[3] };
}

const GPG_DECRYPT = "open it with: gpg --decrypt FILE";

const PGP_PACKETS: readonly (readonly [number, readonly number[], string, string])[] = [
  [1, [3, 6], "an OpenPGP message", GPG_DECRYPT],
  [3, [4, 5, 6], "an OpenPGP message", GPG_DECRYPT],
  [18, [1, 2], "an OpenPGP message", GPG_DECRYPT],
  [20, [1], "an OpenPGP message", GPG_DECRYPT],
  [8, [1, 2, 3], "a compressed OpenPGP message", GPG_DECRYPT],
  [4, [3, 6], "a message signed with OpenPGP", "check it with: gpg --decrypt FILE"],
  [2, [3, 4, 6], "an OpenPGP signature", "check it with: gpg --verify FILE DATA"],
  [5, [3, 4, 6], "an OpenPGP private key", "it is a key, not a message"],
  [6, [3, 4, 6], "an OpenPGP key", "look at it with: gpg --show-keys FILE"],
];

const LONGEST_PREFIX = Math.max(...PREFIXES.map(([prefix]) => fromHex(prefix).length));
