/** `p11seal audit`, as its users see it. */
import type { CommandSet } from "../../command.js";
import {
  forceLastTry,
  general,
  json,
  messageTree,
  publicHalf,
  tokenAccess,
} from "../shared-options.js";

export const AUDIT: CommandSet = {
  commands: [
    {
      name: "audit",
      operands: "[paths..]",
      describe: "Find what is wrong with who can open sealed files; reads headers only, no PIN",
      options: {
        ...messageTree,
        strict: { type: "boolean", describe: "Exit 6 if anything was found" },
        ignore: {
          type: "string",
          repeatable: true,
          describe: "A kind of finding that doesn't count here, as in unsigned (repeatable)",
        },
        as: {
          type: "string",
          repeatable: true,
          describe:
            "Also try this key, a URI or a key file: does it open each header? (repeatable)",
        },
        sample: { type: "string", describe: "With --as: try only this many messages, at random" },
        format: {
          type: "string",
          choices: ["text", "sarif", "junit"],
          default: "text",
          describe: "A line for each finding, or SARIF 2.1.0 or JUnit XML for CI",
        },
        ...publicHalf,
        ...tokenAccess,
        ...forceLastTry,
        ...json,
        ...general,
      },
      examples: [
        ["audit --tree archive", "what is wrong with the messages in a folder"],
        ["audit --tree --strict --format junit . > audit.xml", "in CI: fails if there is anything"],
        [
          "audit --tree --as 'pkcs11:token=escrow;object=exchange' --sample 100 archive",
          "whether the escrow's token really opens them",
        ],
      ],
      load: async () => (await import("./audit.js")).auditCommand,
    },
  ],
};
