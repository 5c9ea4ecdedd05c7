import { describe, expect, it } from "@jest/globals";
import { fromHex, toHex } from "../../src/bytes.js";
import {
  ML_KEM_BYTES,
  mlKem,
  nobleMlKem,
  nodeMlKem,
  requireMlKemKey,
  type MlKem,
  type MlKemSet,
} from "../../src/keys/ml-kem.js";
import { refusal } from "./support.js";
import { describeVectors, wycheproof } from "../support/vectors.js";

const SETS: readonly MlKemSet[] = ["ml-kem-768", "ml-kem-1024"];
const seed = Uint8Array.from({ length: 64 }, (_, i) => 3 * i);
const own = nodeMlKem();

/** Each implementation that there is here. */
const implementations: [string, () => Promise<MlKem>][] = [
  ["@noble/post-quantum", nobleMlKem],
  ...(own === undefined ? [] : [["node:crypto", () => Promise.resolve(own)] as const]),
].map(([name, get]) => [name as string, get as () => Promise<MlKem>]);

it("is node:crypto's from Node 24.7 on, else the package's", async () => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const isNew = major > 24 || (major === 24 && minor >= 7);
  expect((await mlKem()).name).toBe(isNew ? "node:crypto" : "@noble/post-quantum");
});

describe.each(implementations)("by %s", (_name, get) => {
  it.each(SETS)(
    "%s: what is encapsulated comes out again, by every implementation",
    async (set) => {
      const mine = await get();
      const publicKey = mine.publicKey(set, seed);
      const { shared, ciphertext } = mine.encapsulate(set, publicKey);
      expect([publicKey.length, ciphertext.length]).toEqual(Object.values(ML_KEM_BYTES[set]));
      expect(shared).toHaveLength(32);
      for (const [, other] of implementations) {
        const theirs = await other();
        expect(toHex(theirs.publicKey(set, seed))).toBe(toHex(publicKey));
        expect(toHex(theirs.decapsulate(set, seed, ciphertext))).toBe(toHex(shared));
      }
    },
  );

  it.each(SETS)(
    "%s: an altered ciphertext gives another secret, the same each time",
    async (set) => {
      const mine = await get();
      const { shared, ciphertext } = mine.encapsulate(set, mine.publicKey(set, seed));
      ciphertext[5] = (ciphertext[5] as number) ^ 1;
      const rejected = mine.decapsulate(set, seed, ciphertext);
      expect(toHex(rejected)).not.toBe(toHex(shared));
      for (const [, other] of implementations) {
        expect(toHex((await other()).decapsulate(set, seed, ciphertext))).toBe(toHex(rejected));
      }
    },
  );

  it("leaves the seed as it was", async () => {
    const mine = await get();
    const mySeed = seed.slice();
    const { ciphertext } = mine.encapsulate("ml-kem-768", mine.publicKey("ml-kem-768", mySeed));
    mine.decapsulate("ml-kem-768", mySeed, ciphertext);
    expect(mySeed).toEqual(seed);
  });
});

interface Decapsulation {
  readonly seed: string;
  readonly ek?: string;
  readonly c: string;
  readonly K: string;
}

describeVectors("ML-KEM in Wycheproof", () => {
  const files: [MlKemSet, string][] = [
    ["ml-kem-768", "mlkem_768"],
    ["ml-kem-1024", "mlkem_1024"],
  ];

  describe.each(implementations)("by %s", (_name, get) => {
    it.each(files)("%s: every valid case decapsulates", async (set, file) => {
      const mine = await get();
      const cases = wycheproof<object, Decapsulation>(file).filter(
        ({ test }) => test.result === "valid",
      );
      expect(cases.length).toBeGreaterThan(90);
      for (const { test } of cases) {
        const [mySeed, ciphertext] = [fromHex(test.seed), fromHex(test.c)];
        expect([test.tcId, toHex(mine.decapsulate(set, mySeed, ciphertext))]).toEqual([
          test.tcId,
          test.K,
        ]);
        if (test.ek === undefined) continue;
        expect([test.tcId, toHex(mine.publicKey(set, mySeed))]).toEqual([test.tcId, test.ek]);
      }
    });

    it("ml-kem-768: every key comes from its seed", async () => {
      const mine = await get();
      for (const { test } of wycheproof<object, { seed: string; ek: string }>(
        "mlkem_768_keygen_seed",
      )) {
        const publicKey = mine.publicKey("ml-kem-768", fromHex(test.seed));
        expect([test.tcId, toHex(publicKey)]).toEqual([test.tcId, test.ek]);
      }
    });
  });

  it("takes exactly the public keys that are valid", () => {
    for (const { test } of wycheproof<object, { ek: string }>("mlkem_768_encaps")) {
      const { code } = refusal(() => {
        requireMlKemKey("ml-kem-768", fromHex(test.ek));
      });
      expect([test.tcId, code === "ERR_KEY"]).toEqual([test.tcId, test.result !== "valid"]);
    }
  });
});
