/** Guards of how long an agent serves whom, and of what a client can cost it. */

const LOGINS_TEST = "test/agent/logins.test.ts";
const SERVER_TEST = "test/agent/server.test.ts";

/** @type {readonly import("./list.mjs").Mutant[]} */
export const AGENT_BOUNDS = [
  {
    what: "requests that come at once get more uses of a login than --uses says",
    file: "src/agent/login.ts",
    find: "+ this.#ways.length >= uses;",
    replace: "+ this.#ways.length >= uses + 99;",
    test: LOGINS_TEST,
  },
  {
    what: "a login outlives its token if somebody looked for keys meanwhile",
    file: "src/agent/logins.ts",
    find: "const lasts = token !== undefined && (await",
    replace: "const lasts = token === undefined || (await",
    test: LOGINS_TEST,
  },
  {
    what: "a login stays whose key the token does not know any more, and every message fails",
    file: "src/agent/logins.ts",
    find: "error.ckr !== undefined && STALE.has(error.ckr);",
    replace: "error.ckr !== undefined && LOST.has(error.ckr);",
    test: LOGINS_TEST,
  },
  {
    what: "a frame of few bytes becomes objects by the million",
    file: "src/agent/protocol.ts",
    find: "const MAX_TOKENS = 65_536;",
    replace: "const MAX_TOKENS = 2 ** 30;",
    test: "test/agent/protocol.test.ts",
  },
  {
    what: "a client that reads no answers makes an agent keep them all",
    file: "src/agent/server.ts",
    find: "if (this.#isBusy || this.#socket.writableNeedDrain) throw",
    replace: "if (this.#isBusy) throw",
    test: SERVER_TEST,
  },
  {
    what: "other hosts take all of an agent's connections",
    file: "src/agent/server.ts",
    find: "if (this.#elsewhere.underWay >= most) {",
    replace: "if (this.#elsewhere.underWay >= most * 99) {",
    test: "test/agent/forwarding.test.ts",
  },
  {
    what: "one host has any number of requests passed on at a time",
    file: "src/agent/forwarding.ts",
    find: "const SIDE_BY_SIDE = 16;",
    replace: "const SIDE_BY_SIDE = 1600;",
    test: "test/agent/forwarding.test.ts",
  },
  {
    what: "a key stays in an agent's memory once it was sent",
    file: "src/agent/server.ts",
    find: 'if (answer.kind === "key") answer.key.fill(0);',
    replace: "",
    test: SERVER_TEST,
  },
  {
    what: "a long name hides what a pinentry asks",
    file: "src/agent/asking.ts",
    find: "if (bytes > most) return",
    replace: "if (bytes > most * 99) return",
    test: "test/agent/asking.test.ts",
  },
  {
    what: "an agent that ends removes another one's socket",
    file: "src/agent/listening.ts",
    find: "const isRoomy = Buffer.byteLength(first) <= Buffer.byteLength(path);",
    replace: "const isRoomy = Buffer.byteLength(first) > 999 + Buffer.byteLength(path);",
    test: SERVER_TEST,
  },
  {
    what: "a PIN stays in the environment of an agent in the background",
    file: "src/cli/commands/agent/agent-start.ts",
    find: "env: withoutPins(io.env),",
    replace: "env: { ...withoutPins(io.env), ...io.env },",
    test: "test/cli/commands/agent/agent.test.ts",
    built: true,
  },
];
