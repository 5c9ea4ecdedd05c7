/**
 * The agent, for commands that open or sign messages: used by itself where one runs, unless the
 * command line says how to reach a key in another way.
 */
import { AgentClient, type AgentsKey, type OpenWish } from "../../agent/client.js";
import type { ReaderNotice } from "../../agent/protocol.js";
import { agentSocketPath, isOwnSocket } from "../../agent/socket-path.js";
import { P11SealError } from "../../errors.js";
import type { ElsewhereRewrapped, WholeHeader } from "../../envelope/receiver.js";
import type { RewrapOptions } from "../../envelope/rewrapping.js";
import type { CoreSigner } from "../../envelope/seal-options.js";
import type { NamedKey, SigningPublicKey } from "../../keys/key.js";
import { naming } from "../../keys/refusals.js";
import { requireSigner } from "../../keys/signer-strength.js";
import { readConfig } from "../../records/config.js";
import { terminalName } from "../../terminal/named-terminal.js";
import { formatUri, isPkcs11Uri, type Pkcs11Uri } from "../../token/uri.js";
import type { Arguments } from "../arguments/arguments.js";
import type { Context } from "../command.js";
import { homeOf } from "../io/home.js";
import type { Io } from "../io/io.js";
import { padTeller } from "./pins.js";
import { uriArgument } from "./uri-argument.js";

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

/**
 * Greets the agent that a command line leaves room for, before the command's code is loaded: it
 * answers meanwhile. Faults are left for the command to report.
 */
export async function greetAgentAhead(io: Io): Promise<void> {
  try {
    if (await isTurnedOff(io)) return;
    const path = agentSocketPath(io.env);
    const answered = await AgentClient.greet(path);
    if (answered !== undefined) ahead = { path, answered };
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
  }
}

/** The agent that was greeted so. */
let ahead: { readonly path: string; readonly answered: () => Promise<AgentClient> } | undefined;

/** Stands for the agent's keys where failures are counted: it doesn't say which one failed. */
export const AGENT = { name: "the agent" } as const;

/** An agent that opens headers of messages. */
export class OpeningAgent {
  readonly #client: AgentClient;
  readonly #wish: Pick<OpenWish, "keys" | "terminal" | "atReader">;
  #custodian: string | undefined;

  constructor(client: AgentClient, wish: Pick<OpenWish, "keys" | "terminal" | "atReader">) {
    this.#client = client;
    this.#wish = wish;
  }

  /** As `AgentClient.open`. */
  open(header: WholeHeader): Promise<AgentsKey | undefined> {
    return this.#client.open(header, this.#wish);
  }

  /**
   * The public half of the key that a URI names, if the agent signs custodians' records with it.
   *
   * @throws as `requireSigner`, `AgentClient.signer`
   */
  async custodian(uri: Pkcs11Uri): Promise<SigningPublicKey | undefined> {
    const { capabilities } = this.#client;
    if (!capabilities.includes("rewrap") || !capabilities.includes("signer")) return undefined;
    if (meansLogin(uri)) return undefined;
    const key = formatUri(uri);
    const found = await soundSigner(this.#client, key);
    if (found !== undefined) this.#custodian = key;
    return found?.publicKey;
  }

  /** As `AgentClient.rewrap`; undefined also if the agent doesn't, or has not that custodian. */
  async rewrap(
    header: WholeHeader,
    options: RewrapOptions,
  ): Promise<ElsewhereRewrapped | undefined> {
    if (!this.#client.capabilities.includes("rewrap")) return undefined;
    // Records are p11seal's own.
    const needsCustodian = options.custodian !== undefined && header.format === "p11seal";
    const custodian = needsCustodian ? this.#custodian : undefined;
    if (needsCustodian && custodian === undefined) return undefined;
    return this.#client.rewrap(header, options, { ...this.#wish, custodian });
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
  if (uris === undefined) return undefined;
  const client = await agentFor("open", args, uris, context);
  if (client === undefined) return undefined;
  context.report.trace("an agent runs, and is asked for keys first");
  const keys = uris.length === 0 ? undefined : uris.map(formatUri);
  return new OpeningAgent(client, { keys, ...personAtHand(context) });
}

/** A signing key that an agent has. */
export interface AgentsSigner extends NamedKey<SigningPublicKey> {
  /** Has the agent log in to the token, so that a PIN is asked for now. */
  unlock(): Promise<CoreSigner>;
  close(): void;
}

/**
 * The signing key that a URI names, if an agent runs that signs with it.
 *
 * @throws PolicyError `ERR_WEAK_KEY`, `ERR_ROCA`; as `AgentClient`
 */
export async function agentsSigner(
  args: Arguments,
  text: string,
  context: Context,
): Promise<AgentsSigner | undefined> {
  if (!isPkcs11Uri(text)) return undefined;
  const uri = uriArgument(text);
  const client = await agentFor("sign", args, [uri], context);
  if (client === undefined) return undefined;
  const key = formatUri(uri);
  const found = await soundSigner(client, key);
  if (found === undefined) {
    client.close();
    return undefined;
  }
  context.report.trace("an agent runs, and signs with this key");
  const wish = personAtHand(context);
  return {
    ...found,
    async unlock() {
      await client.signer(key, { unlock: true, ...wish });
      return { signCore: (core) => client.sign(core, key, wish) };
    },
    close: () => {
      client.close();
    },
  };
}

/**
 * The public half of the signing key that a URI names, if the agent serves it.
 *
 * @throws as `requireSigner`, `AgentClient.signer`
 */
async function soundSigner(
  client: AgentClient,
  uri: string,
): Promise<NamedKey<SigningPublicKey> | undefined> {
  const found = await client.signer(uri);
  if (found !== undefined) naming(found.name, () => requireSigner(found.publicKey));
  return found;
}

/** Who says where the PIN is, means to log in. */
function meansLogin({ pinSource }: Pkcs11Uri): boolean {
  return pinSource !== undefined;
}

/** The agent that runs, if it does this and the command is to use it for these keys. */
async function agentFor(
  capability: string,
  args: Arguments,
  uris: readonly Pkcs11Uri[],
  { io }: Context,
): Promise<AgentClient | undefined> {
  if (!mayUseAgent(args, io.env)) return undefined;
  if (uris.some(meansLogin)) return undefined;
  const client = await agentAt(agentSocketPath(io.env), io);
  if (client?.capabilities.includes(capability) === true) return client;
  client?.close();
  return undefined;
}

async function agentAt(path: string, io: Io): Promise<AgentClient | undefined> {
  const greeted = ahead;
  ahead = undefined;
  if (greeted?.path === path) return greeted.answered();
  return (await isTurnedOff(io)) ? undefined : AgentClient.at(path);
}

/** Whether the user's settings say that no agent is to be used. */
async function isTurnedOff(io: Io): Promise<boolean> {
  return (await readConfig(homeOf(io))).agent === false;
}

/** Where this program's user can be asked, and told. */
function personAtHand(context: Context): Pick<OpenWish, "terminal" | "atReader"> {
  return { terminal: terminalName(context.io.env), atReader: readerTeller(context) };
}

/** Tells the person at hand what is to be typed on the agent's reader, in this program's words. */
export function readerTeller(context: Context): (notice: ReaderNotice) => void {
  const tell = padTeller({ user: undefined, uris: [] }, context);
  return ({ label, serial, pin, what }) => {
    const token = { label, serial, pin, model: "", manufacturer: "" };
    tell({ token, kind: "user", what });
  };
}
