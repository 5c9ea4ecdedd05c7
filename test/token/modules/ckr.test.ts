/** Return values: each one that a module can give has a name, a sentence and a remedy. */
import { createRequire } from "node:module";
import { describe, expect, it } from "@jest/globals";
import { knownReturnValues, returnValue } from "../../../src/token/modules/ckr.js";

/** The names that pkcs11js has. */
const named = Object.entries(createRequire(import.meta.url)("pkcs11js") as Record<string, unknown>)
  .filter((entry): entry is [string, number] => entry[0].startsWith("CKR_"))
  .filter(([name]) => name !== "CKR_OK" && name !== "CKR_VENDOR_DEFINED");

/** The names it lacks: of v2.40 (§5.1), v3.0 and v3.2. */
const lacking: readonly (readonly [string, number])[] = [
  ["CKR_ACTION_PROHIBITED", 0x1b],
  ["CKR_AEAD_DECRYPT_FAILED", 0x42],
  ["CKR_CURVE_NOT_SUPPORTED", 0x140],
  ["CKR_TOKEN_RESOURCE_EXCEEDED", 0x201],
  ["CKR_OPERATION_CANCEL_FAILED", 0x202],
  ["CKR_KEY_EXHAUSTED", 0x203],
  ["CKR_PENDING", 0x204],
  ["CKR_SESSION_ASYNC_NOT_SUPPORTED", 0x205],
  ["CKR_SEED_RANDOM_REQUIRED", 0x206],
  ["CKR_OPERATION_NOT_VALIDATED", 0x207],
  ["CKR_TOKEN_NOT_INITIALIZED", 0x208],
  ["CKR_PARAMETER_SET_NOT_SUPPORTED", 0x209],
];

describe("every return value of PKCS#11", () => {
  it("that pkcs11js names is known by the same name", () => {
    expect(named.length).toBeGreaterThan(80);
    for (const [name, code] of named) expect(returnValue(code).name).toBe(name);
  });

  it("that it lacks is known too, and the table has no other", () => {
    for (const [name, code] of lacking) expect(returnValue(code).name).toBe(name);
    const all = [...named, ...lacking].map(([, code]) => code).sort((a, b) => a - b);
    expect(knownReturnValues()).toEqual([...new Set(all)]);
  });

  it.each(knownReturnValues())("0x%x has a sentence, and a remedy", (code) => {
    const { sentence, hint } = returnValue(code);
    expect(sentence).toMatch(/^[a-z].{8,}[^.]$/);
    expect(hint).toMatch(/^[a-zC`p].{8,}[^.]$/);
  });

  it("that a person can cause has a remedy of its own, not a request to report it", () => {
    const report = returnValue(BUFFER_TOO_SMALL).hint;
    expect(report).toContain("please report it");
    for (const code of ACTIONABLE) expect(returnValue(code).hint).not.toBe(report);
  });

  it("of a vendor keeps its number, and has a remedy", () => {
    expect(returnValue(0x8000_0001)).toMatchObject({ name: "CKR_0x80000001" });
    expect(returnValue(0x8000_0001).hint).not.toBe("");
  });
});

const BUFFER_TOO_SMALL = 0x150;

/** PINs, tokens that come and go, configuration, kinds of keys, permissions, damaged files. */
const ACTIONABLE = [
  ...[0x02, 0x03, 0x05, 0x06, 0x07, 0x30, 0x31, 0x32, 0x40, 0x41, 0x54, 0x60, 0x62, 0x63, 0x68],
  ...[0x70, 0x71, 0x82, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xb0, 0xb1, 0xb3, 0xb5, 0xb6, 0xe0, 0xe1],
  ...[0xe2, 0xf0, 0x100, 0x101, 0x102, 0x104, 0x110, 0x112, 0x113, 0x130, 0x140, 0x190, 0x1b0],
  ...[0x1b6, 0x1b7, 0x1b8, 0x200, 0x201, 0x203, 0x206, 0x208, 0x209],
];
