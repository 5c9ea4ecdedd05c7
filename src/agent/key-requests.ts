/**
 * The requests that use keys: to open a header, to make one for other recipients, to sign. Out goes
 * the key for one message's body, once its header has turned out authentic, and never a file key,
 * or what a private key makes of bytes that somebody chose. Each use has its line in the audit log.
 */
import { bodyKeyOf, rewrapWhole } from "../envelope/body-key.js";
import { readCore, requireSignable } from "../envelope/core-signing.js";
import type { MessageInfo, PassedOn, SenderInfo } from "../envelope/message-info.js";
import { inspectMessage } from "../envelope/messages.js";
import type { OpenOptions } from "../envelope/open-options.js";
import type { RewrapOptions } from "../envelope/rewrapping.js";
import { defined } from "../defined.js";
import { NoMatchError, P11SealError } from "../errors.js";
import type {
  Identity,
  KnownPublicKey,
  NamedKey,
  PrivateKey,
  SigningPublicKey,
} from "../keys/key.js";
import { requireCapability } from "../keys/purpose.js";
import { packReported } from "../token/process/wire.js";
import { addresseesOf, changeText } from "./addressees.js";
import type { Keyring, SigningKey } from "./keyring.js";
import type { Logins } from "./logins.js";
import type { Answer, AnswerOf, Request } from "./protocol.js";
import { exchangeKey, oaepHash, urisOf } from "./requested.js";
import type { Client } from "./server.js";
import type { LoggedUse, UseLog } from "./use-log.js";
import type { KnownMessage, Purpose, Use } from "./use.js";

export interface KeyRequestsOptions {
  readonly keyring: Keyring;
  readonly logins: Logins;
  readonly log: UseLog;
  /** The data folder, whose directory names addressees. */
  readonly home: string;
  /** Called before a request may use a login that is there. */
  readonly begins: () => void;
  /** Called once a request has ended, which may have logged in. */
  readonly ended: () => void;
  /** Told of an error that nobody foresaw, of which the client hears no more than that. */
  readonly unexpected: (error: unknown) => void;
}

/** A request that uses a key. */
export type KeyRequest = Asked<"open" | "rewrap" | "signer" | "sign">;

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

export class KeyRequests {
  readonly #options: KeyRequestsOptions;

  constructor(options: KeyRequestsOptions) {
    this.#options = options;
  }

  /** A request that fails is answered with an error. */
  async answer(request: KeyRequest, client: Client): Promise<Answer> {
    switch (request.kind) {
      case "open":
        return this.#open(request, client);
      case "rewrap":
        return this.#rewrap(request, client);
      case "signer":
        return this.#signer(request, client);
      case "sign":
        return this.#sign(request, client);
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
        ...{ ...receiver, add: added, remove: removed, nowMs: 0, ...custodian },
        ...defined({ oaep: oaepHash(oaep), rulesHash: record?.rulesHash }),
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
   * authentic, and when; undefined: the key is not served.
   */
  async #custodian(
    { key }: NonNullable<Asked<"rewrap">["record"]>,
    use: Use,
    known: Known,
  ): Promise<Required<Pick<RewrapOptions, "custodian" | "nowMs">> | undefined> {
    const signer = await this.#signerAt(key);
    if (signer === undefined) return undefined;
    const { publicKey } = signer;
    let unlocked: PrivateKey<SigningPublicKey> | undefined;
    const nowMs = async (): Promise<number> => {
      unlocked = await use.signer(signer, messageOf(known));
      // Somebody may have taken their time to answer.
      return Date.now();
    };
    const sign = async (message: Uint8Array): Promise<Uint8Array> => {
      if (unlocked === undefined) throw new TypeError("signed before its time was taken");
      return requireCapability(unlocked, "sign")(message);
    };
    return { custodian: { publicKey, key: { publicKey, sign } }, nowMs };
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

  /** Of copies on several tokens, one whose token is logged in, or the first. */
  async #signerAt(text: string): Promise<SigningKey | undefined> {
    const [uri] = urisOf([text]) ?? [];
    if (uri === undefined) return undefined;
    const { keyring, logins } = this.#options;
    return logins.readyFirst(await keyring.signersFor(uri))[0];
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
          const { keyring, logins } = this.#options;
          const found = await keyring.keysFor(info, uris, allowed);
          return logins.readyFirst(found).map((one) => use.identity(one, messageOf(known)));
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
    const { logins, begins, ended } = this.#options;
    begins();
    const use = logins.use({ client, act, ...defined({ terminal, remote }) });
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
      ended();
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
    const { log } = this.#options;
    await log.record({ ...done, messageId, signs, sender, passedOn, key, path, peer });
  }

  #failure(error: unknown): AnswerOf<"error"> {
    if (error instanceof P11SealError) return { kind: "error", ...packReported(error) };
    this.#options.unexpected(error);
    return {
      ...{ kind: "error", name: "TokenError", code: "ERR_AGENT_FAULT" },
      message: "the agent failed in a way that nobody foresaw",
      hint: "open it without the agent: --no-agent",
    };
  }
}

/** What the audit log says of a use that went well. */
const OUTCOMES: Readonly<Record<Purpose["act"], string>> = {
  open: "opened",
  "re-wrap": "rewrapped",
  "pass on": "rewrapped",
  sign: "signed",
};

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
