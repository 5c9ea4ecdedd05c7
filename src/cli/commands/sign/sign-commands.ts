/** `p11seal sign` and `p11seal verify`, as their users see them. */
import type { CommandSet } from "../../command.js";
import { certificateTrust, filesByKey, general, json } from "../shared-options.js";

const SIGN_URI = "'pkcs11:token=bob;object=sign'";

export const SIGN: CommandSet = {
  commands: [
    {
      name: "sign",
      operands: "[files..]",
      describe: "Sign files with a key on a token, as CMS (.p7s, .p7m)",
      options: {
        key: {
          alias: "k",
          type: "string",
          required: true,
          describe: "The signing key: pkcs11: URI, or private key file",
        },
        cert: {
          type: "string",
          repeatable: true,
          describe: "Its certificate, and those of its issuers (default: what lies beside the key)",
        },
        output: {
          alias: "o",
          type: "string",
          describe: 'The signature, or a folder for several; "-" is stdout (default: FILE.p7s)',
        },
        opaque: { type: "boolean", describe: "With the content in it, as FILE.p7m" },
        armor: { alias: "a", type: "boolean", describe: "As text: PEM" },
        pss: { type: "boolean", describe: "RSA: RSASSA-PSS, in place of PKCS#1 v1.5" },
        ...filesByKey,
      },
      examples: [
        [`sign -k ${SIGN_URI} --cert bob.pem plan.pdf`, "plan.pdf.p7s, for whoever has plan.pdf"],
        ["sign -k bob.key --cert bob.pem --opaque plan.pdf", "both in plan.pdf.p7m"],
      ],
      load: async () => (await import("./sign.js")).signCommand,
    },
    {
      name: "verify",
      operands: "[file]",
      describe: "Check the signatures of a signed file or mail, and whose they are",
      options: {
        content: {
          type: "string",
          describe: "The signed file, if it is not in the message (default: FILE, of FILE.p7s)",
        },
        output: {
          alias: "o",
          type: "string",
          describe: 'Write the content that was signed to a file; "-" is stdout',
        },
        from: {
          type: "string",
          repeatable: true,
          names: { of: "senders", also: ["any"] },
          describe:
            "Who must have signed: a sender of yours or, below an authority, a mail address or " +
            "name (default: any of them)",
        },
        "any-signer": {
          type: "boolean",
          describe: "Only say who signed, whether or not you know them",
        },
        cert: {
          type: "string",
          repeatable: true,
          describe: "Certificates to look for the signer's in, if the message holds none",
        },
        ...certificateTrust,
        "allow-legacy": {
          type: "boolean",
          describe: "Accept SHA-1 and RSA keys from 1,024 bits, for old messages",
        },
        force: { type: "boolean", describe: "Replace an existing output file" },
        ...json,
        ...general,
      },
      examples: [
        ["verify plan.pdf.p7s", "by one of your senders, over plan.pdf"],
        ["verify --from bob -o plan.pdf plan.pdf.p7m", "by bob, and take the content out"],
        [
          "verify --trust ca.pem --from bob@example.org mail.eml",
          "by whoever has this address in a certificate below ca.pem",
        ],
        ["verify --any-signer mail.eml", "say who signed a mail"],
      ],
      load: async () => (await import("./verify.js")).verifyCommand,
    },
  ],
};
