/**
 * A client's private keys, used by name. `RemoteKeys` is the other side. An unlocked key is kept
 * for the next use for the same purpose, until the token's login has ended: a token that was pulled
 * and is back has given its objects other handles.
 */
import type { PrivateKey, Using } from "../../keys/key.js";
import type { Purpose } from "../../keys/purpose.js";
import type { TokenAccess } from "../access.js";
import type { KeyInfo } from "../values.js";
import { describeKey, type KeyUseRequest, useKey } from "./key-on-wire.js";

/**
 * What an operation is called with: the key, who is told how the token was asked, and its
 * arguments.
 */
export type KeyOperation = (key: KeyInfo, using: Using, ...args: never[]) => Promise<unknown>;

/** What reaches the keys. */
export type KeyAccess = Pick<TokenAccess, "identity" | "isLoggedIn">;

export class KeyOperations {
  readonly #access: KeyAccess;
  /** By purpose and URI; a promise serves all who ask at once. */
  readonly #unlocked = new Map<string, Promise<PrivateKey>>();

  constructor(access: KeyAccess) {
    this.#access = access;
  }

  /** After the logins have ended. */
  forget(): void {
    this.#unlocked.clear();
  }

  /** The operations by method name. */
  readonly byMethod: Readonly<Record<string, KeyOperation>> = {
    /** Logs in and finds the private key. */
    unlock: async (key, _using, purpose: Purpose) => describeKey(await this.#key(key, purpose)),
    useKey: async (key, using, purpose: Purpose, use: KeyUseRequest) =>
      useKey(await this.#key(key, purpose), use, using),
  };

  /** The unlocked key. Called for each use, since the token may be pulled in between. */
  async #key(key: KeyInfo, purpose: Purpose): Promise<PrivateKey> {
    const name = `${purpose} ${key.uri}`;
    await this.#forgetIfPulled(name, key);
    const known = this.#unlocked.get(name);
    if (known !== undefined) return known;
    const unlocked: Promise<PrivateKey> = this.#access.identity(key, purpose).unlock();
    this.#unlocked.set(name, unlocked);
    unlocked.catch(() => {
      this.#drop(name, unlocked);
    });
    return unlocked;
  }

  async #forgetIfPulled(name: string, key: KeyInfo): Promise<void> {
    const known = this.#unlocked.get(name);
    if (known === undefined || (await this.#access.isLoggedIn(key.token))) return;
    this.#drop(name, known);
  }

  /** Unless another has taken its place meanwhile. */
  #drop(name: string, unlocked: Promise<PrivateKey>): void {
    if (this.#unlocked.get(name) === unlocked) this.#unlocked.delete(name);
  }
}
