/** Faults on demand, and the log of calls, in this process and in others that use the token. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import type { PKCS11 } from "pkcs11js";
import { testToken, type TestToken, wrapModule } from "../../src/testing/index.js";
import { template } from "../../src/token/modules/template.js";
import { freshToken, rawModule, SOFTHSM_MODULE } from "../support/softhsm.js";

let hsm: TestToken;
let native: PKCS11;

beforeAll(async () => {
  hsm = await testToken({ label: "faults", keys: { ec: "ec:p256" } });
  native = await rawModule(hsm.module);
});

afterEach(() => {
  hsm.faults.clear();
});

afterAll(async () => {
  await hsm.close();
});

function codeOf(action: () => unknown): number | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    // C_FindObjects and a few more give the number in the message alone (docs/tokens.md).
    const { code, message } = error as { code?: number; message: string };
    return code ?? Number(/:(\d+)/.exec(message)?.[1]);
  }
}

function slot(): Buffer {
  const [first] = native.C_GetSlotList(true);
  if (first === undefined) throw new Error("no slot");
  return first;
}

describe("a function", () => {
  it("fails from the third call on, twice, as it was told while the module was loaded", () => {
    const fault = hsm.faults.fail("C_GetTokenInfo", { at: 3, times: 2, rv: "CKR_DEVICE_ERROR" });
    const one = slot();
    const codes = Array.from({ length: 6 }, () => codeOf(() => native.C_GetTokenInfo(one)));
    expect(codes).toEqual([undefined, undefined, 0x30, 0x30, undefined, undefined]);
    expect(fault.hits).toBe(2);
  });

  it("fails until the fault is cleared, and no longer", () => {
    const fault = hsm.faults.fail("C_GetInfo", { rv: 0x8000_0001 });
    expect(codeOf(() => native.C_GetInfo())).toBe(0x8000_0001);
    fault.clear();
    expect(codeOf(() => native.C_GetInfo())).toBeUndefined();
  });

  it("fails until a login only", () => {
    hsm.faults.fail("C_GetInfo", { rv: "CKR_FUNCTION_FAILED", until: "login" });
    expect(codeOf(() => native.C_GetInfo())).toBe(6);
    const session = native.C_OpenSession(slot(), 4);
    native.C_Login(session, 1, hsm.pin);
    expect(codeOf(() => native.C_GetInfo())).toBeUndefined();
    native.C_Logout(session);
    native.C_CloseSession(session);
  });

  it("takes longer", () => {
    hsm.faults.slow("C_GetInfo", 120, { times: 1 });
    const start = performance.now();
    native.C_GetInfo();
    expect(performance.now() - start).toBeGreaterThan(110);
  });

  it("gives back less, or something else", () => {
    const label = (): string => native.C_GetTokenInfo(slot()).label.trimEnd();
    hsm.faults.short("C_GetTokenInfo", { times: 1 });
    expect(label()).toBe("fault");
    hsm.faults.wrong("C_GetTokenInfo", { times: 1 });
    expect(label()).toBe("xaults");
    hsm.faults.short("C_GetSlotList", { times: 1 });
    const fewer = native.C_GetSlotList(true).length;
    expect(native.C_GetSlotList(true).length).toBe(fewer + 1);
  });

  it("cuts and changes the attribute that is named", () => {
    const session = native.C_OpenSession(slot(), 4);
    native.C_FindObjectsInit(session, template({ CLASS: 2 }));
    const [object] = native.C_FindObjects(session, 1);
    native.C_FindObjectsFinal(session);
    if (object === undefined) throw new Error("no public key");
    const read = (type: number): Buffer =>
      native.C_GetAttributeValue(session, object, [{ type }])[0]?.value as Buffer;
    const [point, id] = [read(0x181), read(0x102)];
    hsm.faults.short("C_GetAttributeValue", { attribute: "EC_POINT" });
    expect(read(0x102)).toEqual(id);
    expect(read(0x181)).toEqual(point.subarray(0, -1));
    hsm.faults.clear();
    hsm.faults.wrong("C_GetAttributeValue", { attribute: "ID" });
    expect(read(0x102)[0]).toBe((id[0] ?? 0) ^ 1);
    native.C_CloseSession(session);
  });

  it.each([
    ["crash", "SIGSEGV", null],
    ["abort", "SIGABRT", null],
    ["exit", null, 3],
  ] as const)("ends the process that calls it: %s", async (how, signal, status) => {
    const other = await hsm.clone();
    other.faults[how]("C_OpenSession");
    expect(await inOtherProcess(other)).toEqual({ signal, status });
    expect(other.calls().at(-1)).toMatchObject({ fn: "C_OpenSession", fault: how });
    expect(other.calls().at(-1)?.rv).toBeUndefined();
    await other.close();
  });

  it("hangs, and counts with other processes together", async () => {
    const other = await hsm.clone();
    const fault = other.faults.hang("C_OpenSession", { at: 2 });
    expect(await inOtherProcess(other)).toEqual({ signal: null, status: 0 });
    expect(fault.hits).toBe(0);
    expect(await inOtherProcess(other, () => fault.hits > 0)).toEqual({
      ...{ signal: "SIGKILL", status: null },
    });
    expect(fault.hits).toBe(1);
    await other.close();
  });

  it("can't have a fault that means nothing", () => {
    const set = (fn: string, rv: string | number = 5): (() => unknown) => {
      return () => hsm.faults.fail(fn as "C_Sign", { rv });
    };
    expect(set("C_Undo")).toThrow('no function "C_Undo"');
    expect(set("C_Sign", "CKR_TIRED")).toThrow('no return value "CKR_TIRED"');
    expect(set("C_Sign", -1)).toThrow("-1 is not a return value");
    expect(() => hsm.faults.fail("C_Sign", { rv: 5, at: 0 })).toThrow('"at" of a fault is 0');
    expect(() => hsm.faults.short("C_Login")).toThrow("C_Login gives back nothing");
  });
});

describe("a token that is pulled", () => {
  it("is gone, and comes back without its sessions and the login", () => {
    const session = native.C_OpenSession(slot(), 4);
    const one = slot();
    native.C_Login(session, 1, hsm.pin);
    hsm.faults.pull();
    expect(codeOf(() => native.C_GetSessionInfo(session))).toBe(0xb3);
    expect(codeOf(() => native.C_GetTokenInfo(one))).toBe(0xe0);
    expect(codeOf(() => native.C_OpenSession(one, 4))).toBe(0xe0);
    expect(native.C_GetSlotList(true)).not.toContainEqual(one);
    expect(native.C_GetSlotList(false)).toContainEqual(one);
    expect(native.C_GetSlotInfo(one).flags & 1).toBe(0);
    hsm.faults.insert();
    expect(codeOf(() => native.C_GetSessionInfo(session))).toBe(0xb3);
    const next = native.C_OpenSession(slot(), 4);
    expect(native.C_GetSessionInfo(next).state).toBe(0);
    native.C_CloseSession(next);
  });

  it("tells so to those who wait for it", () => {
    const event = (): Buffer | null => native.C_WaitForSlotEvent(1);
    while (event() !== null);
    hsm.faults.pull();
    expect(event()).not.toBeNull();
    expect(event()).toBeNull();
    hsm.faults.insert();
    expect(event()).not.toBeNull();
    expect(event()).toBeNull();
  });
});

describe("the log of calls", () => {
  it("has names, and neither PINs nor secret values", () => {
    const before = hsm.calls().length;
    const session = native.C_OpenSession(slot(), 6);
    native.C_Login(session, 1, hsm.pin);
    const value = Buffer.alloc(32, 0xab);
    const made = native.C_CreateObject(
      session,
      template({ CLASS: 4, KEY_TYPE: 0x10, LABEL: "secret", VALUE: value, EXTRACTABLE: true }),
    );
    native.C_GetAttributeValue(session, made, [{ type: 0x11 }]);
    native.C_DestroyObject(session, made);
    native.C_Logout(session);
    native.C_CloseSession(session);
    const calls = hsm.calls().slice(before);
    expect(calls.map(({ fn }) => fn)).toEqual([
      ...["C_GetSlotList", "C_GetSlotList", "C_OpenSession", "C_Login", "C_CreateObject"],
      ...["C_GetAttributeValue", "C_GetAttributeValue", "C_DestroyObject"],
      ...["C_Logout", "C_CloseSession"],
    ]);
    const created = calls.find(({ fn }) => fn === "C_CreateObject");
    expect(created).toMatchObject({ rv: "CKR_OK", pid: process.pid });
    expect(created?.attributes).toContainEqual({
      ...{ name: "CKA_LABEL", bytes: 6, hex: Buffer.from("secret").toString("hex") },
    });
    expect(created?.attributes).toContainEqual({ name: "CKA_VALUE", bytes: 32 });
    const text = JSON.stringify(hsm.calls());
    expect(text).not.toContain("abababab");
    expect(text).not.toContain(hsm.pin);
    expect(text).not.toContain(Buffer.from(hsm.pin).toString("hex"));
  });
});

/** Opens a session in another process; kills it once `isStuck`. */
async function inOtherProcess(
  { module }: TestToken,
  isStuck: () => boolean = () => false,
): Promise<{ signal: string | null; status: number | null }> {
  const binding = createRequire(import.meta.url).resolve("pkcs11js");
  const code = `const { PKCS11 } = require(${JSON.stringify(binding)});
    const p = new PKCS11(); p.load(${JSON.stringify(module)}); p.C_Initialize();
    p.C_OpenSession(p.C_GetSlotList(true)[0], 4);`;
  const child = spawn(process.execPath, ["-e", code], { stdio: "ignore" });
  const timer = setInterval(() => {
    if (isStuck()) child.kill("SIGKILL");
  }, 20);
  const [status, signal] = (await once(child, "close")) as [number | null, string | null];
  clearInterval(timer);
  return { signal, status };
}

it("works in front of a module that is there already", async () => {
  await using wrapped = await wrapModule(SOFTHSM_MODULE);
  const { label } = await freshToken("wrapped");
  const behind = await rawModule(wrapped.module);
  const labels = (): string[] =>
    behind.C_GetSlotList(true).map((one) => behind.C_GetTokenInfo(one).label.trimEnd());
  expect(labels()).toContain(label);
  wrapped.faults.fail("C_GetSlotList", { rv: "CKR_GENERAL_ERROR" });
  expect(codeOf(labels)).toBe(5);
  expect(wrapped.calls().at(-1)).toMatchObject({ fn: "C_GetSlotList", rv: "CKR_GENERAL_ERROR" });
});
