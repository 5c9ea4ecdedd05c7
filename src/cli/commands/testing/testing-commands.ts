/** `p11seal testing`, as its users see it. */
import { PROFILE_NAMES } from "../../../testing/profile-names.js";
import type { CommandSet } from "../../command.js";
import { general } from "../shared-options.js";

export const TESTING: CommandSet = {
  groups: {
    testing: "Run a command with a throw-away token",
  },
  commands: [
    {
      name: "testing exec",
      describe: "Run a command with a throw-away token, described in its environment",
      operands: "<command> [args..]",
      passesOperandsOn: true,
      options: {
        key: {
          type: "string",
          repeatable: true,
          describe: "A key as NAME=TYPE: rsa:BITS, ec:p256, ec:p384, ec:p521, ed25519 or x25519",
        },
        certificate: {
          type: "string",
          repeatable: true,
          describe: "A key that gets a self-signed certificate, by its name",
        },
        label: { type: "string", default: "test", describe: "The token's label" },
        profile: {
          type: "string",
          choices: PROFILE_NAMES,
          default: "softhsm",
          describe: "The kind of token that it behaves like",
        },
        ...general,
      },
      examples: [
        ["testing exec --key exchange=rsa:2048 -- pytest", "tests in any language"],
        ["testing exec --key sign=ec:p256 --profile piv -- make check", "as with a PIV card"],
      ],
      load: async () => (await import("./testing-exec.js")).testingExecCommand,
    },
  ],
};
