/**
 * PINs and retry counters. SoftHSM never locks, so the tests make it report the flags of stricter
 * tokens.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { TOKEN_FLAG } from "../../../src/token/modules/constants.js";
import { pinState } from "../../../src/token/session/token-info.js";
import type { TokenAccess, TokenAccessOptions } from "../../../src/token/access.js";
import type { KeyInfo, PinRequest } from "../../../src/token/values.js";
import { parseUri } from "../../../src/token/uri.js";
import { TEST_KEYS } from "../../support/keys.js";
import {
  freshToken,
  importKey,
  softHsmAccess,
  type TestToken,
  USER_PIN,
} from "../../support/softhsm.js";

/** Every PIN that reached the module, and the token info that it is made to report. */
const sent: string[] = [];
let addFlags = 0;
let removeFlags = 0;
let loginFails: number | undefined;
let isRemovable = false;

let token: TestToken;
let access: TokenAccess;
let asked: PinRequest[];

beforeAll(async () => {
  await listenToNative();
  token = await freshToken("login");
  const privateHalf = { UNWRAP: true };
  await importKey(token, TEST_KEYS.rsa2048, { label: "a", id: Uint8Array.of(1), privateHalf });
  await importKey(token, TEST_KEYS.rsa3072, { label: "b", id: Uint8Array.of(2), privateHalf });
});

beforeEach(() => {
  sent.length = 0;
  addFlags = 0;
  removeFlags = 0;
  loginFails = undefined;
  isRemovable = false;
});

afterEach(async () => {
  await access.close();
});

/** Hooks in between pkcs11js' JavaScript and its native part, before any module is opened. */
async function listenToNative(): Promise<void> {
  const { default: pkcs11 } = (await import("pkcs11js")) as unknown as {
    default: { PKCS11: { prototype: object } };
  };
  const native = Object.getPrototypeOf(pkcs11.PKCS11.prototype) as Record<
    "C_Login" | "C_GetTokenInfo" | "C_GetSlotInfo",
    (...args: unknown[]) => unknown
  >;
  const { C_Login, C_GetTokenInfo, C_GetSlotInfo } = native;
  native.C_GetSlotInfo = function (this: unknown, ...args: unknown[]) {
    const info = C_GetSlotInfo.apply(this, args) as { flags: number };
    if (isRemovable) info.flags |= 2;
    return info;
  };
  native.C_Login = function (this: unknown, ...args: unknown[]) {
    if (args[1] === 1) sent.push(args[2] as string);
    if (loginFails !== undefined) throw new Error(`CKR_SOME:${loginFails}`);
    return C_Login.apply(this, args);
  };
  native.C_GetTokenInfo = function (this: unknown, ...args: unknown[]) {
    const info = C_GetTokenInfo.apply(this, args) as { flags: number };
    info.flags = (info.flags | addFlags) & ~removeFlags;
    return info;
  };
}

async function open(pin: string, options: Partial<TokenAccessOptions> = {}): Promise<KeyInfo[]> {
  asked = [];
  access = softHsmAccess({
    pin: (request) => {
      asked.push(request);
      return Promise.resolve(pin);
    },
    ...options,
  });
  const keys = await access.keys(parseUri(token.uri));
  expect(keys).toHaveLength(2);
  return keys;
}

async function unlock(key: KeyInfo | undefined): Promise<unknown> {
  if (key === undefined) throw new Error("no key");
  return access
    .identity(key)
    .unlock()
    .catch((error: unknown) => error);
}

/** The codes from unlocking both keys of the token, one after the other. */
async function unlockBoth(keys: readonly KeyInfo[]): Promise<unknown[]> {
  const codes: unknown[] = [];
  for (const key of keys) codes.push(((await unlock(key)) as { code?: string }).code);
  return codes;
}

