/**
 * The output of a real CryptoAPI (`cryptoapi-exchange/manifest.json`), and test keys for the rest.
 */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { ascii, concat } from "../../src/bytes.js";
import {
  softwareRsaKey,
  type CapiHash,
  type RsaPrivateKey,
  type CipherParameters,
  type SessionAlgorithm,
} from "../../src/capi/index.js";
import { requireCapability } from "../../src/keys/purpose.js";
import { Secret } from "../../src/secret.js";
import { TEST_KEYS } from "../support/keys.js";
import { vectorFile, vectorJson } from "../support/vectors.js";

const FOLDER = "cryptoapi-exchange";

export interface Exchange {
  readonly id: string;
  readonly alg: SessionAlgorithm;
  readonly algId: number;
  readonly keyBits: number;
  readonly mode: "cbc" | "ecb" | "cfb" | "stream";
  readonly iv: string | null;
  readonly effectiveBits: number | null;
  readonly flags: readonly string[];
  readonly message: string;
  readonly recipients: readonly { name: string; simpleBlob: string; simpleBlobHex: string }[];
  readonly cipher: string;
  readonly sessionKeyHex: string;
}

interface KeyPair {
  readonly publicKeyBlob: string;
  readonly privateKeyBlob: string;
  readonly pkcs8: string;
}

export interface Manifest {
  readonly keys: Readonly<Record<string, { bits: number; exchange: KeyPair; signature: KeyPair }>>;
  readonly messages: Readonly<Record<string, { file: string }>>;
  readonly exchange: readonly Exchange[];
  readonly signatures: readonly {
    id: string;
    signer: string;
    spec: "exchange" | "signature";
    hash: CapiHash;
    message: string;
    flags: readonly string[];
    signature: string;
  }[];
  readonly hashSessionKey: readonly {
    id: string;
    hash: CapiHash;
    sessionKeyHex: string;
    flags: readonly string[];
    input: readonly string[];
    valueHex: string;
  }[];
  readonly sdkFile: readonly {
    id: string;
    message: string;
    recipient: string;
    file: string;
    sessionKeyHex: string;
  }[];
  readonly threePhase: {
    sender: string;
    receiver: string;
    alg: SessionAlgorithm;
    hash: "sha1";
    keyAHex: string;
    keyBHex: string;
    phase1: { blobForReceiver: string };
    phase2: { blobForSender: string; hashHex: string };
    phase3: { hashHex: string };
  };
  readonly derivedKey: readonly {
    alg: SessionAlgorithm;
    hash: CapiHash;
    password: string;
    keyHex: string;
  }[];
}

/** The manifest. Throws if it holds less than it promises: then the loader is wrong. */
export function manifest(): Manifest {
  const found = vectorJson<Manifest>(`${FOLDER}/manifest.json`);
  const counts = [
    found.exchange.length >= 29,
    found.signatures.length >= 9,
    found.hashSessionKey.length >= 5,
    found.derivedKey.length >= 5,
    found.sdkFile.length >= 3,
    Object.keys(found.keys).length >= 5,
  ];
  if (counts.includes(false)) throw new Error(`${FOLDER}: vectors are missing`);
  return found;
}

export function fixture(path: string): Uint8Array {
  return new Uint8Array(vectorFile(`${FOLDER}/${path}`));
}

export function message(vectors: Manifest, name: string): Uint8Array {
  const found = vectors.messages[name];
  if (found === undefined) throw new Error(`no message ${name}`);
  return fixture(found.file);
}

export function keyPair(vectors: Manifest, name: string, spec: "exchange" | "signature"): KeyPair {
  const found = vectors.keys[name];
  if (found === undefined) throw new Error(`no keys of ${name}`);
  return found[spec];
}

export function privateKeyOf(
  vectors: Manifest,
  name: string,
  spec: "exchange" | "signature" = "exchange",
): KeyObject {
  return createPrivateKey(Buffer.from(fixture(keyPair(vectors, name, spec).pkcs8)));
}

export function parametersOf({ alg, mode, iv, effectiveBits, flags }: Exchange): CipherParameters {
  return {
    ...(mode === "stream" ? {} : { mode }),
    ...(iv === null ? {} : { iv: new Uint8Array(Buffer.from(iv, "hex")) }),
    ...(effectiveBits === null || alg !== "rc2" ? {} : { effectiveBits }),
    ...(flags.includes("CRYPT_NO_SALT") ? { salt: "none" as const } : {}),
  };
}

// ── Test keys of our own ──

const rsa2048 = createPrivateKey(TEST_KEYS.rsa2048);
const rsa3072 = createPrivateKey(TEST_KEYS.rsa3072);

/** An exchange key and a signature key; two more of somebody else. */
export const bob = softwareRsaKey(rsa2048);
export const alice = softwareRsaKey(rsa3072);
export const bobSigner = softwareRsaKey(rsa2048);
export const aliceSigner = softwareRsaKey(rsa3072);
export const bobObject = rsa2048;

/** Counts the operations of a private key. */
export function counted(key: RsaPrivateKey): RsaPrivateKey & { readonly calls: string[] } {
  const calls: string[] = [];
  const oaep = requireCapability(key, "oaep");
  return {
    publicKey: key.publicKey,
    calls,
    decryptPkcs1: (...args) => {
      calls.push("pkcs1");
      return requireCapability(key, "decryptPkcs1")(...args);
    },
    oaep: {
      ...oaep,
      decrypt: (...args) => {
        calls.push("oaep");
        return oaep.decrypt(...args);
      },
    },
  };
}

export async function* inSteps(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) {
    yield await Promise.resolve(bytes.subarray(offset, offset + size));
  }
}

export async function joined(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return concat(...parts);
}

export const secret = (bytes: Uint8Array): Secret => new Secret(bytes.slice());
export const text = ascii("attack at dawn");

/** The code of the error that `act` throws or rejects with, or its result. */
export async function codeOf(act: () => unknown): Promise<unknown> {
  try {
    return await act();
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
}
