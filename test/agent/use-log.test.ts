/** An agent's lines in the audit log come before the next key. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { AgentClient } from "../../src/agent/client.js";
import { auditFiles } from "../../src/records/audit/audit-log.js";
import { withLock } from "../../src/store/lock.js";
import { agentAtSocket, headerFor, type AgentAtSocket } from "../support/agent-at-socket.js";
import { codeOf } from "../support/streams.js";

let running: AgentAtSocket;
let client: AgentClient;

async function begin(): Promise<void> {
  running = await agentAtSocket();
  ({ client } = running);
}

afterEach(() => running.end());

describe("an agent that can't write its audit log", () => {
  it("gives one key at most, and no other before it can", async () => {
    await begin();
    const header = await headerFor("p256");
    const path = join(running.home, "audit.jsonl");
    mkdirSync(path);
    await client.open(header);
    await running.agent.recorded();
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
    await withLock(auditFiles(running.home).lock, async () => {
      await open();
      waiting.push(open(), open(), open());
      await sleep(100);
      expect(given).toBe(1);
    });
    await Promise.all(waiting);
    expect((await running.log()).map(({ outcome }) => outcome)).toEqual(Array(4).fill("opened"));
  });
});
