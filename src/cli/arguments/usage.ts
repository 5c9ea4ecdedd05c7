/**
 * The command line as its users see it: every command, option and example, as data. `main.ts` hands it
 * to yargs, docs/cli.md is compared with it by a test, and the code behind a command is loaded only
 * when it runs.
 */
import type { CommandSpec } from "../command.js";
import { CAPI_COMMANDS } from "./usage-capi.js";
import { THREE_PHASE_COMMANDS } from "./usage-three-phase.js";
import type { OptionSpec } from "./syntax.js";
import {
  FINAL_TRY,
  force,
  general,
  json,
  jsonErrors,
  module,
  PIN_SOURCE,
  tokenAccess,
} from "./usage-options.js";
import { RECORD_COMMANDS } from "./usage-records.js";

/** The words that commands stand behind; a group may stand in another. */
export const GROUPS: Readonly<Record<string, string>> = {
  token: "Make a development token",
  keys: "Make, list, export, delete and judge keys on tokens",
  senders: "Whose signed messages are trusted: names and their keys",
  recipients: "Whom to seal to by name: names and their keys",
  ledger: "Which signed messages were opened, so that none is opened twice",
  receipt: "Check what receivers say they received",
  "audit-log": "Check the record of openings",
  capi: "Exchange with CryptoAPI programs: no authentication, PKCS#1 v1.5 inside",
  "capi three-phase": "Agree on two session keys with a peer, safe from replay",
};

const threads = {
  threads: {
    type: "string",
    describe: "Threads to work with (default: as the machine has, 1 for small messages)",
  },
} satisfies Record<string, OptionSpec>;

const sync = {
  sync: { type: "boolean", describe: "Have output files on the disk before it is said to be done" },
} satisfies Record<string, OptionSpec>;

const keyBlob = {
  type: "string",
  describe: "The file that holds the header, where it was detached",
} as const satisfies OptionSpec;

