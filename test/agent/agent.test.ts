/**
 * An agent at a real socket, with tokens that count: what whoever reaches the socket can get and
 * cost, and when logins end.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { ascii, concat, u32 } from "../../src/bytes.js";
import { Agent, type AgentOptions, momentNow } from "../../src/agent/agent.js";
import { AgentClient } from "../../src/agent/client.js";
import { frameOf } from "../../src/agent/frames.js";
import { listenAt, type Listening } from "../../src/agent/listening.js";
import type { Moment } from "../../src/agent/limits.js";
import { encodeMessage } from "../../src/agent/protocol.js";
import type { PinFound } from "../../src/agent/login.js";
import { agentServer } from "../../src/agent/server.js";
import { inspectMessage, openMessage, sealMessage } from "../../src/envelope/messages.js";
import { auditFiles } from "../../src/records/audit/audit-log.js";
import { withLock } from "../../src/store/lock.js";
import { rewrapMessage, type RewrapMessageOptions } from "../../src/envelope/rewrap-message.js";
import type { WholeHeader } from "../../src/envelope/receiver.js";
import { fakeTokens, PIN, type FakeTokens } from "../support/fake-tokens.js";
import { hybridIdentityOf, NATIVE_HYBRID_KEMS } from "../support/hybrid.js";
import { identityOf, recipientOf, senderOf, type ExchangeKeyName } from "../support/identities.js";
import { Random, mutated } from "../support/mutate.js";
import { scaled } from "../support/scale.js";
import { codeOf } from "../support/streams.js";

let folder: string;
let tokens: FakeTokens;
let now = 0;
/** What the agent is told at each tick; it begins as the agent itself sees it. */
let clock: Moment;
let pin: () => PinFound;
let asked = 0;
let agent: Agent;
let listening: Listening;
let client: AgentClient;

async function begin(options: Partial<AgentOptions> = {}): Promise<void> {
  const home = join(folder, "home");
  agent = new Agent({
    ...{ connect: tokens.connect, uris: [], limits: { idleMs: 600_000, totalMs: 7_200_000 } },
    ...{ nowMs: () => now, home, asks: "a test", peers: "nothing", say: () => undefined },
    findPin: () => {
      asked += 1;
      return Promise.resolve(pin());
    },
    atPad: () => Promise.resolve(undefined),
    ...options,
  });
  await agent.look();
  listening = await listenAt(join(folder, "run", "a.sock"), agent.server.server);
  client = (await AgentClient.at(join(folder, "run", "a.sock"))) as AgentClient;
}

/** So many seconds pass, by both clocks. */
async function ticks(count: number): Promise<void> {
  for (let tick = 0; tick < count; tick++) {
    const { monotonicMs, wallMs } = clock;
    clock = { monotonicMs: monotonicMs + 1000, wallMs: wallMs + 1000 };
    await agent.tick(clock);
  }
}

beforeEach(() => {
  clock = momentNow();
  folder = realpathSync(mkdtempSync(join(tmpdir(), "agent-")));
  mkdirSync(join(folder, "home"), { mode: 0o700 });
  tokens = fakeTokens("rsa2048", "p256", "x25519");
  now = 0;
  asked = 0;
  pin = () => ({ pin: PIN, fromPerson: true });
});

