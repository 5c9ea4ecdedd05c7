/** Options as data, and those that many commands have (`usage.ts`). */

import type { OptionSpec } from "./syntax.js";

export const general = {
  quiet: { alias: "q", type: "boolean", describe: "No notes, no progress; errors only" },
  verbose: { alias: "v", type: "boolean", describe: "Say how it is done, token calls included" },
} satisfies Record<string, OptionSpec>;

export const json = {
  json: { type: "boolean", describe: "Print JSON, errors too" },
} satisfies Record<string, OptionSpec>;

export const force = {
  force: { type: "boolean", describe: "Replace an existing output file" },
} satisfies Record<string, OptionSpec>;

export const module = {
  module: {
    type: "string",
    repeatable: true,
    describe: "A PKCS#11 library to use instead of those found (repeatable)",
  },
} satisfies Record<string, OptionSpec>;

export const PIN_SOURCE = "env:VAR, file:PATH, fd:N or cmd:COMMAND";

export const tokenAccess = {
  ...module,
  "pin-source": {
    type: "string",
    describe: `Where the PIN comes from: ${PIN_SOURCE} (default: ask)`,
  },
  wait: {
    type: "string",
    describe: "Seconds to wait for a token that is not there (default: at a terminal, until it is)",
  },
} satisfies Record<string, OptionSpec>;

export const FINAL_TRY = "; also use a token's last PIN try";

export const jsonErrors = {
  json: { type: "boolean", describe: "Tell errors as JSON" },
} satisfies Record<string, OptionSpec>;
