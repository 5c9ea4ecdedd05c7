/** `p11seal agent`, as its users see it. */
import type { CommandSet } from "../../command.js";
import { forceLastTry, general, json, jsonErrors, module } from "../shared-options.js";

const running = {
  identity: {
    alias: "i",
    type: "string",
    repeatable: true,
    describe: "Serve only keys of this pkcs11: URI (repeatable; default: every token present)",
  },
  idle: { type: "string", describe: "Forget a PIN that was not used for so long (default: 10m)" },
  total: { type: "string", describe: "Forget a PIN after so long in any case (default: 2h)" },
  allow: {
    type: "string",
    repeatable: true,
    choices: ["rewrap", "sign"],
    describe: "Do this as well, for whoever reaches the socket (repeatable)",
  },
  uses: { type: "string", describe: "Forget a PIN after so many messages (default: no limit)" },
  confirm: {
    type: "string",
    choices: ["always", "never", "remote"],
    default: "remote",
    describe: "Ask before each use of a key: always; remote, for other hosts only; never",
  },
  ...forceLastTry,
  ...module,
  // An agent fetches PINs again and again: not every source will do.
  "pin-source": {
    type: "string",
    describe:
      "Where the PIN comes from: file:PATH, cmd:COMMAND or pinentry[:PROGRAM] (default: ask)",
  },
} as const;

export const AGENT: CommandSet = {
  groups: {
    agent: "Keep a token logged in for a while, for open, reseal, rewrap and seal",
  },
  commands: [
    {
      name: "agent start",
      describe: "Start an agent in the background",
      options: { ...running, ...jsonErrors, ...general },
      examples: [
        ["agent start", "asks for a PIN when a message needs it"],
        ["agent start -i 'pkcs11:token=alice' --idle 5m", "one token, five minutes"],
        ["agent start --allow sign --confirm always", "for seal --sign-with, too; asks each time"],
      ],
      load: async () => (await import("./agent-start.js")).agentStartCommand,
    },
    {
      name: "agent run",
      describe: "Run the agent in the foreground: for systemd, or in a terminal of its own",
      options: { ...running, ...jsonErrors, ...general },
      examples: [["agent run --uses 20", "asks at this terminal"]],
      load: async () => (await import("./agent-run.js")).agentRunCommand,
    },
    {
      name: "agent status",
      describe: "Say whether an agent runs, which keys it serves, and how long they stay unlocked",
      options: { ...json, ...general },
      examples: [["agent status", "status 0: one runs; 3: none does"]],
      load: async () => (await import("./agent-control.js")).agentStatusCommand,
    },
    {
      name: "agent lock",
      describe: "Forget every PIN; the agent goes on",
      options: { ...jsonErrors, ...general },
      examples: [["agent lock", "the next message needs the PIN again"]],
      load: async () => (await import("./agent-control.js")).agentLockCommand,
    },
    {
      name: "agent forward",
      operands: "<host> [options..]",
      describe: "Let p11seal on another host open messages with keys here, while ssh runs",
      options: {
        key: {
          type: "string",
          repeatable: true,
          required: true,
          describe: "The host may use keys that this pkcs11: URI matches (repeatable)",
        },
        "remote-socket": {
          type: "string",
          describe: "The socket's path on the host (default: the usual one; ssh runs twice)",
        },
        ...jsonErrors,
        ...general,
      },
      examples: [
        ["agent forward --key 'pkcs11:token=alice' build", "on build: p11seal open m.p11s"],
        ["agent forward --key 'pkcs11:token=alice' build -- -p 2222", "with options for ssh"],
      ],
      load: async () => (await import("./agent-forward.js")).agentForwardCommand,
    },
    {
      name: "agent stop",
      describe: "End the agent",
      options: { ...jsonErrors, ...general },
      examples: [["agent stop", "the next open asks for the PIN itself"]],
      load: async () => (await import("./agent-control.js")).agentStopCommand,
    },
  ],
};
