/**
 * The commands for peers that use Microsoft's CryptoAPI (docs/cryptoapi.md),
 * except the three-phase exchange.
 */
import type { CommandSet } from "../../command.js";
import {
  algorithm,
  allowWeak,
  allowWeakKeys,
  cipher,
  common,
  identity,
  oaep,
  ownKey,
  signatureForm,
  signer,
  unauthenticated,
} from "./capi-options.js";
import { general, json, signWith } from "../shared-options.js";

const EXCHANGE = "'pkcs11:token=bob;object=exchange'";
const SIGN = "'pkcs11:token=bob;object=sign'";

const storedKey = {
  blob: {
    type: "string",
    required: true,
    describe: "The stored key: a SIMPLEBLOB under your exchange key",
  },
  signature: { type: "string", describe: "Its signature (default: the blob's name with .sig)" },
} as const;

export const CAPI: CommandSet = {
  groups: {
    capi: "Exchange with CryptoAPI programs: no authentication, PKCS#1 v1.5 inside",
  },
  commands: [
    {
      name: "capi receive",
      describe: "Decrypt what CryptEncrypt made, with the key CryptExportKey wrapped",
      options: {
        ...ownKey,
        blob: { type: "string", describe: "The SIMPLEBLOB with the session key" },
        cipher: { type: "string", describe: "The ciphertext (default: stdin)" },
        "sdk-file": { type: "string", describe: "One file instead: length, blob, ciphertext" },
        output: { alias: "o", type: "string", describe: 'The message; "-" is stdout (default)' },
        ...oaep,
        ...cipher,
        signature: { type: "string", describe: "A signature over blob and ciphertext" },
        signer,
        ...signatureForm,
        ...unauthenticated,
        ...allowWeakKeys,
        ...common,
      },
      examples: [
        [
          `capi receive -i ${EXCHANGE} --blob k.blob --cipher m.bin --signature m.sig --signer alice.blob -o m.txt`,
          "blob and ciphertext signed by alice",
        ],
        [
          `capi receive -i ${EXCHANGE} --sdk-file m.enc --allow-unauthenticated -o m.txt`,
          "a file of Microsoft's sample, whoever made it",
        ],
      ],
      load: async () => (await import("./capi-receive.js")).capiReceiveCommand,
    },
    {
      name: "capi send",
      operands: "[file]",
      describe: "Encrypt for CryptDecrypt, the key wrapped for CryptImportKey",
      options: {
        to: {
          type: "string",
          repeatable: true,
          names: { of: "recipients", orFile: true },
          describe: "A recipient: PUBLICKEYBLOB, key file, certificate, or known name (repeatable)",
        },
        blob: {
          type: "string",
          repeatable: true,
          describe: "Where a recipient's SIMPLEBLOB goes: one for each --to, in their order",
        },
        cipher: { type: "string", describe: 'Where the ciphertext goes; "-" is stdout (default)' },
        "sdk-file": { type: "string", describe: "One file instead: length, blob, ciphertext" },
        ...algorithm,
        ...oaep,
        ...cipher,
        ...signWith,
        signature: {
          type: "string",
          repeatable: true,
          describe: "Where the signature over blob and ciphertext goes: one for each --to",
        },
        ...signatureForm,
        ...allowWeak,
        ...common,
      },
      examples: [
        ["capi send --to alice.blob --blob k.blob --cipher m.bin m.txt", "to one recipient"],
        [
          "capi send --to alice.blob --blob a.blob --to carol.crt --blob c.blob --cipher m.bin m.txt",
          "to two: one ciphertext, a key blob each",
        ],
        [
          `capi send --to alice.blob --blob k.blob --cipher m.bin --sign-with ${SIGN} --signature m.sig m.txt`,
          "signed, which is the only way to know who sent it",
        ],
      ],
      load: async () => (await import("./capi-send.js")).capiSendCommand,
    },
    {
      name: "capi sign",
      operands: "[files..]",
      describe: "CryptSignHash over files, one after the other",
      options: {
        identity: { ...ownKey.identity, describe: "The signing key: pkcs11: URI, or key file" },
        output: { alias: "o", type: "string", describe: 'The signature; "-" is stdout (default)' },
        ...signatureForm,
        digest: { type: "string", describe: "HP_HASHVAL: sign this hash value (hex), no file" },
        ...common,
      },
      examples: [
        [`capi sign -i ${SIGN} -o m.sig m.txt`, "a file"],
        [`capi sign -i ${SIGN} -o m.sig k.blob m.bin`, "a message: key blob, then ciphertext"],
      ],
      load: async () => (await import("./capi-sign.js")).capiSignCommand,
    },
    {
      name: "capi verify",
      operands: "[files..]",
      describe: "CryptVerifySignature over files, one after the other",
      options: {
        signer: { ...signer, required: true },
        signature: { type: "string", required: true, describe: "The signature" },
        ...signatureForm,
        digest: { type: "string", describe: "HP_HASHVAL: of this hash value (hex), no file" },
        "allow-md5": {
          type: "boolean",
          describe: "Accept MD5, which proves nothing: for old archives",
        },
        ...allowWeakKeys,
        ...json,
        ...general,
      },
      examples: [
        [
          "capi verify --signer alice-sign.blob --signature m.sig m.txt",
          "status 4: the signature does not hold",
        ],
      ],
      load: async () => (await import("./capi-sign.js")).capiVerifyCommand,
    },
    {
      name: "capi hash-session-key",
      describe: "CryptHashSessionKey: print the hash of a session key, to compare or to sign",
      options: {
        identity,
        blob: {
          type: "string",
          required: true,
          describe: "SIMPLEBLOB under your key, or PLAINTEXTKEYBLOB, which needs no key",
        },
        ...oaep,
        hash: { ...signatureForm.hash, describe: "The hash" },
        "little-endian": {
          type: "boolean",
          describe: "CRYPT_LITTLE_ENDIAN: the key in the cipher's order (default: reversed)",
        },
        part: {
          type: "string",
          repeatable: true,
          describe: "What is hashed, in order: key, text:…, hex:… or file:… (default: key)",
        },
        ...common,
        ...json,
      },
      examples: [
        [`capi hash-session-key -i ${EXCHANGE} --blob k.blob`, "as CryptHashSessionKey does"],
        [
          `capi hash-session-key -i ${EXCHANGE} --blob k.blob --part key --part text:Bob --little-endian`,
          "followed by CryptHashData of a name",
        ],
      ],
      load: async () => (await import("./capi-hash.js")).capiHashCommand,
    },
    {
      name: "capi store",
      describe: "Keep a session key under your exchange key, signed",
      options: {
        ...ownKey,
        "sign-with": { ...signWith["sign-with"], required: true },
        ...algorithm,
        "plaintext-key": {
          type: "string",
          describe: "Keep this key, a PLAINTEXTKEYBLOB (default: a new one)",
        },
        output: { alias: "o", type: "string", required: true, describe: "The SIMPLEBLOB" },
        signature: {
          type: "string",
          describe: "Its signature (default: the blob's name with .sig)",
        },
        ...oaep,
        hash: signatureForm.hash,
        ...allowWeak,
        ...common,
      },
      examples: [[`capi store -i ${EXCHANGE} --sign-with ${SIGN} -o archive.blob`, "a new key"]],
      load: async () => (await import("./capi-stored.js")).capiStoreCommand,
    },
    {
      name: "capi open-stored",
      describe: "Use a stored session key, after checking its signature",
      options: {
        ...ownKey,
        ...storedKey,
        signer: { ...signer, required: true },
        ...signatureForm,
        encrypt: { type: "string", describe: "Encrypt this file with it" },
        decrypt: { type: "string", describe: "Decrypt this file with it" },
        "plaintext-key": { type: "boolean", describe: "Write the key itself, a PLAINTEXTKEYBLOB" },
        output: { alias: "o", type: "string", describe: 'The result; "-" is stdout (default)' },
        ...oaep,
        ...cipher,
        ...unauthenticated,
        ...allowWeak,
        ...common,
      },
      examples: [
        [
          `capi open-stored -i ${EXCHANGE} --signer bob-sign.pem --blob archive.blob --encrypt m.txt --iv 00112233445566778899aabbccddeeff -o m.bin`,
          "each message with an IV of its own",
        ],
        [
          `capi open-stored -i ${EXCHANGE} --signer bob-sign.pem --blob archive.blob --decrypt m.bin --iv 00112233445566778899aabbccddeeff --allow-unauthenticated -o m.txt`,
          "and back",
        ],
      ],
      load: async () => (await import("./capi-stored.js")).capiOpenStoredCommand,
    },
    {
      name: "capi back-up",
      describe:
        "Give a stored session key to a backup authority, with serial number and description",
      options: {
        ...ownKey,
        ...storedKey,
        "sign-with": { ...signWith["sign-with"], required: true },
        authority: {
          type: "string",
          required: true,
          describe:
            "The authority's exchange key: PUBLICKEYBLOB, key file, certificate, known name",
        },
        serial: {
          type: "string",
          required: true,
          describe: "The record's number, yours to choose",
        },
        description: {
          type: "string",
          required: true,
          describe: "What the key is for; not secret",
        },
        output: { alias: "o", type: "string", required: true, describe: "The record" },
        ...oaep,
        hash: signatureForm.hash,
        ...allowWeakKeys,
        ...common,
      },
      examples: [
        [
          `capi back-up -i ${EXCHANGE} --blob archive.blob --sign-with ${SIGN} --authority backup.blob --serial 17 --description archive-2026 -o archive.pkb`,
          "after capi store",
        ],
      ],
      load: async () => (await import("./capi-backup.js")).capiBackUpCommand,
    },
    {
      name: "capi recover",
      operands: "<record>",
      describe: "The authority's side: show a record, or give its key to the client's new key",
      options: {
        client: { ...signer, required: true, describe: "Who signed the record, as for --signer" },
        identity,
        to: {
          type: "string",
          describe: "The client's new exchange key (default: show the record, use no key)",
        },
        serial: { type: "string", describe: "The serial number the client named (default: ask)" },
        ...signWith,
        output: { alias: "o", type: "string", describe: "The SIMPLEBLOB for the client" },
        signature: {
          type: "string",
          describe: "Its signature (default: the blob's name with .sig)",
        },
        ...oaep,
        hash: signatureForm.hash,
        ...allowWeakKeys,
        ...common,
        ...json,
      },
      examples: [
        ["capi recover --client bob-sign.blob archive.pkb", "what it is, and that bob signed it"],
        [
          `capi recover --client bob-sign.blob -i pkcs11:token=backup;object=exchange --to bob-new.blob --sign-with pkcs11:token=backup;object=sign -o archive.blob archive.pkb`,
          "once bob has shown who he is",
        ],
      ],
      load: async () => (await import("./capi-backup.js")).capiRecoverCommand,
    },
  ],
};
