import { createHash } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { der, TAG } from "../../src/asn1/der.js";
import { concat, fromHex, toHex } from "../../src/bytes.js";
import type { EcCurve, EcPublicKey, RsaPublicKey, SinglePublicKey } from "../../src/keys/key.js";
import {
  bitLength,
  fingerprintGroups,
  fingerprintText,
  publicKeyFromEcPoint,
  publicKeyFromFileSpki,
  publicKeyFromRsa,
  publicKeyFromSpki,
  rsaNumbers,
  validatePoint,
} from "../../src/keys/public-key.js";
import { publicDer, TEST_KEYS } from "../support/keys.js";
import { describeVectors, wycheproof } from "../support/vectors.js";
import {
  ALL_KEY_NAMES,
  codeOf,
  fixtureDer,
  modulusOf,
  refusal,
  rsaKey,
  testKey,
} from "./support.js";

const E = fromHex("010001");
const CURVES = [
  ["P-256", "p256", 32],
  ["P-384", "p384", 48],
  ["P-521", "p521", 66],
] as const satisfies readonly (readonly [EcCurve, string, number])[];

function ecKey(name: "p256" | "p384" | "p521"): EcPublicKey {
  return testKey(name) as EcPublicKey;
}

describe("publicKeyFromSpki", () => {
  it.each(ALL_KEY_NAMES)("%s keeps its bytes, and its fingerprint is their SHA-256", (name) => {
    const spki = publicDer(TEST_KEYS[name]);
    const key = publicKeyFromSpki(spki) as SinglePublicKey;
    expect(toHex(key.spki)).toBe(toHex(spki));
    expect(toHex(key.fingerprint)).toBe(createHash("sha256").update(spki).digest("hex"));
    expect(toHex(new Uint8Array(key.object.export({ format: "der", type: "spki" })))).toBe(
      toHex(spki),
    );
  });

  it("the numbers are those OpenSSL reads", () => {
    const key = rsaKey("rsa3072");
    const jwk = key.object.export({ format: "jwk" });
    expect(key.bits).toBe(3072);
    expect(Buffer.from(key.modulus).toString("base64url")).toBe(jwk.n);
    expect(Buffer.from(rsaNumbers(key).exponent).toString("base64url")).toBe(jwk.e);
  });

  it("the caller's bytes can change without changing the key", () => {
    const spki = publicDer(TEST_KEYS.p256);
    const key = publicKeyFromSpki(spki) as EcPublicKey;
    const before = toHex(concat(key.spki, key.point));
    spki.fill(0);
    expect(toHex(concat(key.spki, key.point))).toBe(before);
  });

  it.each(ALL_KEY_NAMES)("%s cut at any byte is refused", (name) => {
    const spki = publicDer(TEST_KEYS[name]);
    for (let length = 0; length < spki.length; length++) {
      expect(codeOf(() => publicKeyFromSpki(spki.subarray(0, length)))).toBe("ERR_TRUNCATED");
    }
  });

  it.each(ALL_KEY_NAMES)("a byte after %s is refused", (name) => {
    const spki = concat(publicDer(TEST_KEYS[name]), Uint8Array.of(0));
    expect(codeOf(() => publicKeyFromSpki(spki))).toBe("ERR_TRAILING");
  });

  it.each(ALL_KEY_NAMES)(
    "%s with a byte changed is refused or another key, never the same",
    (name) => {
      const spki = publicDer(TEST_KEYS[name]);
      fc.assert(
        fc.property(fc.nat(spki.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
          const changed = spki.slice();
          changed[at] = (changed[at] as number) ^ flip;
          let parsed;
          const { code } = refusal(() => (parsed = publicKeyFromSpki(changed)));
          if (code === "none") expect(parsed).toMatchObject({ spki: changed });
          else expect(code).toMatch(/^ERR_(?:DER|TRUNCATED|TRAILING|KEY|KEY_TYPE|KEY_SIZE|POINT)$/);
        }),
        { numRuns: 100 },
      );
    },
  );

  it("random bytes are refused with a code, never with another kind of error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(codeOf(() => publicKeyFromSpki(bytes))).toMatch(/^ERR_/);
      }),
    );
  });

  it.each([
    ["an RSA-PSS key", "rsa-pss"],
    ["a DSA key", "dsa"],
    ["an X448 key", "x448"],
    ["an Ed448 key", "ed448"],
    ["a key on secp256k1", "secp256k1"],
    ["a key on a Brainpool curve", "brainpool"],
    ["a curve spelled out in full", "p256-explicit"],
  ])("%s is refused by its kind", (_, name) => {
    const { code, name: kind } = refusal(() => publicKeyFromSpki(fixtureDer(`${name}.spki.pem`)));
    expect([code, kind]).toEqual(["ERR_KEY_TYPE", "UnsupportedError"]);
  });

  it.each([
    ["RSA-PSS", "06092a864886f70d01010a", "ordinary RSA key"],
    ["ML-KEM", "0609608648016503040401", "hybrid key"],
    ["ML-DSA", "0609608648016503040312", ""],
  ])("%s keys are refused by name, with what to use instead", (name, oid, hint) => {
    const spki = der(
      TAG.sequence,
      der(TAG.sequence, fromHex(oid)),
      der(TAG.bitString, new Uint8Array(9)),
    );
    const found = refusal(() => publicKeyFromFileSpki(spki));
    expect([found.code, found.text]).toEqual([
      "ERR_KEY_TYPE",
      expect.stringContaining(`${name} keys are not supported`),
    ]);
    expect(found.text).toContain(hint);
  });

  it("an unknown algorithm is refused by its OID in numbers", () => {
    const spki = fromHex("300d300806062a864886f70d030100");
    expect(refusal(() => publicKeyFromSpki(spki)).text).toContain("OID 1.2.840.113549 ");
  });

  it("an OID of many bytes doesn't fill the message", () => {
    const spki = fromHex(`307f307a0678${"81".repeat(0x77)}01030100`);
    const { code, text } = refusal(() => publicKeyFromSpki(spki));
    expect(code).toBe("ERR_KEY_TYPE");
    expect(text.length).toBeLessThan(100);
  });

  it("an RSA key without its NULL parameter is not canonical, but is read from a file", () => {
    const spki = publicDer(TEST_KEYS.rsa2048);
    // 30 82 01 22 · 30 0d 06 09 … 05 00 · rest: two bytes less, twice.
    const bare = concat(fromHex("30820120300b"), spki.subarray(6, 17), spki.subarray(19));
    expect(codeOf(() => publicKeyFromSpki(bare))).toBe("ERR_KEY");
    expect(toHex(publicKeyFromFileSpki(bare).spki)).toBe(toHex(spki));
  });

  it.each(["p256", "p384", "p521"] as const)(
    "a compressed point, %s, is refused in messages and brought to form in files",
    (name) => {
      const compressed = fixtureDer(`${name}-compressed.spki.pem`);
      expect(codeOf(() => publicKeyFromSpki(compressed))).toBe("ERR_POINT");
      expect(toHex(publicKeyFromFileSpki(compressed).spki)).toBe(toHex(publicDer(TEST_KEYS[name])));
    },
  );

  it("a compressed x that no point has is refused in files", () => {
    const spki = fixtureDer("p256-compressed.spki.pem");
    const codes = Array.from({ length: 8 }, (_, flip) => {
      const changed = spki.slice();
      changed[changed.length - 1] = (changed.at(-1) as number) ^ (flip + 1);
      return codeOf(() => publicKeyFromFileSpki(changed));
    });
    expect(codes).toContain("ERR_POINT");
  });

  it("a hybrid point is refused everywhere", () => {
    const hybrid = fixtureDer("p256-hybrid.spki.pem");
    expect(codeOf(() => publicKeyFromSpki(hybrid))).toBe("ERR_POINT");
    expect(codeOf(() => publicKeyFromFileSpki(hybrid))).toBe("ERR_POINT");
  });
});