afterEach(async () => {
  client.close();
  agent.stop();
  await agent.recorded();
  listening.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function headerFor(
  name: ExchangeKeyName,
  format: "p11seal" | "age" = "p11seal",
): Promise<WholeHeader> {
  const sealed = await sealMessage([], { recipients: [recipientOf(name)], format });
  const body = await sealed.body.bytes();
  // The nonce of an age file's body belongs to what the key depends on.
  const bytes = format === "age" ? concat(sealed.header, body.subarray(0, 16)) : sealed.header;
  const info = await inspectMessage([sealed.header, body]);
  return { format, bytes, info };
}

async function log(): Promise<readonly Readonly<Record<string, unknown>>[]> {
  await agent.recorded();
  const text = readFileSync(join(folder, "home", "audit.jsonl"), "utf8").trim();
  return text.split("\n").map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}

describe("an agent's logins", () => {
  it("serve a hundred messages with one PIN", async () => {
    await begin();
    for (let count = 0; count < 100; count++) {
      const header = await headerFor(count % 2 === 0 ? "rsa2048" : "p256");
      expect((await client.open(header))?.key).toHaveLength(32);
    }
    expect([asked, tokens.sent, tokens.operations()]).toEqual([1, [PIN], 100]);
    expect(await log()).toHaveLength(100);
  });

  it("end after the idle time, the total time and so many uses, and then ask anew", async () => {
    await begin({ limits: { idleMs: 600_000, totalMs: 7_200_000, uses: 3 } });
    const header = await headerFor("p256");
    const steps: readonly (readonly [passed: number, asked: number])[] = [
      [0, 1],
      [599_999, 1],
      [600_000, 2],
      [1000, 2],
      [1000, 2], // The third use of this login: it ends.
      [1000, 3],
    ];
    for (const [passed, expected] of steps) {
      now += passed;
      await client.open(header);
      expect(asked).toBe(expected);
    }
  });

  it("serve no more messages than so many, also of requests that come at once", async () => {
    await begin({ limits: { idleMs: 600_000, totalMs: 7_200_000, uses: 2 } });
    const header = await headerFor("p256");
    const keys = await Promise.all(Array.from({ length: 5 }, () => client.open(header)));
    expect(keys.every((one) => one !== undefined)).toBe(true);
    expect([asked, tokens.operations()]).toEqual([3, 5]);
    // The third has one use left.
    await client.open(header);
    expect([asked, tokens.open]).toEqual([3, 0]);
  });

  it("end after the total time, however busy they are", async () => {
    await begin();
    const header = await headerFor("p256");
    for (now = 0; now < 7_200_000; now += 500_000) await client.open(header);
    expect(asked).toBe(1);
    await client.open(header);
    expect(asked).toBe(2);
  });

  it("end by the clock alone, without a request", async () => {
    await begin();
    await client.open(await headerFor("p256"));
    expect(tokens.open).toBe(1);
    await ticks(2);
    expect(tokens.open).toBe(1);
    now = 599_999;
    await ticks(1);
    expect(tokens.open).toBe(1);
    now = 600_000;
    await ticks(1);
    expect(tokens.open).toBe(0);
  });

  it("end when the machine slept", async () => {
    await begin();
    await client.open(await headerFor("p256"));
    await ticks(1);
    expect(tokens.open).toBe(1);
    clock = { ...clock, wallMs: clock.wallMs + 3_600_000 };
    await ticks(1);
    expect(tokens.open).toBe(0);
  });

  it("end when the token is removed, and begin anew once it is back", async () => {
    await begin();
    const header = await headerFor("p256");
    await client.open(header);
    await ticks(4);
    expect(tokens.open).toBe(1);
    tokens.isPresent = false;
    await ticks(2);
    expect(tokens.open).toBe(0);
    expect(await codeOf(client.open(header))).toBe("ERR_TOKEN_NOT_FOUND");
    tokens.isPresent = true;
    await client.open(header);
    expect(asked).toBe(2);
  });

  it("end when the token is removed, also where somebody looked for keys since", async () => {
    await begin();
    await client.open(await headerFor("p256"));
    tokens.isPresent = false;
    now += 10_000;
    expect(await client.open(await headerFor("rsa3072"))).toBeUndefined();
    await ticks(2);
    expect(tokens.open).toBe(0);
  });

  it("end when the machine slept, also where a message comes before the next look", async () => {
    await begin();
    const header = await headerFor("p256");
    await client.open(header);
    const { now: realNow } = Date;
    Date.now = () => realNow() + 3_600_000;
    try {
      await client.open(header);
    } finally {
      Date.now = realNow;
    }
    expect([asked, tokens.opened]).toEqual([2, 3]);
  });

  it("end when the token was pulled and put back between two looks", async () => {
    await begin();
    const header = await headerFor("p256");
    await client.open(header);
    await ticks(4);
    expect(tokens.open).toBe(1);
    tokens.reinsert();
    await ticks(2);
    expect(tokens.open).toBe(0);
    expect((await client.status()).tokens).toMatchObject([{ unlocked: false }]);
    await client.open(header);
    expect(asked).toBe(2);
  });

  it("end on request, once the message that is being opened is", async () => {
    await begin();
    const header = await headerFor("p256");
    const [key] = await Promise.all([client.open(header), client.open(header), client.lock()]);
    expect(key?.key).toHaveLength(32);
    await client.lock();
    expect(tokens.open).toBe(0);
    expect((await client.status()).tokens).toMatchObject([{ label: "fake", unlocked: false }]);
  });

  it("that a token refused are not tried with the same PIN again, before somebody locks", async () => {
    await begin();
    pin = () => ({ pin: "9999", fromPerson: false });
    const header = await headerFor("p256");
    for (let count = 0; count < 3; count++) {
      expect(await codeOf(client.open(header))).toBe("ERR_PIN_REFUSED");
    }
    expect(tokens.sent).toEqual(["9999"]);
    await expect(client.open(header)).rejects.toMatchObject({
      hint: expect.stringContaining("once its source is right: p11seal agent lock") as unknown,
    });
    await client.lock();
    pin = () => ({ pin: PIN, fromPerson: false });
    await client.open(header);
    expect(tokens.sent).toEqual(["9999", PIN]);
  });

  it("that a person mistyped are asked for again", async () => {
    await begin();
    const header = await headerFor("p256");
    pin = () => ({ pin: "9999", fromPerson: true });
    expect(await codeOf(client.open(header))).toBe("ERR_PIN_REFUSED");
    pin = () => ({ pin: PIN, fromPerson: true });
    await client.open(header);
    expect(tokens.sent).toEqual(["9999", PIN]);
    expect((await log()).map(({ outcome }) => outcome)).toEqual(["ERR_PIN_REFUSED", "opened"]);
  });
});

describe("re-wrapping", () => {
  const change = {
    add: [recipientOf("p256")],
    remove: [recipientOf("rsa2048").publicKey],
    nowMs: 0,
  };

  it("is refused unless it was allowed, whatever the client says", async () => {
    await begin();
    const header = await headerFor("rsa2048");
    expect(client.capabilities).not.toContain("rewrap");
    expect(await codeOf(client.rewrap(header, change))).toBe("ERR_AGENT_REFUSED");
    expect(tokens.operations()).toBe(0);
  });

  it.each(["p11seal", "age"] as const)(
    "makes a whole header in %s, with one PIN",
    async (format) => {
      await begin({ allows: ["rewrap"] });
      const add = [recipientOf("x25519"), recipientOf("p256")];
      const sealed = await sealMessage(Buffer.from("content"), {
        recipients: [recipientOf("p256")],
        format,
      });
      const body = await sealed.body.bytes();
      const made = await rewrapMessage([sealed.header, body], {
        ...{ add, remove: [recipientOf("p256").publicKey], nowMs: 0 },
        identities: () => Promise.reject(new TypeError("a key was looked for")),
        rewrapped: (header, options) => client.rewrap(header, options),
      });
      expect(made.identity?.name).toContain("object=p256");
      for (const name of ["x25519", "p256"] as const) {
        const opened = await openMessage([made.header, body], { identities: [identityOf(name)] });
        expect(Buffer.from(await opened.plaintext.bytes()).toString()).toBe("content");
      }
      expect(asked).toBe(1);
      expect((await log()).map(({ outcome }) => outcome)).toEqual(["rewrapped"]);
    },
  );

  it("adds and removes hybrid keys, and those together with others", async () => {
    await begin({ allows: ["rewrap"] });
    const hybrids = await Promise.all(NATIVE_HYBRID_KEMS.map(hybridIdentityOf));
    const keys = hybrids.map(({ publicKey }) => publicKey);
    const change = async (
      message: readonly Uint8Array[],
      options: Pick<RewrapMessageOptions, "add" | "remove">,
    ): Promise<Uint8Array> => {
      const made = await rewrapMessage(message, {
        ...{ ...options, nowMs: 0 },
        identities: () => Promise.reject(new TypeError("a key was looked for")),
        rewrapped: (header, wanted) => client.rewrap(header, wanted),
      });
      return made.header;
    };
    const sealed = await sealMessage(ascii("content"), { recipients: [recipientOf("p256")] });
    const body = await sealed.body.bytes();
    const add = [...keys.map((publicKey) => ({ publicKey })), recipientOf("x25519")];
    const wide = await change([sealed.header, body], { add, remove: [] });
    for (const identity of [...hybrids, identityOf("x25519"), identityOf("p256")]) {
      const opened = await openMessage([wide, body], { identities: [identity] });
      expect(Buffer.from(await opened.plaintext.bytes()).toString()).toBe("content");
    }
    const narrow = await change([wide, body], { add: [], remove: keys });
    for (const identity of hybrids) {
      expect(await codeOf(openMessage([narrow, body], { identities: [identity] }))).toBe(
        "ERR_NO_MATCH",
      );
    }
    expect(tokens.operations()).toBe(2);
  });

  it("makes nothing of a message that somebody signed: a custodian signs that", async () => {
    await begin({ allows: ["rewrap"] });
    const recipients = [recipientOf("p256")];
    const sender = senderOf("ed25519");
    const sealed = await sealMessage([], { recipients, sender });
    const info = await inspectMessage([sealed.header, await sealed.body.bytes()]);
    const header = { format: "p11seal", bytes: sealed.header, info };
    expect(await codeOf(client.rewrap(header, change))).toBe("ERR_CUSTODIAN");
    expect(tokens.operations()).toBe(0);
  });

  it.each(["p11seal", "age"] as const)(
    "by an agent that makes something else of a header in %s is refused",
    async (format) => {
      await begin();
      const wanted = { add: [recipientOf("x25519")], remove: [], nowMs: 0 };
      const recipients = [recipientOf("p256")];
      const sealed = await sealMessage([], { recipients, format });
      const body = await sealed.body.bytes();
      const other = await sealMessage([], { recipients: [recipientOf("x25519")], format });
      for (const header of [other.header, sealed.header, concat(sealed.header, u32(0))]) {
        const openedBy = { publicKey: recipientOf("p256").publicKey, name: "liar" };
        const rewrapping = rewrapMessage([sealed.header, body], {
          ...wanted,
          identities: [],
          rewrapped: () => Promise.resolve({ header, openedBy, nowMs: Date.now() }),
        });
        expect(await codeOf(rewrapping)).toMatch(/^ERR_(?:NOT_AUTHENTIC|TRAILING)$/);
      }
    },
  );
});

describe("an agent that can't write its audit log", () => {
  it("gives one key at most, and no other before it can", async () => {
    await begin();
    const header = await headerFor("p256");
    const path = join(folder, "home", "audit.jsonl");
    mkdirSync(path);
    await client.open(header);
    await agent.recorded();
    expect(await codeOf(client.open(header))).toMatch(/^ERR_(?:AUDIT_LOG_WRITE|UNSAFE_FILE)$/);
    rmSync(path, { recursive: true });
    expect(await client.open(header)).toBeDefined();
  });
});

describe("an agent whose audit log another process holds", () => {
  it("gives one key, and no other before that one's use is on the disk", async () => {
    await begin();
    const header = await headerFor("p256");
    let given = 0;
    const open = async (): Promise<void> => {
      await client.open(header);
      given += 1;
    };
    const waiting: Promise<void>[] = [];
    await withLock(auditFiles(join(folder, "home")).lock, async () => {
      await open();
      waiting.push(open(), open(), open());
      await sleep(100);
      expect(given).toBe(1);
    });
    await Promise.all(waiting);
    expect((await log()).map(({ outcome }) => outcome)).toEqual(Array(4).fill("opened"));
  });
});

describe("an agent's socket", () => {
  it("is left alone by an agent that ends, where it is another one's by now", async () => {
    await begin();
    const path = join(folder, "run", "a.sock");
    const older = agent;
    const place = listening;
    client.close();
    rmSync(path);
    await begin();
    older.stop();
    place.remove();
    const other = await AgentClient.at(path);
    const status = await other?.status();
    other?.close();
    expect(status?.pid).toBe(process.pid);
    expect(readdirSync(join(folder, "run"))).not.toContain(`.${process.pid}`);
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
    const other = await listenAt(join(folder, "run", "b.sock"), server);
    const asking = await AgentClient.at(join(folder, "run", "b.sock"));
    const found = await asking?.open({ format: "p11seal", bytes: Uint8Array.of(1) });
    asking?.close();
    close();
    other.remove();
    expect(found?.key.expose()).toEqual(new Uint8Array(32).fill(7));
    expect(key).toEqual(new Uint8Array(32));
  });
});

describe("whoever reaches the socket", () => {
  it("gets no key for a message that no key fits, nor for one whose key it did not name", async () => {
    await begin();
    expect(await client.open(await headerFor("rsa3072"))).toBeUndefined();
    const header = await headerFor("p256");
    const named = (object: string): string => `pkcs11:token=fake;object=${object}`;
    expect(await client.open(header, { keys: [named("rsa2048")] })).toBeUndefined();
    expect(
      await client.open(header, { keys: [`${named("p256")}?module-path=/other.so`] }),
    ).toBeUndefined();
    expect(tokens.operations()).toBe(0);
    expect(await client.open(header, { keys: [named("p256")] })).toBeDefined();
    expect(
      await client.open(header, { keys: [`${named("p256")}?pin-source=/etc/passwd`] }),
    ).toBeDefined();
    expect(asked).toBe(1);
  });

  it("gets none for a wrap that names nobody, unless it names the key", async () => {
    await begin();
    const header = await headerFor("x25519", "age");
    expect(await client.open(header)).toBeUndefined();
    expect(tokens.operations()).toBe(0);
    const keys = ["pkcs11:token=fake;object=x25519"];
    expect((await client.open(header, { keys }))?.openedBy.name).toBe(keys[0]);
  });

  it("gets no key for a header that something follows, and none in another format", async () => {
    await begin();
    const { bytes, ...header } = await headerFor("p256");
    expect(await codeOf(client.open({ ...header, bytes: concat(bytes, u32(0)) }))).toBe(
      "ERR_TRAILING",
    );
    for (const format of ["cms", "age", "capi", "unwrap"]) {
      expect(await codeOf(client.open({ ...header, bytes, format }))).toMatch(/^ERR_/);
    }
    expect(tokens.operations()).toBe(0);
  });

  it("gets one error for every bad header with a good tag, after one operation each", async () => {
    await begin();
    const { bytes, ...header } = await headerFor("rsa2048");
    const random = new Random(16);
    const count = scaled(10_000, 300);
    const errors = new Set<string>();
    for (let tried = 0; tried < count; tried++) {
      const changed = bytes.slice();
      // In the wrapped key or in the MAC: everything before it is parsed, and the tag still fits.
      const at = bytes.length - 1 - random.below(32 + 256);
      changed[at] = (changed[at] as number) ^ (1 + random.below(255));
      const error = await client.open({ ...header, bytes: changed }).then(
        () => "opened",
        (failure: unknown) => JSON.stringify([failure, (failure as Error).message]),
      );
      errors.add(error);
    }
    expect([...errors]).toHaveLength(1);
    expect([...errors][0]).toContain("ERR_NOT_AUTHENTIC");
    expect([asked, tokens.operations()]).toEqual([1, count]);
    expect(new Set((await log()).map(({ outcome }) => outcome))).toEqual(
      new Set(["ERR_NOT_AUTHENTIC"]),
    );
  }, 600_000);

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
    expect([tokens.operations(), tokens.opened, asked]).toEqual([0, before, 0]);
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
    const other = await listenAt(join(folder, "run", "b.sock"), server);
    const deaf = (await connected("b.sock")).pause();
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
    const next = await AgentClient.at(join(folder, "run", "a.sock"));
    expect((await next?.status())?.pid).toBe(process.pid);
    next?.close();
    for (const other of others) other.destroy();
  });

  async function connected(name = "a.sock"): Promise<Socket> {
    const socket = connect(join(folder, "run", name));
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.resume();
    return socket;
  }
});
