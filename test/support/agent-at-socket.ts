/** An agent in this process at a real socket, with tokens that count, and a client of it. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, type AgentOptions } from "../../src/agent/agent.js";
import { AgentClient } from "../../src/agent/client.js";
import type { Purpose } from "../../src/agent/use.js";
import { listenAt } from "../../src/agent/listening.js";
import { fakeTokens, PIN, type FakeTokens } from "./fake-tokens.js";

export interface AgentAtSocket {
  readonly client: AgentClient;
  readonly tokens: FakeTokens;
  /** What a PIN was asked for. */
  readonly asked: readonly Purpose[];
  /** The data folder. */
  readonly home: string;
  readonly socket: string;
  /** Of the audit log, once every use has its line. */
  readonly log: () => Promise<readonly Readonly<Record<string, unknown>>[]>;
  readonly end: () => Promise<void>;
}

/** With three exchange keys, and three to sign with. */
export async function agentAtSocket(options: Partial<AgentOptions> = {}): Promise<AgentAtSocket> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "agent-")));
  const home = join(folder, "home");
  mkdirSync(home, { mode: 0o700 });
  const tokens = fakeTokens("rsa2048", "p256", "x25519", "p384", "rsa3072", "ed25519");
  const asked: Purpose[] = [];
  const agent = new Agent({
    ...{ connect: tokens.connect, uris: [], limits: { idleMs: 600_000, totalMs: 7_200_000 } },
    ...{ nowMs: () => performance.now(), asks: "a test", peers: "nothing", say: () => undefined },
    home,
    findPin: (_request, purpose) => {
      asked.push(purpose);
      return Promise.resolve({ pin: PIN, fromPerson: true });
    },
    atPad: () => Promise.resolve(undefined),
    ...options,
  });
  await agent.look();
  const socket = join(folder, "run", "a.sock");
  const listening = await listenAt(socket, agent.server.server);
  const client = (await AgentClient.at(socket)) as AgentClient;
  return {
    ...{ client, tokens, asked, home, socket },
    log: async () => {
      await agent.recorded();
      const text = readFileSync(join(home, "audit.jsonl"), "utf8").trim();
      return text.split("\n").map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    },
    end: async () => {
      client.close();
      agent.stop();
      await agent.recorded();
      listening.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
