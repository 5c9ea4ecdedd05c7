/** `p11seal senders`, `custodians` and `recipients`, as their users see them. */
import type { CommandSet } from "../../command.js";
import type { OptionSpec } from "../../arguments/syntax.js";
import { allowSigningKey, general, json, module, yes } from "../shared-options.js";

/** How long a key is valid, and where it came from. */
const details = {
  "not-before": { type: "string", describe: "Valid from: a day or a time (UTC)" },
  "not-after": { type: "string", describe: "Valid until: the end of a day, or a time (UTC)" },
  provenance: {
    type: "string",
    describe: "Where the key came from, for people (default: the file's name, or the URI)",
  },
  ...module,
} satisfies Record<string, OptionSpec>;

export const DIRECTORY: CommandSet = {
  groups: {
    senders: "Whose signed messages are trusted: names and their keys",
    custodians: "Who may re-wrap signed messages for others: names and their keys",
    recipients: "Whom to seal to by name: names and their keys",
  },
  commands: [
    {
      name: "senders add",
      operands: "<name> [key]",
      describe: "Trust a sender's signing key, or certificate, under a name",
      options: { ...details, ...general },
      examples: [
        ["senders add alice alice-sign.pem", "then compare the fingerprint with Alice"],
        [
          "senders add bob bob.crt --not-after 2027-12-31",
          "trusted until the end of that day (UTC)",
        ],
        ["senders add me 'pkcs11:token=alice;object=sign'", "a key on a token that is present"],
      ],
      load: async () => (await import("./directory-add.js")).addTo("senders"),
    },
    {
      name: "senders list",
      describe: "List the trusted senders",
      options: { ...json, ...general },
      examples: [["senders list", "names, keys, and whether they are valid now"]],
      load: async () => (await import("./directory-show.js")).listOf("senders"),
    },
    {
      name: "senders show",
      operands: "<name>",
      operandNames: { of: "senders" },
      describe: "Show a sender's fingerprint to read out, its origin and limits",
      options: { ...json, ...general },
      examples: [["senders show alice", "to compare by telephone"]],
      load: async () => (await import("./directory-show.js")).showFrom("senders"),
    },
    {
      name: "senders remove",
      operands: "<name>",
      operandNames: { of: "senders" },
      describe: "Stop trusting a sender",
      options: { ...yes, ...general },
      examples: [["senders remove alice", "asks for the name to be typed"]],
      load: async () => (await import("./directory-remove.js")).removeFrom("senders"),
    },
    {
      name: "custodians add",
      operands: "<name> [key]",
      describe: "Trust a custodian's signing key, or certificate, under a name",
      options: { ...details, ...general },
      examples: [
        ["custodians add vault vault-sign.pem", "from then on: p11seal open --custodian vault"],
        [
          "custodians add vault vault.crt --not-after 2027-12-31",
          "what it re-wraps later than that day (UTC) is refused",
        ],
      ],
      load: async () => (await import("./directory-add.js")).addTo("custodians"),
    },
    {
      name: "custodians list",
      describe: "List the custodians",
      options: { ...json, ...general },
      examples: [["custodians list", "names, keys, and whether they are valid now"]],
      load: async () => (await import("./directory-show.js")).listOf("custodians"),
    },
    {
      name: "custodians show",
      operands: "<name>",
      operandNames: { of: "custodians" },
      describe: "Show a custodian's fingerprint to read out, its origin and limits",
      options: { ...json, ...general },
      examples: [["custodians show vault", "to compare by telephone"]],
      load: async () => (await import("./directory-show.js")).showFrom("custodians"),
    },
    {
      name: "custodians remove",
      operands: "<name>",
      operandNames: { of: "custodians" },
      describe: "Stop trusting a custodian",
      options: { ...yes, ...general },
      examples: [["custodians remove vault", "asks for the name to be typed"]],
      load: async () => (await import("./directory-remove.js")).removeFrom("custodians"),
    },
    {
      name: "recipients add",
      operands: "<name> [key]",
      describe: "Keep a recipient's public key, or certificate, under a name",
      options: { ...details, ...allowSigningKey, ...general },
      examples: [
        ["recipients add alice alice.pem", "from then on: p11seal seal -r alice"],
        ["recipients add bob bob.crt --not-after 2027-12-31", "refused after that day (UTC)"],
      ],
      load: async () => (await import("./directory-add.js")).addTo("recipients"),
    },
    {
      name: "recipients list",
      describe: "List the recipients that have a name",
      options: { ...json, ...general },
      examples: [["recipients list", "names, keys, and whether they are valid now"]],
      load: async () => (await import("./directory-show.js")).listOf("recipients"),
    },
    {
      name: "recipients show",
      operands: "<name>",
      operandNames: { of: "recipients" },
      describe: "Show a recipient's fingerprint to read out, its origin and limits",
      options: { ...json, ...general },
      examples: [["recipients show alice", "to compare by telephone"]],
      load: async () => (await import("./directory-show.js")).showFrom("recipients"),
    },
    {
      name: "recipients remove",
      operands: "<name>",
      operandNames: { of: "recipients" },
      describe: "Forget a recipient",
      options: { ...yes, ...general },
      examples: [["recipients remove alice", "asks for the name to be typed"]],
      load: async () => (await import("./directory-remove.js")).removeFrom("recipients"),
    },
  ],
};
