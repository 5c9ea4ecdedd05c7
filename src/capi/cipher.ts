/**
 * Messages under a session key, with CryptoAPI's defaults: CBC, an IV of zeros, PKCS#5 padding.
 * What `CryptEncrypt` and `CryptDecrypt` do in chunks is one stream here; the chunks don't show in
 * the bytes.
 *
 * Nothing authenticates the message: see exchange.ts for what must stand in front of
 * `decryptMessage`.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { concat } from "../bytes.js";
import { AuthenticationError, UnsupportedError, UsageError } from "../errors.js";
import { type ByteSource, chunks } from "../stream.js";
import { ALGORITHMS, type SessionAlgorithm, type SessionKey } from "./algorithms.js";
import { Rc2 } from "../body/rc2.js";
import { Rc4 } from "./rc4.js";

/** `KP_MODE`. CFB works on single bytes; CryptoAPI pads it all the same. */
export type CipherMode = "cbc" | "ecb" | "cfb";

/** What no blob says, and both ends must agree on. Absent: CryptoAPI's default. */
export interface CipherParameters {
  /** By default CBC. Not for RC4. */
  readonly mode?: CipherMode | undefined;
  /** `KP_IV`, one block; by default zeros. Not for ECB and RC4. */
  readonly iv?: Uint8Array | undefined;
  /**
   * RC2 and RC4 only. `zero`, the default, puts 11 zero bytes after a key of 40 bits, and nothing
   * after a longer one; `none` is CRYPT_NO_SALT; bytes are KP_SALT_EX.
   */
  readonly salt?: "zero" | "none" | Uint8Array | undefined;
  /** RC2 only, `KP_EFFECTIVE_KEYLEN`: 1 to 1024; by default the bits of the key that travelled. */
  readonly effectiveBits?: number | undefined;
}

/**
 * The mode of a name, in any case. Throws UnsupportedError `ERR_CIPHER_MODE`: OFB, CTS and others.
 */
export function cipherMode(name: string): CipherMode {
  const mode = MODES.find((known) => known === name.toLowerCase());
  if (mode !== undefined) return mode;
  throw new UnsupportedError("ERR_CIPHER_MODE", `no cipher mode "${name}"`, {
    hint: "Microsoft's providers have cbc, ecb and cfb; OFB and CTS are in the headers only.",
  });
}

/**
 * Refuses parameters that the algorithm doesn't have. Both directions call it before any key is
 * used.
 *
 * @throws UsageError `ERR_CIPHER_PARAMETER`.
 */
export function checkParameters(algorithm: SessionAlgorithm, parameters: CipherParameters): void {
  const { mode, iv, salt, effectiveBits } = parameters;
  const { blockBytes, keyBytes } = ALGORITHMS[algorithm];
  const refuse = (what: string): never => {
    throw new UsageError("ERR_CIPHER_PARAMETER", what);
  };
  if (blockBytes === 0 && mode !== undefined) refuse(`${algorithm} is a stream: it has no mode`);
  if (iv !== undefined) {
    if (blockBytes === 0 || mode === "ecb") refuse(`${mode ?? algorithm} takes no IV`);
    if (iv.length !== blockBytes) {
      refuse(`the IV has ${iv.length} bytes, ${algorithm} takes ${blockBytes}`);
    }
  }
  if (salt !== undefined && algorithm !== "rc2" && algorithm !== "rc4") {
    refuse(`${algorithm} keys have no salt`);
  }
  if (salt instanceof Uint8Array && salt.length > MAX_SALTED_BYTES - keyBytes[0]) {
    refuse(
      `a salt of ${salt.length} bytes; key and salt together have at most ${MAX_SALTED_BYTES}`,
    );
  }
  if (effectiveBits !== undefined) {
    if (algorithm !== "rc2") refuse(`only RC2 has an effective key length, not ${algorithm}`);
    if (!Number.isInteger(effectiveBits) || effectiveBits < 1 || effectiveBits > 1024) {
      refuse(`an effective key length of ${effectiveBits} bits; RC2 has 1 to 1024`);
    }
  }
}

