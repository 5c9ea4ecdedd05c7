/**
 * The age client that started the plugin, and the two phases of talking to it: first it sends
 * commands, then it answers ours (c2sp.org/age-plugin, "Phases").
 */
import { randomBytes, randomInt } from "node:crypto";
import type { P11SealError } from "../errors.js";
import { printable } from "../printable.js";
import { encodeStanza, malformed, type Stanza, StanzaReader } from "./stanza-stream.js";

/** Where the client's stanzas come from, and where ours go. */
export interface ClientStreams {
  readonly input: AsyncIterable<Uint8Array>;
  readonly write: (bytes: Uint8Array) => Promise<void> | void;
}

const NOTHING = new Uint8Array(0);

export class AgeClient {
  readonly #reader: StanzaReader;
  readonly #write: ClientStreams["write"];

  constructor({ input, write }: ClientStreams) {
    this.#reader = new StanzaReader(input);
    this.#write = write;
  }

  /**
   * Phase 1: what the client sends before its `done`.
   *
   * @throws FormatError `ERR_PLUGIN_PROTOCOL`
   */
  async *commands(): AsyncGenerator<Stanza> {
    for (;;) {
      const stanza = await this.#next();
      if (stanza.type === "done") {
        requireShape(stanza, 0);
        return;
      }
      yield stanza;
    }
  }

  /** Phase 2: shows a message. A client that can't is no failure. */
  async show(message: string): Promise<void> {
    await this.#ask("msg", [], shown(message), ["ok", "fail"]);
  }

  /** Asks a person. Undefined if the client can't, or nobody answers. */
  async requestSecret(prompt: string): Promise<Uint8Array | undefined> {
    const { type, body } = await this.#ask("request-secret", [], shown(prompt), ["ok", "fail"]);
    return type === "ok" ? body : undefined;
  }

  /** A result: `file-key`, `recipient-stanza`, `labels`. */
  async deliver(type: string, args: readonly string[], body: Uint8Array = NOTHING): Promise<void> {
    await this.#ask(type, args, body, ["ok"]);
  }

  /** A failure, which most clients end with. `about` says what failed, as `["identity", "0"]`. */
  async refuse(about: readonly string[], { message, hint }: ErrorText): Promise<void> {
    const text = hint === undefined ? message : `${message} (${hint})`;
    await this.#ask("error", about, shown(text), ["ok"]);
  }

  /** Now and then a command that no client knows, so that all of them go on ignoring such. */
  async grease(isTime: () => boolean = () => randomInt(3) === 0): Promise<void> {
    if (!isTime()) return;
    const type = `grease-${randomBytes(4).toString("hex")}`;
    await this.#ask(type, [], randomBytes(randomInt(100)), ["unsupported"]);
  }

  /** The end. The client may kill this process as soon as it has read it. */
  async done(): Promise<void> {
    await this.#send({ type: "done", args: [], body: NOTHING });
  }

  async #ask(
    type: string,
    args: readonly string[],
    body: Uint8Array,
    allowed: readonly string[],
  ): Promise<Stanza> {
    await this.#send({ type, args, body });
    const answer = await this.#next();
    if (!allowed.includes(answer.type)) {
      throw malformed(`"${answer.type.slice(0, 40)}" is no answer to ${type}`);
    }
    return answer;
  }

  async #send(stanza: Stanza): Promise<void> {
    await this.#write(encodeStanza(stanza));
  }

  async #next(): Promise<Stanza> {
    const stanza = await this.#reader.next();
    if (stanza === undefined) throw malformed("it ended early");
    return stanza;
  }
}

/** The part of an error that is for people. */
export type ErrorText = Pick<P11SealError, "message" | "hint">;

/**
 * Requires that a command has as many arguments as it should, and no body.
 *
 * @throws FormatError `ERR_PLUGIN_PROTOCOL`
 */
export function requireShape({ type, args, body }: Stanza, count: number): void {
  if (args.length !== count) throw malformed(`${type} has ${args.length} arguments, not ${count}`);
  if (body.length > 0) throw malformed(`${type} has a body`);
}

/** Names of tokens and keys come from elsewhere, and clients print what they get. */
function shown(text: string): Uint8Array {
  return Buffer.from(printable(text), "utf8");
}