describe("a PIN", () => {
  it("is asked for and sent once, however many keys are used, and not before", async () => {
    const keys = await open(USER_PIN);
    expect(asked).toEqual([]);
    expect(await unlockBoth(keys)).toEqual([undefined, undefined]);
    await Promise.all(keys.map(unlock));
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ kind: "user", fresh: false, token: { label: token.label } });
    expect(sent).toEqual([USER_PIN]);
  });

  it("that is wrong is sent once, and the refusal is remembered for every key", async () => {
    const keys = await open("wrong");
    const results = await Promise.all(keys.map(unlock));
    expect(results.map((error) => (error as { code?: string }).code)).toEqual([
      "ERR_PIN_REFUSED",
      "ERR_PIN_REFUSED",
    ]);
    expect(await unlockBoth(keys)).toEqual(["ERR_PIN_REFUSED", "ERR_PIN_REFUSED"]);
    expect(asked).toHaveLength(1);
    expect(sent).toEqual(["wrong"]);
    expect(results[0]).toMatchObject({ fn: "C_Login", ckr: "CKR_PIN_INCORRECT" });
    expect(JSON.stringify(results) + String(results[0])).not.toContain("wrong");
  });

  it.each(["", "12\n34", "123", "1".repeat(256)])(
    "that no token can have is not sent: %j",
    async (pin) => {
      const keys = await open(pin);
      expect((await unlockBoth(keys))[0]).toMatch(/^ERR_PIN_(EMPTY|FORMAT|LENGTH)$/);
      expect(sent).toEqual([]);
    },
  );

  it("is not asked for twice when its source fails", async () => {
    const keys = await open(USER_PIN, {
      pin: (request) => {
        asked.push(request);
        return Promise.reject(new Error("no terminal"));
      },
    });
    expect(await unlock(keys[0])).toMatchObject({ message: "no terminal" });
    expect(await unlock(keys[1])).toMatchObject({ message: "no terminal" });
    expect(asked).toHaveLength(1);
    expect(sent).toEqual([]);
  });

  it.each([
    ["locked", TOKEN_FLAG.USER_PIN_LOCKED, 0, "ERR_PIN_LOCKED"],
    ["at its final try", TOKEN_FLAG.USER_PIN_FINAL_TRY, 0, "ERR_PIN_FINAL_TRY"],
  ])("that is %s is neither asked for nor sent", async (_state, add, remove, code) => {
    const keys = await open(USER_PIN);
    addFlags = add;
    removeFlags = remove;
    expect(await unlockBoth(keys)).toEqual([code, code]);
    expect(asked).toEqual([]);
    expect(sent).toEqual([]);
  });

  it("is sent where the flag that says it is set is missing, as on some HSMs", async () => {
    const keys = await open(USER_PIN);
    removeFlags = TOKEN_FLAG.USER_PIN_INITIALIZED;
    expect(await unlockBoth(keys)).toEqual([undefined, undefined]);
    expect(sent).toEqual([USER_PIN]);
  });

  it("is sent on the final try if forced, and the source learns that", async () => {
    const keys = await open(USER_PIN, { force: true });
    addFlags = TOKEN_FLAG.USER_PIN_FINAL_TRY;
    expect(await unlockBoth(keys)).toEqual([undefined, undefined]);
    expect(asked[0]?.token.pin).toBe("final-try");
    expect(sent).toEqual([USER_PIN]);
  });

  it("that is locked is not sent even by force", async () => {
    const keys = await open(USER_PIN, { force: true });
    addFlags = TOKEN_FLAG.USER_PIN_LOCKED | TOKEN_FLAG.USER_PIN_FINAL_TRY;
    expect(await unlockBoth(keys)).toEqual(["ERR_PIN_LOCKED", "ERR_PIN_LOCKED"]);
    expect(sent).toEqual([]);
  });

  it.each([
    [0xa4, "ERR_PIN_LOCKED"],
    [0xa3, "ERR_PIN_EXPIRED"],
    [0xa1, "ERR_PIN_REFUSED"],
    [0x102, "ERR_PIN_NOT_SET"],
    [0x30, "ERR_PKCS11"],
    [0xe0, "ERR_TOKEN_REMOVED"],
  ])("refused with return value 0x%x is %s, and sent once", async (value, code) => {
    const keys = await open(USER_PIN);
    loginFails = value;
    expect(await unlockBoth(keys)).toEqual([code, code]);
    expect(sent).toEqual([USER_PIN]);
  });

  it("is not needed where somebody in this process is logged in already", async () => {
    const keys = await open(USER_PIN);
    loginFails = 0x100;
    expect(((await unlock(keys[0])) as { code?: string }).code).not.toMatch(/PIN/);
  });

  it("is sent to a token without CKF_TOKEN_INITIALIZED, if it has a name", async () => {
    removeFlags = TOKEN_FLAG.TOKEN_INITIALIZED;
    const keys = await open(USER_PIN);
    expect(await unlockBoth(keys)).toEqual([undefined, undefined]);
  });

  it("is asked for by a token that requires no login and hides its private keys until one", async () => {
    const keys = await open(USER_PIN);
    removeFlags = TOKEN_FLAG.LOGIN_REQUIRED;
    expect(await unlockBoth(keys)).toEqual([undefined, undefined]);
    expect(asked).toHaveLength(1);
    expect(sent).toEqual([USER_PIN]);
  });

  it("is not asked for by a token that requires no login and has no PIN", async () => {
    const keys = await open(USER_PIN);
    removeFlags = TOKEN_FLAG.LOGIN_REQUIRED | TOKEN_FLAG.USER_PIN_INITIALIZED;
    // SoftHSM itself still hides the private key, so it isn't found; this is about the PIN.
    expect(((await unlock(keys[0])) as { code?: string }).code).toBe("ERR_KEY_NOT_FOUND");
    expect(asked).toEqual([]);
  });
});

