/** `p11seal rules`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { forceLastTry, general, json, publicHalf, tokenAccess } from "../shared-options.js";

export const RULES: CommandSet = {
  groups: {
    rules: "Who must be able to open what is sealed in a folder",
  },
  commands: [
    {
      name: "rules explain",
      operands: "<path>",
      describe: "Say which rules hold for an output, and why",
      options: { ...json, ...general },
      examples: [
        ["rules explain finance/plan.p11s", "the rules found above it, and what they demand"],
      ],
      load: async () => (await import("./rules-explain.js")).rulesExplainCommand,
    },
    {
      name: "rules sign",
      operands: "<file>",
      describe: "Sign a rules file; the signature goes beside it, into FILE.sig",
      options: {
        key: {
          type: "string",
          required: true,
          describe: "The key to sign with: pkcs11: URI of a signing key, or private key file",
        },
        ...forceLastTry,
        ...publicHalf,
        ...tokenAccess,
        ...json,
        ...general,
      },
      examples: [
        [
          "rules sign --key 'pkcs11:token=carol;object=sign' p11seal-rules.toml",
          "after each change, with a higher version in it",
        ],
      ],
      load: async () => (await import("./rules-sign.js")).rulesSignCommand,
    },
    {
      name: "rules verify",
      operands: "<file>",
      describe: "Check a rules file: its signer is config.toml's, and its version not older",
      options: { ...json, ...general },
      examples: [["rules verify p11seal-rules.toml", "as seal and open do before they use it"]],
      load: async () => (await import("./rules-verify.js")).rulesVerifyCommand,
    },
  ],
};
