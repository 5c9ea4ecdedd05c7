/**
 * One connection to a server, as its client uses it: requests and their answers, time limits, and
 * which module is to blame when the server crashes or hangs. `TokenClient` decides what happens
 * next.
 */
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import type { Using } from "../../keys/key.js";
import type { KeyInfo } from "../values.js";
import type { ClientEnd, Closing } from "./connection.js";
import type { SentPins } from "./sent-pins.js";
import { type FromServer, pack, type Start, unpack, unpackError } from "./wire.js";

export interface ConversationOptions {
  readonly connection: ClientEnd;
  readonly start: Start;
  readonly trace: (line: string) => void;
  readonly pins: Pick<SentPins, "answer" | "atPad" | "loginEnded">;
  /** Modules whose code has returned before: their later failures are about a token. Added to. */
  readonly proven: Set<string>;
  /** How long a module may take to be loaded, and to list its tokens, each. */
  readonly stepMs: number;
  /** Called when the conversation ends otherwise than by `close`. */
  readonly lost: (loss: Loss) => void;
}

/** Why a conversation ended before it was closed. */
export interface Loss {
  /** The module whose code ran for the first time. Without it the other modules may still work. */
  readonly module: string | undefined;
  readonly error: TokenError;
}

/** One request. */
export interface Task {
  readonly method: string;
  /** The key that a key method is about. */
  readonly key?: KeyInfo;
  readonly args?: readonly unknown[];
  readonly using?: Using;
}

/** A module whose code runs before any of its tokens was chosen. */
interface Tried {
  readonly path: string;
  /** What is left of its time. */
  leftMs: number;
}

interface Pending {
  readonly using: Using | undefined;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** What is left of the time limit. */
  leftMs: number;
}

