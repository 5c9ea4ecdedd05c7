import { describe, expect, it } from "@jest/globals";
import {
  DER_NULL,
  derAlgorithm,
  readAlgorithm,
  sameAlgorithm,
} from "../../src/asn1/algorithm-identifier.js";
import { DerReader } from "../../src/asn1/der.js";
import { fromHex, toHex } from "../../src/bytes.js";
import { codeOf } from "../keys/support.js";

const read = (hex: string) => readAlgorithm(new DerReader(fromHex(hex), "test value"));

describe("an algorithm identifier", () => {
  it.each([
    ["without parameters", "300506032b6570", { oid: "1.3.101.112" }],
    ["with NULL", "300706032b65700500", { oid: "1.3.101.112", parameters: DER_NULL }],
  ])("%s is read and written", (_, hex, value) => {
    expect(read(hex)).toEqual(value);
    expect(toHex(derAlgorithm(value))).toBe(hex);
  });

  it.each([
    ["two parameters", "300906032b657005000500", "ERR_TRAILING"],
    ["no OID", "30020500", "ERR_DER"],
    ["nothing", "3000", "ERR_TRUNCATED"],
  ])("with %s is refused", (_, hex, code) => {
    expect(codeOf(() => read(hex))).toBe(code);
  });

  it("is the same only with the same parameters", () => {
    const [bare, withNull] = [{ oid: "1.2" }, { oid: "1.2", parameters: DER_NULL }];
    expect(sameAlgorithm(bare, { oid: "1.2" })).toBe(true);
    expect(sameAlgorithm(withNull, { oid: "1.2", parameters: fromHex("0500") })).toBe(true);
    expect(sameAlgorithm(bare, withNull)).toBe(false);
    expect(sameAlgorithm(withNull, { oid: "1.2", parameters: fromHex("0400") })).toBe(false);
    expect(sameAlgorithm(bare, { oid: "1.3" })).toBe(false);
  });
});
