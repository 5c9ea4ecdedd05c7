/** `p11seal doctor`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { acceptedCustodians, general, json, module, ownCertificates } from "../shared-options.js";

export const DOCTOR: CommandSet = {
  commands: [
    {
      name: "doctor",
      operands: "[file]",
      describe: "Say whether a token will open a file, and if not, why; asks for no PIN",
      options: {
        identity: {
          alias: "i",
          type: "string",
          repeatable: true,
          describe: "What to open it with, as for open (default: every token present)",
        },
        ...ownCertificates,
        ...acceptedCustodians,
        ...module,
        ...json,
        ...general,
      },
      examples: [
        ["doctor", "modules, tokens, keys, and what is wrong with them"],
        ["doctor report.p11s", "will it open, how, and if not, why"],
      ],
      load: async () => (await import("./doctor.js")).doctorCommand,
    },
  ],
};