const SIGN_URI = "'pkcs11:token=bob;object=sign'";
const EXCHANGE_URI = "'pkcs11:token=alice;object=exchange'";

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: "seal",
    operands: "[file]",
    operand: "file",
    describe: "Seal a file under the public keys of its recipients",
    options: {
      recipient: {
        alias: "r",
        type: "string",
        repeatable: true,
        describe: "Key or certificate file, ssh key line, pkcs11: URI or known name (repeatable)",
      },
      "recipients-file": {
        alias: "R",
        type: "string",
        repeatable: true,
        describe: 'A file of recipients, one a line; "-" is stdin (repeatable)',
      },
      output: { alias: "o", type: "string", describe: 'The sealed file; "-" is stdout' },
      "key-blob": {
        type: "string",
        describe: "Write the header with the wrapped keys to a file of its own",
      },
      oaep: {
        type: "string",
        choices: ["sha1", "sha256", "sha384", "sha512"],
        describe: "OAEP hash for RSA (default: as recorded with the key, else SHA-256 and SHA-1)",
      },
      "sign-with": {
        type: "string",
        describe: "Sign with this key: pkcs11: URI of a signing key, or private key file",
      },
      expires: { type: "string", describe: "Signed: not to be opened after this time, as in 7d" },
      "stream-name": {
        type: "string",
        describe: "Signed: which of your counters the serial number is from (default: default)",
      },
      ...threads,
      ...sync,
      force: { type: "boolean", describe: force.force.describe + FINAL_TRY },
      ...tokenAccess,
      ...jsonErrors,
      ...general,
    },
    examples: [
      ["seal -r alice.pem -o report.p11s report.pdf", "to one recipient"],
      ["seal -r alice.pem -r bob.crt -R team.txt -o plan.p11s plan.txt", "to several"],
      ["seal -r alice.pem --key-blob k.p11k -o m.p11s data", "wrapped keys in their own file"],
      [`seal -r alice.pem --sign-with ${SIGN_URI} -o m.p11s data`, "signed, with a serial number"],
    ],
    load: async () => (await import("../commands/seal/seal.js")).sealCommand,
  },
  {
    name: "open",
    operands: "[files..]",
    operand: "files",
    describe: "Open sealed files with a key on a token",
    options: {
      identity: {
        alias: "i",
        type: "string",
        repeatable: true,
        describe: "pkcs11: URI, file with one, or private key file (default: every token present)",
      },
      output: {
        alias: "o",
        type: "string",
        describe: 'The opened file, or a folder for several; "-" is stdout',
      },
      "key-blob": keyBlob,
      from: {
        type: "string",
        repeatable: true,
        describe: 'Open only what this trusted sender signed, once; "any" of them (repeatable)',
      },
      "in-order": { type: "boolean", describe: "With --from: refuse all but the next serial" },
      window: { type: "string", describe: "With --from: how old a message may be (default: 7d)" },
      stream: {
        type: "boolean",
        describe: "With --from, to stdout: let segments out before the signature's end is checked",
      },
      receipt: { type: "string", describe: "With --from: write a signed receipt to a file" },
      "receipt-key": {
        type: "string",
        describe: "The key that signs it: pkcs11: URI, or private key file",
      },
      ...threads,
      ...sync,
      force: { type: "boolean", describe: force.force.describe + FINAL_TRY },
      ...tokenAccess,
      ...jsonErrors,
      ...general,
    },
    examples: [
      ["open -o report.pdf report.p11s", "with whichever token has the key"],
      [`open -i ${EXCHANGE_URI} report.pdf.p11s > report.pdf`, "with one key"],
      ["open --from bob -o plan.txt plan.p11s", "only if bob signed it, and never twice"],
      ["open -o inbox/ *.p11s", "many files, one PIN; .p11s is taken off their names"],
    ],
    load: async () => (await import("../commands/open/open.js")).openCommand,
  },
  {
    name: "inspect",
    operands: "[file]",
    operand: "file",
    describe: "Show for whom a sealed file is, and what opening it will need",
    options: {
      "key-blob": keyBlob,
      identity: {
        alias: "i",
        type: "string",
        repeatable: true,
        describe: "Say also how this key's token would open it: pkcs11: URI (repeatable)",
      },
      ...module,
      ...json,
      ...general,
    },
    examples: [
      ["inspect report.p11s", "needs no key"],
      [`inspect -i ${EXCHANGE_URI} report.p11s`, "and which way the token would go; no PIN"],
    ],
    load: async () => (await import("../commands/inspect/inspect.js")).inspectCommand,
  },
  {
    name: "doctor",
    operands: "[file]",
    operand: "file",
    describe: "Say whether a token will open a file, and if not, why; asks for no PIN",
    options: {
      identity: {
        alias: "i",
        type: "string",
        repeatable: true,
        describe: "What it would be opened with, as for open (default: every token present)",
      },
      ...module,
      ...json,
      ...general,
    },
    examples: [
      ["doctor", "modules, tokens, keys, and what is wrong with them"],
      ["doctor report.p11s", "will it open, which way, and if not, why"],
    ],
    load: async () => (await import("../commands/doctor/doctor.js")).doctorCommand,
  },
  {
    name: "tokens",
    describe: "List PKCS#11 modules and the tokens found through them",
    options: { ...module, ...json, ...general },
    examples: [
      ["tokens", "labels, serials and the state of their PINs"],
      ["tokens --module /usr/lib/opensc-pkcs11.so", "through one module"],
    ],
    load: async () => (await import("../commands/tokens/tokens.js")).tokensCommand,
  },
  {
    name: "token init",
    describe: "Make a development token on SoftHSM, in the user's data folder",
    options: {
      label: { type: "string", required: true, describe: "The new token's label" },
      module: { type: "string", describe: "SoftHSM's library (default: looked for)" },
      "pin-source": {
        type: "string",
        describe: `Where the new PIN comes from: ${PIN_SOURCE} (default: ask)`,
      },
      "so-pin-source": {
        type: "string",
        describe: "Where the new security officer's PIN comes from, likewise",
      },
      ...json,
      ...general,
    },
    examples: [
      ["token init --label alice", "asks for both PINs"],
      [
        "token init --label ci --pin-source env:PIN --so-pin-source env:SO_PIN",
        "without a terminal",
      ],
    ],
    load: async () => (await import("../commands/tokens/token-init.js")).tokenInitCommand,
  },
  {
    name: "keys generate",
    describe: "Make a key pair on a token and print its URI and fingerprint",
    options: {
      token: { type: "string", required: true, describe: "pkcs11: URI of the token" },
      label: { type: "string", required: true, describe: "The new key's label" },
      type: {
        type: "string",
        required: true,
        choices: [
          ...["rsa:2048", "rsa:3072", "rsa:4096", "ec:p256", "ec:p384", "ec:p521"],
          ...["x25519", "ed25519"],
        ],
        describe: "Kind and size",
      },
      use: {
        type: "string",
        choices: ["exchange", "sign"],
        default: "exchange",
        describe: "Open messages with it, or sign: never both",
      },
      "allow-decrypt": {
        type: "boolean",
        describe: "RSA: also allow C_Decrypt, for formats that need it; the audit names it",
      },
      output: { alias: "o", type: "string", describe: "Write the public key (PEM) to a file" },
      force: { type: "boolean", describe: force.force.describe + FINAL_TRY },
      ...tokenAccess,
      ...json,
      ...general,
    },
    examples: [
      [
        "keys generate --token pkcs11:token=alice --label exchange --type rsa:3072 -o alice.pem",
        "for others to seal to",
      ],
      [
        "keys generate --token pkcs11:token=alice --label exchange-ec --type ec:p256",
        "an elliptic-curve key",
      ],
    ],
    load: async () => (await import("../commands/keys/keys-generate.js")).keysGenerateCommand,
  },
  {
    name: "keys list",
    operands: "[uri]",
    operand: "uri",
    describe: "List the keys on all tokens, or those a URI matches; asks for no PIN",
    options: { ...module, ...json, ...general },
    examples: [
      ["keys list", "every key on every token"],
      ["keys list pkcs11:token=alice", "one token's"],
    ],
    load: async () => (await import("../commands/keys/keys.js")).keysListCommand,
  },
  {
    name: "keys export",
    operands: "<uri>",
    operand: "uri",
    describe: "Write a key's public half, for senders",
    options: {
      format: {
        type: "string",
        choices: ["pem", "der", "jwk", "ssh", "capi"],
        default: "pem",
        describe:
          "PEM or DER (SubjectPublicKeyInfo), JWK, an OpenSSH line, or CryptoAPI's PUBLICKEYBLOB",
      },
      output: { alias: "o", type: "string", describe: 'The key file; "-" is stdout' },
      probe: {
        type: "boolean",
        describe: "RSA: find out which OAEP hashes the token can undo, and record the best (PIN)",
      },
      force: { type: "boolean", describe: force.force.describe + FINAL_TRY },
      ...tokenAccess,
      ...general,
    },
    examples: [
      [`keys export ${EXCHANGE_URI} --probe -o alice.pem`, "with what the token can do on record"],
      [`keys export ${EXCHANGE_URI} --format jwk`, "as a JWK"],
    ],
    load: async () => (await import("../commands/keys/keys.js")).keysExportCommand,
  },
  {
    name: "keys delete",
    operands: "<uri>",
    operand: "uri",
    describe: "Delete a key pair; what is sealed to it can then be opened by nobody",
    options: {
      yes: { type: "boolean", describe: "Don't ask for confirmation" },
      force: { type: "boolean", describe: "Also use a token's last PIN try" },
      ...tokenAccess,
      ...general,
    },
    examples: [
      ["keys delete 'pkcs11:token=alice;object=exchange;id=%01'", "asks for the label to be typed"],
    ],
    load: async () => (await import("../commands/keys/keys.js")).keysDeleteCommand,
  },
  {
    name: "keys audit",
    operands: "[uri]",
    operand: "uri",
    describe: "Judge keys against the key policy: extractable, double use, ROCA, …",
    options: {
      strict: { type: "boolean", describe: "Exit with status 6 if there is a finding" },
      force: { type: "boolean", describe: "Also use a token's last PIN try" },
      ...tokenAccess,
      ...json,
      ...general,
    },
    examples: [
      ["keys audit", "all keys on all tokens"],
      ["keys audit --strict pkcs11:token=alice", "for scripts"],
    ],
    load: async () => (await import("../commands/keys/keys-audit.js")).keysAuditCommand,
  },
  ...RECORD_COMMANDS,
  ...CAPI_COMMANDS,
  ...THREE_PHASE_COMMANDS,
  {
    name: "completion",
    operands: "[shell]",
    operand: "shell",
    describe: "Print a completion script for bash or zsh",
    options: { ...general },
    examples: [
      ["completion bash > ~/.local/share/bash-completion/completions/p11seal", "for bash"],
      ["completion zsh > ~/.zfunc/_p11seal", "for zsh, with that folder in fpath"],
    ],
    load: async () => (await import("./completion.js")).completionCommand,
  },
];
