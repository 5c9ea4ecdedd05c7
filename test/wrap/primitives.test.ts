/** The primitives of node:crypto, called as the body and the key schedule call them. */
import { describe, expect, it } from "@jest/globals";
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync } from "node:crypto";
import { fromHex, toHex } from "../../src/bytes.js";
import { HKDF_SHA256, KEMS } from "../../src/wrap/hpke-parts.js";
import { describeVectors, wycheproof } from "../support/vectors.js";

interface GcmGroup {
  readonly keySize: number;
  readonly ivSize: number;
  readonly tagSize: number;
}
interface GcmTest {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}
interface HkdfTest {
  readonly ikm: string;
  readonly salt: string;
  readonly info: string;
  readonly size: number;
  readonly okm: string;
}

describeVectors("AES-256-GCM known answers (Wycheproof)", () => {
  const cases = wycheproof<GcmGroup, GcmTest>("aes_gcm").filter(
    ({ group }) => group.keySize === 256 && group.ivSize === 96 && group.tagSize === 128,
  );

  it("agree: valid messages open and are sealed identically, altered ones never open", () => {
    const seen = { valid: 0, invalid: 0, acceptable: 0 };
    for (const { test } of cases) {
      const opened = open(test);
      expect([test.tcId, opened]).toEqual([test.tcId, test.result === "valid" ? test.msg : null]);
      if (test.result === "valid") expect(seal(test)).toEqual([test.ct, test.tag]);
      seen[test.result]++;
    }
    expect(seen.valid).toBeGreaterThan(20);
    expect(seen.invalid).toBeGreaterThan(10);
  });

  it("require the whole tag: a shorter one is refused, even if it is a prefix", () => {
    const [{ test }] = cases.filter((each) => each.test.result === "valid") as [(typeof cases)[0]];
    expect(open(test)).toBe(test.msg);
    for (const length of [4, 8, 12, 15]) {
      expect(open({ ...test, tag: test.tag.slice(0, 2 * length) })).toBeNull();
    }
  });

  function open({ key, iv, aad, ct, tag }: GcmTest): string | null {
    try {
      const secret = createSecretKey(fromHex(key));
      const options = { authTagLength: 16 };
      const decipher = createDecipheriv("aes-256-gcm", secret, fromHex(iv), options);
      decipher.setAAD(fromHex(aad));
      decipher.setAuthTag(fromHex(tag));
      const plaintext = decipher.update(fromHex(ct));
      decipher.final();
      return toHex(plaintext);
    } catch {
      return null;
    }
  }

  function seal({ key, iv, aad, msg }: GcmTest): [string, string] {
    const cipher = createCipheriv("aes-256-gcm", createSecretKey(fromHex(key)), fromHex(iv));
    cipher.setAAD(fromHex(aad));
    const ciphertext = cipher.update(fromHex(msg));
    cipher.final();
    return [toHex(ciphertext), toHex(cipher.getAuthTag())];
  }
});

describeVectors("HKDF-SHA-256 known answers (Wycheproof)", () => {
  it("agree, with and without salt", () => {
    let withoutSalt = 0;
    for (const { test } of wycheproof<object, HkdfTest>("hkdf_sha256")) {
      const derived = derive(test);
      expect([test.tcId, derived]).toEqual([test.tcId, test.result === "valid" ? test.okm : null]);
      if (test.salt === "") withoutSalt++;
    }
    expect(withoutSalt).toBeGreaterThan(5);
  });

  function derive({ ikm, salt, info, size }: HkdfTest): string | null {
    try {
      const okm = hkdfSync("sha256", fromHex(ikm), fromHex(salt), fromHex(info), size);
      return toHex(new Uint8Array(okm));
    } catch {
      return null;
    }
  }
});

describe("HKDF as HPKE uses it", () => {
  it.each([
    ["SHA-256", KEMS["P-256"].kdf(), 32],
    ["SHA-384", KEMS["P-384"].kdf(), 48],
    ["SHA-512", KEMS["P-521"].kdf(), 64],
  ])("with %s gives 255 blocks, and refuses a byte more", async (_hash, kdf, block) => {
    const prk = new Uint8Array(block).fill(1);
    const most = await kdf.Expand(prk, new Uint8Array(0), 255 * block);
    expect(most).toHaveLength(255 * block);
    await expect(kdf.Expand(prk, new Uint8Array(0), 255 * block + 1)).rejects.toThrow(RangeError);
  });
});

describeVectors("HKDF as HPKE uses it, known answers (Wycheproof)", () => {
  it.each([
    ["hkdf_sha256", HKDF_SHA256()],
    ["hkdf_sha384", KEMS["P-384"].kdf()],
    ["hkdf_sha512", KEMS["P-521"].kdf()],
  ])("%s agree, and what is too long is refused", async (name, kdf) => {
    const seen = { valid: 0, invalid: 0, acceptable: 0 };
    for (const { test } of wycheproof<object, HkdfTest>(name)) {
      const prk = await kdf.Extract(fromHex(test.salt), fromHex(test.ikm));
      const okm = await kdf.Expand(prk, fromHex(test.info), test.size).then(toHex, () => null);
      expect([test.tcId, okm]).toEqual([test.tcId, test.result === "valid" ? test.okm : null]);
      seen[test.result]++;
    }
    expect(seen.valid).toBeGreaterThan(20);
    expect(seen.invalid).toBeGreaterThan(0);
  });
});
