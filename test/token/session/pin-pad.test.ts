/** Readers with a PIN pad: a person types there, and this host neither asks for nor sends a PIN. */
import { randomBytes } from "node:crypto";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { TokenError } from "../../../src/errors.js";
import type { RsaPrivateKey } from "../../../src/keys/key.js";
import { verifySignature } from "../../../src/keys/signing.js";
import { TokenProcess } from "../../../src/token/process/token-process.js";
import { padEnded } from "../../../src/token/session/pin-pad.js";
import { parseUri } from "../../../src/token/uri.js";
import type { PadRequest, TokenInfo } from "../../../src/token/values.js";
import { oaepEncrypt } from "../../../src/wrap/rsa-oaep.js";
import { TEST_KEYS } from "../../support/keys.js";
import { Pad, RETURNS } from "../../support/pad/module.js";
import { decryptOaep, sign } from "../../support/private-key.js";
import { freshToken, importKey, type TestToken, USER_PIN } from "../../support/softhsm.js";

const TYPES = `types ${USER_PIN}`;

let pad: Pad;
let token: TestToken;
let tokens: TokenProcess;
let told: PadRequest[];

beforeAll(async () => {
  pad = await Pad.start();
  token = await freshToken("pad");
  const none = { UNWRAP: false, DECRYPT: false, SIGN: false };
  const always = { ...none, ALWAYS_AUTHENTICATE: true };
  for (const [label, id, pem, privateHalf] of [
    ["rsa", 1, TEST_KEYS.rsa2048, { ...none, UNWRAP: true }],
    ["decrypts", 2, TEST_KEYS.rsa3072, { ...always, DECRYPT: true }],
    ["signs", 3, TEST_KEYS.p256, { ...always, SIGN: true }],
  ] as const) {
    await importKey(token, pem, { label, id: Uint8Array.of(id), privateHalf });
  }
});

beforeEach(() => {
  tokens = open();
});

afterEach(async () => {
  await tokens.close();
});

function open(options: { timeoutMs?: number; force?: boolean } = {}): TokenProcess {
  told = [];
  return new TokenProcess({
    modules: [pad.module],
    home: "/nonexistent",
    env: process.env,
    pin: () => Promise.reject(new TypeError("a source of PINs was read")),
    pad: (request) => {
      told.push(request);
    },
    ...options,
  });
}

async function reopen(...how: Parameters<typeof open>): Promise<void> {
  await tokens.close();
  tokens = open(...how);
}

async function opens(label: string): Promise<boolean> {
  const key = await tokens.findKey({ ...parseUri(token.uri), object: label });
  const secret = randomBytes(32);
  if (key.publicKey === undefined) throw new Error("no public key");
  const ciphertext = oaepEncrypt(key.publicKey.object, secret, { hash: "sha1" });
  const privateKey = (await tokens.identity(key).unlock()) as RsaPrivateKey;
  const found = await decryptOaep(privateKey, ciphertext, "sha1");
  return found !== null && secret.equals(found.expose());
}

/** The outcome for two keys, one after the other: true, or an error's code. */
async function twice(label = "rsa"): Promise<unknown[]> {
  const code = (error: unknown): unknown => (error as { code?: string }).code ?? error;
  return [await opens(label).catch(code), await opens(label).catch(code)];
}

