/**
 * What one request does with keys: who asks, what for, and the logins that it holds until it ends.
 */
import type { SenderInfo } from "../envelope/message-info.js";
import { around } from "../keys/around.js";
import type { ExchangePublicKey, Identity, PrivateKey, SigningPublicKey } from "../keys/key.js";
import type { PurposeKeys } from "../keys/purpose.js";
import type { KeyInfo } from "../token/values.js";
import type { SigningKey } from "./keyring.js";
import type { Client } from "./server.js";

/** Whoever asks for a key, and what for. */
export interface Purpose {
  readonly client: Client;
  /** The client's terminal, as it says. */
  readonly terminal?: string | undefined;
  /** The host that the client asks on behalf of, as it says. */
  readonly remote?: string | undefined;
  /** What the key is to do. */
  readonly act: "open" | "re-wrap" | "sign" | "pass on";
  readonly message: KnownMessage;
}

/** What is known of the message that a key is for. */
export interface KnownMessage {
  /** As in `MessageInfo`; undefined: it is not made yet. */
  readonly messageId: string | undefined;
  /** Whose signature holds; undefined: nobody signed. */
  readonly sender: SenderInfo | undefined;
  /** Of one that is to be signed: whom it is for, in words; of another, who comes and goes. */
  readonly addressees?: string | undefined;
}

/** A request's use of keys, which is to be ended. */
export class Use {
  readonly #unlock: Unlock;
  readonly #held: Pick<Unlocked<How>, "release">[] = [];
  #key: KeyInfo | undefined;
  #path: string | undefined;

  constructor(unlock: Unlock) {
    this.#unlock = unlock;
  }

  /** The key that was unlocked last, or that was to be; a custodian's is not told. */
  get key(): KeyInfo | undefined {
    return this.#key;
  }

  /** How its token was asked. */
  get path(): string | undefined {
    return this.#path;
  }

  identity(key: KeyInfo, message: KnownMessage): Identity<ExchangePublicKey> {
    const identity = {
      publicKey: key.publicKey as ExchangePublicKey,
      name: key.uri,
      ...(key.label === "" ? {} : { label: key.label }),
      unlock: async () => {
        this.#key = key;
        const unlocked = await this.#unlock(key, "open", message, true);
        this.#held.push(unlocked);
        return unlocked.privateKey;
      },
    };
    const using = (path: string): void => {
      this.#path = path;
    };
    return around(identity, { using });
  }

  /** A key to sign with, unlocked: the sender's, or, once a message is open, a custodian's. */
  async signer(key: SigningKey, message: KnownMessage): Promise<PrivateKey<SigningPublicKey>> {
    this.#key ??= key;
    const unlocked = await this.#unlock(key, "sign", message, true);
    this.#held.push(unlocked);
    return unlocked.privateKey;
  }

  /** Logs in to the key's token, so that its PIN is there before a message is made. */
  async prepare(key: SigningKey): Promise<void> {
    const message = { messageId: undefined, sender: undefined };
    this.#held.push(await this.#unlock(key, "sign", message, false));
  }

  /** @param error - what the request ended with, if it did */
  end(error?: unknown): void {
    for (const { release } of this.#held.splice(0)) release(error);
  }
}

/** What a key is unlocked for. */
export type How = "open" | "sign";

export interface Unlocked<P extends How> {
  readonly privateKey: PrivateKey<PurposeKeys[P]>;
  /** `error`: what the request ended with. */
  readonly release: (error: unknown) => void;
}

export type Unlock = <P extends How>(
  key: KeyInfo,
  how: P,
  message: KnownMessage,
  isUse: boolean,
) => Promise<Unlocked<P>>;
