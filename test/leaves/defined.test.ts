import { describe, expect, it } from "@jest/globals";
import { defined } from "../../src/defined.js";

describe("defined", () => {
  it("leaves out what is undefined, and nothing else", () => {
    const values = { code: "ERR", hint: undefined, count: 0, empty: "", none: null, no: false };
    expect(Object.keys(defined(values))).toEqual(["code", "count", "empty", "none", "no"]);
  });

  it("gives options that exactOptionalPropertyTypes takes", () => {
    const maybe = (hint?: string): { hint?: string } => defined({ hint });
    expect(Object.hasOwn(maybe(), "hint")).toBe(false);
    expect(maybe("try again")).toEqual({ hint: "try again" });
  });
});
