/**
 * ML-KEM (FIPS 203), by whoever does it here: `node:crypto` from Node 24.7 on, where its OpenSSL
 * knows it; else `@noble/post-quantum`, which is loaded when it is first needed.
 *
 * A private key is always its seed `d ‖ z`, 64 bytes (FIPS 203 §3.3), never the expanded form:
 * that is what both take, and a seed can't contradict itself.
 */
import * as nodeCrypto from "node:crypto";
import type { KeyObject } from "node:crypto";
import { concat, fromHex } from "../bytes.js";
import { FormatError } from "../errors.js";

/** The parameter sets that messages use. */
export type MlKemSet = "ml-kem-512" | "ml-kem-768" | "ml-kem-1024";

/** Lengths in bytes (FIPS 203 §8, table 3). */
export const ML_KEM_BYTES: Readonly<
  Record<MlKemSet, { readonly publicKey: number; readonly ciphertext: number }>
> = {
  "ml-kem-512": { publicKey: 800, ciphertext: 768 },
  "ml-kem-768": { publicKey: 1184, ciphertext: 1088 },
  "ml-kem-1024": { publicKey: 1568, ciphertext: 1568 },
};

/** Object identifiers of the parameter sets, as of their keys (RFC 9935 §3), dotted. */
export const ML_KEM_OIDS: Readonly<Record<MlKemSet, string>> = {
  "ml-kem-512": "2.16.840.1.101.3.4.4.1",
  "ml-kem-768": "2.16.840.1.101.3.4.4.2",
  "ml-kem-1024": "2.16.840.1.101.3.4.4.3",
};

/** Bytes of a seed. */
export const ML_KEM_SEED_BYTES = 64;

/** One implementation. Lengths must be right, and public keys checked (`requireMlKemKey`). */
export interface MlKem {
  /** Who does it. */
  readonly name: "node:crypto" | "@noble/post-quantum";
  /** Encaps (FIPS 203 §7.2): a fresh secret of 32 bytes, and its ciphertext. */
  encapsulate(
    set: MlKemSet,
    publicKey: Uint8Array,
  ): { readonly shared: Uint8Array; readonly ciphertext: Uint8Array };
  /**
   * Decaps (FIPS 203 §7.3), 32 bytes. A ciphertext that was altered gives another secret, which
   * nobody can tell from the right one.
   */
  decapsulate(set: MlKemSet, seed: Uint8Array, ciphertext: Uint8Array): Uint8Array;
  /** The public half of a seed (FIPS 203 §7.1). */
  publicKey(set: MlKemSet, seed: Uint8Array): Uint8Array;
}

/** The implementation to use here. */
export async function mlKem(): Promise<MlKem> {
  return nodeMlKem() ?? (await nobleMlKem());
}

/**
 * Refuses what is not an encapsulation key: the type and modulus checks of FIPS 203 §7.2. Each
 * pair of 12-bit numbers must be below q, or one key would have several encodings.
 *
 * @throws FormatError `ERR_KEY`
 */
export function requireMlKemKey(set: MlKemSet, publicKey: Uint8Array): void {
  const { publicKey: length } = ML_KEM_BYTES[set];
  if (publicKey.length !== length) {
    throw new FormatError(
      "ERR_KEY",
      `${NAMES[set]} key has ${publicKey.length} bytes instead of ${length}`,
    );
  }
  // The last 32 bytes are the matrix's seed, any value of which is valid.
  for (let i = 0; i < length - 32; i += 3) {
    const [a, b, c] = [publicKey[i], publicKey[i + 1], publicKey[i + 2]] as [
      number,
      number,
      number,
    ];
    if ((a | ((b & 0x0f) << 8)) >= Q || ((b >> 4) | (c << 4)) >= Q) {
      throw new FormatError(
        "ERR_KEY",
        `${NAMES[set]} key has a coefficient that is not below ${Q}`,
      );
    }
  }
}

const Q = 3329;
const NAMES: Readonly<Record<MlKemSet, string>> = {
  "ml-kem-512": "ML-KEM-512",
  "ml-kem-768": "ML-KEM-768",
  "ml-kem-1024": "ML-KEM-1024",
};

// ── node:crypto ──

