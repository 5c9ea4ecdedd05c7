/** One run of the token's process: started, asked, watched, ended. `TokenProcess` decides what then. */
import type { ChildProcess } from "node:child_process";
import { TokenError } from "../../errors.js";
import { onInterrupt } from "../../terminal/interrupts.js";
import type { Using } from "../../keys/key.js";
import type { KeyInfo, PinRequest, TokenInfo } from "../values.js";
import { childFor, letGo } from "./start-ahead.js";
import {
  type FromChild,
  type FromParent,
  pack,
  type PackedError,
  type PinAnswer,
  type Start,
  unpack,
  unpackError,
} from "./wire.js";

export interface ChildOptions {
  readonly start: Start;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly program: string | undefined;
  readonly trace: (line: string) => void;
  readonly askForPin: (request: PinRequest) => Promise<Omit<PinAnswer, "kind" | "id">>;
  readonly login: (token: TokenInfo, refusal: PackedError | undefined) => void;
  readonly ended: (how: Ended) => void;
  /** Modules whose code returned, and whose later failures are about a token. */
  readonly proven: Set<string>;
}

/** How a process ended that was not told to. */
export interface Ended {
  /** The module whose code ran for the first time: the others may be tried without it. */
  readonly module: string | undefined;
  readonly error: TokenError;
}

/** What the process is asked to do. */
export interface Task {
  readonly method: string;
  /** For methods that are about one. */
  readonly key?: KeyInfo;
  readonly args?: readonly unknown[];
  readonly using?: Using;
}

interface Pending {
  readonly using: Using | undefined;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** What is left of the limit. */
  leftMs: number;
}

