/** `p11seal keys`, as its users see it. */
import type { CommandSet } from "../../command.js";
import type { OptionSpec } from "../../arguments/syntax.js";
import {
  force,
  forceLastTry,
  general,
  json,
  module,
  pinSource,
  publicHalf,
  tokenAccess,
  yes,
} from "../shared-options.js";

const EXCHANGE_URI = "'pkcs11:token=alice;object=exchange'";

/** Whom a certificate is asked for. */
const requested = {
  subject: {
    type: "string",
    describe: "The certificate's subject, as in 'CN=Bob,O=Example' (default: CN=MAIL)",
  },
  mail: {
    type: "string",
    repeatable: true,
    describe: "A mail address for the certificate (repeatable)",
  },
} satisfies Record<string, OptionSpec>;

export const KEYS: CommandSet = {
  groups: {
    keys: "Make, list, export, delete and judge keys on tokens",
  },
  commands: [
    {
      name: "keys generate",
      describe: "Make a key pair on a token and print its URI and fingerprint",
      options: {
        token: { type: "string", describe: "pkcs11: URI of the token (default: the only one)" },
        label: { type: "string", required: true, describe: "The new key's label" },
        type: {
          type: "string",
          required: true,
          choices: [
            ...["rsa:2048", "rsa:3072", "rsa:4096", "ec:p256", "ec:p384", "ec:p521"],
            ...["x25519", "ed25519", "mlkem768-p256", "mlkem1024-p384"],
          ],
          describe: "Kind and size",
        },
        use: {
          type: "string",
          choices: ["exchange", "sign"],
          default: "exchange",
          describe: "To open messages, or to sign: never both",
        },
        "allow-decrypt": {
          type: "boolean",
          describe: "RSA: also allow C_Decrypt, for formats that need it; keys audit reports it",
        },
        output: { alias: "o", type: "string", describe: "Write the public key (PEM) to a file" },
        "seed-file": {
          type: "string",
          describe: "mlkem…: where the ML-KEM half goes, sealed to the half on the token",
        },
        escrow: {
          type: "string",
          repeatable: true,
          names: { of: "recipients", orFile: true },
          describe: "mlkem…: a recipient who can open the seed in that file, too (repeatable)",
        },
        csr: {
          type: "string",
          describe: "Write a request for its certificate (PKCS #10, PEM) to a file, too",
        },
        ...requested,
        ...force,
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
        [
          "keys generate --token pkcs11:token=alice --label pq --type mlkem768-p256 --seed-file pq.seed -o pq.pem",
          "safe from quantum computers: half on the token, half in a file to keep copies of",
        ],
        [
          "keys generate --token pkcs11:token=alice --label mail --type ec:p256 --csr alice.csr --subject 'CN=Alice' --mail alice@example.org",
          "signs the request, and from then on nothing",
        ],
      ],
      load: async () => (await import("./keys-generate.js")).keysGenerateCommand,
    },
    {
      name: "keys csr",
      operands: "<key>",
      describe: "Write a request for a key's certificate (PKCS #10), signed by the key",
      options: {
        ...requested,
        format: {
          type: "string",
          choices: ["pem", "der"],
          default: "pem",
          describe: "PEM or DER",
        },
        output: { alias: "o", type: "string", describe: 'The request\'s file; "-" is stdout' },
        ...publicHalf,
        ...force,
        ...tokenAccess,
        ...general,
      },
      examples: [
        [
          "keys csr 'pkcs11:token=alice;object=sign' --subject 'CN=Alice,O=Example' --mail alice@example.org -o alice.csr",
          "for a signing key; for an exchange key: keys generate --csr",
        ],
      ],
      load: async () => (await import("./keys-csr.js")).keysCsrCommand,
    },
    {
      name: "keys import-cert",
      operands: "<uri> <file>",
      describe: "Store a certificate beside its key on the token",
      options: {
        add: {
          type: "boolean",
          describe: "Keep a certificate that is there: messages that name it go on to open",
        },
        replace: { type: "boolean", describe: "Delete a certificate that is there" },
        ...forceLastTry,
        ...tokenAccess,
        ...json,
        ...general,
      },
      examples: [
        [
          "keys import-cert 'pkcs11:token=alice;object=mail' alice.crt",
          "from then on the key is found by what messages say of the certificate",
        ],
      ],
      load: async () => (await import("./keys-import-cert.js")).keysImportCertCommand,
    },
    {
      name: "keys list",
      operands: "[uri]",
      describe:
        "List the keys on all tokens, those a URI matches, or the half of a seed file's key",
      options: { ...forceLastTry, ...module, ...pinSource, ...json, ...general },
      examples: [
        ["keys list", "every key on every token"],
        ["keys list pkcs11:token=alice", "one token's"],
      ],
      load: async () => (await import("./keys-list.js")).keysListCommand,
    },
    {
      name: "keys export",
      operands: "<uri>",
      describe: "Write a key's public half, for senders; of a hybrid key, from its seed file",
      options: {
        format: {
          type: "string",
          choices: ["pem", "der", "jwk", "ssh", "capi", "cert", "age", "age-identity"],
          default: "pem",
          describe:
            "PEM or DER (SubjectPublicKeyInfo), JWK, an OpenSSH line, CryptoAPI's PUBLICKEYBLOB, " +
            "the certificate beside the key, " +
            "a recipient for age -r, or the key's identity for age -i",
        },
        output: { alias: "o", type: "string", describe: 'The key file; "-" is stdout' },
        probe: {
          type: "boolean",
          describe: "RSA: find out which OAEP hashes the token can undo, and record the best (PIN)",
        },
        ...publicHalf,
        ...force,
        ...tokenAccess,
        ...general,
      },
      examples: [
        [`keys export ${EXCHANGE_URI} --probe -o alice.pem`, "recording what the token can do"],
        [`keys export ${EXCHANGE_URI} --format jwk`, "as a JWK"],
        [`keys export ${EXCHANGE_URI} --format age`, "for those who send with age"],
        [`keys export ${EXCHANGE_URI} --format age-identity -o alice.age-id`, "for age -d -i"],
      ],
      load: async () => (await import("./keys-export.js")).keysExportCommand,
    },
    {
      name: "keys delete",
      operands: "<uri>",
      describe: "Delete a key pair; nobody can then open what is sealed to it",
      options: {
        certificates: { type: "boolean", describe: "Delete its certificates, too" },
        ...yes,
        ...forceLastTry,
        ...tokenAccess,
        ...general,
      },
      examples: [
        [
          "keys delete 'pkcs11:token=alice;object=exchange;id=%01'",
          "asks for the label to be typed",
        ],
      ],
      load: async () => (await import("./keys-delete.js")).keysDeleteCommand,
    },
    {
      name: "keys audit",
      operands: "[uri]",
      describe: "Judge keys against the key policy: extractable, double use, ROCA, …",
      options: {
        strict: { type: "boolean", describe: "Exit with status 6 if there is a finding" },
        ...forceLastTry,
        ...tokenAccess,
        ...json,
        ...general,
      },
      examples: [
        ["keys audit", "all keys on all tokens"],
        ["keys audit --strict pkcs11:token=alice", "for scripts"],
      ],
      load: async () => (await import("./keys-audit.js")).keysAuditCommand,
    },
  ],
};
