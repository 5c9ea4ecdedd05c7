import { expect, it, jest } from "@jest/globals";
import { freshToken, rawModule, SOFTHSM_MODULE } from "./softhsm.js";

async function labels(): Promise<string[]> {
  const native = await rawModule(SOFTHSM_MODULE);
  return native.C_GetSlotList(true).map((slot) => native.C_GetTokenInfo(slot).label.trim());
}

it("a test file sees no token of the file before it", async () => {
  expect(await labels()).toEqual([""]);
  const { label } = await freshToken("before");
  expect(await labels()).toContain(label);
  const before = process.env["SOFTHSM2_CONF"];
  // What jest does before the next file.
  jest.resetModules();
  await import("./file-folders.js");
  expect(process.env["SOFTHSM2_CONF"]).not.toBe(before);
  const next = await import("./softhsm.js");
  const native = await next.rawModule(SOFTHSM_MODULE);
  const slots = native.C_GetSlotList(true);
  expect(slots.map((slot) => native.C_GetTokenInfo(slot).label.trim())).toEqual([""]);
});
