/** Identities with the TEST keys, and identities that count, refuse or lie. */
import { createPrivateKey } from "node:crypto";
import { defined } from "../../src/defined.js";
import type { Sender } from "../../src/envelope/seal-options.js";
import type {
  ExchangePublicKey,
  Identity,
  OaepHash,
  PrivateKey,
  Recipient,
  SigningPublicKey,
} from "../../src/keys/key.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import type { SinglePurposeKey } from "../../src/keys/purpose.js";
import { signInMemory } from "../../src/keys/signing.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import type { Secret } from "../../src/secret.js";
import { publicDer, TEST_KEYS, type EXCHANGE_KEY_NAMES } from "./keys.js";

export type ExchangeKeyName = (typeof EXCHANGE_KEY_NAMES)[number];

type ExchangeIdentity = Identity<ExchangePublicKey>;
type SingleIdentity = Identity<SinglePurposeKey<"open">>;

const made = new Map<string, SingleIdentity>();

/** The software identity of a TEST key. */
export function identityOf(name: ExchangeKeyName): SingleIdentity {
  const known = made.get(name) ?? softwareIdentity(TEST_KEYS[name], `${name}.pem`);
  made.set(name, known);
  return known;
}

/** A TEST key as a recipient. */
export function recipientOf(name: ExchangeKeyName, oaep?: OaepHash): Recipient {
  const { publicKey } = identityOf(name);
  return oaep === undefined ? { publicKey } : { publicKey, oaep };
}

/** An identity that counts the operations on it. */
export interface Counted<Public extends ExchangePublicKey = ExchangePublicKey> {
  readonly identity: Identity<Public>;
  unlocks: number;
  /** The private key operations, each as its hash or its peer's point. */
  readonly operations: (OaepHash | Uint8Array)[];
}

export function counting<Public extends ExchangePublicKey>(
  inner: Identity<Public>,
): Counted<Public> {
  const counted: Counted<Public> = {
    unlocks: 0,
    operations: [],
    identity: {
      publicKey: inner.publicKey,
      name: inner.name,
      unlock: async () => {
        counted.unlocks++;
        return countingKey(await inner.unlock(), counted);
      },
    },
  };
  return counted;
}

function countingKey<Public extends ExchangePublicKey>(
  key: PrivateKey<Public>,
  counted: Counted<Public>,
): PrivateKey<Public> {
  const { publicKey, oaep, agree, decapsulate } = key;
  return {
    publicKey,
    ...defined({
      oaep: oaep && {
        ...oaep,
        decrypt: (...[ciphertext, parameters, options]: Parameters<typeof oaep.decrypt>) => {
          counted.operations.push(parameters.hash);
          return oaep.decrypt(ciphertext, parameters, options);
        },
      },
      agree:
        agree &&
        ((peer: Uint8Array) => {
          counted.operations.push(peer.slice());
          return agree(peer);
        }),
      decapsulate:
        decapsulate &&
        ((enc: Uint8Array) => {
          counted.operations.push(enc.slice());
          return decapsulate(enc);
        }),
    }),
  };
}

/** The same public key, with a private key that returns what it is told to. */
export function answering(
  publicKey: ExchangePublicKey,
  answer: () => Promise<Secret | null>,
  hashes: readonly OaepHash[] = ["sha256", "sha1"],
): ExchangeIdentity {
  const privateKey: PrivateKey<ExchangePublicKey> =
    publicKey.type === "rsa"
      ? { publicKey, oaep: { hashes, labels: "any", decrypt: answer } }
      : { publicKey, agree: answer };
  return { publicKey, name: "answering", unlock: () => Promise.resolve(privateKey) };
}

/** A signer with a TEST key, whose claims are always the same. */
export function senderOf(
  name: "p256" | "p384" | "rsa2048" | "rsa3072" | "rsa4096" | "ed25519",
): Sender & { readonly key: PrivateKey } {
  const publicKey = publicKeyFromSpki(publicDer(TEST_KEYS[name])) as SigningPublicKey;
  const privateKey = createPrivateKey(TEST_KEYS[name]);
  return {
    publicKey,
    key: {
      publicKey,
      sign: (message) => Promise.resolve(signInMemory(publicKey, privateKey, message)),
    },
    streamId: new Uint8Array(16).fill(0x5e),
    serial: 7,
    createdMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  };
}
