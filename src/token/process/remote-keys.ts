/** Private keys that a server holds: each use is a request. `KeyOperations` is the other side. */
import type { CapiSigningIdentity, CapiSigningKey } from "../../capi/hash-signature.js";
import type { CapiIdentity, CapiPrivateKey } from "../../capi/private-key.js";
import { defined } from "../../defined.js";
import type { EcPrivateKey, Identity, OaepHash, RsaPrivateKey, Using } from "../../keys/key.js";
import type { SigningIdentity, SigningKey } from "../../keys/signing.js";
import { Secret } from "../../secret.js";
import { exchangeHalf, rsaHalf, signingHalf } from "../objects/halves.js";
import type { KeyInfo } from "../values.js";
import type { Task } from "./conversation.js";

type Unlocked =
  | { readonly type: "rsa"; readonly oaepHashes: readonly OaepHash[] }
  | { readonly type: "ec" | "x25519" };

export class RemoteKeys {
  readonly #send: (task: Task) => Promise<unknown>;
  /** By URI. Every message unlocks its key anew; what the token said of it need be asked but once. */
  readonly #unlocked = new Map<string, Unlocked>();

  constructor(send: (task: Task) => Promise<unknown>) {
    this.#send = send;
  }

  /** After another server has taken over: it will have to log in. */
  forget(): void {
    this.#unlocked.clear();
  }

  identity(key: KeyInfo): Identity {
    const unlock = async (): Promise<RsaPrivateKey | EcPrivateKey> => {
      const found = await this.#unlock(key);
      if (found.type === "rsa") {
        return {
          ...found,
          decryptOaep: async (ciphertext: Uint8Array, hash: OaepHash, using?: Using) =>
            secret(await this.#use("decryptOaep", key, [ciphertext, hash], using)),
        };
      }
      return {
        ...found,
        agree: async (peer: Uint8Array, using?: Using) =>
          secret(await this.#use("agree", key, [peer], using)),
      };
    };
    return { publicKey: exchangeHalf(key), name: key.uri, unlock };
  }

  signingIdentity(key: KeyInfo): SigningIdentity {
    const unlock = async (): Promise<SigningKey> => {
      await this.#use("unlockSigner", key);
      return { sign: (message) => this.#use<Uint8Array>("sign", key, [message]) };
    };
    return { publicKey: signingHalf(key), name: key.uri, unlock };
  }

  capiKey(key: KeyInfo): CapiIdentity {
    const publicKey = rsaHalf(key);
    const unlock = async (): Promise<CapiPrivateKey> => {
      await this.#use("unlockCapi", key);
      return {
        publicKey,
        decryptPkcs1v15: async (ciphertext, using) =>
          secret(await this.#use("capiDecrypt", key, ["decryptPkcs1v15", ciphertext], using)),
        decryptOaepSha1: async (ciphertext, using) =>
          secret(await this.#use("capiDecrypt", key, ["decryptOaepSha1", ciphertext], using)),
      };
    };
    return { publicKey, name: key.uri, unlock };
  }

  capiSigningKey(key: KeyInfo): CapiSigningIdentity {
    const publicKey = rsaHalf(key);
    const unlock = async (): Promise<CapiSigningKey> => {
      await this.#use("unlockCapiSigner", key);
      return {
        publicKey,
        signPkcs1v15: (payload) => this.#use<Uint8Array>("capiSign", key, [payload]),
      };
    };
    return { publicKey, name: key.uri, unlock };
  }

  async #unlock(key: KeyInfo): Promise<Unlocked> {
    const known = this.#unlocked.get(key.uri);
    if (known !== undefined) return known;
    const found = await this.#use<Unlocked>("unlock", key);
    this.#unlocked.set(key.uri, found);
    return found;
  }

  async #use<T>(
    method: string,
    key: KeyInfo,
    args: readonly unknown[] = [],
    using?: Using,
  ): Promise<T> {
    return (await this.#send({ method, key, args, ...defined({ using }) })) as T;
  }
}

function secret(bytes: Uint8Array | null): Secret | null {
  return bytes === null ? null : new Secret(bytes);
}
