/** What happens around the use of a private key: the one place that decorates identities. */
import { defined } from "../defined.js";
import type { KnownPublicKey, Identity, PrivateKey, Using } from "./key.js";

export interface Around {
  /** Before the key is unlocked: waits for what has to come first, or notes which key is used. */
  readonly before?: () => Promise<void> | void;
  /** Once it is unlocked. */
  readonly after?: () => void;
  /** Told how the key's holder is asked, each time it is. */
  readonly using?: Using;
}

/** The same identity, with these hooks. */
export function around<Public extends KnownPublicKey>(
  identity: Identity<Public>,
  { before, after, using }: Around,
): Identity<Public> {
  const { publicKey, name, label, certificates } = identity;
  const unlock = async (): Promise<PrivateKey<Public>> => {
    await before?.();
    const key = await identity.unlock();
    after?.();
    return using === undefined ? key : watched(key, using);
  };
  return { publicKey, name, unlock, ...defined({ label, certificates }) };
}

/** An identity's name for people, with its label beside it. */
export function titleOf({ name, label }: Pick<Identity, "name" | "label">): string {
  return label === undefined ? name : `${name} ("${label}")`;
}

function watched<Public extends KnownPublicKey>(
  key: PrivateKey<Public>,
  using: Using,
): PrivateKey<Public> {
  const { publicKey, oaep, decryptPkcs1, agree, decapsulate, sign, signPkcs1 } = key;
  return {
    publicKey,
    ...defined({
      ...{ sign, signPkcs1 },
      oaep:
        oaep &&
        ({
          hashes: oaep.hashes,
          labels: oaep.labels,
          decrypt: (ciphertext, parameters, options) =>
            oaep.decrypt(ciphertext, parameters, { ...options, using }),
        } satisfies PrivateKey["oaep"]),
      decryptPkcs1:
        decryptPkcs1 &&
        (((ciphertext, options) =>
          decryptPkcs1(ciphertext, { ...options, using })) satisfies PrivateKey["decryptPkcs1"]),
      agree:
        agree &&
        (((peer, options) => agree(peer, { ...options, using })) satisfies PrivateKey["agree"]),
      decapsulate:
        decapsulate &&
        (((enc, options) =>
          decapsulate(enc, { ...options, using })) satisfies PrivateKey["decapsulate"]),
    }),
  };
}
