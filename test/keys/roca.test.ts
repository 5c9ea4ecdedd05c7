import { describe, expect, it } from "@jest/globals";
import { fromHex } from "../../src/bytes.js";
import type { RsaPublicKey } from "../../src/keys/key.js";
import { publicKeyFromRsa } from "../../src/keys/public-key.js";
import { requireExchange } from "../../src/keys/recipient-strength.js";
import { isRoca } from "../../src/keys/roca.js";
import { describeVectors, vectorJson } from "../support/vectors.js";
import { codeOf, testKey } from "./support.js";

interface RocaVectors {
  readonly vectors: readonly { bits: number; modulus: string; roca: boolean }[];
}

const E = fromHex("010001");

describe("ROCA's fingerprint", () => {
  it.each(["rsa2048", "rsa3072", "rsa4096"] as const)("an OpenSSL key, %s, has none", (name) => {
    expect(isRoca((testKey(name) as RsaPublicKey).modulus)).toBe(false);
  });

  it("leading zeros don't change the answer", () => {
    expect(isRoca(fromHex("0000010001"))).toBe(isRoca(fromHex("010001")));
  });
});

describeVectors("ROCA vectors", () => {
  const { vectors } = vectorJson<RocaVectors>("roca/roca.json");

  it("there are keys with and without the fingerprint", () => {
    expect(new Set(vectors.map(({ roca }) => roca)).size).toBe(2);
  });

  it.each(vectors.map((vector, index) => ({ index, ...vector })))(
    "vector $index, $bits bits: $roca",
    ({ modulus, roca }) => {
      expect(isRoca(fromHex(modulus))).toBe(roca);
    },
  );

  it("no message is sealed to such a key, unless weak keys are allowed by name", () => {
    const strong = vectors.filter(({ roca, bits }) => roca && bits >= 2048);
    expect(strong.length).toBeGreaterThan(0);
    for (const { modulus } of strong) {
      const key = publicKeyFromRsa(fromHex(modulus), E);
      expect(codeOf(() => requireExchange(key))).toBe("ERR_ROCA");
      expect(requireExchange(key, { allowWeak: true })).toBe(key);
    }
  });
});
