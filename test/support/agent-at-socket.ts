/**
 * An agent in this process at a real socket, with tokens that count, a client of it, and headers to
 * send.
 */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, type AgentOptions } from "../../src/agent/agent.js";
import { AgentClient } from "../../src/agent/client.js";
import type { Purpose } from "../../src/agent/use.js";
import { listenAt, type Listening } from "../../src/agent/listening.js";
import { concat } from "../../src/bytes.js";
import { inspectMessage, sealMessage } from "../../src/envelope/messages.js";
import type { WholeHeader } from "../../src/envelope/receiver.js";
import {
  fakeTokens,
  PIN,
  type ExchangeName,
  type FakeTokens,
  type SignerName,
} from "./fake-tokens.js";
import { recipientOf, type ExchangeKeyName } from "./identities.js";

export interface AgentAtSocket {
  readonly agent: Agent;
  readonly client: AgentClient;
  readonly tokens: FakeTokens;
  /** What a PIN was asked for. */
  readonly asked: readonly Purpose[];
  /** The data folder. */
  readonly home: string;
  readonly socket: string;
  /** The agent's place: the socket can be removed. */
  readonly listening: Listening;
  /** Of the audit log, once every use has its line. */
  readonly log: () => Promise<readonly Readonly<Record<string, unknown>>[]>;
  readonly end: () => Promise<void>;
}

/**
 * With three exchange keys, and three to sign with.
 *
 * @param keys - others
 */
export async function agentAtSocket(
  options: Partial<AgentOptions> = {},
  keys: readonly (ExchangeName | SignerName)[] = [...EXCHANGE_KEYS, "p384", "rsa3072", "ed25519"],
): Promise<AgentAtSocket> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "agent-")));
  const home = join(folder, "home");
  mkdirSync(home, { mode: 0o700 });
  const tokens = fakeTokens(...keys);
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
    ...{ agent, client, tokens, asked, home, socket, listening },
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

export const EXCHANGE_KEYS: readonly ExchangeName[] = ["rsa2048", "p256", "x25519"];

/** The header of an empty message for one recipient, for an agent to check. */
export async function headerFor(
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
