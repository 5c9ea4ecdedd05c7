/** The agent's end of its socket: what anybody who reaches it can send, hold and cost. */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "@jest/globals";
import { concat } from "../../src/bytes.js";
import { AgentClient } from "../../src/agent/client.js";
import { frameOf } from "../../src/agent/frames.js";
import { listenAt } from "../../src/agent/listening.js";
import { encodeMessage } from "../../src/agent/protocol.js";
import { agentServer } from "../../src/agent/server.js";
import {
  agentAtSocket,
  EXCHANGE_KEYS,
  headerFor,
  type AgentAtSocket,
} from "../support/agent-at-socket.js";
import { until } from "../cli/support/spawn.js";
import type { FakeTokens } from "../support/fake-tokens.js";
import { recipientOf } from "../support/identities.js";
import { mutated, Random } from "../support/mutate.js";
import { scaled } from "../support/scale.js";

let running: AgentAtSocket;
let client: AgentClient;
let tokens: FakeTokens;

async function begin(): Promise<void> {
  running = await agentAtSocket({}, EXCHANGE_KEYS);
  ({ client, tokens } = running);
}

/** A place for another socket. */
const beside = (): string => join(dirname(running.socket), "b.sock");

afterEach(() => running.end());

describe("an agent's socket", () => {
  it("is left alone by an agent that ends, where it is another one's by now", async () => {
    await begin();
    const { agent: older, socket: path, listening } = running;
    rmSync(path);
    const younger = agentServer({
      handle: () => Promise.resolve({ kind: "done" }),
      capabilities: ["lock"],
    });
    const place = await listenAt(path, younger.server);
    older.stop();
    listening.remove();
    const other = await AgentClient.at(path);
    expect(other?.capabilities).toEqual(["lock"]);
    expect(readdirSync(dirname(path))).not.toContain(`.${process.pid}`);
    other?.close();
    younger.close();
    place.remove();
  });
});

describe("the key for a body", () => {
  it("is wiped at the agent's end once it was sent", async () => {
    const key = new Uint8Array(32).fill(7);
    const spki = recipientOf("p256").publicKey.spki;
    const { server, close } = agentServer({
      handle: () => Promise.resolve({ kind: "key", key, spki, name: "pkcs11:object=x" }),
      capabilities: ["open"],
    });
    await begin();
    const other = await listenAt(beside(), server);
    const asking = await AgentClient.at(beside());
    const found = await asking?.open({ format: "p11seal", bytes: Uint8Array.of(1) });
    asking?.close();
    close();
    other.remove();
    expect(found?.key.expose()).toEqual(new Uint8Array(32).fill(7));
    expect(key).toEqual(new Uint8Array(32));
  });
});

describe("a client", () => {
  it("finds nobody at a path below a file", async () => {
    await begin();
    const file = join(running.home, "file");
    writeFileSync(file, "");
    expect(await AgentClient.at(join(file, "a.sock"))).toBeUndefined();
  });

  it("asks on a new connection once the agent has ended those that waited too long", async () => {
    const bounds = { connections: 64, elsewhere: 32, frameMs: 10_000, idleMs: 50 };
    const { server, close } = agentServer({
      handle: () => Promise.resolve({ kind: "done" }),
      capabilities: ["lock"],
      bounds,
    });
    let [made, open] = [0, 0];
    server.on("connection", (socket: Socket) => {
      [made, open] = [made + 1, open + 1];
      socket.once("close", () => (open -= 1));
    });
    await begin();
    const other = await listenAt(beside(), server);
    const asking = await AgentClient.at(beside());
    try {
      for (let n = 0; n < 2; n += 1) {
        await until(() => open === 0, "the connection to end");
        // And for the client to see that.
        await sleep(100);
        await asking?.lock();
      }
      expect(made).toBe(3);
    } finally {
      asking?.close();
      close();
      other.remove();
    }
  });
});

describe("whoever reaches the socket", () => {
  it("gets what is no request answered by an end of the connection, and no token operation", async () => {
    await begin();
    // Of a message for somebody else: a well-formed request for it costs nothing but its parsing.
    const { bytes } = await headerFor("rsa3072");
    const hello = encodeMessage({ kind: "hello", version: 1 });
    const seeds = [
      hello,
      encodeMessage({ kind: "open", format: "p11seal", header: bytes }),
      encodeMessage({ kind: "open", format: "age", header: bytes, keys: ["pkcs11:token=fake"] }),
      encodeMessage({ kind: "status" }),
    ];
    const random = new Random(7);
    const count = scaled(100_000, 3000);
    const before = tokens.opened;
    let socket: Socket | undefined;
    for (let sent = 0; sent < count; sent++) {
      const frame = mutated(seeds, random);
      if (socket === undefined || socket.destroyed || sent % 50 === 0) {
        socket?.destroy();
        socket = await connected();
        if (random.below(2) === 0) socket.write(frameOf(hello));
      }
      const framed = random.below(4) === 0 ? frame : frameOf(frame);
      if (framed.length > 0) socket.write(framed);
      if (sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    socket?.destroy();
    expect([tokens.operations(), tokens.opened, running.asked.length]).toEqual([0, before, 0]);
    expect(await client.open(await headerFor("p256"))).toBeDefined();
  }, 600_000);

  it("is sent away where it greets twice", async () => {
    await begin();
    const hello = frameOf(encodeMessage({ kind: "hello", version: 1 }));
    const twice = await connected();
    twice.write(concat(hello, hello));
    await new Promise((resolve) => twice.once("close", resolve));
    expect(twice.destroyed).toBe(true);
  });

  it("is not served on before it has read what it got", async () => {
    let served = 0;
    const { server, close } = agentServer({
      handle: () => {
        served += 1;
        const [header, spki] = [new Uint8Array(1024 * 1024), Uint8Array.of(1)];
        return Promise.resolve({ kind: "rewrapped", header, spki, name: "pkcs11:object=x" });
      },
      capabilities: ["status"],
    });
    await begin();
    const other = await listenAt(beside(), server);
    const deaf = (await connected(beside())).pause();
    deaf.write(frameOf(encodeMessage({ kind: "hello", version: 1 })));
    for (let sent = 0; sent < 3; sent++) {
      deaf.write(frameOf(encodeMessage({ kind: "status" })));
      await sleep(100);
    }
    deaf.destroy();
    close();
    other.remove();
    expect(served).toBe(1);
  });

  it("is one of 64: the next one is sent away, until another goes", async () => {
    await begin();
    const others = await Promise.all(Array.from({ length: 63 }, () => connected()));
    const late = await connected();
    await new Promise((resolve) => late.once("close", resolve));
    others[0]?.destroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const next = await AgentClient.at(running.socket);
    expect((await next?.status())?.pid).toBe(process.pid);
    next?.close();
    for (const other of others) other.destroy();
  });

  async function connected(path = running.socket): Promise<Socket> {
    const socket = connect(path);
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.resume();
    return socket;
  }
});
