/**
 * Diffie-Hellman as messages use it: a peer's point is validated by `validatePoint` before any
 * private key, in memory or on a token, is used with it. The result is the raw x-coordinate.
 */
import { describe, expect, it } from "@jest/globals";
import { concat, fromHex, toHex } from "../../src/bytes.js";
import type { EcCurve, PrivateKey } from "../../src/keys/key.js";
import { validatePoint } from "../../src/keys/public-key.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { isCanonical } from "../support/edwards.mjs";
import { describeVectors, wycheproof } from "../support/vectors.js";
import { agree } from "../support/private-key.js";
import { isFull } from "../support/scale.js";

interface EcdhTest {
  readonly public: string;
  readonly private: string;
  readonly shared: string;
}

const CURVES = [
  ["P-256", "secp256r1", 32],
  ["P-384", "secp384r1", 48],
  ["P-521", "secp521r1", 66],
] as const satisfies [EcCurve, string, number][];

type Outcome = "refused before the key" | "refused by the key" | { readonly shared: string };

/** The path of a peer's point to a private key and back. */
async function exchange(
  curve: EcCurve | "X25519",
  key: PrivateKey,
  peer: Uint8Array,
): Promise<Outcome> {
  try {
    validatePoint(curve, peer);
  } catch (error) {
    expect(error).toMatchObject({ code: "ERR_POINT" });
    return "refused before the key";
  }
  const shared = await agree(key, peer);
  return shared === null ? "refused by the key" : { shared: toHex(shared.expose()) };
}

describeVectors("ECDH known answers (Wycheproof)", () => {
  it.each(CURVES)(
    "%s: valid points agree, the others are refused before a key is used",
    async (curve, file, fieldBytes) => {
      const seen = { valid: 0, invalid: 0, acceptable: 0 };
      for (const { test } of wycheproof<object, EcdhTest>(`ecdh_${file}_ecpoint`)) {
        // A few of the hundreds of cases of each kind are enough; `npm run test:slow` runs all.
        const common = test.flags.includes("EdgeCaseDoubling") && test.tcId % 16 !== 0;
        if (common && !isFull) continue;
        const key = await ecKey(curve, fieldBytes, test.private);
        const outcome = await exchange(curve, key, fromHex(test.public));
        const expected: Outcome =
          test.result === "valid" ? { shared: test.shared } : "refused before the key";
        expect([test.tcId, test.comment, outcome]).toEqual([test.tcId, test.comment, expected]);
        seen[test.result]++;
      }
      expect(seen.valid).toBeGreaterThan(60);
      expect(seen.invalid).toBeGreaterThan(10);
    },
  );

  it("X25519: of canonical points every result but zeros comes out, zeros never do", async () => {
    const seen = { zero: 0, other: 0, "not canonical": 0 };
    for (const { test } of wycheproof<object, EcdhTest>("x25519")) {
      const key = await x25519Key(fromHex(test.private));
      const outcome = await exchange("X25519", key, fromHex(test.public));
      const kind = !isCanonical(fromHex(test.public))
        ? "not canonical"
        : /^0+$/.test(test.shared)
          ? "zero"
          : "other";
      const expected = {
        "not canonical": "refused before the key",
        zero: "refused by the key",
        other: { shared: test.shared },
      }[kind];
      expect([test.tcId, outcome]).toEqual([test.tcId, expected]);
      seen[kind]++;
    }
    expect(seen.zero).toBeGreaterThan(3);
    expect(seen.other).toBeGreaterThan(150);
    expect(seen["not canonical"]).toBeGreaterThan(10);
  });
});

describe("a key in memory", () => {
  it("refuses a point off its curve itself, too, if nobody did before", async () => {
    const key = await ecKey("P-256", 32, "01");
    for (const peer of [new Uint8Array(0), new Uint8Array(65), Uint8Array.of(4, 1, 2)]) {
      expect(await agree(key, peer)).toBeNull();
    }
  });
});

/** PKCS#8 of a scalar alone (RFC 5915 §3: the public key is optional). */
function ecKey(curve: EcCurve, fieldBytes: number, scalar: string): Promise<PrivateKey> {
  const d = fromHex(scalar.padStart(2 * fieldBytes, "0").slice(-2 * fieldBytes));
  const algorithm = der(0x30, fromHex("06072a8648ce3d0201"), fromHex(CURVE_OIDS[curve]));
  const ecPrivateKey = der(0x30, fromHex("020101"), der(0x04, d));
  return unlocked(der(0x30, fromHex("020100"), algorithm, der(0x04, ecPrivateKey)));
}

const CURVE_OIDS: Readonly<Record<EcCurve, string>> = {
  "P-256": "06082a8648ce3d030107",
  "P-384": "06052b81040022",
  "P-521": "06052b81040023",
};

/** RFC 8410 §7. */
function x25519Key(scalar: Uint8Array): Promise<PrivateKey> {
  return unlocked(concat(fromHex("302e020100300506032b656e04220420"), scalar));
}

/** One DER value of fewer than 128 bytes. */
function der(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const content = concat(...parts);
  return concat(Uint8Array.of(tag, content.length), content);
}

async function unlocked(pkcs8: Uint8Array): Promise<PrivateKey> {
  const body = Buffer.from(pkcs8)
    .toString("base64")
    .replace(/.{64}(?=.)/g, "$&\n");
  const pem = `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`;
  return softwareIdentity(pem, "test key").unlock();
}
