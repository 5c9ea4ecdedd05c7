/** `p11seal rewrap`, as its users see it. */
import type { CommandSet } from "../../command.js";
import {
  acceptedCustodians,
  breakLinks,
  changeByKey,
  changedRecipients,
  general,
  identities,
  json,
  messageTree,
  noAgent,
  oaep,
  ownCertificates,
} from "../shared-options.js";

const CUSTODIAN = "--custodian-key 'pkcs11:token=vault;object=custodian'";

export const REWRAP: CommandSet = {
  commands: [
    {
      name: "rewrap",
      operands: "[paths..]",
      needs: "-r RECIPIENT, --remove RECIPIENT or --rules",
      describe: "Change who can open sealed files, without touching what is in them",
      options: {
        ...changedRecipients,
        "from-key": {
          type: "string",
          repeatable: true,
          names: { of: "recipients", orFile: true },
          describe:
            "Only messages that are sealed to this key, as one that is retired (repeatable)",
        },
        rules: {
          type: "boolean",
          describe:
            "Add whom the rules for each file name, and remove known keys that they exclude",
        },
        ...identities,
        "custodian-key": {
          type: "string",
          describe:
            "Sign a record of it, as signed messages need: pkcs11: URI, or private key file",
        },
        ...acceptedCustodians,
        ...messageTree,
        "key-blob": {
          type: "string",
          describe: "A header that was detached from its body: re-wrapped alone",
        },
        "dry-run": {
          type: "boolean",
          describe: "Say what would become of each file; asks for no PIN, and changes nothing",
        },
        journal: {
          type: "string",
          describe: "Add a line of JSON to this file for each file: evidence, which nothing reads",
        },
        "include-foreign": {
          type: "boolean",
          describe: "With --tree: also messages whose recipients nothing explains",
        },
        "in-place": {
          type: "boolean",
          describe: "Overwrite headers where they are, if they keep their size: for large archives",
        },
        ...breakLinks,
        ...noAgent,
        ...oaep,
        ...ownCertificates,
        "allow-unauthenticated": {
          type: "boolean",
          describe: "CMS: also messages in CBC, though nothing shows that their keys are theirs",
        },
        "allow-legacy": {
          type: "boolean",
          describe: "CMS: also what has PKCS#1 v1.5, triple DES, RC2",
        },
        ...changeByKey,
        ...json,
        ...general,
      },
      examples: [
        ["rewrap -r alice-new --remove alice-old plan.p11s", "a card was replaced"],
        ["rewrap -r carol --dry-run plan.p11s", "what would happen, without a PIN"],
        [
          "rewrap --tree --from-key old.pem -r new.pem --remove old.pem archive/",
          "a whole archive, for a key that is retired",
        ],
        [`rewrap -r carol ${CUSTODIAN} order.p11s`, "signed by bob, passed on by a custodian"],
        [
          "rewrap --tree --rules --dry-run archive/",
          "what would repair the faults that an audit found",
        ],
        [
          "rewrap -r carol --tree --manifest files.txt --shard 2/4 archive/",
          "one of four hosts' parts",
        ],
      ],
      load: async () => (await import("./rewrap.js")).rewrapCommand,
    },
  ],
};
