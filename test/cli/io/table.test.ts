/** Tables for people: aligned, and no wider than the terminal as far as cells allow. */
import { describe, expect, it } from "@jest/globals";
import { table } from "../../../src/cli/io/table.js";

const rows = [
  ["alice", "P-256", "pkcs11:token=alice;object=exchange"],
  ["b", "RSA-3072", "pkcs11:token=b"],
];

describe("a table", () => {
  it("has its columns beside each other where there is room, or no terminal", () => {
    const wide =
      "alice  P-256     pkcs11:token=alice;object=exchange\nb      RSA-3072  pkcs11:token=b\n";
    expect(table(rows)).toBe(wide);
    expect(table(rows, 51)).toBe(wide);
  });

  it("puts what does not fit below its row, whole", () => {
    expect(table(rows, 50)).toBe(
      "alice  P-256\n    pkcs11:token=alice;object=exchange\nb      RSA-3072\n    pkcs11:token=b\n",
    );
    expect(table(rows, 3).split("\n").slice(0, 3)).toEqual([
      "alice",
      "    P-256",
      "    pkcs11:token=alice;object=exchange",
    ]);
  });
});
