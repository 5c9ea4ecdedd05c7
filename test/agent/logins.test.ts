/** When an agent's logins end, and what a PIN is asked for: with a clock that the test moves. */
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { type AgentOptions, momentNow } from "../../src/agent/agent.js";
import type { AgentClient } from "../../src/agent/client.js";
import type { Moment } from "../../src/agent/limits.js";
import type { PinFound } from "../../src/agent/login.js";
import { TokenError } from "../../src/errors.js";
import {
  agentAtSocket,
  EXCHANGE_KEYS,
  headerFor,
  type AgentAtSocket,
} from "../support/agent-at-socket.js";
import { PIN, type FakeTokens } from "../support/fake-tokens.js";
import { codeOf } from "../support/streams.js";

let running: AgentAtSocket;
let client: AgentClient;
let tokens: FakeTokens;
let now = 0;
/** What the agent is told at each tick; it begins as the agent itself sees it. */
let clock: Moment;
let pin: () => PinFound;
let asked = 0;

async function begin(options: Partial<AgentOptions> = {}): Promise<void> {
  const findPin = (): Promise<PinFound> => {
    asked += 1;
    return Promise.resolve(pin());
  };
  running = await agentAtSocket({ nowMs: () => now, findPin, ...options }, EXCHANGE_KEYS);
  ({ client, tokens } = running);
}

/** So many seconds pass, by both clocks. */
async function ticks(count: number): Promise<void> {
  for (let tick = 0; tick < count; tick++) {
    const { monotonicMs, wallMs } = clock;
    clock = { monotonicMs: monotonicMs + 1000, wallMs: wallMs + 1000 };
    await running.agent.tick(clock);
  }
}

beforeEach(() => {
  clock = momentNow();
  now = 0;
  asked = 0;
  pin = () => ({ pin: PIN, fromPerson: true });
});

afterEach(() => running.end());

describe("an agent's logins", () => {
  it("serve a hundred messages with one PIN", async () => {
    await begin();
    for (let count = 0; count < 100; count++) {
      const header = await headerFor(count % 2 === 0 ? "rsa2048" : "p256");
      expect((await client.open(header))?.key).toHaveLength(32);
    }
    expect([asked, tokens.sent, tokens.operations()]).toEqual([1, [PIN], 100]);
    expect(await running.log()).toHaveLength(100);
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

  it.each(["CKR_OBJECT_HANDLE_INVALID", "CKR_USER_NOT_LOGGED_IN"])(
    "end when the token says %s: it was away, or its key was made anew",
    async (ckr) => {
      await begin();
      const header = await headerFor("p256");
      await client.open(header);
      tokens.fault = new TokenError("ERR_PKCS11", "gone", { fn: "C_DeriveKey", ckr });
      expect(await codeOf(client.open(header))).toBe("ERR_PKCS11");
      expect(tokens.open).toBe(0);
      tokens.fault = undefined;
      expect(await client.open(header)).toBeDefined();
      expect(asked).toBe(2);
    },
  );

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

  it.each([
    ["C_FindObjectsInit", "no error"],
    ["C_Login", "ERR_PKCS11"],
  ])("that failed in %s have this from then on: %s", async (fn, after) => {
    await begin();
    pin = () => ({ pin: PIN, fromPerson: false });
    const header = await headerFor("p256");
    await client.open(header);
    const ckr = "CKR_FUNCTION_FAILED";
    tokens.fault = new TokenError("ERR_PKCS11", "failed", { fn, ckr });
    expect(await codeOf(client.open(header))).toBe("ERR_PKCS11");
    tokens.fault = undefined;
    // If it was the login that failed, the token may have counted a try.
    expect((await codeOf(client.open(header))) ?? "no error").toBe(after);
    expect(asked).toBe(1);
  });

  it("that a person mistyped are asked for again", async () => {
    await begin();
    const header = await headerFor("p256");
    pin = () => ({ pin: "9999", fromPerson: true });
    expect(await codeOf(client.open(header))).toBe("ERR_PIN_REFUSED");
    pin = () => ({ pin: PIN, fromPerson: true });
    await client.open(header);
    expect(tokens.sent).toEqual(["9999", PIN]);
    expect((await running.log()).map(({ outcome }) => outcome)).toEqual([
      "ERR_PIN_REFUSED",
      "opened",
    ]);
  });
});
