/** Helpers for the tests of key formats. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { P11SealError } from "../../src/errors.js";
import type { SinglePublicKey } from "../../src/keys/key.js";
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
