/** The commands of the three-phase exchange (docs/cryptoapi.md). */
import type { CommandSet } from "../../command.js";
import { ALGORITHM_NAMES, allowWeak, common, oaep, ownKey, signatureForm } from "./capi-options.js";
import type { OptionSpec } from "../../arguments/syntax.js";
import { general, json, signWith } from "../shared-options.js";

const EXCHANGE = "'pkcs11:token=bob;object=exchange'";
const SIGN = "'pkcs11:token=bob;object=sign'";

const state = {
  type: "string",
  required: true,
  describe: "The run's file: it holds no key in the clear",
} as const satisfies OptionSpec;

/** What both sides have agreed on before. */
const terms = {
  ...ownKey,
  peer: {
    type: "string",
    required: true,
    names: { of: "recipients", orFile: true },
    describe: "The other side's exchange key: PUBLICKEYBLOB, key file, certificate, known name",
  },
  name: {
    type: "string",
    required: true,
    describe: "Your name, as both sides hash it; hex:… is bytes",
  },
  "peer-name": { type: "string", required: true, describe: "The other side's name, likewise" },
  state: { ...state, describe: "The run's file, which this makes: it holds no key in the clear" },
  algorithm: {
    type: "string",
    choices: ALGORITHM_NAMES,
    default: "aes256",
    describe: "Both session keys' cipher; all but AES need --allow-weak",
  },
  hash: {
    type: "string",
    choices: ["sha256", "sha384", "sha512", "sha1"],
    default: "sha256",
    describe: "What the phases' hash values are made with",
  },
  ...oaep,
  ...allowWeak,
} satisfies Record<string, OptionSpec>;

const message = (phase: string) => ({
  output: {
    alias: "o",
    type: "string" as const,
    describe: `The ${phase} message; "-" is stdout (default)`,
  },
});

export const THREE_PHASE: CommandSet = {
  groups: {
    "capi three-phase": "Agree on two session keys with a peer, safe from replay",
  },
  commands: [
    {
      name: "capi three-phase begin",
      describe: "The sender begins a run: makes key A and the first message",
      options: { ...terms, ...message("first"), ...common },
      examples: [
        [
          `capi three-phase begin -i ${EXCHANGE} --peer alice.blob --name bob --peer-name alice --state run -o 1.msg`,
          "then send 1.msg to alice",
        ],
      ],
      load: async () => (await import("./capi-three-phase.js")).beginCommand,
    },
    {
      name: "capi three-phase answer",
      operands: "[message]",
      describe: "The receiver answers the first message, once: makes key B",
      options: { ...terms, ...message("second"), ...common },
      examples: [
        [
          `capi three-phase answer -i ${EXCHANGE} --peer alice.blob --name bob --peer-name alice --state run -o 2.msg 1.msg`,
          "bob is the receiver here",
        ],
      ],
      load: async () => (await import("./capi-three-phase.js")).answerCommand,
    },
    {
      name: "capi three-phase confirm",
      operands: "[message]",
      describe: "The sender checks the second message, once: makes the third",
      options: { ...ownKey, state, ...message("third"), ...common },
      examples: [
        [`capi three-phase confirm -i ${EXCHANGE} --state run -o 3.msg 2.msg`, "complete"],
      ],
      load: async () => (await import("./capi-three-phase.js")).confirmCommand,
    },
    {
      name: "capi three-phase finish",
      operands: "[message]",
      describe: "The receiver checks the third message, once",
      options: { ...ownKey, state, ...common },
      examples: [[`capi three-phase finish -i ${EXCHANGE} --state run 3.msg`, "complete"]],
      load: async () => (await import("./capi-three-phase.js")).finishCommand,
    },
    {
      name: "capi three-phase keys",
      describe: "Keep the two keys of a complete run, as capi store does",
      options: {
        ...ownKey,
        state,
        "sign-with": { ...signWith["sign-with"], required: true },
        "key-a": { type: "string", required: true, describe: "Key A, for what the sender says" },
        "key-b": { type: "string", required: true, describe: "Key B, for what the receiver says" },
        hash: signatureForm.hash,
        ...common,
      },
      examples: [
        [
          `capi three-phase keys -i ${EXCHANGE} --state run --sign-with ${SIGN} --key-a a.blob --key-b b.blob`,
          "for capi open-stored: a.blob, a.blob.sig, b.blob, b.blob.sig",
        ],
      ],
      load: async () => (await import("./capi-three-phase-run.js")).keysCommand,
    },
    {
      name: "capi three-phase status",
      describe: "Show where a run stands; needs no key",
      options: { state, ...json, ...general },
      examples: [["capi three-phase status --state run", "whose message is awaited"]],
      load: async () => (await import("./capi-three-phase-run.js")).statusCommand,
    },
  ],
};
