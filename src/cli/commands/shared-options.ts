/** Options that several commands share. */
import type { OptionSpec } from "../arguments/syntax.js";

type Options = Record<string, OptionSpec>;

export const PIN_SOURCE = "env:VAR, file:PATH, fd:N, cmd:COMMAND or pinentry";

export const general = {
  quiet: { alias: "q", type: "boolean", describe: "No notes, no progress; errors only" },
  verbose: { alias: "v", type: "boolean", describe: "Say how it is done, token calls included" },
} satisfies Options;

export const json = {
  json: { type: "boolean", describe: "Print JSON, errors too" },
} satisfies Options;

/** Of commands whose results are files. */
export const jsonErrors = {
  json: { type: "boolean", describe: "Print errors as JSON" },
} satisfies Options;

/** Of commands that use a token and write a file. */
export const force = {
  force: {
    type: "boolean",
    describe: "Replace an existing output file; also use a token's last PIN try",
  },
} satisfies Options;

/** Of commands that use a token and write no file. */
export const forceLastTry = {
  force: { type: "boolean", describe: "Also use a token's last PIN try" },
} satisfies Options;

export const yes = {
  yes: { type: "boolean", describe: "Don't ask for confirmation" },
} satisfies Options;

export const sync = {
  sync: { type: "boolean", describe: "Flush output files to the disk before finishing" },
} satisfies Options;

export const threads = {
  threads: {
    type: "string",
    describe: "Threads to work with (default: one per processor, 1 for small messages)",
  },
} satisfies Options;

export const keyBlob = {
  "key-blob": { type: "string", describe: "The file with the header, if it was detached" },
} satisfies Options;

export const module = {
  module: {
    type: "string",
    repeatable: true,
    describe: "A PKCS#11 library to use instead of those found (repeatable)",
  },
} satisfies Options;

export const pinSource = {
  "pin-source": {
    type: "string",
    describe: `Where the PIN comes from: ${PIN_SOURCE} (default: ask)`,
  },
} satisfies Options;

/** Of commands that may log in to a token. */
export const tokenAccess = {
  ...module,
  ...pinSource,
  wait: {
    type: "string",
    describe: "Seconds to wait for a missing token (default: at a terminal, no limit)",
  },
} satisfies Options;

/** Of commands that need the public half of a key on a token. */
export const publicHalf = {
  public: {
    type: "string",
    repeatable: true,
    describe: "The public key of a key whose token shows none; the token proves it (repeatable)",
  },
} satisfies Options;

/** Of commands that make other files of files, with keys that may be on a token. */
export const filesByKey = {
  ...sync,
  ...force,
  ...publicHalf,
  ...tokenAccess,
  ...jsonErrors,
  ...general,
} satisfies Options;

/** Of commands about many messages (`find/message-tree.ts`). */
export const messageTree = {
  tree: { type: "boolean", describe: "Go through folders, and the folders in them" },
  manifest: {
    type: "string",
    describe: 'Also the files of a list, a path a line or NUL-separated; "-" is stdin',
  },
  shard: { type: "string", describe: "Only one part of the files, as in 2/4" },
} satisfies Options;

export const signWith = {
  "sign-with": {
    type: "string",
    describe: "Sign with this key: pkcs11: URI of a signing key, or private key file",
  },
} satisfies Options;

/** Of commands that sign messages: what the signature says besides. */
export const serial = {
  expires: {
    type: "string",
    describe: "Signed: refused by receivers after this time, as in 7d",
  },
  "stream-name": {
    type: "string",
    describe: "Signed: which of your counters the serial number is from (default: default)",
  },
} satisfies Options;

/** Of commands that change who can open messages. */
export const changedRecipients = {
  recipient: {
    alias: "r",
    type: "string",
    repeatable: true,
    names: { of: "recipients", orFile: true },
    describe: "Add this recipient: key or certificate file, pkcs11: URI, name (repeatable)",
  },
  "recipients-file": {
    alias: "R",
    type: "string",
    repeatable: true,
    describe: 'Add the recipients of a file, one a line; "-" is stdin (repeatable)',
  },
  remove: {
    type: "string",
    repeatable: true,
    names: { of: "recipients", orFile: true },
    describe: "Remove this recipient (repeatable)",
  },
} satisfies Options;

/** Of commands that make new wrapped keys. */
export const oaep = {
  oaep: {
    type: "string",
    choices: ["sha1", "sha256", "sha384", "sha512"],
    describe: "OAEP hash for RSA (default: as recorded with the key, else SHA-256 and SHA-1)",
  },
} satisfies Options;

/** Of commands that open messages. */
export const identities = {
  identity: {
    alias: "i",
    type: "string",
    repeatable: true,
    describe: "pkcs11: URI, file with one, or private key file (default: every token present)",
  },
} satisfies Options;

/** Of commands that an agent may serve. */
export const noAgent = {
  "no-agent": { type: "boolean", describe: "Use the token itself, also where an agent runs" },
} satisfies Options;

/** Of commands that change files where they lie. */
export const breakLinks = {
  "break-links": {
    type: "boolean",
    describe: "Of a file with several hard links, give this name a file of its own",
  },
} satisfies Options;

/** Of commands that take a recipient's key. */
export const allowSigningKey = {
  "allow-signing-key": {
    type: "boolean",
    describe: "Accept a recipient's key that is recorded, or known, as a signing key",
  },
} satisfies Options;

/** Of commands that look for the keys of a message. */
export const ownCertificates = {
  cert: {
    type: "string",
    repeatable: true,
    describe: "CMS: a file with certificates of your keys, by which messages name them",
  },
} satisfies Options;

/** Of commands that judge messages which custodians passed on. */
export const acceptedCustodians = {
  custodian: {
    type: "string",
    repeatable: true,
    names: { of: "custodians" },
    describe: "Also open what this custodian re-wrapped for others (repeatable)",
  },
} satisfies Options;

/** Of commands that judge certificates. */
export const certificateTrust = {
  trust: {
    type: "string",
    repeatable: true,
    names: { of: "authorities", orFile: true },
    describe: "An authority to believe: a file, or a name of p11seal trust (repeatable)",
  },
  crl: {
    type: "string",
    repeatable: true,
    describe: "A list of revoked certificates (repeatable)",
  },
  ocsp: {
    type: "string",
    repeatable: true,
    describe: "An OCSP response about a certificate (repeatable)",
  },
  at: { type: "string", describe: "When certificates must be valid (UTC; default: now)" },
} satisfies Options;

/** Of commands that change who can open messages, with keys that may be on a token. */
export const changeByKey = {
  ...allowSigningKey,
  ...certificateTrust,
  "allow-untrusted-cert": {
    type: "boolean",
    describe: "Add the keys of certificates that no trusted authority vouches for",
  },
  ...forceLastTry,
  ...publicHalf,
  ...tokenAccess,
} satisfies Options;
