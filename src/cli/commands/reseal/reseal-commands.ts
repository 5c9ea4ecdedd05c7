/** `p11seal reseal`, as its users see it. */
import type { CommandSet } from "../../command.js";
import {
  acceptedCustodians,
  allowSigningKey,
  certificateTrust,
  forceLastTry,
  general,
  jsonErrors,
  publicHalf,
  signWith,
  tokenAccess,
} from "../shared-options.js";

const SIGN = "--sign-with 'pkcs11:token=vault;object=sign'";

export const RESEAL: CommandSet = {
  commands: [
    {
      name: "reseal",
      operands: "[files..]",
      describe: "Seal files anew, with a new key, so that those removed can't open them",
      options: {
        recipient: {
          alias: "r",
          type: "string",
          repeatable: true,
          names: { of: "recipients", orFile: true },
          describe: "Add this recipient: key or certificate file, pkcs11: URI, name (repeatable)",
        },
        "recipients-file": {
          alias: "R",
          type: "string",
          repeatable: true,
          describe: 'Add the recipients of a file, one a line; "-" is stdin (repeatable)',
        },
        remove: {
          type: "string",
          repeatable: true,
          names: { of: "recipients", orFile: true },
          describe: "Remove this recipient (repeatable)",
        },
        "drop-unknown": {
          type: "boolean",
          describe: "Leave out recipients whose public keys are not known here",
        },
        identity: {
          alias: "i",
          type: "string",
          repeatable: true,
          describe:
            "pkcs11: URI, file with one, or private key file (default: every token present)",
        },
        from: {
          type: "string",
          repeatable: true,
          names: { of: "senders", also: ["any"] },
          describe: 'Only what this trusted sender signed; "any" of them (repeatable)',
        },
        ...acceptedCustodians,
        ...signWith,
        expires: {
          type: "string",
          describe: "Signed: refused by receivers after this time, as in 7d",
        },
        "stream-name": {
          type: "string",
          describe: "Signed: which of your counters the serial number is from (default: default)",
        },
        "leave-unsigned": {
          type: "boolean",
          describe: "Nobody signs the new message, though somebody signed the old one",
        },
        "break-links": {
          type: "boolean",
          describe: "Of a file with several hard links, give this name a file of its own",
        },
        ...allowSigningKey,
        ...certificateTrust,
        "allow-untrusted-cert": {
          type: "boolean",
          describe: "Add the keys of certificates that no trusted authority vouches for",
        },
        ...forceLastTry,
        ...publicHalf,
        ...tokenAccess,
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
