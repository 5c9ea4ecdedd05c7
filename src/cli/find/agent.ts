/**
 * The agent, for commands that open messages: used by itself where one runs, unless the command
 * line says how to reach a key in another way.
 */
import { AgentClient, type AgentsKey, type OpenWish } from "../../agent/client.js";
import type { ReaderNotice } from "../../agent/protocol.js";
import { agentSocketPath, isOwnSocket } from "../../agent/socket-path.js";
import type { ElsewhereRewrapped, WholeHeader } from "../../envelope/receiver.js";
import type { RewrapOptions } from "../../envelope/rewrapping.js";
import { readConfig } from "../../records/config.js";
import { homeFolder } from "../../store/home.js";
import { terminalName } from "../../terminal/named-terminal.js";
import { formatUri, type Pkcs11Uri } from "../../token/uri.js";
import type { Arguments } from "../arguments/arguments.js";
import type { Context } from "../command.js";
import { padTeller } from "./pins.js";

/**
 * Whether a command line leaves room for an agent, as far as can be told at once: a socket is
 * there, and neither a module nor a PIN's source of the command's own was named.
 */
export function mayUseAgent(args: Arguments, env: Context["io"]["env"]): boolean {
  if (!args.has("no-agent") || args.flag("no-agent")) return false;
  if (args.texts("module").length > 0 || args.text("pin-source") !== undefined) return false;
  try {
    return isOwnSocket(agentSocketPath(env));
  } catch {
    // A path that is of no use is reported once it is needed.
    return true;
  }
}

/** Stands for the agent's keys where failures are counted: it doesn't say which one failed. */
export const AGENT = { name: "the agent" } as const;

/** An agent that opens headers of messages. */
export class OpeningAgent {
  readonly #client: AgentClient;
  readonly #wish: Pick<OpenWish, "keys" | "terminal" | "atReader">;

  constructor(client: AgentClient, wish: Pick<OpenWish, "keys" | "terminal" | "atReader">) {
    this.#client = client;
    this.#wish = wish;
  }

  /** As `AgentClient.open`. */
  open(header: WholeHeader): Promise<AgentsKey | undefined> {
    return this.#client.open(header, this.#wish);
  }

  /** As `AgentClient.rewrap`; undefined also if the agent doesn't. */
  async rewrap(
    header: WholeHeader,
    options: RewrapOptions,
  ): Promise<ElsewhereRewrapped | undefined> {
    if (!this.#client.capabilities.includes("rewrap")) return undefined;
    return this.#client.rewrap(header, options, this.#wish);
  }

  close(): void {
    this.#client.close();
  }
}

/**
 * The agent that runs, if the command is to use one.
 *
 * @param uris - what `-i` names, if it names tokens' keys alone; empty: any key
 */
export async function openingAgent(
  args: Arguments,
  uris: readonly Pkcs11Uri[] | undefined,
  context: Context,
): Promise<OpeningAgent | undefined> {
  const { io, report } = context;
  if (uris === undefined || !mayUseAgent(args, io.env)) return undefined;
  // Who says where the PIN is, means to log in.
  if (uris.some(({ pinSource }) => pinSource !== undefined)) return undefined;
  if ((await readConfig(homeFolder(io.env))).agent === false) return undefined;
  const client = await AgentClient.at(agentSocketPath(io.env));
  if (client?.capabilities.includes("open") !== true) return undefined;
  report.trace("an agent runs, and is asked for keys first");
  const keys = uris.length === 0 ? undefined : uris.map(formatUri);
  const terminal = terminalName(io.env);
  return new OpeningAgent(client, { keys, terminal, atReader: readerTeller(context) });
}

/** Tells the person at hand what is to be typed on the agent's reader, in this program's words. */
export function readerTeller(context: Context): (notice: ReaderNotice) => void {
  const tell = padTeller({ user: undefined, uris: [] }, context);
  return ({ label, serial, pin, what }) => {
    const token = { label, serial, pin, model: "", manufacturer: "" };
    tell({ token, kind: "user", what });
  };
}
