/** What tests of a PIN's way begin with: a token with a key, and a message that is sealed to it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../support/keys.js";
import { freshToken, importKey, type TestToken } from "../../support/softhsm.js";
import { run } from "./run.js";

/** What the message says. */
const NOTE = "meet at noon\n";

/** A new token with an EC key, and `m.p11s` in the folder, which that key opens. */
export async function tokenWithNote(label: string, folder: string): Promise<TestToken> {
  const token = await freshToken(label);
  const privateHalf = { DERIVE: true, SIGN: false };
  await importKey(token, TEST_KEYS.p256, { label: "k", id: Uint8Array.of(1), privateHalf });
  const at = (name: string): string => join(folder, name);
  writeFileSync(at("k.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(at("note"), NOTE);
  const { status } = await run(["seal", "-r", at("k.pem"), "-o", at("m.p11s"), at("note")]);
  expect(status).toBe(0);
  return token;
}
