/** What other hosts can take up: requests that are passed on, and an agent's connections. */
import { rmSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { AgentClient, type OpenWish } from "../../src/agent/client.js";
import { forwardingServer } from "../../src/agent/forwarding.js";
import { listenAt } from "../../src/agent/listening.js";
import type { Answer } from "../../src/agent/protocol.js";
import { agentServer, type AgentServer } from "../../src/agent/server.js";
import { temporaryFolder } from "../token/modules/temporary.js";
import { until } from "../cli/support/spawn.js";

/** A request at the agent that was not answered yet. */
interface Held {
  readonly remote: string | undefined;
  readonly answer: () => void;
}

let folder: string;
let held: Held[];
/** Whether the agent waits for the test's word. */
let isSlow: boolean;
/** The most requests that were there at a time. */
let most: number;
/** How many connections the agent has had. */
let connections: number;
let servers: AgentServer[];
let clients: AgentClient[];

const at = (name: string): string => join(folder, name);

async function listen(name: string, server: AgentServer): Promise<void> {
  servers.push(server);
  await listenAt(at(name), server.server);
}

/** An agent that answers when the test says so: that it has no key. */
async function slowAgent(): Promise<void> {
  const server = agentServer({
    capabilities: ["open"],
    handle: (request) =>
      new Promise<Answer>((resolve) => {
        if (request.kind !== "open") throw new TypeError("not expected here");
        const one: Held = {
          remote: request.remote,
          answer: () => {
            held.splice(held.indexOf(one), 1);
            resolve({ kind: "no-key" });
          },
        };
        held.push(one);
        most = Math.max(most, held.length);
        if (!isSlow) one.answer();
      }),
  });
  server.server.on("connection", () => {
    connections += 1;
  });
  await listen("agent.sock", server);
}

async function forward(host: string): Promise<Server> {
  const server = forwardingServer({
    ...{ socket: at("agent.sock"), host, keys: ["pkcs11:object=one"], terminal: undefined },
    atReader: () => undefined,
  });
  await listen(`${host}.sock`, server);
  return server.server;
}

async function clientAt(name: string): Promise<AgentClient> {
  const client = await AgentClient.at(at(name));
  if (client === undefined) throw new Error("nobody listens");
  clients.push(client);
  return client;
}

/** `no key`, `a key`, or an error's code. */
type Outcome = string;

const ask = (client: AgentClient, wish?: OpenWish): Promise<Outcome> =>
  client.open({ format: "p11seal", bytes: Uint8Array.of(1) }, wish).then(
    (found) => (found === undefined ? "no key" : "a key"),
    (error: unknown) => (error as { code: string }).code,
  );

const askMany = (client: AgentClient, times: number, wish?: OpenWish): Promise<Outcome>[] =>
  Array.from({ length: times }, () => ask(client, wish));

/** Answers what is there, and from now on at once. */
function answerAll(asked: readonly Promise<Outcome>[]): Promise<readonly Outcome[]> {
  isSlow = false;
  for (const one of [...held]) one.answer();
  return Promise.all(asked);
}

const count = (outcomes: readonly Outcome[], one: Outcome): number =>
  outcomes.filter((outcome) => outcome === one).length;

beforeEach(() => {
  folder = join(temporaryFolder("forwarding"), "run");
  [held, isSlow, most, connections, servers, clients] = [[], true, 0, 0, [], []];
});

afterEach(() => {
  for (const client of clients) client.close();
  for (const { close } of servers) close();
  rmSync(folder, { recursive: true, force: true });
});

describe("another host", () => {
  it("has no more than 16 requests passed on at a time, and all of them in the end", async () => {
    await slowAgent();
    await forward("build");
    const asked = askMany(await clientAt("build.sock"), 40);
    await until(() => held.length >= 16, "16 requests");
    // Whatever else was passed on would be there before this one's greeting.
    await clientAt("build.sock");
    await clientAt("agent.sock");
    expect(held).toHaveLength(16);
    const outcomes = await answerAll(asked);
    expect([count(outcomes, "no key"), most]).toEqual([40, 16]);
  });

  it("that has gone keeps no place in the queue: the agent does not hear of it", async () => {
    await slowAgent();
    let open = 0;
    (await forward("build")).on("connection", (socket: Socket) => {
      open += 1;
      socket.once("close", () => (open -= 1));
    });
    const client = await clientAt("build.sock");
    const first = askMany(client, 16);
    await until(() => held.length === 16, "16 requests");
    const gone = new AbortController();
    const lost = askMany(client, 4, { signal: gone.signal });
    const last = ask(client);
    // Connections are served in turn: two greetings later, their requests have come.
    for (let n = 0; n < 2; n += 1) await clientAt("build.sock");
    gone.abort();
    expect(await Promise.all(lost)).toEqual(Array(4).fill("ERR_AGENT_LOST"));
    // 17 requests and two greetings are left.
    await until(() => open === 19, "the host's lost connections to end");
    expect(await answerAll([...first, last])).toEqual(Array(17).fill("no key"));
    expect(connections).toBe(17);
  });
});

describe("other hosts together", () => {
  it("have half of an agent's connections, and the next one is told that it is busy", async () => {
    await slowAgent();
    const hosts = await clientAt("agent.sock");
    const asked = askMany(hosts, 40, { remote: "build" });
    let settled = 0;
    for (const one of asked) void one.then(() => (settled += 1));
    await until(() => held.length + settled === 40, "40 requests, begun or refused");
    const all = await answerAll(asked);
    expect([count(all, "no key"), count(all, "ERR_AGENT_BUSY"), most]).toEqual([32, 8, 32]);
    // Their places are free again.
    expect(await answerAll([ask(hosts, { remote: "build" })])).toEqual(["no key"]);
  });

  it("keep no program here from the agent, however many they are", async () => {
    await slowAgent();
    const names = ["one", "two", "three", "four", "five"];
    const asked: Promise<Outcome>[] = [];
    for (const name of names) await forward(name);
    for (const name of names) asked.push(...askMany(await clientAt(`${name}.sock`), 16));
    await until(() => held.length === 32, "32 requests");
    const here = askMany(await clientAt("agent.sock"), 4);
    await until(() => held.some(({ remote }) => remote === undefined), "a program here");
    let settled = 0;
    for (const one of asked) void one.then(() => (settled += 1));
    const fromHosts = (): number => held.filter(({ remote }) => remote !== undefined).length;
    await until(() => fromHosts() + settled === 80, "80 requests, begun or refused");
    expect(fromHosts()).toBe(32);
    expect(count(await answerAll(here), "no key")).toBe(4);
    const hosts = await answerAll(asked);
    expect(new Set(hosts)).toEqual(new Set(["no key", "ERR_AGENT_BUSY"]));
  });
});
