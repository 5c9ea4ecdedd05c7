/**
 * An agent: it keeps tokens logged in, and opens headers of messages for whoever reaches its
 * socket. Out goes the key for one message's body, once its header has turned out authentic, and
 * never a file key, or what a private key makes of bytes that somebody chose. If it is allowed to,
 * it makes headers for other recipients, and signs descriptions of messages that it has read.
 */
import type { Socket } from "node:net";
import { bodyKeyOf, rewrapWhole } from "../envelope/body-key.js";
import { readCore, requirePresent, requireSignable } from "../envelope/core-signing.js";
import type { MessageInfo, PassedOn, SenderInfo } from "../envelope/message-info.js";
import { inspectMessage } from "../envelope/messages.js";
import type { OpenOptions } from "../envelope/open-options.js";
import type { Custodian } from "../envelope/rewrapping.js";
import { defined } from "../defined.js";
import { NoMatchError, P11SealError, TokenError } from "../errors.js";
import type { Identity, KnownPublicKey, NamedKey } from "../keys/key.js";
import { requireCapability } from "../keys/purpose.js";
import { addresseesOf, changeText } from "./addressees.js";
import {
  Keyring,
  type KeyringOptions,
  type KnownMessage,
  type Purpose,
  type SigningKey,
  type Use,
} from "./keyring.js";
import { StandstillWatch, TICK_MS, type Moment } from "./limits.js";
import type { Allowed, Answer, AnswerOf, Request } from "./protocol.js";
import { exchangeKey, oaepHash, urisOf } from "./requested.js";
import { agentServer, type AgentServer, type Client, type Peer } from "./server.js";
import { UseLog, type LoggedUse } from "./use-log.js";

export interface AgentOptions extends Omit<KeyringOptions, "signs"> {
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

/** What is known of a request by its end. */
interface Known {
  messageId?: string;
  sender?: SenderInfo;
  /** As in `KnownMessage`. */
  addressees?: string;
  /** What a custodian here has signed. */
  record?: PassedOn | undefined;
}

/** Which keys a client wants, and where it can be asked. */
interface Wish {
  readonly keys?: readonly string[];
  readonly only?: readonly string[];
  readonly terminal?: string;
  readonly remote?: string;
}

/** What opens headers on behalf of a client. */
type ReceiverOptions = Pick<OpenOptions, "authenticate" | "passedOn"> & {
  readonly identities: (info: MessageInfo) => Promise<readonly Identity<KnownPublicKey>[]>;
};

type Asked<Kind extends Request["kind"]> = Extract<Request, { kind: Kind }>;

export class Agent {
  readonly server: AgentServer;
  readonly #options: AgentOptions;
  readonly #keyring: Keyring;
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
    const kinds = new Set(allows.flatMap((one) => KINDS[one]));
    this.#log = new UseLog(options.home);
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
    this.#keyring.forgetRefusals();
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
    const wasUnlocked = this.#keyring.isUnlocked;
    this.#keyring.lockExpired();
    if (this.#ticks % TICKS_TO_LOOK === 0) await this.#keyring.lockRemoved();
    if (this.#keyring.isUnlocked) return;
    if (wasUnlocked) this.#options.say("locked: a limit was reached, or the token was removed");
    this.#rest();
  }

  #lock(why: string): void {
    if (this.#keyring.isUnlocked) this.#options.say(`locked: ${why}`);
    this.#keyring.lock();
    this.#rest();
  }

  async #handle(request: Exclude<Request, { kind: "hello" }>, client: Client): Promise<Answer> {
    switch (request.kind) {
      case "open":
        return this.#open(request, client);
      case "rewrap":
        return this.#rewrap(request, client);
      case "signer":
        return this.#signer(request, client);
      case "sign":
        return this.#sign(request, client);
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

  #open({ format, header, ...wish }: Asked<"open">, client: Client): Promise<Answer> {
    return this.#withKey("open", wish, client, async (use, receiver) => {
      const { identity, key } = await bodyKeyOf(format, header, receiver);
      try {
        return {
          ...{ kind: "key", key: key.expose().slice() },
          ...openedBy(identity, use),
        };
      } finally {
        key.wipe();
      }
    });
  }

