/**
 * A connection to an agent, at its client's end: a request goes out, and an answer comes, for which
 * a person may have to be waited for.
 */
import { connect, type Socket } from "node:net";
import { P11SealError, TokenError } from "../errors.js";
import { errno } from "../store/system-error.js";
import { unpackError } from "../token/process/wire.js";
import { frameOf, FrameReader } from "./frames.js";
import {
  decodeAnswer,
  encodeMessage,
  PROTOCOL_VERSION,
  type Answer,
  type AnswerOf,
  type ReaderNotice,
  type Request,
} from "./protocol.js";

/** Told when a PIN is to be typed on a token's reader. */
export type AtReader = (notice: ReaderNotice) => void;

/**
 * What the agent can do.
 *
 * @throws TokenError `ERR_AGENT_VERSION`; as `AgentConnection.ask`
 */
export async function greet(connection: AgentConnection): Promise<readonly string[]> {
  const answer = await connection.ask({ kind: "hello", version: PROTOCOL_VERSION });
  const { version, capabilities } = required(answer, "hello");
  if (version === PROTOCOL_VERSION) return capabilities;
  throw new TokenError("ERR_AGENT_VERSION", `the agent is of another version of p11seal`, {
    hint: "restart it: p11seal agent stop; p11seal agent start",
  });
}

/** One connection, with one request at a time. */
export class AgentConnection {
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  #waiting:
    | {
        readonly resolve: (answer: Answer) => void;
        readonly reject: (error: unknown) => void;
        readonly atReader: AtReader | undefined;
      }
    | undefined;
  #clock: NodeJS.Timeout | undefined;
  #silentMs = 0;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#read(chunk);
    });
    socket.on("error", () => undefined);
    socket.once("close", () => {
      this.#isClosed = true;
      this.#fail(lost("it ended, or closed the connection"));
    });
    // A connection that waits for its next request keeps no process running.
    this.keepsRunning(false);
  }

  /** Undefined: nobody listens. */
  static to(path: string): Promise<AgentConnection | undefined> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once("connect", () => {
        socket.off("error", failed);
        resolve(new AgentConnection(socket));
      });
      const failed = (error: Error): void => {
        if (NOBODY.has(errno(error) ?? "")) resolve(undefined);
        else reject(lost(errno(error) ?? "it can't be reached"));
      };
      socket.once("error", failed);
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  async ask(request: Request, atReader?: AtReader): Promise<Answer> {
    if (this.#isClosed) throw lost("it closed the connection");
    this.keepsRunning(true);
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#waiting = { resolve, reject, atReader };
    });
    this.#silentMs = 0;
    this.#clock = setInterval(() => {
      this.#tick();
    }, TICK_MS).unref();
    this.#socket.write(frameOf(encodeMessage(request)));
    try {
      const answer = await answered;
      if (answer.kind === "error") throw unpackError(answer);
      return answer;
    } finally {
      clearInterval(this.#clock);
      this.#waiting = undefined;
      this.keepsRunning(false);
    }
  }

  /** Whether the process stays for what comes over the connection. */
  keepsRunning(does: boolean): void {
    if (does) this.#socket.ref();
    else this.#socket.unref();
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Uint8Array): void {
    try {
      for (const frame of this.#frames.push(chunk)) {
        const answer = decodeAnswer(frame);
        // It may have a key, which was copied.
        frame.fill(0);
        // It is at work, or waits for a person: that may take as long as it takes.
        if (answer.kind !== "wait") this.#waiting?.resolve(answer);
        else {
          this.#silentMs = 0;
          if (answer.reader !== undefined) this.#waiting?.atReader?.(answer.reader);
        }
      }
    } catch (error) {
      if (!(error instanceof P11SealError)) throw error;
      this.#fail(error);
      this.#socket.destroy();
    }
  }

  #fail(error: unknown): void {
    this.#waiting?.reject(error);
  }

  /**
   * An agent at work says so every other second. Ticks are counted, since no clock tells that this
   * process was stopped meanwhile: what the agent said is read only after them.
   */
  #tick(): void {
    this.#silentMs += TICK_MS;
    if (this.#silentMs < SILENCE_MS) return;
    this.#fail(lost(`it said nothing for ${SILENCE_MS / 1000} s`, SILENT));
    this.#socket.destroy();
  }
}

const TICK_MS = 250;

/** An agent that says nothing for so long is taken for lost, milliseconds. */
const SILENCE_MS = 15_000;

/** Errors of connect(2) that mean that no agent is there. */
const NOBODY: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOENT"]);

/** @throws TokenError `ERR_AGENT_PROTOCOL`: it is of another kind */
export function required<Kind extends Answer["kind"]>(answer: Answer, kind: Kind): AnswerOf<Kind> {
  if (answer.kind === kind) return answer as AnswerOf<Kind>;
  throw strange();
}

export function strange(): TokenError {
  return new TokenError("ERR_AGENT_PROTOCOL", "the agent's answer does not fit the request", {
    hint: "restart the agent, or do without it: --no-agent",
  });
}

/** @param hint - what to do about it; by default that of an agent that died or is busy */
export function lost(detail: string, hint = CLOSED): TokenError {
  return new TokenError("ERR_AGENT_LOST", `the agent was lost: ${detail}`, { hint });
}

const CLOSED =
  "run the command again; if that recurs, programs hold all of the agent's connections: --no-agent does without it";

const SILENT =
  'is it stopped? end its process, "p11seal agent" in ps, and start another; --no-agent does without it';
