/** The primitives of node:crypto, called as the body and the key schedule call them. */
import { expect, it } from "@jest/globals";
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync } from "node:crypto";
import { fromHex, toHex } from "../../src/bytes.js";
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
