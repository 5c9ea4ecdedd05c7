/**
 * Twelve functions, each with six faults, against a token's process: whatever a module does, there
 * is a right result or one error that says what failed; no PIN is sent twice; and the next use of
 * the token works. All pairs by `npm run test:slow`, otherwise two faults of each function.
 */
import {
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  verify,
} from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { TokenError } from "../../src/errors.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import { type PkcsFunction, testToken, type TestToken } from "../../src/testing/index.js";
import { TokenProcess } from "../../src/token/process/token-process.js";
import { parseUri } from "../../src/token/uri.js";
import { oaepEncrypt } from "../../src/wrap/rsa-oaep.js";
import { agree, decryptOaep, sign } from "../support/private-key.js";
import { isFull } from "../support/scale.js";

let original: TestToken;

beforeAll(async () => {
  original = await testToken({
    label: "matrix",
    keys: {
      unwraps: { type: "rsa:2048", uses: ["unwrap"] },
      decrypts: { type: "rsa:2048", uses: ["decrypt"] },
      agrees: { type: "ec:p256", uses: ["derive"] },
      signs: { type: "ec:p256", uses: ["sign"] },
    },
  });
});

afterAll(() => original.close());

type Use = (tokens: TokenProcess, hsm: TestToken) => Promise<boolean>;

const undoesOaep =
  (label: "unwraps" | "decrypts"): Use =>
  async (tokens, hsm) => {
    const secret = randomBytes(32);
    const key = await tokens.findKey(parseUri(hsm.keyUri(label)));
    const ciphertext = oaepEncrypt(createPublicKey(hsm.pem(label)), secret, { hash: "sha1" });
    const found = await decryptOaep(await tokens.identity(key).unlock(), ciphertext, "sha1");
    return found !== null && secret.equals(found.expose());
  };

const agrees: Use = async (tokens, hsm) => {
  const key = await tokens.findKey(parseUri(hsm.keyUri("agrees")));
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const peer = publicKeyFromSpki(new Uint8Array(publicKey.export({ type: "spki", format: "der" })));
  if (peer.type !== "ec") throw new Error("not EC");
  const ours = diffieHellman({ privateKey, publicKey: createPublicKey(hsm.pem("agrees")) });
  const theirs = await agree(await tokens.identity(key).unlock(), peer.point);
  return theirs !== null && ours.equals(theirs.expose());
};

const signs: Use = async (tokens, hsm) => {
  const key = await tokens.findKey(parseUri(hsm.keyUri("signs")));
  const message = randomBytes(40);
  const signature = await sign(await tokens.identity(key, "sign").unlock(), message);
  const publicKey = { key: createPublicKey(hsm.pem("signs")), dsaEncoding: "ieee-p1363" } as const;
  return verify("sha256", message, publicKey, signature);
};

const FUNCTIONS: readonly (readonly [PkcsFunction, Use])[] = [
  ["C_GetInfo", agrees],
  ["C_GetSlotList", agrees],
  ["C_GetSlotInfo", agrees],
  ["C_GetTokenInfo", agrees],
  ["C_GetMechanismInfo", agrees],
  ["C_OpenSession", agrees],
  ["C_FindObjects", agrees],
  ["C_GetAttributeValue", agrees],
  ["C_UnwrapKey", undoesOaep("unwraps")],
  ["C_Decrypt", undoesOaep("decrypts")],
  ["C_DeriveKey", agrees],
  ["C_Sign", signs],
];

const FAULTS: Readonly<Record<string, (hsm: TestToken, fn: PkcsFunction) => { hits: number }>> = {
  fail: (hsm, fn) => hsm.faults.fail(fn, { rv: "CKR_DEVICE_ERROR", times: 1 }),
  crash: (hsm, fn) => hsm.faults.crash(fn, { times: 1 }),
  hang: (hsm, fn) => hsm.faults.hang(fn, { times: 1 }),
  slow: (hsm, fn) => hsm.faults.slow(fn, 300, { times: 1 }),
  short: (hsm, fn) => hsm.faults.short(fn, { times: 1 }),
  wrong: (hsm, fn) => hsm.faults.wrong(fn, { times: 1 }),
};

const DECRYPTS: ReadonlySet<PkcsFunction> = new Set(["C_UnwrapKey", "C_Decrypt"]);

/** Called when a module is loaded and its tokens are listed. */
const LOADS: ReadonlySet<PkcsFunction> = new Set([
  ...(["C_GetInfo", "C_GetSlotList", "C_GetSlotInfo", "C_GetTokenInfo"] as const),
]);

/** Within this, a hanging module is given up. Others get more: the machine may be busy. */
const HANG_MS = 5_000;

/** Those that are tried now: every third, another one first for each function. */
function faultsOf(fn: PkcsFunction): string[] {
  const row = FUNCTIONS.findIndex(([one]) => one === fn);
  return Object.keys(FAULTS).filter((_, column) => isFull || (row + column) % 3 === 0);
}

describe.each(FUNCTIONS)("%s", (fn, use) => {
  it.each(faultsOf(fn))("%s", async (name) => {
    await using hsm = await original.clone();
    const fault = FAULTS[name]?.(hsm, fn);
    const start = (): TokenProcess =>
      new TokenProcess({
        ...{ modules: [hsm.module], home: "/nonexistent", env: process.env },
        pin: () => Promise.resolve(hsm.pin),
        timeoutMs: name === "hang" ? HANG_MS : 60_000,
      });
    let tokens = start();
    try {
      const outcome = await use(tokens, hsm).catch((error: unknown) => error);
      expect(fault?.hits).toBe(1);
      if (name === "slow") expect(outcome).toBe(true);
      if (outcome instanceof Error) {
        expect(outcome).toBeInstanceOf(TokenError);
        expect(outcome.message).not.toContain(hsm.pin);
        expect(outcome.message).toMatch(/^[^A-Z].*[^.]$|^C_/s);
      }
      // A wrong secret is one that nobody takes for the right one. Where RSA is undone, it also
      // stands for a failure: what the token said must not show.
      if (outcome === false && !DECRYPTS.has(fn)) expect(["short", "wrong"]).toContain(name);
      const logins = hsm.calls().filter((call) => call.fn === "C_Login");
      expect(logins.length).toBeLessThanOrEqual(1);
      if (LOADS.has(fn) && outcome instanceof Error) {
        // A module that can't be loaded is left out from then on.
        await tokens.close();
        tokens = start();
      }
      await expect(use(tokens, hsm)).resolves.toBe(true);
    } finally {
      await tokens.close();
    }
  });
});
