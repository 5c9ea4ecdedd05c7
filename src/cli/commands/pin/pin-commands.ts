/** `p11seal pin`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { PIN_SOURCE, forceLastTry, general, json, tokenAccess } from "../shared-options.js";

const token = {
  token: {
    type: "string",
    describe: "pkcs11: URI of the token (default: the only one)",
  },
} as const;

const newPinSource = {
  "new-pin-source": {
    type: "string",
    describe: `Where the new PIN comes from: ${PIN_SOURCE} (default: ask, twice)`,
  },
} as const;

const { module, wait, "pin-source": pinSource } = tokenAccess;

export const PIN: CommandSet = {
  groups: {
    pin: "Set PINs of tokens",
  },
  commands: [
    {
      name: "pin change",
      describe: "Change a token's PIN",
      options: {
        ...token,
        "pin-source": {
          ...pinSource,
          describe: `Where the old PIN comes from: ${PIN_SOURCE} (default: ask)`,
        },
        ...newPinSource,
        ...forceLastTry,
        ...{ module, wait },
        ...json,
        ...general,
      },
      examples: [
        ["pin change", "asks for the old PIN, and twice for the new one"],
        [
          "pin change --token pkcs11:token=alice --pin-source file:old --new-pin-source file:new",
          "without a terminal",
        ],
      ],
      load: async () => (await import("./pin-set.js")).pinChangeCommand,
    },
    {
      name: "pin unblock",
      describe: "Set a new PIN with the security officer's, as for a PIN that is locked",
      options: {
        ...token,
        "so-pin-source": {
          type: "string",
          describe: `Where the security officer's PIN (PUK) comes from: ${PIN_SOURCE} (default: ask)`,
        },
        ...newPinSource,
        ...forceLastTry,
        ...{ module, wait },
        ...json,
        ...general,
      },
      examples: [
        ["pin unblock", "asks for the security officer's PIN, and twice for the new one"],
        [
          "pin unblock --token pkcs11:token=alice --so-pin-source cmd:./puk --new-pin-source env:PIN",
          "without a terminal",
        ],
      ],
      load: async () => (await import("./pin-set.js")).pinUnblockCommand,
    },
  ],
};