  async #rewrap(
    { format, header, add, remove, oaep, record, ...wish }: Asked<"rewrap">,
    client: Client,
  ): Promise<Answer> {
    return this.#withKey("re-wrap", wish, client, async (use, receiver, known) => {
      const added = add.map((one) => ({
        publicKey: exchangeKey(one.spki),
        ...defined({ oaep: oaepHash(one.oaep) }),
      }));
      const removed = remove.map(exchangeKey);
      const keys = added.map(({ publicKey }) => publicKey);
      known.addressees = await changeText(keys, removed, this.#options.home);
      const custodian = record && (await this.#custodian(record, use, known));
      if (record !== undefined && custodian === undefined) return { kind: "no-key" };
      const made = await rewrapWhole(format, header, {
        ...{ ...receiver, add: added, remove: removed, nowMs: record?.nowMs ?? 0 },
        ...defined({ oaep: oaepHash(oaep), custodian, rulesHash: record?.rulesHash }),
      });
      const { identity } = made;
      if (identity === undefined) throw new TypeError("re-wrapped without a key");
      if (custodian !== undefined) {
        known.record = (await inspectMessage([made.header])).passedOn;
      }
      return { kind: "rewrapped", header: made.header, ...openedBy(identity, use) };
    });
  }

  /**
   * Who signs the record of a re-wrapping, which is made here, once the old header has turned out
   * authentic; undefined: the key is not served.
   */
  async #custodian(
    { key, nowMs }: NonNullable<Asked<"rewrap">["record"]>,
    use: Use,
    known: Known,
  ): Promise<Custodian | undefined> {
    const signer = await this.#signerAt(key);
    if (signer === undefined) return undefined;
    const requireNow = (): void => {
      requirePresent(nowMs, Date.now(), "this record");
    };
    requireNow();
    const { publicKey } = signer;
    const sign = async (message: Uint8Array): Promise<Uint8Array> => {
      const unlocked = await use.signer(signer, messageOf(known));
      // Somebody may have taken their time to answer.
      requireNow();
      return requireCapability(unlocked, "sign")(message);
    };
    return { publicKey, key: { publicKey, sign } };
  }

  async #signer({ key, unlock, ...wish }: Asked<"signer">, client: Client): Promise<Answer> {
    return this.#using("sign", wish, client, {}, async (use) => {
      const signer = await this.#signerAt(key);
      if (signer === undefined) return { kind: "no-key" };
      if (unlock === true) await use.prepare(signer);
      const { publicKey, uri: name, label } = signer;
      return { kind: "signer", spki: publicKey.spki, name, ...(label === "" ? {} : { label }) };
    });
  }

  #sign({ format, core: bytes, key, ...wish }: Asked<"sign">, client: Client): Promise<Answer> {
    const known: Known = {};
    return this.#using("sign", wish, client, known, async (use) => {
      const core = await readCore({ format, bytes });
      const signer = await this.#signerAt(key);
      if (signer === undefined) return { kind: "no-key" };
      const { messageId } = core;
      known.messageId = messageId;
      requireSignable(core, signer.publicKey, Date.now());
      const addressees = await addresseesOf(core, this.#options.home);
      const unlocked = await use.signer(signer, { messageId, sender: undefined, addressees });
      // Somebody may have taken their time to answer.
      requireSignable(core, signer.publicKey, Date.now());
      return { kind: "signature", signature: await core.sign(unlocked) };
    });
  }

  async #signerAt(text: string): Promise<SigningKey | undefined> {
    const [uri] = urisOf([text]) ?? [];
    return uri && (await this.#keyring.signerFor(uri));
  }

  /** Does something with a key for a message that is there. */
  async #withKey(
    act: Purpose["act"],
    { keys, only, ...wish }: Wish,
    client: Client,
    answerWith: (use: Use, receiver: ReceiverOptions, known: Known) => Promise<Answer>,
  ): Promise<Answer> {
    const [uris, allowed] = [urisOf(keys), urisOf(only)];
    if (uris?.length === 0 || allowed?.length === 0) return { kind: "no-key" };
    const known: Known = {};
    return this.#using(act, wish, client, known, (use) => {
      const receiver: ReceiverOptions = {
        // Whom to believe is the client's policy, which was obeyed before it asked.
        authenticate: (signed) => {
          if (signed !== undefined) known.sender = signed;
          return Promise.resolve();
        },
        passedOn: () => Promise.resolve(),
        identities: async (info) => {
          known.messageId = info.messageId;
          const found = await this.#keyring.keysFor(info, uris, allowed);
          return found.map((one) => use.identity(one, messageOf(known)));
        },
      };
      return answerWith(use, receiver, known);
    });
  }

  /** Begins and ends a use of keys, and writes a line about it if it came to that. */
  async #using(
    act: Purpose["act"],
    { terminal, remote }: Pick<Wish, "terminal" | "remote">,
    client: Client,
    known: Known,
    work: (use: Use) => Promise<Answer>,
  ): Promise<Answer> {
    // Before a key is used: what happened while the process stood still was not seen by a timer.
    if (this.#keyring.isUnlocked && this.#watch.stoodStill(momentNow())) {
      this.#lock("the machine slept, or this process was stopped");
    }
    const use = this.#keyring.use({ client, act, ...defined({ terminal, remote }) });
    const record = (outcome: string): Promise<void> =>
      this.#record(use, { act, outcome, remote }, known, client);
    try {
      const answer = await work(use);
      await record(OUTCOMES[act]);
      use.end();
      return answer;
    } catch (error) {
      use.end(error);
      if (error instanceof NoMatchError && use.key === undefined) return { kind: "no-key" };
      await record(outcomeOf(error)).catch(() => undefined);
      return this.#failure(error);
    } finally {
      this.#wake();
    }
  }

  async #record(
    { key, path }: Use,
    { act, ...done }: Pick<LoggedUse, "outcome" | "remote"> & Pick<Purpose, "act">,
    { messageId, sender, record: passedOn = sender?.passedOn }: Known,
    { peer }: Client,
  ): Promise<void> {
    if (key === undefined || messageId === undefined) return;
    const signs = act === "sign";
    await this.#log.record({ ...done, messageId, signs, sender, passedOn, key, path, peer });
  }

  async #status(): Promise<AnswerOf<"status">> {
    // Whoever has started it hears of its keys, or that it has ended again.
    await this.#looked;
    const { asks, peers } = this.#options;
    return { kind: "status", pid: process.pid, asks, peers, tokens: this.#keyring.status() };
  }

  #failure(error: unknown): AnswerOf<"error"> {
    if (error instanceof P11SealError) {
      const { name, code, message, hint } = error;
      const { fn, ckr } = error instanceof TokenError ? error : {};
      return { kind: "error", name, code, message, ...defined({ hint, fn, ckr }) };
    }
    this.#unexpected(error);
    return {
      ...{ kind: "error", name: "TokenError", code: "ERR_AGENT_FAULT" },
      message: "the agent failed in a way that nobody foresaw",
      hint: "open it without the agent: --no-agent",
    };
  }

  #unexpected(error: unknown): void {
    this.#options.say(`unexpected: ${error instanceof Error ? error.message : "no error"}`);
  }

  /** While a token is logged in, there are limits to look at. */
  #wake(): void {
    if (this.#ticking !== undefined || !this.#keyring.isUnlocked) return;
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

/** What the audit log says of a use that went well. */
const OUTCOMES: Readonly<Record<Purpose["act"], string>> = {
  open: "opened",
  "re-wrap": "rewrapped",
  "pass on": "rewrapped",
  sign: "signed",
};

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

function messageOf({ messageId, sender, addressees }: Known): KnownMessage {
  return { messageId, sender, addressees };
}

function openedBy(
  { publicKey, name, label }: NamedKey<KnownPublicKey>,
  { path }: Use,
): {
  readonly spki: Uint8Array;
  readonly name: string;
  readonly label?: string;
  readonly path?: string;
} {
  return { spki: publicKey.spki, name, ...defined({ label, path }) };
}

function outcomeOf(error: unknown): string {
  return error instanceof P11SealError ? error.code : "ERR_UNEXPECTED";
}