describe("points", () => {
  describe.each(CURVES)("on %s", (curve, name, size) => {
    const { point } = ecKey(name);
    const x = point.subarray(1, 1 + size);
    const y = point.subarray(1 + size);

    it("the key's own point passes and gives the same key", () => {
      validatePoint(curve, point);
      expect(toHex(publicKeyFromEcPoint(curve, point).spki)).toBe(toHex(testKey(name).spki));
    });

    it.each([
      ["infinity", Uint8Array.of(0)],
      ["nothing", new Uint8Array(0)],
      ["the origin", concat(Uint8Array.of(4), new Uint8Array(2 * size))],
      ["coordinates swapped", concat(Uint8Array.of(4), y, x)],
      ["a byte short", point.subarray(0, -1)],
      ["a byte long", concat(point, Uint8Array.of(0))],
      ["compressed", concat(Uint8Array.of(2 + ((y.at(-1) as number) & 1)), x)],
      ["hybrid", concat(Uint8Array.of(6 + ((y.at(-1) as number) & 1)), x, y)],
      ["without its 04", concat(x, y)],
      ["coordinates of all ones", concat(Uint8Array.of(4), new Uint8Array(2 * size).fill(0xff))],
      ["infinity in full length", new Uint8Array(1 + 2 * size)],
    ])("%s is refused", (_, bad) => {
      expect(
        codeOf(() => {
          validatePoint(curve, bad);
        }),
      ).toBe("ERR_POINT");
    });

    it("any one bit changed takes the point off the curve", () => {
      for (let bit = 8; bit < 8 * point.length; bit += 7) {
        const bad = point.slice();
        bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(
          codeOf(() => {
            validatePoint(curve, bad);
          }),
        ).toBe("ERR_POINT");
      }
    });

    it("a point of another curve is refused", () => {
      for (const [, other] of CURVES.filter(([each]) => each !== curve)) {
        expect(
          codeOf(() => {
            validatePoint(curve, ecKey(other).point);
          }),
        ).toBe("ERR_POINT");
      }
    });
  });

  it("an X25519 point has 32 bytes", () => {
    for (const length of [0, 31, 33]) {
      expect(
        codeOf(() => {
          validatePoint("X25519", new Uint8Array(length));
        }),
      ).toBe("ERR_POINT");
    }
  });
});