export class Child {
  /** Set once it has ended. */
  ended: Ended | undefined;
  hasAskedForPin = false;
  readonly #options: ChildOptions;
  readonly #process: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<void>;
  readonly #forget: () => void;
  #requests = 0;
  /** Modules whose code runs that no token was chosen from. */
  readonly #trying: string[] = [];
  /** Modules whose code returned. */
  readonly #returned = new Set<string>();
  /** URIs of keys that the process knows. */
  readonly #sent = new Set<string>();
  /** Persons and commands that are waited for. */
  #waiting = 0;
  #isAsking = false;
  #isClosing = false;
  #clock: NodeJS.Timeout | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#process = childFor(options.env, options.program);
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      for (const line of text.split("\n")) if (line !== "") options.trace(`module: ${line}`);
    });
    this.#exited = new Promise((resolve) => {
      this.#process.once("exit", (status, signal) => {
        this.#end(
          new TokenError("ERR_TOKEN_CRASHED", `${this.#culprit()} ${howItEnded(status, signal)}`, {
            hint: "it ran in a process of its own, nothing else was harmed; a newer version of the token's software may help",
          }),
        );
        resolve();
      });
      this.#process.once("error", (error) => {
        this.#end(
          new TokenError("ERR_TOKEN_CRASHED", `the token's process fails: ${error.message}`),
        );
        resolve();
      });
    });
    this.#process.on("message", (message) => {
      this.#hear(message as FromChild);
    });
    this.#forget = onInterrupt(() => {
      this.#interrupt();
    });
    this.#say(options.start);
    this.#hold(false);
  }

  /**
   * Has the process run a method.
   *
   * @throws what the method throws; TokenError `ERR_TOKEN_CRASHED`, `ERR_TOKEN_TIMEOUT`
   */
  request({ method, key, args = [], using }: Task, limitMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.ended !== undefined) {
        reject(this.ended.error);
        return;
      }
      this.#requests += 1;
      const id = this.#requests;
      this.#pending.set(id, { using, resolve, reject, leftMs: limitMs });
      this.#hold(true);
      this.#clock ??= setInterval(() => {
        this.#tick();
      }, TICK_MS);
      const named = key === undefined ? {} : { key: this.#named(key) };
      this.#say({ kind: "request", id, method, ...named, args: pack(args) as unknown[] });
    });
  }

  #named(key: KeyInfo): unknown {
    if (this.#sent.has(key.uri)) return key.uri;
    this.#sent.add(key.uri);
    return pack(key);
  }

  /** Lets it finish, and ends it when it does not. */
  async close(): Promise<void> {
    if (this.ended !== undefined) return;
    this.#isClosing = true;
    // Logged out by the end of the process, as PKCS#11 has it; C_Finalize may take its time.
    const patience = setTimeout(() => this.#process.kill("SIGKILL"), CLOSE_MS);
    let isFinalized = true;
    try {
      await this.request({ method: "close" }, CLOSE_MS * 2);
    } catch {
      // It ends in any case.
      isFinalized = false;
    }
    if (this.#process.connected) this.#process.disconnect();
    // With C_Finalize done it has nothing left to do, and ends while this process does what it has.
    if (!isFinalized) await this.#exited;
    clearTimeout(patience);
  }

  #hear(message: FromChild): void {
    switch (message.kind) {
      case "result":
        for (const path of this.#returned) this.#options.proven.add(path);
        this.#settle(message, ({ resolve }) => {
          resolve(unpack(message.value));
        });
        break;
      case "failure":
        this.#settle(message, ({ reject }) => {
          reject(unpackError(message.error));
        });
        break;
      case "trace":
        this.#options.trace(message.line);
        break;
      case "trying":
        if (message.phase === "before") this.#trying.push(message.path);
        else this.#survived(message.path);
        break;
      case "person":
        this.#waiting += message.waiting ? 1 : -1;
        this.#isAsking = message.waiting && message.atTerminal;
        break;
      case "login":
        this.#options.login(message.token, message.refusal);
        break;
      case "ask":
        void this.#answer(message.id, message.request);
        break;
    }
  }

  #survived(path: string): void {
    this.#trying.splice(this.#trying.indexOf(path), 1);
    this.#returned.add(path);
  }

  async #answer(id: number, request: PinRequest): Promise<void> {
    this.hasAskedForPin = true;
    this.#waiting += 1;
    try {
      this.#say({ kind: "pin", id, ...(await this.#options.askForPin(request)) });
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
    if (this.#pending.size === 0) this.#hold(false);
    if (path !== undefined) pending.using?.(path);
    how(pending);
  }

  /** While nothing is asked of it, the process keeps nobody from ending. */
  #hold(isHeld: boolean): void {
    if (!isHeld) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    }
    const { channel } = this.#process;
    if (isHeld) {
      this.#process.ref();
      channel?.ref();
    } else {
      letGo(this.#process);
    }
  }

  #tick(): void {
    if (this.#waiting > 0) return;
    let late: Pending | undefined;
    for (const pending of this.#pending.values()) {
      pending.leftMs -= TICK_MS;
      if (pending.leftMs <= 0) late ??= pending;
    }
    if (late === undefined) return;
    this.#process.kill("SIGKILL");
    this.#end(
      new TokenError("ERR_TOKEN_TIMEOUT", `${this.#culprit()} did not answer in time`, {
        hint: "was the token pulled? its process was ended; insert the token again, or allow more seconds with P11SEAL_TOKEN_TIMEOUT",
      }),
    );
  }

  #end(error: TokenError): void {
    if (this.ended !== undefined) return;
    const tried = this.#trying.at(-1);
    const module = tried !== undefined && this.#options.proven.has(tried) ? undefined : tried;
    this.ended = { module, error };
    this.#forget();
    if (!this.#isClosing) this.#options.ended(this.ended);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    this.#hold(false);
    for (const { reject } of pending) reject(error);
  }

  #culprit(): string {
    const module = this.#trying.at(-1);
    return module === undefined ? "the token's module" : `module "${module}"`;
  }

  /** The program is told to stop: so is this process, after it has put the terminal right. */
  #interrupt(): void {
    if (!this.#isAsking) {
      this.#process.kill("SIGKILL");
      return;
    }
    this.#process.kill("SIGTERM");
    // Whoever looks at the terminal next must find its echo on. There is no waiting without blocking
    // in a signal's handler.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RESTORE_MS);
  }

  #say(message: FromParent): void {
    if (!this.#process.connected) return;
    this.#process.send(message, () => {
      // A channel that broke is the exit's news.
    });
  }
}

const TICK_MS = 250;

/** For C_Finalize, and for operations that run. */
const CLOSE_MS = 5_000;

const RESTORE_MS = 150;

function howItEnded(status: number | null, signal: string | null): string {
  return signal === null
    ? `ended its process with status ${String(status)}`
    : `crashed (${signal})`;
}