/** What Node 24.7 adds. `@types/node` describes the oldest Node that is supported. */
interface KemFunctions {
  encapsulate?: (key: KeyObject) => { sharedKey: Uint8Array; ciphertext: Uint8Array };
  decapsulate?: (key: KeyObject, ciphertext: Uint8Array) => Uint8Array;
}

/** `node:crypto`'s, where it has one. */
export function nodeMlKem(): MlKem | undefined {
  const { encapsulate, decapsulate } = nodeCrypto as KemFunctions;
  if (encapsulate === undefined || decapsulate === undefined || !opensslKnows()) return undefined;
  return {
    name: "node:crypto",
    encapsulate: (set, publicKey) => {
      const { sharedKey, ciphertext } = encapsulate(publicObject(set, publicKey));
      return { shared: new Uint8Array(sharedKey), ciphertext: new Uint8Array(ciphertext) };
    },
    decapsulate: (set, seed, ciphertext) => {
      const shared = decapsulate(privateObject(set, seed), ciphertext);
      return new Uint8Array(shared.buffer, shared.byteOffset, shared.length);
    },
    publicKey: (set, seed) => {
      const spki = nodeCrypto
        .createPublicKey(privateObject(set, seed))
        .export({ format: "der", type: "spki" });
      return new Uint8Array(spki.subarray(-ML_KEM_BYTES[set].publicKey));
    },
  };
}

/** A Node may have the functions over an OpenSSL (before 3.5, or restricted) without ML-KEM. */
function opensslKnows(): boolean {
  try {
    privateObject("ml-kem-768", new Uint8Array(ML_KEM_SEED_BYTES));
    return true;
  } catch {
    return false;
  }
}

/** RFC 9935 §4: the algorithm without parameters, and the bare key. */
function publicObject(set: MlKemSet, publicKey: Uint8Array): KeyObject {
  const key = Buffer.from(concat(DER[set].spki, publicKey));
  return nodeCrypto.createPublicKey({ key, format: "der", type: "spki" });
}

/** RFC 9935 §6: the seed alone, as `[0] IMPLICIT OCTET STRING`. */
function privateObject(set: MlKemSet, seed: Uint8Array): KeyObject {
  const key = Buffer.from(concat(DER[set].pkcs8, seed));
  try {
    return nodeCrypto.createPrivateKey({ key, format: "der", type: "pkcs8" });
  } finally {
    key.fill(0);
  }
}

/** What stands before the bare key. */
const DER: Readonly<Record<MlKemSet, { readonly spki: Uint8Array; readonly pkcs8: Uint8Array }>> = {
  "ml-kem-512": {
    spki: fromHex("30820332300b06096086480165030404010382032100"),
    pkcs8: fromHex("3054020100300b060960864801650304040104428040"),
  },
  "ml-kem-768": {
    spki: fromHex("308204b2300b0609608648016503040402038204a100"),
    pkcs8: fromHex("3054020100300b060960864801650304040204428040"),
  },
  "ml-kem-1024": {
    spki: fromHex("30820632300b06096086480165030404030382062100"),
    pkcs8: fromHex("3054020100300b060960864801650304040304428040"),
  },
};

// ── @noble/post-quantum ──

/**
 * The package's. JavaScript can't promise constant time, as OpenSSL does: another reason to prefer
 * `node:crypto`.
 */
export async function nobleMlKem(): Promise<MlKem> {
  const { ml_kem512, ml_kem768, ml_kem1024 } = await import("@noble/post-quantum/ml-kem.js");
  const sets = { "ml-kem-512": ml_kem512, "ml-kem-768": ml_kem768, "ml-kem-1024": ml_kem1024 };
  return {
    name: "@noble/post-quantum",
    encapsulate: (set, publicKey) => {
      const { sharedSecret, cipherText } = sets[set].encapsulate(publicKey);
      return { shared: sharedSecret, ciphertext: cipherText };
    },
    decapsulate: (set, seed, ciphertext) => {
      const { secretKey } = sets[set].keygen(seed);
      try {
        return sets[set].decapsulate(ciphertext, secretKey);
      } finally {
        secretKey.fill(0);
      }
    },
    publicKey: (set, seed) => {
      const { publicKey, secretKey } = sets[set].keygen(seed);
      secretKey.fill(0);
      return publicKey;
    },
  };
}