describe("publicKeyFromRsa", () => {
  const { modulus } = rsaKey("rsa2048");

  it("leading zeros, as tokens give them, don't make another key", () => {
    const padded = publicKeyFromRsa(concat(Uint8Array.of(0), modulus), fromHex("00010001"));
    expect(toHex(padded.spki)).toBe(toHex(testKey("rsa2048").spki));
  });

  it.each([
    ["no modulus", new Uint8Array(0), E],
    ["a modulus of zeros", new Uint8Array(256), E],
    ["an even modulus", concat(modulus.subarray(0, -1), Uint8Array.of(2)), E],
    ["a modulus of 511 bits", modulusOf(511), E],
    ["no exponent", modulus, new Uint8Array(0)],
    ["exponent 1", modulus, Uint8Array.of(1)],
    ["an even exponent", modulus, fromHex("010000")],
  ])("%s is not a key", (_, n, e) => {
    expect(codeOf(() => publicKeyFromRsa(n, e))).toBe("ERR_KEY");
  });

  it("numbers that would take OpenSSL forever are refused by their size", () => {
    const huge = new Uint8Array(2049).fill(0xff);
    expect(codeOf(() => publicKeyFromRsa(huge, E))).toBe("ERR_KEY_SIZE");
    expect(codeOf(() => publicKeyFromRsa(modulus, huge.subarray(0, 9)))).toBe("ERR_KEY_SIZE");
  });

  it("the length is counted in bits, not in bytes", () => {
    const key = publicKeyFromSpki(fixtureDer("rsa2047.spki.pem")) as RsaPublicKey;
    expect([key.bits, key.modulus.length]).toEqual([2047, 256]);
  });
});

describe("bitLength", () => {
  it("agrees with BigInt", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const value = BigInt(`0x0${toHex(bytes)}`);
        expect(bitLength(bytes)).toBe(value === 0n ? 0 : value.toString(2).length);
      }),
    );
  });
});

describe("fingerprints", () => {
  it("the text and the groups have the same digits", () => {
    const key = testKey("p256");
    const digits = createHash("sha256").update(publicDer(TEST_KEYS.p256)).digest("hex");
    expect(fingerprintText(key)).toBe(`SHA256:${digits}`);
    expect(fingerprintGroups(key)).toHaveLength(16);
    expect(fingerprintGroups(key).join("")).toBe(digits);
  });
});

describeVectors("Wycheproof, public keys", () => {
  const suites = [
    ["P-256", "ecdh_secp256r1_ecpoint"],
    ["P-384", "ecdh_secp384r1_ecpoint"],
    ["P-521", "ecdh_secp521r1_ecpoint"],
  ] as const;

  it.each(suites)("%s points: all valid ones and no invalid one pass", (curve, file) => {
    for (const { test } of wycheproof<object, { public: string }>(file)) {
      const code = codeOf(() => {
        validatePoint(curve, fromHex(test.public));
      });
      // Compressed points count as valid or acceptable there; in messages they are refused here.
      const expected =
        test.result === "valid" && test.public.startsWith("04") ? "none" : "ERR_POINT";
      if (test.result === "acceptable" && test.public.startsWith("04")) continue;
      expect(`${test.tcId} ${code}`).toBe(`${test.tcId} ${expected}`);
    }
  });

  it.each([
    ["P-256", "ecdh_secp256r1"],
    ["P-384", "ecdh_secp384r1"],
    ["P-521", "ecdh_secp521r1"],
  ])(
    "%s: no invalid SubjectPublicKeyInfo passes, and all canonical valid ones do",
    (curve, file) => {
      let accepted = 0;
      for (const { test } of wycheproof<object, { public: string }>(file)) {
        const found = curveOf(fromHex(test.public));
        if (test.result === "valid" && !test.flags.includes("CompressedPublic")) {
          expect(`${test.tcId} ${found}`).toBe(`${test.tcId} ${curve}`);
          accepted++;
        } else if (test.result === "invalid") {
          // Some are sound keys, but on another curve than the private key.
          expect(`${test.tcId} ${found}`).not.toBe(`${test.tcId} ${curve}`);
        }
      }
      expect(accepted).toBeGreaterThan(20);
    },
  );
});

function curveOf(spki: Uint8Array): string {
  let found = "none";
  const code = codeOf(() => {
    const key = publicKeyFromSpki(spki);
    found = key.type === "ec" ? key.curve : key.type;
  });
  return code === "none" ? found : code;
}
