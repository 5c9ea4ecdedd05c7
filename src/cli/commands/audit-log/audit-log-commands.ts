/** `p11seal audit-log`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { general, json } from "../shared-options.js";

export const AUDIT_LOG: CommandSet = {
  groups: {
    "audit-log": "Check the record of openings",
  },
  commands: [
    {
      name: "audit-log verify",
      describe: "Find lines that were removed, changed or reordered in the record of openings",
      options: {
        expected: {
          type: "string",
          describe: "A head noted earlier, N:HASH, which must be in the log",
        },
        ...json,
        ...general,
      },
      examples: [["audit-log verify", "prints the head, to be noted elsewhere"]],
      load: async () => (await import("./audit-log-verify.js")).auditLogVerifyCommand,
    },
  ],
};
