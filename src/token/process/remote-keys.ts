/** Private keys that a server holds: each use is a request. `KeyOperations` is the other side. */
import { defined } from "../../defined.js";
import type { Identity, PrivateKey, Using } from "../../keys/key.js";
import type { Purpose, PurposeKeys } from "../../keys/purpose.js";
import { identityFacts, suitedHalf } from "../objects/halves.js";
import type { KeyInfo } from "../values.js";
import type { Task } from "./conversation.js";
import { type KeyDescription, remoteKey } from "./key-on-wire.js";

export class RemoteKeys {
  readonly #send: (task: Task) => Promise<unknown>;
  /**
   * By purpose and URI. Every message unlocks its key anew; what the token said of it need be asked
   * but once.
   */
  readonly #unlocked = new Map<string, KeyDescription>();

  constructor(send: (task: Task) => Promise<unknown>) {
    this.#send = send;
  }

  /** After another server has taken over: it will have to log in. */
  forget(): void {
    this.#unlocked.clear();
  }

  identity<P extends Purpose>(key: KeyInfo, purpose: P): Identity<PurposeKeys[P]> {
    const publicKey = suitedHalf(key, purpose);
    const unlock = async (): Promise<PrivateKey<PurposeKeys[P]>> =>
      remoteKey(publicKey, await this.#unlock(key, purpose), (use, using) =>
        this.#use("useKey", key, [purpose, use], using),
      );
    return { publicKey, ...identityFacts(key), unlock };
  }

  async #unlock(key: KeyInfo, purpose: Purpose): Promise<KeyDescription> {
    const name = `${purpose} ${key.uri}`;
    const known = this.#unlocked.get(name);
    if (known !== undefined) return known;
    const found = await this.#use<KeyDescription>("unlock", key, [purpose]);
    this.#unlocked.set(name, found);
    return found;
  }

  async #use<T>(method: string, key: KeyInfo, args: readonly unknown[], using?: Using): Promise<T> {
    return (await this.#send({ method, key, args, ...defined({ using }) })) as T;
  }
}
