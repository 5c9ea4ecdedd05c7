/** `p11seal reseal`, as its users see it. */
import type { CommandSet } from "../../command.js";
import {
  acceptedCustodians,
  breakLinks,
  changeByKey,
  changedRecipients,
  general,
  identities,
  jsonErrors,
  noAgent,
  serial,
  signWith,
} from "../shared-options.js";

const SIGN = "--sign-with 'pkcs11:token=vault;object=sign'";

export const RESEAL: CommandSet = {
  commands: [
    {
      name: "reseal",
      operands: "[files..]",
      describe: "Seal files anew, with a new key, so that those removed can't open them",
      options: {
        ...changedRecipients,
        "drop-unknown": {
          type: "boolean",
          describe: "Leave out recipients whose public keys are not known here",
        },
        ...identities,
        from: {
          type: "string",
          repeatable: true,
          names: { of: "senders", also: ["any"] },
          describe: 'Only what this trusted sender signed; "any" of them (repeatable)',
        },
        ...acceptedCustodians,
        ...signWith,
        ...noAgent,
        ...serial,
        "leave-unsigned": {
          type: "boolean",
          describe: "Nobody signs the new message, though somebody signed the old one",
        },
        ...breakLinks,
        ...changeByKey,
        ...jsonErrors,
        ...general,
      },
      examples: [
        ["reseal --remove alice plan.p11s", "alice leaves; the others stay"],
        ["reseal -r carol --remove alice plan.p11s", "carol takes her place"],
        ["reseal -r alice -r carol --drop-unknown plan.age", "for these and yourself alone"],
        [`reseal --remove alice --from bob ${SIGN} order.p11s`, "bob signed it, and now you do"],
      ],
      load: async () => (await import("./reseal.js")).resealCommand,
    },
  ],
};
