/** Guards of what an agent signs: whose message, which, and when. */

const CORE = "src/envelope/native/core-to-sign.ts";
const SIGNABLE = "src/envelope/core-signing.ts";
const KEYRING = "src/agent/keyring.ts";
const TEST = "test/agent/signing.test.ts";

/** @type {readonly import("./list.mjs").Mutant[]} */
export const AGENT_SIGNING = [
  {
    what: "an agent asks for a PIN to sign in another sender's name",
    file: SIGNABLE,
    find: "if (!core.isFrom(key)) throw",
    replace: "if (core.addressees === 0) throw",
    test: TEST,
  },
  {
    what: "an agent signs for a key that would receive the message, too",
    file: SIGNABLE,
    find: "if (core.addresses(key)) throw",
    replace: "if (core.addressees === 0) throw",
    test: TEST,
  },
  {
    what: "an agent signs a message of the past",
    file: "src/envelope/present.ts",
    find: "Math.abs(ms - nowMs) <= NEAR_MS",
    replace: "ms - nowMs <= NEAR_MS",
    test: TEST,
  },
  {
    what: "an agent signs a message of the future",
    file: "src/envelope/present.ts",
    find: "Math.abs(ms - nowMs) <= NEAR_MS",
    replace: "nowMs - ms <= NEAR_MS",
    test: TEST,
  },
  {
    what: "an agent signs what grew old while a person was asked",
    file: "src/agent/key-requests.ts",
    find: "taken their time to answer.\n      requireSignable(core, signer.publicKey, Date.now());\n",
    replace: "taken their time to answer.\n",
    test: TEST,
  },
  {
    what: "an agent signs claims that it does not know",
    file: CORE,
    find: "if (others !== undefined) throw",
    replace: "if (others?.size === 0) throw",
    test: TEST,
  },
  {
    what: "an agent signs for a one-time key that anybody can sign for",
    file: CORE,
    find: "if (!isOneTimeKey(claims.oneTimeKey)) throw",
    replace: "if (claims.oneTimeKey.length === 0) throw",
    test: TEST,
  },
  {
    what: "an agent opens messages with a key that it signs with",
    file: KEYRING,
    find: "          !this.#isSigner(key) &&\n",
    replace: "",
    test: TEST,
  },
  {
    what: "an agent signs with one of several keys that a URI names",
    file: KEYRING,
    find: "others.some((one) => one === undefined || !equal(one, first))",
    replace: "others.some((one) => one === undefined)",
    test: TEST,
  },
  {
    what: "a custodian's record by an agent may say anything",
    file: "src/envelope/native/rewrap-record.ts",
    find: "equal(parseRecord(body, isSigned).signed, expected)",
    replace: "equal(parseRecord(body, isSigned).signed.subarray(0, 1), expected.subarray(0, 1))",
    test: "test/agent/custodian.test.ts",
  },
  {
    what: "an agent adds a record that nobody asked for",
    file: "src/envelope/native/rewrap.ts",
    find: "record === undefined ? heldRecord(made) === undefined :",
    replace: "record === undefined ? made.stanzas.length > 0 :",
    test: "test/agent/custodian.test.ts",
  },
  {
    what: "a custodian's record by an agent is of the past",
    file: "src/envelope/native/rewrap-record.ts",
    find: "!isPresent(held.rewrappedMs, nowMs)",
    replace: "!isPresent(Math.max(held.rewrappedMs, nowMs), nowMs)",
    test: "test/agent/custodian.test.ts",
  },
  {
    what: "another host has messages signed",
    file: "src/agent/forwarding.ts",
    find: 'capabilities: ["open"],',
    replace: 'capabilities: ["open", "signer", "sign"],',
    test: TEST,
  },
];