describe("a wrong PIN of a person", () => {
  it.each([
    ["of a token that stays", false, ["0000", "1111", "2222"]],
    ["of a card, which may lock at the third", true, ["0000", "1111"]],
  ])("%s is followed by others, and none is sent twice", async (_what, removable, expected) => {
    const others = ["1111", "2222", "3333"];
    const keys = await open("", {
      pin: () =>
        Promise.resolve({ typed: "0000", again: () => Promise.resolve(others.shift() ?? "") }),
    });
    isRemovable = removable;
    removeFlags = TOKEN_FLAG.USER_PIN_COUNT_LOW;
    expect(await unlockBoth(keys)).toEqual(["ERR_PIN_REFUSED", "ERR_PIN_REFUSED"]);
    expect(sent).toEqual(expected);
  });

  it("is not followed by one that the person was asked for in vain", async () => {
    const keys = await open("", {
      pin: () => Promise.resolve({ typed: "0000", again: () => Promise.resolve("0000") }),
    });
    removeFlags = TOKEN_FLAG.USER_PIN_COUNT_LOW;
    expect(await unlockBoth(keys)).toEqual(["ERR_PIN_REFUSED", "ERR_PIN_REFUSED"]);
    expect(sent).toEqual(["0000"]);
  });
});

describe("the PIN's state", () => {
  const ready = TOKEN_FLAG.LOGIN_REQUIRED | TOKEN_FLAG.USER_PIN_INITIALIZED;
  it.each([
    [ready, "ok"],
    [ready | TOKEN_FLAG.USER_PIN_COUNT_LOW, "low"],
    [ready | TOKEN_FLAG.USER_PIN_COUNT_LOW | TOKEN_FLAG.USER_PIN_FINAL_TRY, "final-try"],
    [ready | TOKEN_FLAG.USER_PIN_FINAL_TRY | TOKEN_FLAG.USER_PIN_LOCKED, "locked"],
    [TOKEN_FLAG.LOGIN_REQUIRED, "not-set"],
    [TOKEN_FLAG.LOGIN_REQUIRED | TOKEN_FLAG.USER_PIN_FINAL_TRY, "final-try"],
    [TOKEN_FLAG.LOGIN_REQUIRED | TOKEN_FLAG.USER_PIN_LOCKED, "locked"],
    [TOKEN_FLAG.USER_PIN_INITIALIZED, "ok"],
    [0, "not-set"],
  ])("of flags 0x%x is %s", (flags, state) => {
    expect(pinState(flags)).toBe(state);
  });
});
