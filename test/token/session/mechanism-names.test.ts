import { describe, expect, it } from "@jest/globals";
import { mechanismNames } from "../../../src/token/session/mechanism-names.js";

describe("the names of mechanisms", () => {
  it("are graphene's", async () => {
    const { MechanismEnum } = await import("graphene-pk11");
    const known = Object.entries(MechanismEnum).filter(([key]) => /^\d+$/.test(key));
    expect(known.length).toBeGreaterThan(250);
    expect(mechanismNames()).toEqual(Object.fromEntries(known));
  });
});
