/** `p11seal ledger`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { general, json } from "../shared-options.js";

export const LEDGER: CommandSet = {
  groups: {
    ledger: "Which signed messages were opened, so that none is opened twice",
  },
  commands: [
    {
      name: "ledger init",
      describe: "Start a new ledger, which knows nothing of what was opened before",
      options: {
        since: {
          type: "string",
          describe: 'Refuse what was sealed earlier: "now", a day or a time (UTC)',
        },
        ...json,
        ...general,
      },
      examples: [
        ["ledger init", "if nothing signed was ever opened"],
        [
          "ledger init --since now",
          "after the old one was lost: what was sealed before is refused",
        ],
      ],
      load: async () => (await import("./ledger-handlers.js")).ledgerInitCommand,
    },
    {
      name: "ledger status",
      describe: "Show how much the ledger remembers",
      options: { ...json, ...general },
      examples: [["ledger status", "counts of senders, streams and messages"]],
      load: async () => (await import("./ledger-handlers.js")).ledgerStatusCommand,
    },
    {
      name: "ledger verify",
      describe: "Check the ledger for damage, and against the audit log",
      options: { ...json, ...general },
      examples: [["ledger verify", "one problem a line; status 6 if there is one"]],
      load: async () => (await import("./ledger-handlers.js")).ledgerVerifyCommand,
    },
    {
      name: "ledger prune",
      describe: "Forget messages older than the window; they are still refused",
      options: {
        window: {
          type: "string",
          describe: "How old a message may be, as in 12h or 7d (default: as configured, else 7d)",
        },
        ...json,
        ...general,
      },
      examples: [["ledger prune", "may be run at any time"]],
      load: async () => (await import("./ledger-handlers.js")).ledgerPruneCommand,
    },
    {
      name: "ledger export",
      describe: "Print what the ledger remembers; with --json, everything",
      options: { ...json, ...general },
      examples: [["ledger export --json > ledger.json", "for other programs"]],
      load: async () => (await import("./ledger-handlers.js")).ledgerExportCommand,
    },
  ],
};
