/** Helpers for the tests of key formats. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { fromHex, toHex } from "../../src/bytes.js";
import { P11SealError } from "../../src/errors.js";
import type { RsaPublicKey, SinglePublicKey } from "../../src/keys/key.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import { publicDer, TEST_KEYS, type TestKeyName } from "../support/keys.js";

const folder = join(dirname(fileURLToPath(import.meta.url)), "fixtures");

/** A file made with a standard tool; fixtures/README.md says which. */
export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, name)));
}

export function fixtureText(name: string): string {
  return readFileSync(join(folder, name), "utf8");
}

/** DER inside the only PEM block of a fixture. */
export function fixtureDer(name: string): Uint8Array {
  const base64 = /-----BEGIN [^-]+-----([^-]+)-----END/.exec(fixtureText(name))?.[1] ?? "";
  return new Uint8Array(Buffer.from(base64, "base64"));
}

export function testKey(name: TestKeyName): SinglePublicKey {
  return publicKeyFromSpki(publicDer(TEST_KEYS[name])) as SinglePublicKey;
}

export const ALL_KEY_NAMES = Object.keys(TEST_KEYS) as TestKeyName[];

/** The error of a refusal, or a stand-in that matches no assertion on codes. */
export function refusal(act: () => unknown): { code: string; name: string; text: string } {
  try {
    act();
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    return { code: error.code, name: error.name, text: `${error.message} ${error.hint ?? ""}` };
  }
  return { code: "none", name: "none", text: "not refused" };
}

export function codeOf(act: () => unknown): string {
  return refusal(act).code;
}

export function rsaKey(name: "rsa2048" | "rsa3072" | "rsa4096"): RsaPublicKey {
  return testKey(name) as RsaPublicKey;
}

/** An odd modulus of `bits` bits without a factor below 752, made from the 4,096-bit test key's. */
export function modulusOf(bits: number): Uint8Array {
  let value =
    (BigInt(`0x${toHex(rsaKey("rsa4096").modulus)}`) ** 4n) >> BigInt(4 * 4096 - 8 - bits);
  value = (value & ((1n << BigInt(bits)) - 1n)) | (1n << BigInt(bits - 1)) | 1n;
  for (;;) {
    const candidate = value;
    if (SMALL_PRIMES.every((prime) => candidate % prime !== 0n)) break;
    value += 2n;
  }
  const hex = value.toString(16);
  return fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
}

const SMALL_PRIMES = Array.from({ length: 752 }, (_, index) => BigInt(index)).filter((n) => {
  for (let divisor = 2n; divisor * divisor <= n; divisor++) if (n % divisor === 0n) return false;
  return n >= 2n;
});