/**
 * `CryptEncrypt` to the end (Final TRUE): the ciphertext, longer than the plaintext by 1 to a
 * block's bytes of padding; with RC4 exactly as long.
 *
 * @throws UsageError `ERR_CIPHER_PARAMETER`.
 */
export async function* encryptMessage(
  key: SessionKey,
  parameters: CipherParameters,
  plaintext: ByteSource,
): AsyncGenerator<Uint8Array, void, undefined> {
  const cipher = new Transform(key, parameters, "encrypt");
  let length = 0;
  for await (const chunk of chunks(plaintext)) {
    length += chunk.length;
    const encrypted = cipher.update(chunk);
    if (encrypted.length > 0) yield encrypted;
  }
  const { blockBytes } = ALGORITHMS[key.algorithm];
  if (blockBytes === 0) return;
  const added = blockBytes - (length % blockBytes);
  yield cipher.update(new Uint8Array(added).fill(added));
}

/**
 * `CryptDecrypt` to the end. The last block is held back until its padding was checked.
 *
 * `proceed` is asked after the last byte, before that check's outcome is used; where it says no,
 * the end is the same error as bad padding's.
 *
 * @throws UsageError `ERR_CIPHER_PARAMETER`; AuthenticationError `ERR_DECRYPT`, at the end: the one
 *   error for bad padding, no whole number of blocks, and a key that was none.
 */
export async function* decryptMessage(
  key: SessionKey,
  parameters: CipherParameters,
  ciphertext: ByteSource,
  proceed: () => boolean = () => true,
): AsyncGenerator<Uint8Array, void, undefined> {
  const cipher = new Transform(key, parameters, "decrypt");
  const { blockBytes } = ALGORITHMS[key.algorithm];
  let length = 0;
  let held: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  for await (const chunk of chunks(ciphertext)) {
    length += chunk.length;
    const decrypted = concat(held, cipher.update(chunk));
    const ready = Math.max(decrypted.length - blockBytes, 0);
    held = decrypted.slice(ready);
    if (ready > 0) yield decrypted.subarray(0, ready);
  }
  if (blockBytes === 0) {
    if (!proceed()) throw notDecrypted();
    return;
  }
  // A message cut inside a block leaves a shorter `held`: judged as a block all the same.
  const block = new Uint8Array(blockBytes);
  block.set(held.subarray(0, blockBytes));
  const padding = paddingLength(block);
  const whole = length > 0 && length % blockBytes === 0;
  if (Number(proceed()) + Number(whole) + Number(padding > 0) < 3) throw notDecrypted();
  if (padding < blockBytes) yield block.slice(0, blockBytes - padding);
}

/** The one error between blob and plaintext: what failed would tell a guesser how close he was. */
export function notDecrypted(): AuthenticationError {
  return new AuthenticationError("ERR_DECRYPT", "the message does not decrypt", {
    hint:
      "It was altered or cut, is for another key, or was made with another padding (OAEP), cipher " +
      "mode, IV, salt or effective key length; this format can't tell which.",
  });
}

/**
 * The bytes of PKCS#5 padding in a last block, or 0 for a fault; the work is the same either way.
 */
function paddingLength(block: Uint8Array): number {
  const length = block.at(-1) ?? 0;
  let fault = Number(length === 0) | Number(length > block.length);
  block.forEach((byte, index) => {
    const isPadding = Number(block.length - index <= length);
    fault |= isPadding & Number(byte !== length);
  });
  return length * (1 - fault);
}

// ── The ciphers ──

/** A cipher in a mode, without padding: as many bytes out as whole blocks in. */
class Transform {
  readonly #update: (data: Uint8Array) => Uint8Array;

