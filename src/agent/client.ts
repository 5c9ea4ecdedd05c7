/**
 * A client's end of an agent's socket. Connections are kept and used again; a request has one to
 * itself. Nothing that an agent says is believed but what the message itself proves.
 */
import { equal } from "../bytes.js";
import { defined } from "../defined.js";
import { TokenError } from "../errors.js";
import type { BodyKey, ElsewhereRewrapped, WholeHeader } from "../envelope/receiver.js";
import type { RewrapOptions } from "../envelope/rewrapping.js";
import type { WholeCore } from "../envelope/seal-options.js";
import type { ExchangePublicKey, NamedKey, SigningPublicKey } from "../keys/key.js";
import { publicKeyFromSpki } from "../keys/public-key.js";
import { Secret } from "../secret.js";
import { AgentConnection, greet, lost, required, strange, type AtReader } from "./connection.js";
import { MAX_FRAME_BYTES } from "./frames.js";
import type { Answer, AnswerOf, Request } from "./protocol.js";
import { isOwnSocket } from "./socket-path.js";

/** A key for a body, and how the token was asked for it. */
export interface AgentsKey extends BodyKey {
  readonly path?: string;
}

/** What to ask for besides. */
export interface OpenWish {
  /** `pkcs11:` URIs; by default every key that the agent serves. */
  readonly keys?: readonly string[] | undefined;
  /** Where this process has a terminal that the agent may ask at. */
  readonly terminal?: string | undefined;
  /** Of those keys, only what one of these matches as well. */
  readonly only?: readonly string[] | undefined;
  /** The host that this process passes requests on for. */
  readonly remote?: string | undefined;
  /** Takes the request back, by ending its connection. */
  readonly signal?: AbortSignal | undefined;
  /** Called when a PIN is to be typed on a token's reader: whoever is at hand is to be told. */
  readonly atReader?: AtReader | undefined;
}

export class AgentClient {
  readonly #path: string;
  readonly #idle: AgentConnection[] = [];
  /** The key that opened the last message, and most likely opens the next. */
  #lastKey: ExchangePublicKey | undefined;
  readonly capabilities: readonly string[];

  private constructor(path: string, first: AgentConnection, capabilities: readonly string[]) {
    this.#path = path;
    this.#idle.push(first);
    this.capabilities = capabilities;
  }

  /**
   * Undefined: nobody of this user's listens there.
   *
   * @throws TokenError `ERR_AGENT_LOST`: somebody does, and does not answer; `ERR_AGENT_VERSION`
   */
  static async at(path: string): Promise<AgentClient | undefined> {
    return (await AgentClient.greet(path))?.();
  }

  /**
   * The first half of `at`, for whoever has something to do until the agent has answered: the call
   * that it gives is the second. No process is kept running between them.
   *
   * @throws TokenError `ERR_AGENT_LOST`
   */
  static async greet(path: string): Promise<(() => Promise<AgentClient>) | undefined> {
    if (!isOwnSocket(path)) return undefined;
    const connection = await AgentConnection.to(path);
    if (connection === undefined) return undefined;
    const greeted = greet(connection);
    greeted.catch(() => undefined);
    connection.keepsRunning(false);
    return async () => {
      connection.keepsRunning(true);
      try {
        return new AgentClient(path, connection, await greeted);
      } catch (error) {
        connection.close();
        throw error;
      } finally {
        connection.keepsRunning(false);
      }
    };
  }

