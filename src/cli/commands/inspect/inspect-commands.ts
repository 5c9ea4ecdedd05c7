/** `p11seal inspect`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { general, json, keyBlob, module, ownCertificates } from "../shared-options.js";

const EXCHANGE_URI = "'pkcs11:token=alice;object=exchange'";

export const INSPECT: CommandSet = {
  commands: [
    {
      name: "inspect",
      operands: "[file]",
      describe: "Show who can open a sealed file, and what that takes",
      options: {
        ...keyBlob,
        identity: {
          alias: "i",
          type: "string",
          repeatable: true,
          describe: "Also say how this key's token would open it: pkcs11: URI (repeatable)",
        },
        ...ownCertificates,
        ...module,
        ...json,
        ...general,
      },
      examples: [
        ["inspect report.p11s", "needs no key"],
        [`inspect -i ${EXCHANGE_URI} report.p11s`, "and how the token would open it; no PIN"],
      ],
      load: async () => (await import("./inspect.js")).inspectCommand,
    },
  ],
};