export class Conversation {
  /** Set once the conversation has ended. */
  loss: Loss | undefined;
  hasAskedForPin = false;
  readonly #options: ConversationOptions;
  readonly #connection: ClientEnd;
  readonly #closed: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  #requests = 0;
  readonly #trying: Tried[] = [];
  /** Modules whose code returned. */
  readonly #returned = new Set<string>();
  /** URIs of the keys that the server knows. */
  readonly #sentKeys = new Set<string>();
  /** Persons and commands that are waited for. */
  #waiting = 0;
  #isClosing = false;
  #clock: NodeJS.Timeout | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#connection = options.connection;
    this.#closed = new Promise((resolve) => {
      this.#connection.listen({
        heard: (message) => {
          this.#hear(message);
        },
        closed: (how) => {
          this.#end(this.#crash(how));
          resolve();
        },
      });
    });
    this.#connection.send(options.start);
    this.#rest();
  }

  /**
   * Has the server run a method.
   *
   * @throws what the method throws; TokenError `ERR_TOKEN_CRASHED`, `ERR_TOKEN_TIMEOUT`
   */
  request({ method, key, args = [], using }: Task, limitMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.loss !== undefined) {
        reject(this.loss.error);
        return;
      }
      this.#requests += 1;
      const id = this.#requests;
      this.#pending.set(id, { using, resolve, reject, leftMs: limitMs });
      this.#connection.ref();
      this.#clock ??= setInterval(() => {
        this.#tick();
      }, TICK_MS);
      const named = defined({ key: key === undefined ? undefined : this.#named(key) });
      this.#connection.send({
        ...{ kind: "request", id, method, ...named },
        args: pack(args) as unknown[],
      });
    });
  }

  /** Lets the server finish what it does for this client, and ends the connection if it can't. */
  async close(): Promise<void> {
    if (this.loss !== undefined) return;
    this.#isClosing = true;
    // There is no C_Logout: the end of the process is one, and C_Finalize may take its time.
    const patience = setTimeout(() => {
      this.#connection.destroy();
    }, CLOSE_MS);
    let hasFinished = true;
    try {
      await this.request({ method: "close" }, CLOSE_MS * 2);
    } catch {
      // The connection ends in any case.
      hasFinished = false;
    }
    this.#connection.close();
    // Once it has finished, the server ends by itself and need not be waited for. One that the
    // kernel does not let go of may never end.
    if (!hasFinished) await this.#closedWithin(CLOSE_MS);
    clearTimeout(patience);
  }

  async #closedWithin(ms: number): Promise<void> {
    let clock: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      clock = setTimeout(resolve, ms);
    });
    await Promise.race([this.#closed, late]);
    clearTimeout(clock);
  }

  #named(key: KeyInfo): unknown {
    if (this.#sentKeys.has(key.uri)) return key.uri;
    this.#sentKeys.add(key.uri);
    return pack(key);
  }

  /** @throws TypeError, or anything, if the message is none: the connection then ends. */
  #hear(message: FromServer): void {
    switch (message.kind) {
      case "result":
        for (const path of this.#returned) this.#options.proven.add(path);
        {
          const value = unpack(message.value);
          this.#settle(message, ({ resolve }) => {
            resolve(value);
          });
        }
        break;
      case "failure":
        {
          const error = unpackError(message.error);
          this.#settle(message, ({ reject }) => {
            reject(error);
          });
        }
        break;
      case "trace":
        this.#options.trace(message.line);
        break;
      case "trying":
        if (message.phase === "after") this.#survived(message.path);
        else this.#trying.push({ path: message.path, leftMs: this.#options.stepMs });
        break;
      case "person":
        this.#waiting += message.waiting ? 1 : -1;
        break;
      case "login":
        this.#options.pins.loginEnded(message.token, message.whose, message.refusal);
        break;
      case "ask":
      case "pad":
        this.#answer(message).catch(() => {
          // A request that is none.
          this.#connection.destroy();
        });
        break;
      default:
        throw new TypeError("a message of no known kind");
    }
  }

  #survived(path: string): void {
    const at = this.#trying.findIndex((tried) => tried.path === path);
    this.#trying.splice(at, 1);
    this.#returned.add(path);
  }

  async #answer(asked: FromServer & { readonly kind: "ask" | "pad" }): Promise<void> {
    const { pins } = this.#options;
    const { id } = asked;
    this.hasAskedForPin = true;
    this.#waiting += 1;
    try {
      if (asked.kind === "pad") {
        this.#connection.send({ kind: "pin", id, ...(await pins.atPad(asked.request)) });
        return;
      }
      const { pin, ...rest } = await pins.answer(asked.request);
      if (typeof pin !== "object" || !("questions" in pin)) {
        this.#connection.send({ kind: "pin", id, ...rest, ...defined({ pin }) });
        return;
      }
      // A signal can't be sent: what it says is.
      const { signal, ...plain } = pin;
      this.#connection.send({ kind: "pin", id, ...rest, pin: plain });
      const withdraw = (): void => {
        this.#connection.send({ kind: "withdraw", id });
      };
      if (signal?.aborted === true) withdraw();
      else signal?.addEventListener("abort", withdraw, { once: true });
    } finally {
      this.#waiting -= 1;
    }
  }

  #settle(
    { id, path }: { readonly id: number; readonly path?: string },
    how: (pending: Pending) => void,
  ): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#rest();
    if (path !== undefined) pending.using?.(path);
    how(pending);
  }

  /** While nothing is asked of the server, this process may end. */
  #rest(): void {
    clearInterval(this.#clock);
    this.#clock = undefined;
    this.#connection.unref();
  }

  #tick(): void {
    // No clock runs while a person is asked.
    if (this.#waiting > 0) return;
    // A method that asks many modules and tokens may take long. One module's first steps may not.
    const timed = [...this.#pending.values(), ...this.#trying];
    for (const one of timed) one.leftMs -= TICK_MS;
    if (timed.every(({ leftMs }) => leftMs > 0)) return;
    this.#connection.destroy();
    this.#end(
      new TokenError("ERR_TOKEN_TIMEOUT", `${this.#culprit()} did not answer in time`, {
        hint: "was the token pulled? its process was ended; insert the token again, or allow more seconds with P11SEAL_TOKEN_TIMEOUT",
      }),
    );
  }

  #end(error: TokenError): void {
    if (this.loss !== undefined) return;
    const tried = this.#trying.at(-1)?.path;
    const module = tried !== undefined && this.#options.proven.has(tried) ? undefined : tried;
    this.loss = { module, error };
    if (!this.#isClosing) this.#options.lost(this.loss);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    this.#rest();
    for (const { reject } of pending) reject(error);
  }

  #crash({ subject = this.#culprit(), happened, hint }: Closing): TokenError {
    return new TokenError("ERR_TOKEN_CRASHED", `${subject} ${happened}`, defined({ hint }));
  }

  #culprit(): string {
    const module = this.#trying.at(-1)?.path;
    return module === undefined ? "the token's module" : `module "${module}"`;
  }
}

const TICK_MS = 250;

/** For C_Finalize, and for operations that are still running. */
const CLOSE_MS = 5_000;