describe("a PIN pad", () => {
  it("asks once for a login, the person is told, and no PIN comes from the host", async () => {
    pad.person([0, TYPES]);
    expect((await tokens.findToken(parseUri(token.uri))).pinPad).toBe(true);
    expect(pad.calls()).toEqual([]);
    expect(await twice()).toEqual([true, true]);
    expect(pad.calls()).toEqual(["C_Login user"]);
    expect(told).toEqual([
      { kind: "user", what: "login", token: expect.objectContaining({ label: token.label }) },
    ]);
  });

  it.each([
    ["wrong", "types 0000", "ERR_PIN_REFUSED"],
    ["refused", RETURNS.refused, "ERR_PIN_REFUSED"],
    ["cancelled", RETURNS.cancelled, "ERR_PIN_CANCELED"],
    ["rejected", RETURNS.rejected, "ERR_PIN_CANCELED"],
    ["locked", RETURNS.locked, "ERR_PIN_LOCKED"],
    ["expired", RETURNS.expired, "ERR_PIN_EXPIRED"],
    ["lost to a failure", RETURNS.failed, "ERR_PKCS11"],
  ])("whose PIN is %s does not ask a second time", async (_what, act, code) => {
    pad.person([0, act], [0, TYPES]);
    expect(await twice()).toEqual([code, code]);
    expect(pad.calls()).toEqual(["C_Login user"]);
    expect(told).toHaveLength(1);
  });

  it("does not ask a second time after a crash either", async () => {
    pad.person([0, "crashes"], [0, TYPES]);
    expect(await twice()).toEqual(["ERR_TOKEN_CRASHED", "ERR_PIN_REFUSED"]);
    expect(pad.calls()).toEqual(["C_Login user"]);
    expect(told).toHaveLength(1);
  });

  it("may take longer than a token: no time limit runs while a person is at it", async () => {
    await reopen({ timeoutMs: 4_000 });
    pad.person([5_000, TYPES]);
    expect(await twice()).toEqual([true, true]);
  });

  it.each([
    ["locked", 0x40000, "ERR_PIN_LOCKED"],
    ["at its last try", 0x20000, "ERR_PIN_FINAL_TRY"],
  ])("of a token whose PIN is %s is not asked", async (_what, flags, code) => {
    pad.person([0, TYPES]);
    pad.flags(flags);
    expect(await twice()).toEqual([code, code]);
    expect(pad.calls()).toEqual([]);
    expect(told).toEqual([]);
  });

  it("is asked for the last try if forced, and the person learns that", async () => {
    await reopen({ force: true });
    pad.person([0, TYPES]);
    pad.flags(0x20000);
    expect(await twice()).toEqual([true, true]);
    expect(told[0]?.token.pin).toBe("final-try");
  });

  it("is not asked if nobody can be told", async () => {
    await tokens.close();
    tokens = new TokenProcess({
      ...{ modules: [pad.module], home: "/nonexistent", env: process.env },
      pin: () => Promise.resolve(USER_PIN),
      pad: () => {
        throw new TokenError("ERR_NOBODY", "nobody is there");
      },
    });
    pad.person([0, TYPES]);
    expect(await twice()).toEqual(["ERR_NOBODY", "ERR_NOBODY"]);
    expect(pad.calls()).toEqual([]);
  });

  it("that still waits for a person does not keep the token's process alive", async () => {
    pad.person([60_000, TYPES]);
    const login = opens("rsa").catch((error: unknown) => error);
    while (pad.asked() === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    const started = performance.now();
    await tokens.close();
    expect(await login).toMatchObject({ code: "ERR_TOKEN_CRASHED" });
    expect(performance.now() - started).toBeLessThan(15_000);
  }, 30_000);
});

describe("keys that require the PIN for each use, on a PIN pad", () => {
  it("ask for each use, one after the other", async () => {
    pad.person([0, TYPES], [50, TYPES], [50, TYPES], [50, TYPES]);
    expect(await twice("decrypts")).toEqual([true, true]);
    expect(await opens("rsa")).toBe(true);
    expect(pad.calls()).toEqual(["C_Login user", "C_Login use", "C_Login use"]);
    expect(told.map(({ what }) => what)).toEqual(["login", "use", "use"]);

    const key = await tokens.findKey({ ...parseUri(token.uri), object: "signs" });
    const signer = await tokens.identity(key, "sign").unlock();
    const message = randomBytes(40);
    const signature = await sign(signer, message);
    expect(verifySignature(signer.publicKey, message, signature)).toBe(true);
    expect(pad.calls()).toHaveLength(4);
  });

  it("ask one person one question at a time", async () => {
    pad.person([0, TYPES], [100, TYPES], [100, TYPES]);
    await opens("rsa");
    expect(await Promise.all([opens("decrypts"), opens("decrypts")])).toEqual([true, true]);
    expect(pad.calls()).toEqual(["C_Login user", "C_Login use", "C_Login use"]);
  });

  it.each([
    ["wrong", "types 0000", "ERR_PIN_REFUSED"],
    ["cancelled", RETURNS.cancelled, "ERR_PIN_CANCELED"],
  ])("ask for none after one that was %s", async (_what, act, code) => {
    pad.person([0, TYPES], [0, act], [0, TYPES]);
    expect(await twice("decrypts")).toEqual([code, code]);
    expect(pad.calls()).toEqual(["C_Login user", "C_Login use"]);
  });
});

describe("what a reader without a PIN returns", () => {
  const info = { label: "card" } as TokenInfo;
  const failure = (ckr: string): TokenError => new TokenError("ERR_PKCS11", "no", { ckr });

  it.each([
    ["CKR_FUNCTION_CANCELED", 2_000, "ERR_PIN_CANCELED", 'token "card": the PIN was cancelled'],
    ["CKR_FUNCTION_REJECTED", 9_000, "ERR_PIN_CANCELED", 'token "card": the PIN was cancelled'],
    [
      "CKR_FUNCTION_CANCELED",
      15_200,
      "ERR_PIN_PAD_TIMEOUT",
      'token "card": the reader got no PIN within 15 s',
    ],
  ])("%s after %d ms means %s", (ckr, tookMs, code, message) => {
    expect(padEnded(failure(ckr), info, tookMs)).toMatchObject({ code, message, ckr });
  });

  it("is another failure otherwise, however long it took", () => {
    expect(padEnded(failure("CKR_PIN_INCORRECT"), info, 20_000)).toBeUndefined();
    expect(padEnded(failure("CKR_DEVICE_ERROR"), info, 20_000)).toBeUndefined();
  });
});
