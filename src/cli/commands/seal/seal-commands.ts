/** `p11seal seal`, as its users see it. */
import type { CommandSet } from "../../command.js";
import {
  allowSigningKey,
  certificateTrust,
  filesByKey,
  noAgent,
  oaep,
  serial,
  signWith,
  threads,
} from "../shared-options.js";

const SIGN_URI = "'pkcs11:token=bob;object=sign'";

export const SEAL: CommandSet = {
  commands: [
    {
      name: "seal",
      operands: "[files..]",
      needs: "-r RECIPIENT",
      describe: "Seal files under the public keys of its recipients",
      options: {
        recipient: {
          alias: "r",
          type: "string",
          repeatable: true,
          names: { of: "recipients", orFile: true },
          describe: "Key or certificate file, ssh key line, pkcs11: URI or known name (repeatable)",
        },
        "recipients-file": {
          alias: "R",
          type: "string",
          repeatable: true,
          describe: 'A file of recipients, one a line; "-" is stdin (repeatable)',
        },
        output: {
          alias: "o",
          type: "string",
          describe: 'The sealed file, or a folder for several; "-" is stdout',
        },
        "as-path": {
          type: "string",
          describe: "To stdout: where the message will be, for the rules that are about it",
        },
        "key-blob": {
          type: "string",
          describe: "Write the header, with the wrapped keys, to a separate file",
        },
        format: {
          type: "string",
          choices: ["p11seal", "age", "cms"],
          describe:
            "p11seal's own format (default); age's; or CMS (S/MIME), for certificates' owners",
        },
        armor: {
          alias: "a",
          type: "boolean",
          describe: "As text, for mails and configuration files",
        },
        ...oaep,
        ...allowSigningKey,
        ...certificateTrust,
        "allow-untrusted-cert": {
          type: "boolean",
          describe: "Seal to the keys of certificates that no trusted authority vouches for",
        },
        ...signWith,
        ...noAgent,
        cert: {
          type: "string",
          repeatable: true,
          describe:
            "CMS, signed: the certificate of --sign-with, and its issuers' (default: beside the key)",
        },
        profile: {
          type: "string",
          choices: ["default", "windows"],
          describe: "CMS: windows is for .NET and old Outlook; its content can be altered unseen",
        },
        smime: {
          type: "boolean",
          describe: "CMS: as a mail, for mail programs",
        },
        "by-ski": {
          type: "boolean",
          describe: "CMS: name recipients by key identifiers, not by their certificates' issuers",
        },
        ...serial,
        ...threads,
        ...filesByKey,
      },
      examples: [
        ["seal -r alice.pem -o report.p11s report.pdf", "to one recipient"],
        ["seal -r alice.pem -r bob.crt -R team.txt -o plan.p11s plan.txt", "to several"],
        ["seal -r alice.pem -o outbox/ *.pdf", "many files; .p11s is added to their names"],
        ["seal -r alice.pem --key-blob k.p11k -o m.p11s data", "wrapped keys in a separate file"],
        ["seal -r alice.pem -a < secret.txt", "as text"],
        ["seal -o finance/plan.p11s plan.txt", "to whom the rules for finance/ name"],
        ["seal --as-path finance/plan.p11s < plan.txt > plan.p11s", "the same, to stdout"],
        ["seal --format age -r age1… -r alice.pem -o plan.age plan.txt", "for age, too"],
        ["seal --format cms -r alice.crt --trust ca.pem -o plan.p7m plan.txt", "for openssl cms"],
        ["seal --format cms --smime -r alice -o plan.eml plan.txt", "for mail programs"],
        [
          `seal -r alice.pem --sign-with ${SIGN_URI} -o m.p11s data`,
          "signed, with a serial number",
        ],
      ],
      load: async () => (await import("./seal.js")).sealCommand,
    },
  ],
};