  constructor(key: SessionKey, parameters: CipherParameters, direction: "encrypt" | "decrypt") {
    checkParameters(key.algorithm, parameters);
    const { algorithm } = key;
    const mode = parameters.mode ?? "cbc";
    const iv = parameters.iv ?? new Uint8Array(ALGORITHMS[algorithm].blockBytes);
    const bytes = cipherKey(key, parameters);
    try {
      if (algorithm === "rc4") {
        const cipher = new Rc4(bytes);
        this.#update = (data) => cipher.update(data);
      } else if (algorithm === "rc2") {
        const cipher = new Rc2(bytes, parameters.effectiveBits ?? 8 * key.bytes.length);
        this.#update = rc2InMode(cipher, mode, iv, direction);
      } else {
        const name = `${OPENSSL_NAMES[algorithm]}-${mode === "cfb" ? "cfb8" : mode}`;
        const create = direction === "encrypt" ? createCipheriv : createDecipheriv;
        const cipher = create(name, bytes, mode === "ecb" ? null : iv).setAutoPadding(false);
        this.#update = (data) => cipher.update(data);
      }
    } finally {
      bytes.fill(0);
    }
  }

  update(data: Uint8Array): Uint8Array {
    return this.#update(data);
  }
}

/** What the cipher is keyed with: the session key, with its salt or repeated. Always a copy. */
function cipherKey({ algorithm, bytes }: SessionKey, { salt }: CipherParameters): Uint8Array {
  const key = bytes.expose();
  switch (algorithm) {
    // Node's OpenSSL has no single DES, and no two-key triple DES with CFB-8; three keys of which
    // some are equal are the same ciphers (FIPS 46-3, keying options 2 and 3).
    case "des":
      return concat(key, key, key);
    case "3des112":
      return concat(key, key.subarray(0, 8));
    case "rc2":
    case "rc4": {
      // Cut, not refused: how long the key is came out of the private key operation, and an error
      // here would tell whether that one failed.
      if (salt instanceof Uint8Array) return concat(key, salt).slice(0, MAX_SALTED_BYTES);
      const zeros = salt !== "none" && key.length === SALTED_KEY_BYTES ? ZERO_SALT_BYTES : 0;
      return concat(key, new Uint8Array(zeros));
    }
    case "aes128":
    case "aes192":
    case "aes256":
    case "3des":
      // Not `slice`: a Buffer's is no copy, and the copy is overwritten.
      return new Uint8Array(key);
  }
}

function rc2InMode(
  cipher: Rc2,
  mode: CipherMode,
  iv: Uint8Array,
  direction: "encrypt" | "decrypt",
): (data: Uint8Array) => Uint8Array {
  let previous = new Uint8Array(iv);
  if (mode === "cfb") {
    // CFB with 8 bits (SP 800-38A §6.3): a block's work for each byte.
    return (data) =>
      data.map((byte) => {
        const result = byte ^ (cipher.encrypt(previous)[0] as number);
        previous.copyWithin(0, 1);
        previous[7] = direction === "encrypt" ? result : byte;
        return result;
      });
  }
  const chained = mode === "cbc";
  const one = (block: Uint8Array): Uint8Array => {
    if (direction === "encrypt") {
      const encrypted = cipher.encrypt(chained ? xor(block, previous) : block);
      previous = encrypted;
      return encrypted;
    }
    const decrypted = cipher.decrypt(block);
    const plain = chained ? xor(decrypted, previous) : decrypted;
    previous = block.slice();
    return plain;
  };
  let rest: Uint8Array = new Uint8Array(0);
  return (data) => {
    const all = concat(rest, data);
    const whole = all.length - (all.length % 8);
    const result = new Uint8Array(whole);
    for (let offset = 0; offset < whole; offset += 8) {
      result.set(one(all.subarray(offset, offset + 8)), offset);
    }
    rest = all.slice(whole);
    return result;
  };
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, index) => byte ^ (b[index] as number));
}

const MODES = ["cbc", "ecb", "cfb"] as const satisfies readonly CipherMode[];

const OPENSSL_NAMES = {
  aes128: "aes-128",
  aes192: "aes-192",
  aes256: "aes-256",
  "3des": "des-ede3",
  "3des112": "des-ede3",
  des: "des-ede3",
} as const;

/**
 * A key of 40 bits gets 11 zero bytes of salt unless told otherwise ("Salt Value Functionality").
 */
const SALTED_KEY_BYTES = 5;
const ZERO_SALT_BYTES = 11;
/** "Specifying a Salt Value": key and salt together have at most 128 bits. */
const MAX_SALTED_BYTES = 16;
