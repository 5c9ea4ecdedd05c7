/** Which requests for a key get one, and what those cost that get none. */
import { afterEach, describe, expect, it } from "@jest/globals";
import { concat, u32 } from "../../src/bytes.js";
import type { AgentClient } from "../../src/agent/client.js";
import {
  agentAtSocket,
  EXCHANGE_KEYS,
  headerFor,
  type AgentAtSocket,
} from "../support/agent-at-socket.js";
import type { FakeTokens } from "../support/fake-tokens.js";
import { Random } from "../support/mutate.js";
import { scaled } from "../support/scale.js";
import { codeOf } from "../support/streams.js";

let running: AgentAtSocket;
let client: AgentClient;
let tokens: FakeTokens;

async function begin(): Promise<void> {
  running = await agentAtSocket({}, EXCHANGE_KEYS);
  ({ client, tokens } = running);
}

afterEach(() => running.end());

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
    expect(running.asked.length).toBe(1);
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
    expect([running.asked.length, tokens.operations()]).toEqual([1, count]);
    expect(new Set((await running.log()).map(({ outcome }) => outcome))).toEqual(
      new Set(["ERR_NOT_AUTHENTIC"]),
    );
  }, 600_000);
});
