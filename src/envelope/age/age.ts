/**
 * age (C2SP, "age"), as an envelope: what other people's age, rage and typage write and read. The
 * rest of its code is loaded when it is first needed.
 */
import { ascii, equal } from "../../bytes.js";
import type { Envelope } from "../envelope.js";
import { AGE, AGE_MAGIC } from "./age-header.js";

/** As much as p11seal's own format is known by: whoever waits for it waits for no byte more. */
const START = ascii(AGE_MAGIC).subarray(0, 8);

/** To any number of keys, or to a passphrase; never signed; bodies in chunks of 64 KiB. */
export const age: Envelope = {
  name: AGE,
  armorLabel: "AGE ENCRYPTED FILE",
  startBytes: START.length,
  detect: (start) => equal(start, START),
  inspect: async (header) => (await messages()).inspect(header),
  beginSealing: async (options) => (await messages()).beginSealing(options),
  beginOpening: async (sealed, receiver) => (await messages()).beginOpening(sealed, receiver),
  rewrap: async (header, receiver, options) =>
    (await import("./age-rewrap.js")).rewrap(header, receiver, options),
  proveHeader: async (header, receiver) => (await messages()).proveHeader(header, receiver),
  bodyKey: async (header, receiver) => (await messages()).bodyKey(header, receiver),
  verifySender: async (sealed) => (await messages()).verifySender(sealed),
};

function messages(): Promise<typeof import("./age-messages.js")> {
  return import("./age-messages.js");
}
