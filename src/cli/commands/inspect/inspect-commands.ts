/** `p11seal inspect`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { general, json, keyBlob, module } from "../shared-options.js";

const EXCHANGE_URI = "'pkcs11:token=alice;object=exchange'";

export const INSPECT: CommandSet = {
  commands: [
    {
      name: "inspect",
      operands: "[file]",
      describe: "Show for whom a sealed file is, and what opening it will need",
      options: {
        ...keyBlob,
        identity: {
          alias: "i",
          type: "string",
          repeatable: true,
          describe: "Say also how this key's token would open it: pkcs11: URI (repeatable)",
        },
        ...module,
        ...json,
        ...general,
      },
      examples: [
        ["inspect report.p11s", "needs no key"],
        [`inspect -i ${EXCHANGE_URI} report.p11s`, "and which way the token would go; no PIN"],
      ],
      load: async () => (await import("./inspect.js")).inspectCommand,
    },
  ],
};
