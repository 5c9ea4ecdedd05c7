import { expect, it } from "@jest/globals";
import type { Module } from "../../../src/token/modules/module.js";
import { readDetails } from "../../../src/token/session/token-info.js";

/** A module whose token has these names. */
function moduleWith(label: string, serialNumber: string): Module {
  const common = { flags: 0, minPinLen: 4, maxPinLen: 8, firmwareVersion: { major: 1, minor: 0 } };
  const names = { manufacturerID: "maker\0\0", slotDescription: "slot" };
  const native = {
    C_GetTokenInfo: () => ({ ...common, ...names, label, serialNumber, model: "" }),
    C_GetSlotInfo: () => ({ flags: 0, ...names }),
  };
  return { native, path: "/m.so" } as unknown as Module;
}

it.each([
  ["office   ", "office"],
  ["office\0\0\0", "office"],
  // What was in memory, after the end of a C string.
  ["office\0ld label\0 ", "office"],
  ["\0", ""],
  ["my  office", "my  office"],
])("a token's names end at a NUL, and before blanks: %j", (label, expected) => {
  const { info } = readDetails(moduleWith(label, label), Buffer.alloc(8));
  expect(info).toMatchObject({ label: expected, serial: expected, manufacturer: "maker" });
  expect(info.uri).not.toContain("%00");
});

it("a name that is not UTF-8, which pkcs11js gives as another, stands in no URI", () => {
  const uriOf = (label: string, serial: string): string =>
    readDetails(moduleWith(label, serial), Buffer.alloc(8)).info.uri;
  expect(uriOf("caf\u{fffd}", "12")).toBe("pkcs11:manufacturer=maker;serial=12;model=");
  expect(uriOf("cafe", "\u{fffd}")).toBe("pkcs11:token=cafe;manufacturer=maker;model=");
  expect(uriOf("cafe", "12")).toBe("pkcs11:token=cafe;serial=12");
});
