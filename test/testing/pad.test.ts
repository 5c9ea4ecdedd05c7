/** The profile `pad`: a reader where a person types the PIN, and does what a test says. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import type { PKCS11 } from "pkcs11js";
import { type PadAnswer, testToken, type TestToken, wrapModule } from "../../src/testing/index.js";
import { CKU, TOKEN_FLAG } from "../../src/token/modules/constants.js";
import { type DirectFunctions, directFunctions } from "../../src/token/modules/koffi-library.js";
import { freshToken, rawModule, SOFTHSM_MODULE } from "../support/softhsm.js";

let hsm: TestToken;
let native: PKCS11;
let direct: DirectFunctions;
let session: Buffer;

beforeAll(async () => {
  hsm = await testToken({ label: "pad", keys: { sign: "ec:p256" }, profile: "pad" });
  native = await rawModule(hsm.module);
  direct = await directFunctions(hsm.module);
  session = native.C_OpenSession(slot(), 6);
});

afterEach(() => {
  hsm.faults.clear();
  hsm.forgetCalls();
  try {
    native.C_Logout(session);
  } catch {
    // Nobody was logged in.
  }
});

afterAll(() => hsm.close());

function slot(): Buffer {
  const [first] = native.C_GetSlotList(true);
  if (first === undefined) throw new Error("no slot");
  return first;
}

/** What a call returns: 0, or the number of its error. */
async function rv(call: Promise<void> | (() => void)): Promise<number> {
  try {
    if (typeof call === "function") call();
    else await call;
    return 0;
  } catch (error) {
    return (error as { code: number }).code;
  }
}

const login = (user: number = CKU.USER): Promise<number> =>
  rv(direct.C_Login(session, user, undefined));

describe("a token with a PIN pad", () => {
  it("says so, and lets a person type the right PIN, which nobody sends", async () => {
    expect(native.C_GetTokenInfo(slot()).flags & TOKEN_FLAG.PROTECTED_AUTHENTICATION_PATH).not.toBe(
      0,
    );
    expect(hsm.env["P11SEAL_PIN_SOURCE"]).toBeUndefined();
    expect(await login()).toBe(0);
    expect(native.C_GetSessionInfo(session).state).toBe(3);
    expect(hsm.calls().filter(({ fn }) => fn === "C_Login")).toMatchObject([
      { user: "CKU_USER", pin: false, rv: "CKR_OK" },
    ]);
  });

  it("takes no PIN from the host, not even the right one", async () => {
    expect(
      await rv(() => {
        native.C_Login(session, CKU.USER, hsm.pin);
      }),
    ).toBe(7);
    expect(
      await rv(() => {
        native.C_SetPIN(session, hsm.pin, hsm.pin);
      }),
    ).toBe(7);
    expect(hsm.calls().map(({ pin }) => pin)).toContain(true);
    expect(native.C_GetSessionInfo(session).state).toBe(2);
  });

  it.each<[PadAnswer, number]>([
    ["refused", 0xa0],
    ["cancelled", 0x50],
    ["locked", 0xa4],
    ["CKR_FUNCTION_REJECTED", 0x200],
    [0xa3, 0xa3],
  ])("answers once with %s, and then the person types the PIN", async (answer, value) => {
    const fault = hsm.faults.pad(answer, { times: 1 });
    expect([await login(), await login()]).toEqual([value, 0]);
    expect(fault.hits).toBe(1);
  });

  it("times out after as long as it is told", async () => {
    hsm.faults.pad("timed out", { takes: 300 });
    const start = performance.now();
    expect(await login()).toBe(0x50);
    expect(performance.now() - start).toBeGreaterThan(290);
  });

  it("refuses a PIN that is wrong as the token does", async () => {
    hsm.faults.pad("types", { pin: "00000000", times: 1 });
    expect([await login(), await login()]).toEqual([0xa0, 0]);
  });

  it("answers in the order of its questions", async () => {
    const [second, third] = [
      hsm.faults.pad("locked", { at: 2, times: 1 }),
      hsm.faults.pad("cancelled", { at: 3 }),
    ];
    expect(await login()).toBe(0);
    native.C_Logout(session);
    expect([await login(), await login(), await login()]).toEqual([0xa4, 0x50, 0x50]);
    expect([second.hits, third.hits]).toEqual([1, 2]);
    third.clear();
    expect(await login()).toBe(0);
  });

  it("lets a person change the PIN, and set it for the security officer", async () => {
    const copy = await hsm.clone();
    const other = await rawModule(copy.module);
    const own = await directFunctions(copy.module);
    const [one] = other.C_GetSlotList(true);
    if (one === undefined) throw new Error("no slot");
    const opened = other.C_OpenSession(one, 6);
    copy.faults.pad("types", { newPin: "11112222", times: 1 });
    expect(await rv(own.C_SetPIN(opened, undefined, undefined))).toBe(0);
    // The person still types the old one.
    expect(await rv(own.C_Login(opened, CKU.USER, undefined))).toBe(0xa0);
    expect(await rv(own.C_Login(opened, CKU.SO, undefined))).toBe(0);
    expect(await rv(own.C_InitPIN(opened, undefined))).toBe(0);
    other.C_Logout(opened);
    expect(await rv(own.C_Login(opened, CKU.USER, undefined))).toBe(0);
    await copy.close();
  });

  it("shows flags that a test wants to see", () => {
    hsm.faults.tokenFlags(TOKEN_FLAG.USER_PIN_FINAL_TRY);
    expect(native.C_GetTokenInfo(slot()).flags & TOKEN_FLAG.USER_PIN_FINAL_TRY).not.toBe(0);
    hsm.faults.clear();
    expect(native.C_GetTokenInfo(slot()).flags & TOKEN_FLAG.USER_PIN_FINAL_TRY).toBe(0);
  });
});

it("a person at a module that was there already types a PIN only if told which", async () => {
  await freshToken("behind-a-pad");
  await using wrapped = await wrapModule(SOFTHSM_MODULE, { profile: "pad" });
  const behind = await rawModule(wrapped.module);
  const own = await directFunctions(wrapped.module);
  const [one] = behind.C_GetSlotList(true);
  if (one === undefined) throw new Error("no slot");
  const opened = behind.C_OpenSession(one, 6);
  expect(await rv(own.C_Login(opened, CKU.USER, undefined))).toBe(0x50);
  wrapped.faults.pad("types", { pin: "no PIN of it" });
  expect(await rv(own.C_Login(opened, CKU.USER, undefined))).toBe(0xa0);
  behind.C_CloseSession(opened);
});

it("what means nothing is refused", async () => {
  const code = { code: "ERR_TEST_FAULT" };
  const set = (...how: Parameters<TestToken["faults"]["pad"]>): (() => unknown) => {
    return () => hsm.faults.pad(...how);
  };
  expect(set("locked", { pin: "1234" })).toThrow(expect.objectContaining(code));
  expect(set("types", { pin: "" })).toThrow(expect.objectContaining(code));
  expect(set("types", { takes: -1 })).toThrow(expect.objectContaining(code));
  expect(set("CKR_TIRED")).toThrow(expect.objectContaining(code));
  await using plain = await testToken({ label: "plain" });
  expect(() => plain.faults.pad("locked")).toThrow("no PIN pad");
});
