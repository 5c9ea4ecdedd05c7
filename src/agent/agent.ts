/**
 * An agent: it keeps tokens logged in, for whoever reaches its socket, until a limit is reached or
 * somebody locks or stops it. What is done with their keys is in `key-requests.ts`.
 */
import type { Socket } from "node:net";
import { KeyRequests } from "./key-requests.js";
import { Keyring, type KeyringOptions } from "./keyring.js";
import { StandstillWatch, TICK_MS, type Moment } from "./limits.js";
import { Logins, type LoginsOptions } from "./logins.js";
import type { Allowed, Answer, AnswerOf, Request } from "./protocol.js";
import { agentServer, type AgentServer, type Client, type Peer } from "./server.js";
import { UseLog } from "./use-log.js";

export interface AgentOptions extends Omit<KeyringOptions, "signs">, LoginsOptions {
  /** The data folder, whose audit log has a line about each use. */
  readonly home: string;
  /** Where PINs are asked for, in words. */
  readonly asks: string;
  readonly peerOf?: ((socket: Socket) => Peer | "refused" | undefined) | undefined;
  /** How it knows who is at the other end, in words. */
  readonly peers: string;
  /** What it does besides opening. */
  readonly allows?: readonly Allowed[] | undefined;
  /** Told of what is worth a line to whoever watches the agent. */
  readonly say: (line: string) => void;
}

export class Agent {
  readonly server: AgentServer;
  readonly #options: AgentOptions;
  readonly #keyring: Keyring;
  readonly #logins: Logins;
  readonly #requests: KeyRequests;
  readonly #log: UseLog;
  readonly #watch = new StandstillWatch();
  readonly #stopped: Promise<void>;
  #stop: () => void = () => undefined;
  /** Resolves once tokens were looked at for the first time. */
  readonly #looked: Promise<void>;
  #hasLooked: () => void = () => undefined;
  #ticking: NodeJS.Timeout | undefined;
  #ticks = 0;

  constructor(options: AgentOptions) {
    this.#options = options;
    const allows = options.allows ?? [];
    this.#keyring = new Keyring({ ...options, signs: allows.length > 0 });
    this.#logins = new Logins(options);
    const kinds = new Set(allows.flatMap((one) => KINDS[one]));
    this.#log = new UseLog(options.home);
    this.#requests = new KeyRequests({
      ...{ keyring: this.#keyring, logins: this.#logins, log: this.#log, home: options.home },
      begins: () => {
        this.#lockIfStoodStill();
      },
      ended: () => {
        this.#wake();
      },
      unexpected: (error) => {
        this.#unexpected(error);
      },
    });
    this.#stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
    this.#looked = new Promise((resolve) => {
      this.#hasLooked = resolve;
    });
    this.server = agentServer({
      handle: (request, client) => this.#handle(request, client),
      capabilities: ["open", ...kinds, "status", "lock", "stop"],
      peerOf: options.peerOf,
    });
  }

  /** Looks for keys. @returns how many there are */
  async look(): Promise<number> {
    await this.#keyring.look();
    this.#hasLooked();
    return this.#keyring.keys.length;
  }

  /** Resolves once somebody said `stop`; every login has ended then. */
  async untilStopped(): Promise<void> {
    await this.#stopped;
    await this.recorded();
  }

  /** Every use so far has its line in the audit log. */
  recorded(): Promise<void> {
    return this.#log.written();
  }

  stop(): void {
    this.lock("stopped");
    this.server.close();
    this.#stop();
  }

  /** Ends every login, by somebody's wish. @param why - as in `by request` */
  lock(why: string): void {
    this.#lock(why);
    this.#logins.forgetRefusals();
  }

  /**
   * Looks at the limits, at the clocks, and whether the tokens are still there. An agent with a
   * login calls it by itself every second.
   */
  async tick(now: Moment): Promise<void> {
    this.#ticks += 1;
    if (this.#watch.stoodStill(now)) {
      this.#lock("the machine slept, or this process was stopped");
      return;
    }
    const wasUnlocked = this.#logins.isUnlocked;
    this.#logins.lockExpired();
    if (this.#ticks % TICKS_TO_LOOK === 0) await this.#logins.lockRemoved(this.#keyring.keys);
    if (this.#logins.isUnlocked) return;
    if (wasUnlocked) this.#options.say("locked: a limit was reached, or the token was removed");
    this.#rest();
  }

  /** Before a key is used: what happened while the process stood still was not seen by a timer. */
  #lockIfStoodStill(): void {
    if (this.#logins.isUnlocked && this.#watch.stoodStill(momentNow())) {
      this.#lock("the machine slept, or this process was stopped");
    }
  }

  #lock(why: string): void {
    if (this.#logins.isUnlocked) this.#options.say(`locked: ${why}`);
    this.#logins.lock();
    this.#rest();
  }

  async #handle(request: Exclude<Request, { kind: "hello" }>, client: Client): Promise<Answer> {
    switch (request.kind) {
      case "open":
      case "rewrap":
      case "signer":
      case "sign":
        return this.#requests.answer(request, client);
      case "status":
        return this.#status();
      case "lock":
        this.lock("by request");
        return { kind: "done" };
      case "stop":
        // The answer leaves first.
        setImmediate(() => {
          this.stop();
        });
        return { kind: "done" };
    }
  }

  async #status(): Promise<AnswerOf<"status">> {
    // Whoever has started it hears of its keys, or that it has ended again.
    await this.#looked;
    const { asks, peers } = this.#options;
    const tokens = this.#logins.status(this.#keyring.keys);
    return { kind: "status", pid: process.pid, asks, peers, tokens };
  }

  #unexpected(error: unknown): void {
    this.#options.say(`unexpected: ${error instanceof Error ? error.message : "no error"}`);
  }

  /** While a token is logged in, there are limits to look at. */
  #wake(): void {
    if (this.#ticking !== undefined || !this.#logins.isUnlocked) return;
    this.#watch.stoodStill(momentNow());
    this.#ticking = setInterval(() => {
      this.tick(momentNow()).catch((error: unknown) => {
        this.#unexpected(error);
      });
    }, TICK_MS);
  }

  #rest(): void {
    clearInterval(this.#ticking);
    this.#ticking = undefined;
    this.#watch.forget();
  }
}

/** The kinds of request that come with each thing that is allowed. */
const KINDS: Readonly<Record<Allowed, readonly string[]>> = {
  rewrap: ["rewrap", "signer"],
  sign: ["signer", "sign"],
};

/** A token is looked at every other second. */
const TICKS_TO_LOOK = 2;

/** By the clocks of this process. */
export function momentNow(): Moment {
  return { monotonicMs: performance.now(), wallMs: Date.now() };
}
