/** `p11seal receipt`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { general, json, module } from "../shared-options.js";

export const RECEIPT: CommandSet = {
  groups: {
    receipt: "Check what receivers say they received",
  },
  commands: [
    {
      name: "receipt verify",
      operands: "[file]",
      describe: "Check a receipt's signature, and who made it",
      options: {
        key: {
          type: "string",
          describe: "The receiver's public signing key: file, pkcs11: URI, ssh line or JWK",
        },
        by: {
          type: "string",
          names: { of: "senders" },
          describe: "The receiver's name among the senders (default: any)",
        },
        ...module,
        ...json,
        ...general,
      },
      examples: [
        ["receipt verify report.receipt --by bob", "signed by bob, who is among the senders"],
        ["receipt verify report.receipt --key bob-sign.pem", "by the holder of that key"],
      ],
      load: async () => (await import("./receipt-verify.js")).receiptVerifyCommand,
    },
  ],
};
