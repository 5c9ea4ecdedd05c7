/**
 * The commands for what is kept in the data folder: senders, recipients, the ledger, the audit log; and
 * receipts, which are checked against it. Part of `usage.ts`.
 */
import type { CommandSpec } from "../command.js";
import type { OptionSpec } from "./syntax.js";
import { general, json, module } from "./usage-options.js";

const yes = {
  yes: { type: "boolean", describe: "Don't ask for confirmation" },
} satisfies Record<string, OptionSpec>;

const directoryLimits = {
  "not-before": { type: "string", describe: "From when the key is good: a day or a time (UTC)" },
  "not-after": { type: "string", describe: "Until when: a day, to its end, or a time (UTC)" },
  provenance: {
    type: "string",
    describe: "Where the key came from, for people (default: the file's name, or the URI)",
  },
  ...module,
} satisfies Record<string, OptionSpec>;

export const RECORD_COMMANDS: readonly CommandSpec[] = [
  {
    name: "senders add",
    operands: "<name> [key]",
    operand: ["name", "key"],
    describe: "Trust a sender's signing key, or certificate, under a name",
    options: { ...directoryLimits, ...general },
    examples: [
      ["senders add alice alice-sign.pem", "and read the fingerprint to Alice"],
      ["senders add bob bob.crt --not-after 2027-12-31", "trusted until the end of that day (UTC)"],
      ["senders add me 'pkcs11:token=alice;object=sign'", "a key on a token that is plugged in"],
    ],
    load: async () => (await import("../commands/directory/directory.js")).addTo("senders"),
  },
  {
    name: "senders list",
    describe: "List the trusted senders",
    options: { ...json, ...general },
    examples: [["senders list", "names, keys, and whether they are valid now"]],
    load: async () => (await import("../commands/directory/directory.js")).listOf("senders"),
  },
  {
    name: "senders show",
    operands: "<name>",
    operand: "name",
    describe: "Show a sender's fingerprint for reading out, where it came from, its limits",
    options: { ...json, ...general },
    examples: [["senders show alice", "to compare by telephone"]],
    load: async () => (await import("../commands/directory/directory.js")).showFrom("senders"),
  },
  {
    name: "senders remove",
    operands: "<name>",
    operand: "name",
    describe: "Trust a sender no more",
    options: { ...yes, ...general },
    examples: [["senders remove alice", "asks for the name to be typed"]],
    load: async () => (await import("../commands/directory/directory.js")).removeFrom("senders"),
  },
  {
    name: "recipients add",
    operands: "<name> [key]",
    operand: ["name", "key"],
    describe: "Keep a recipient's public key, or certificate, under a name",
    options: { ...directoryLimits, ...general },
    examples: [
      ["recipients add alice alice.pem", "from then on: p11seal seal -r alice"],
      ["recipients add bob bob.crt --not-after 2027-12-31", "refused after that day (UTC)"],
    ],
    load: async () => (await import("../commands/directory/directory.js")).addTo("recipients"),
  },
  {
    name: "recipients list",
    describe: "List the recipients that have a name",
    options: { ...json, ...general },
    examples: [["recipients list", "names, keys, and whether they are valid now"]],
    load: async () => (await import("../commands/directory/directory.js")).listOf("recipients"),
  },
  {
    name: "recipients show",
    operands: "<name>",
    operand: "name",
    describe: "Show a recipient's fingerprint for reading out, where it came from, its limits",
    options: { ...json, ...general },
    examples: [["recipients show alice", "to compare by telephone"]],
    load: async () => (await import("../commands/directory/directory.js")).showFrom("recipients"),
  },
  {
    name: "recipients remove",
    operands: "<name>",
    operand: "name",
    describe: "Forget a recipient",
    options: { ...yes, ...general },
    examples: [["recipients remove alice", "asks for the name to be typed"]],
    load: async () => (await import("../commands/directory/directory.js")).removeFrom("recipients"),
  },
  {
    name: "ledger init",
    describe: "Begin a new ledger, which knows nothing of what was opened before",
    options: {
      since: {
        type: "string",
        describe: 'Refuse what was sealed earlier: "now", a day or a time (UTC)',
      },
      ...json,
      ...general,
    },
    examples: [
      ["ledger init", "where nothing signed was ever opened"],
      ["ledger init --since now", "after the old one was lost: what was sealed before is refused"],
    ],
    load: async () => (await import("../commands/records/ledger.js")).ledgerInitCommand,
  },
  {
    name: "ledger status",
    describe: "Show how much the ledger remembers",
    options: { ...json, ...general },
    examples: [["ledger status", "counts of senders, streams and messages"]],
    load: async () => (await import("../commands/records/ledger.js")).ledgerStatusCommand,
  },
  {
    name: "ledger verify",
    describe: "Check the ledger for damage, and against the audit log",
    options: { ...json, ...general },
    examples: [["ledger verify", "one problem a line; status 6 if there is one"]],
    load: async () => (await import("../commands/records/ledger.js")).ledgerVerifyCommand,
  },
  {
    name: "ledger prune",
    describe: "Forget messages older than the window; they stay refused",
    options: {
      window: {
        type: "string",
        describe: "How old a message may be, as in 12h or 7d (default: as configured, else 7d)",
      },
      ...json,
      ...general,
    },
    examples: [["ledger prune", "may be run at any time"]],
    load: async () => (await import("../commands/records/ledger.js")).ledgerPruneCommand,
  },
  {
    name: "ledger export",
    describe: "Print what the ledger remembers; with --json, all of it",
    options: { ...json, ...general },
    examples: [["ledger export --json > ledger.json", "for other programs"]],
    load: async () => (await import("../commands/records/ledger.js")).ledgerExportCommand,
  },
  {
    name: "receipt verify",
    operands: "[file]",
    operand: "file",
    describe: "Check a receipt's signature, and whose it is",
    options: {
      key: {
        type: "string",
        describe: "The receiver's public signing key: file, pkcs11: URI, ssh line or JWK",
      },
      by: { type: "string", describe: "The receiver's name among the senders (default: any)" },
      ...module,
      ...json,
      ...general,
    },
    examples: [
      ["receipt verify report.receipt --by bob", "signed by bob, who is among the senders"],
      ["receipt verify report.receipt --key bob-sign.pem", "by the holder of that key"],
    ],
    load: async () => (await import("../commands/records/receipt.js")).receiptVerifyCommand,
  },
  {
    name: "audit-log verify",
    describe: "Find lines that were removed, changed or reordered in the record of openings",
    options: {
      expected: { type: "string", describe: "A head noted earlier, N:HASH, that must be in it" },
      ...json,
      ...general,
    },
    examples: [["audit-log verify", "prints the head, to be noted elsewhere"]],
    load: async () => (await import("../commands/records/audit-log.js")).auditLogVerifyCommand,
  },
];
