/** `p11seal open`, as its users see it. */
import type { CommandSet } from "../../command.js";
import {
  acceptedCustodians,
  certificateTrust,
  filesByKey,
  identities,
  keyBlob,
  noAgent,
  ownCertificates,
  threads,
} from "../shared-options.js";

const EXCHANGE_URI = "'pkcs11:token=alice;object=exchange'";

export const OPEN: CommandSet = {
  commands: [
    {
      name: "open",
      operands: "[files..]",
      describe: "Open sealed files with a key on a token",
      options: {
        ...identities,
        output: {
          alias: "o",
          type: "string",
          describe: 'The opened file, or a folder for several; "-" is stdout',
        },
        ...keyBlob,
        ...ownCertificates,
        "allow-unauthenticated": {
          type: "boolean",
          describe: "CMS: open one message in CBC, though nothing vouches for its content",
        },
        "allow-legacy": {
          type: "boolean",
          describe: "CMS: open what has PKCS#1 v1.5, triple DES, RC2, SHA-1 signatures",
        },
        from: {
          type: "string",
          repeatable: true,
          names: { of: "senders", also: ["any"] },
          describe: 'Open only what this trusted sender signed, once; "any" of them (repeatable)',
        },
        ...certificateTrust,
        "in-order": { type: "boolean", describe: "With --from: refuse all but the next serial" },
        window: { type: "string", describe: "With --from: how old a message may be (default: 7d)" },
        ...acceptedCustodians,
        "as-path": {
          type: "string",
          describe: "From stdin: where the message lies, for the rules that are about it",
        },
        stream: {
          type: "boolean",
          describe: "With --from, to stdout: write segments before the signature's end is checked",
        },
        receipt: { type: "string", describe: "With --from: write a signed receipt to a file" },
        "receipt-key": {
          type: "string",
          describe: "The key that signs it: pkcs11: URI, or private key file",
        },
        ...threads,
        ...noAgent,
        ...filesByKey,
      },
      examples: [
        ["open -o report.pdf report.p11s", "with any token that has the key"],
        [`open -i ${EXCHANGE_URI} report.pdf.p11s > report.pdf`, "with one key"],
        ["open --from bob -o plan.txt plan.p11s", "only if bob signed it, and once"],
        [
          "open --trust ca.pem --from bob@example.org -o plan.txt plan.eml",
          "if whoever has this address in a certificate below ca.pem signed it",
        ],
        [
          "open --from bob --custodian vault -o plan.txt plan.p11s",
          "also if the custodian vault passed it on",
        ],
        ["open --as-path inbox/mail.p11s < mail.p11s", "by the rules for inbox/"],
        ["open -o inbox/ *.p11s", "many files, one PIN; .p11s is removed from their names"],
      ],
      load: async () => (await import("./open.js")).openCommand,
    },
  ],
};
