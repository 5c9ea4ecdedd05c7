/**
 * An agent for another host: a socket that passes on what comes from there, and is good for opening
 * messages with named keys alone. ssh carries it to the host. What it cannot ask for, the host
 * cannot: no other key, no status, no lock, and no terminal here but the one of this process.
 */
import { defined } from "../defined.js";
import { P11SealError, TokenError } from "../errors.js";
import { packReported } from "../token/process/wire.js";
import { Turnstile } from "../turnstile.js";
import { AgentClient } from "./client.js";
import type { Answer, ReaderNotice, Request } from "./protocol.js";
import { agentServer, type AgentServer, type Client, type ServerOptions } from "./server.js";

export interface ForwardingOptions {
  /** The user's own agent. */
  readonly socket: string;
  /** In the question before each use of a key, and in the audit log. */
  readonly host: string;
  /** `pkcs11:` URIs: the keys that the host may use. */
  readonly keys: readonly string[];
  /** Where a person may be asked. */
  readonly terminal: string | undefined;
  /** Called when a PIN is to be typed on a reader here; the host's client is told as well. */
  readonly atReader: (notice: ReaderNotice) => void;
  readonly peerOf?: ServerOptions["peerOf"];
}

/** A server that listens nowhere yet. */
export function forwardingServer(options: ForwardingOptions): AgentServer {
  const gates = { requests: new Turnstile(SIDE_BY_SIDE), greetings: new Turnstile() };
  return agentServer({
    handle: (request, client) => passOn(request, client, options, gates),
    capabilities: ["open"],
    peerOf: options.peerOf,
  });
}

/** How many requests of the host are passed on at a time; others wait. */
const SIDE_BY_SIDE = 16;

interface Gates {
  readonly requests: Turnstile;
  /**
   * One at a time: until its request, the agent can't tell a connection of another host's from one
   * of a program here.
   */
  readonly greetings: Turnstile;
}

async function passOn(
  request: Exclude<Request, { kind: "hello" }>,
  client: Client,
  options: ForwardingOptions,
  gates: Gates,
): Promise<Answer> {
  try {
    // Whoever has gone keeps no place in the queue, nor its header in memory.
    return await gates.requests.through(() => ask(request, client, options, gates), client.gone);
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    return { kind: "error", ...packReported(error) };
  }
}

async function ask(
  request: Exclude<Request, { kind: "hello" }>,
  { gone: signal, awaitsPerson }: Client,
  options: ForwardingOptions,
  { greetings }: Gates,
): Promise<Answer> {
  const { socket, host, keys: only, terminal } = options;
  const atReader = (notice: ReaderNotice): void => {
    options.atReader(notice);
    awaitsPerson(true, notice);
  };
  if (request.kind !== "open") throw new TypeError("no such request gets here");
  const { format, header, keys } = request;
  const agent = await greetings.through(() => AgentClient.at(socket), signal);
  if (agent === undefined) throw new TokenError("ERR_AGENT_LOST", "the agent has ended");
  try {
    // A connection each: when the host's command has gone, so does its question.
    const wish = { keys, only, terminal, remote: host, signal, atReader };
    const found = await agent.open({ format, bytes: header }, wish);
    if (found === undefined) return { kind: "no-key" };
    const { publicKey, name, label } = found.openedBy;
    const key = found.key.expose().slice();
    found.key.wipe();
    return {
      kind: "key",
      key,
      spki: publicKey.spki,
      name,
      ...defined({ label, path: found.path }),
    };
  } finally {
    agent.close();
  }
}
