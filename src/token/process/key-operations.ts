/**
 * A client's private keys, used by name. `RemoteKeys` is the other side. An unlocked key is kept for
 * the next use of the same kind, until the token's login has ended: a token that was pulled and is back has
 * given its objects other handles.
 */
import type { CapiSigningKey } from "../../capi/hash-signature.js";
import type { CapiPrivateKey } from "../../capi/private-key.js";
import type { EcPrivateKey, OaepHash, PrivateKey, RsaPrivateKey, Using } from "../../keys/key.js";
import type { SigningKey } from "../../keys/signing.js";
import type { TokenAccess } from "../access.js";
import type { KeyInfo } from "../values.js";

/** What an operation is called with: the key, who is told how the token was asked, and its arguments. */
export type KeyOperation = (key: KeyInfo, using: Using, ...args: never[]) => Promise<unknown>;

/** What reaches the keys. */
export type KeyAccess = Pick<
  TokenAccess,
  "identity" | "signingIdentity" | "capiKey" | "capiSigningKey" | "isLoggedIn"
>;

export class KeyOperations {
  readonly #access: KeyAccess;
  /** By use and URI; a promise serves all who ask at once. */
  readonly #unlocked = new Map<string, Promise<unknown>>();

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
    unlock: async (key): Promise<unknown> => {
      const found = await this.#exchange(key);
      return found.type === "rsa"
        ? { type: found.type, oaepHashes: found.oaepHashes }
        : { type: found.type };
    },
    decryptOaep: async (key, using, ciphertext: Uint8Array, hash: OaepHash) => {
      const found = (await this.#exchange(key)) as RsaPrivateKey;
      return bytesOf(await found.decryptOaep(ciphertext, hash, using));
    },
    agree: async (key, using, peer: Uint8Array) => {
      const found = (await this.#exchange(key)) as EcPrivateKey;
      return bytesOf(await found.agree(peer, using));
    },
    unlockSigner: async (key) => {
      await this.#signing(key);
    },
    sign: async (key, _using, message: Uint8Array) => (await this.#signing(key)).sign(message),
    unlockCapi: async (key) => {
      await this.#capi(key);
    },
    capiDecrypt: async (
      key,
      using,
      how: "decryptPkcs1v15" | "decryptOaepSha1",
      ciphertext: Uint8Array,
    ) => bytesOf(await (await this.#capi(key))[how](ciphertext, using)),
    unlockCapiSigner: async (key) => {
      await this.#capiSigning(key);
    },
    capiSign: async (key, _using, payload: Uint8Array) =>
      (await this.#capiSigning(key)).signPkcs1v15(payload),
  };

  #exchange(key: KeyInfo): Promise<PrivateKey> {
    return this.#key("exchange", key, () => this.#access.identity(key).unlock());
  }

  #signing(key: KeyInfo): Promise<SigningKey> {
    return this.#key("sign", key, () => this.#access.signingIdentity(key).unlock());
  }

  #capi(key: KeyInfo): Promise<CapiPrivateKey> {
    return this.#key("capi", key, () => this.#access.capiKey(key).unlock());
  }

  #capiSigning(key: KeyInfo): Promise<CapiSigningKey> {
    return this.#key("capi sign", key, () => this.#access.capiSigningKey(key).unlock());
  }

  /** The key unlocked for a use. Called for each use, since the token may be pulled in between. */
  async #key<T>(use: string, key: KeyInfo, unlock: () => Promise<T>): Promise<T> {
    const name = `${use} ${key.uri}`;
    await this.#forgetIfPulled(name, key);
    const known = this.#unlocked.get(name) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const unlocked = unlock();
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
  #drop(name: string, unlocked: Promise<unknown>): void {
    if (this.#unlocked.get(name) === unlocked) this.#unlocked.delete(name);
  }
}

/** The bytes of a secret, for one message to the client. */
function bytesOf(secret: { expose(): Uint8Array } | null): Uint8Array | null {
  return secret === null ? null : secret.expose();
}
