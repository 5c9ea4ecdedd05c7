/** Key-encryption keys of CMS, and AES Key Wrap. */
import { expect, it } from "@jest/globals";
import { concat, fromHex, toHex } from "../../src/bytes.js";
import { aesKeyUnwrap, aesKeyWrap, deriveKek, sharedInfo } from "../../src/wrap/key-agreement.js";

/** AlgorithmIdentifier of AES-256 Key Wrap, without parameters. */
const WRAP = fromHex("300b060960864801650304012d");

it("ties the key to the wrap's algorithm and length, and to the sender's material", () => {
  const purpose = { wrapAlgorithm: WRAP, kekBytes: 32 } as const;
  expect(toHex(sharedInfo(purpose))).toBe("3015300b060960864801650304012da206040400000100");
  expect(toHex(sharedInfo({ ...purpose, ukm: fromHex("0102") }))).toBe(
    "301b300b060960864801650304012da00404020102a206040400000100",
  );
});

it("derives as many blocks as the key needs", () => {
  const shared = new Uint8Array(32).fill(7);
  const sha1 = { kdf: "x963", hash: "sha1" } as const;
  const long = deriveKek(shared, sha1, { wrapAlgorithm: WRAP, kekBytes: 32 });
  expect(long).toHaveLength(32);
  expect(toHex(long.slice(0, 20))).not.toBe(toHex(long.slice(12)));
  const hkdf = { kdf: "hkdf", hash: "sha256" } as const;
  const other = deriveKek(shared, hkdf, { wrapAlgorithm: WRAP, kekBytes: 32 });
  expect(toHex(other)).not.toBe(toHex(long));
  expect(shared.every((byte) => byte === 7)).toBe(true);
});

// RFC 3394 §4.
it.each([
  [
    "000102030405060708090a0b0c0d0e0f",
    "00112233445566778899aabbccddeeff",
    "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5",
  ],
  [
    "000102030405060708090a0b0c0d0e0f1011121314151617",
    "00112233445566778899aabbccddeeff0001020304050607",
    "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2",
  ],
  [
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
    "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
  ],
])("wraps under %s", (kek, key, wrapped) => {
  const used = fromHex(kek);
  expect(toHex(aesKeyWrap(used, fromHex(key)))).toBe(wrapped);
  expect(used.every((byte) => byte === 0)).toBe(true);
  expect(toHex(aesKeyUnwrap(fromHex(kek), fromHex(wrapped)) ?? new Uint8Array(0))).toBe(key);
  const altered = concat(fromHex(wrapped).map((byte, at) => (at === 5 ? byte ^ 1 : byte)));
  expect(aesKeyUnwrap(fromHex(kek), altered)).toBeNull();
});
