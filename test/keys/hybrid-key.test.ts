import { beforeAll, describe, expect, it } from "@jest/globals";
import { createHash } from "node:crypto";
import { concat, toHex } from "../../src/bytes.js";
import {
  formatPublicKey,
  parsePublicKey,
  requireRecipient,
} from "../../src/keys/formats/key-file.js";
import type { HybridPublicKey } from "../../src/keys/key.js";
import { publicKeyFromHybrid, publicKeyFromSpki } from "../../src/keys/public-key.js";
import { requireExchange } from "../../src/keys/recipient-strength.js";
import { requireKind } from "../../src/keys/purpose.js";
import { HALVES, HYBRID_KEMS, hybridIdentityOf } from "../support/hybrid.js";
import { codeOf, testKey } from "./support.js";

/** draft-ietf-lamps-pq-composite-kem: 1.3.6.1.5.5.7.6.59, .63 and .58, without parameters. */
const ALGORITHMS = {
  "mlkem768-p256": "300a06082b0601050507063b",
  "mlkem1024-p384": "300a06082b0601050507063f",
  "mlkem768-x25519": "300a06082b0601050507063a",
} as const;

describe.each(HYBRID_KEMS)("a %s key", (kem) => {
  let key: HybridPublicKey;
  let bare: Uint8Array;
  beforeAll(async () => {
    key = (await hybridIdentityOf(kem)).publicKey;
    bare = concat(key.mlkem, key.dh.point);
  });

  it("is its bytes in HPKE, in a SubjectPublicKeyInfo", () => {
    const head = toHex(key.spki.subarray(4, key.spki.length - bare.length));
    const bits = bare.length + 1;
    expect(head).toBe(`${ALGORITHMS[kem]}0382${bits.toString(16).padStart(4, "0")}00`);
    expect(toHex(key.spki.subarray(-bare.length))).toBe(toHex(bare));
    expect(toHex(key.fingerprint)).toBe(createHash("sha256").update(key.spki).digest("hex"));
    const again = publicKeyFromSpki(key.spki) as HybridPublicKey;
    expect([again.kem, toHex(again.mlkem), toHex(again.dh.spki)]).toEqual([
      ...[kem, toHex(key.mlkem), toHex(key.dh.spki)],
    ]);
  });

  it.each(["pem", "der"] as const)("is written as %s and read again", (format) => {
    const file = parsePublicKey(formatPublicKey(key, format), "a file");
    expect([toHex(file.publicKey.spki), file.warnings]).toEqual([toHex(key.spki), []]);
    expect(requireRecipient(file)).toMatchObject({ type: "hybrid", kem });
  });

  it.each(["jwk", "ssh", "capi"] as const)("has no form as %s", (format) => {
    expect(codeOf(() => formatPublicKey(key, format))).toBe("ERR_KEY_FORMAT");
  });

  it("may be sealed to, and neither signs nor serves CryptoAPI", () => {
    expect(requireExchange(key)).toBe(key);
    expect(requireKind(key, "open", "k")).toBe(key);
    expect(codeOf(() => requireKind(key, "sign", "k"))).toBe("ERR_SIGNING_KEY");
    expect(codeOf(() => requireKind(key, "capi-open", "k"))).toBe("ERR_KEY_TYPE");
  });

  it("is refused at any other length", () => {
    for (const wrong of [bare.subarray(1), bare.subarray(0, -1), concat(bare, Uint8Array.of(0))]) {
      expect(codeOf(() => publicKeyFromHybrid(kem, wrong))).toBe("ERR_KEY");
    }
  });

  it("is refused with a coefficient that is not reduced", () => {
    for (const at of [0, 600, key.mlkem.length - 35]) {
      const wrong = bare.slice().fill(0xff, at, at + 3);
      expect(codeOf(() => publicKeyFromHybrid(kem, wrong))).toBe("ERR_KEY");
    }
    // The matrix's seed may be anything.
    const other = bare.slice().fill(0xff, key.mlkem.length - 32, key.mlkem.length);
    expect(publicKeyFromHybrid(kem, other).kem).toBe(kem);
  });

  it("is refused with a point that is none, or in another encoding", () => {
    const off = bare.slice().fill(0xff, -32);
    expect(codeOf(() => publicKeyFromHybrid(kem, off))).toBe("ERR_POINT");
    const half = testKey(HALVES[kem]);
    if (half.type !== "ec") return;
    const point = half.point.subarray(0, (half.point.length + 1) / 2).slice();
    point[0] = 2 + ((half.point.at(-1) as number) & 1);
    expect(codeOf(() => publicKeyFromHybrid(kem, concat(key.mlkem, point)))).toBe("ERR_KEY");
  });

  it("is refused with parameters beside its algorithm", () => {
    const { spki } = key;
    // SEQUENCE and the algorithm's SEQUENCE grow by a NULL.
    const length = (((spki[2] as number) << 8) | (spki[3] as number)) + 2;
    const wrong = concat(
      Uint8Array.of(0x30, 0x82, length >> 8, length & 0xff, 0x30, (spki[5] as number) + 2),
      spki.subarray(6, 6 + (spki[5] as number)),
      Uint8Array.of(5, 0),
      spki.subarray(6 + (spki[5] as number)),
    );
    expect(codeOf(() => publicKeyFromSpki(wrong))).toBe("ERR_TRAILING");
  });
});

it("an X25519 half of small order is no recipient", async () => {
  const { mlkem } = (await hybridIdentityOf("mlkem768-x25519")).publicKey;
  const key = publicKeyFromHybrid("mlkem768-x25519", concat(mlkem, new Uint8Array(32)));
  expect(codeOf(() => requireExchange(key))).toBe("ERR_WEAK_KEY");
});
