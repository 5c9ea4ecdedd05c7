/** `p11seal tokens` and `p11seal token`, as their users see them. */
import type { CommandSet } from "../../command.js";
import { ENV_FORMS } from "./env-lines.js";
import { PIN_SOURCE, general, json, module } from "../shared-options.js";

export const TOKENS: CommandSet = {
  groups: {
    token: "Make a development token",
  },
  commands: [
    {
      name: "tokens",
      describe: "List PKCS#11 modules and the tokens found through them",
      options: { ...module, ...json, ...general },
      examples: [
        ["tokens", "labels, serials and the state of their PINs"],
        ["tokens --module /usr/lib/opensc-pkcs11.so", "through one module"],
      ],
      load: async () => (await import("./tokens-list.js")).tokensCommand,
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
        env: {
          type: "string",
          choices: ENV_FORMS,
          describe: "Print variables for a CI job, with a random PIN unless a source is named",
        },
        ...json,
        ...general,
      },
      examples: [
        ["token init --label alice", "asks for both PINs"],
        ['token init --label ci --env github >> "$GITHUB_ENV"', "for the steps that follow"],
        [
          "token init --label ci --pin-source env:PIN --so-pin-source env:SO_PIN",
          "without a terminal",
        ],
      ],
      load: async () => (await import("./token-init.js")).tokenInitCommand,
    },
  ],
};
