/** `p11seal trust`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { general, json, yes } from "../shared-options.js";

export const TRUST: CommandSet = {
  groups: {
    trust: "Authorities whose certificates are believed",
  },
  commands: [
    {
      name: "trust add",
      operands: "<name> [file]",
      describe: "Believe the certificates below an authority, from now on",
      options: {
        provenance: {
          type: "string",
          describe: "Where the certificate came from, for people (default: the file's name)",
        },
        ...general,
      },
      examples: [
        ["trust add example-ca ca.pem", "then compare the fingerprint with the authority's"],
      ],
      load: async () => (await import("./trust-add.js")).trustAddCommand,
    },
    {
      name: "trust list",
      describe: "List the authorities",
      options: { ...json, ...general },
      examples: [["trust list", "names, subjects, and until when they are valid"]],
      load: async () => (await import("./trust-list.js")).trustListCommand,
    },
    {
      name: "trust remove",
      operands: "<name>",
      operandNames: { of: "authorities" },
      describe: "Stop believing certificates below an authority",
      options: { ...yes, ...general },
      examples: [["trust remove example-ca", "asks for the name to be typed"]],
      load: async () => (await import("./trust-remove.js")).trustRemoveCommand,
    },
  ],
};