  /**
   * The key for the body behind this header; undefined: the agent has no key for it.
   *
   * @throws TokenError `ERR_AGENT_LOST`, `ERR_AGENT_PROTOCOL`; whatever the agent failed with
   */
  async open(
    header: Pick<WholeHeader, "format" | "bytes">,
    wish: OpenWish = {},
  ): Promise<AgentsKey | undefined> {
    const { format, bytes } = header;
    // With room for the names around it. Longer headers are for hundreds of recipients.
    if (bytes.length > MAX_FRAME_BYTES - ROOM_BYTES) return undefined;
    const { keys, terminal, only, remote } = wish;
    const request: Request = {
      ...{ kind: "open", format, header: bytes },
      ...defined({ keys, terminal, only, remote }),
    };
    const answer = await this.#ask(request, wish);
    if (answer.kind === "no-key") return undefined;
    const { key, path, ...opened } = required(answer, "key");
    return { key: new Secret(key), openedBy: this.#namedKey(opened), ...defined({ path }) };
  }

  /**
   * The header for other recipients; undefined: the agent has no key for the message, or can't be
   * asked for this change.
   *
   * @param wish - `custodian`: the `pkcs11:` URI of the key that signs the record of it; by default
   *   there is none
   * @throws as `open`; PolicyError `ERR_AGENT_CORE`
   */
  async rewrap(
    { format, bytes }: WholeHeader,
    { add, remove, oaep, rulesHash }: Omit<RewrapOptions, "nowMs">,
    wish: Omit<OpenWish, "only" | "remote"> & { readonly custodian?: string | undefined } = {},
  ): Promise<(ElsewhereRewrapped & Pick<AgentsKey, "path">) | undefined> {
    if (add.length + remove.length > MAX_CHANGED || bytes.length > MAX_FRAME_BYTES / 2)
      return undefined;
    const { keys, terminal, custodian: key } = wish;
    const record = key === undefined ? undefined : { key, ...defined({ rulesHash }) };
    const request: Request = {
      ...{ kind: "rewrap", format, header: bytes },
      add: add.map((one) => ({ spki: one.publicKey.spki, ...defined({ oaep: one.oaep }) })),
      remove: remove.map(({ spki }) => spki),
      ...defined({ oaep, record, keys, terminal }),
    };
    const answer = await this.#ask(request, wish);
    if (answer.kind === "no-key") return undefined;
    const { header, path, ...opened } = required(answer, "rewrapped");
    const openedBy = this.#namedKey(opened);
    return { header, openedBy, nowMs: Date.now(), ...defined({ path }) };
  }

  /**
   * The public half of the one signing key that a `pkcs11:` URI names; undefined: the agent does
   * not serve it.
   *
   * @param wish - `unlock`: have its token logged in to, as a signature is wanted soon
   * @throws as `open`
   */
  async signer(
    key: string,
    wish: Pick<OpenWish, "terminal" | "atReader"> & { readonly unlock?: boolean } = {},
  ): Promise<NamedKey<SigningPublicKey> | undefined> {
    const { unlock, terminal } = wish;
    const request = { kind: "signer", key, ...defined({ unlock, terminal }) } as const;
    const answer = await this.#ask(request, wish);
    if (answer.kind === "no-key") return undefined;
    const { spki, name, label } = required(answer, "signer");
    const publicKey = publicKeyFromSpki(spki);
    if (publicKey.type === "x25519" || publicKey.type === "hybrid") throw strange();
    return { publicKey, name, ...defined({ label }) };
  }

  /**
   * The sender's signature, as `CoreSigner` makes it. Whether it holds is for the caller to check.
   *
   * @param key - as for `signer`
   * @throws as `open`; PolicyError `ERR_AGENT_CORE`; TokenError `ERR_KEY_NOT_FOUND`
   */
  async sign(
    { format, bytes }: WholeCore,
    key: string,
    wish: Pick<OpenWish, "terminal" | "atReader"> = {},
  ): Promise<Uint8Array> {
    const { terminal } = wish;
    const request = { kind: "sign", format, core: bytes, key, ...defined({ terminal }) } as const;
    const answer = await this.#ask(request, wish);
    if (answer.kind === "no-key") {
      throw new TokenError("ERR_KEY_NOT_FOUND", "the agent has lost the signing key", {
        hint: "put its token back, or use the token itself: --no-agent",
      });
    }
    return required(answer, "signature").signature;
  }

  async status(): Promise<AnswerOf<"status">> {
    return required(await this.#ask({ kind: "status" }), "status");
  }

  async lock(): Promise<void> {
    required(await this.#ask({ kind: "lock" }), "done");
  }

  async stop(): Promise<void> {
    required(await this.#ask({ kind: "stop" }), "done");
  }

  close(): void {
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  #namedKey({
    spki,
    name,
    label,
  }: Pick<AnswerOf<"key">, "spki" | "name" | "label">): NamedKey<ExchangePublicKey> {
    let publicKey = this.#lastKey;
    if (publicKey === undefined || !equal(publicKey.spki, spki)) {
      const other = publicKeyFromSpki(spki);
      if (other.type === "ed25519") throw strange();
      publicKey = this.#lastKey = other;
    }
    return { publicKey, name, ...defined({ label }) };
  }

  async #ask(
    request: Request,
    { signal, atReader }: Pick<OpenWish, "signal" | "atReader"> = {},
  ): Promise<Answer> {
    const connection = this.#atHand() ?? (await this.#another());
    const takeBack = (): void => {
      connection.close();
    };
    signal?.addEventListener("abort", takeBack);
    if (signal?.aborted === true) takeBack();
    try {
      const answer = await connection.ask(request, atReader);
      this.#idle.push(connection);
      return answer;
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      signal?.removeEventListener("abort", takeBack);
    }
  }

  /** An agent ends a connection that nobody uses: while a long body is read, for instance. */
  #atHand(): AgentConnection | undefined {
    let connection = this.#idle.pop();
    while (connection?.isClosed === true) connection = this.#idle.pop();
    return connection;
  }

  async #another(): Promise<AgentConnection> {
    const connection = await AgentConnection.to(this.#path);
    if (connection === undefined) throw lost("it has ended");
    await greet(connection);
    return connection;
  }
}

/** Keys that one request may name. */
const MAX_CHANGED = 1024;

/** The rest of a request, at most. */
const ROOM_BYTES = 300_000;
