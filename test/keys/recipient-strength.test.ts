/** Which keys a message may be sealed to. */
import { describe, expect, it } from "@jest/globals";
import { fromHex, toHex } from "../../src/bytes.js";
import {
  publicKeyFromRsa,
  publicKeyFromSpki,
  publicKeyFromX25519,
} from "../../src/keys/public-key.js";
import { requireExchange } from "../../src/keys/recipient-strength.js";
import { EXCHANGE_KEY_NAMES } from "../support/keys.js";
import { codeOf, fixtureDer, modulusOf, refusal, rsaKey, testKey } from "./support.js";

const E = fromHex("010001");

describe("requireExchange", () => {
  it.each(EXCHANGE_KEY_NAMES)("%s may receive", (name) => {
    const key = testKey(name);
    expect(requireExchange(key)).toBe(key);
  });

  it("an Ed25519 key can only sign", () => {
    const { code, name } = refusal(() => requireExchange(testKey("ed25519"), { allowWeak: true }));
    expect([code, name]).toEqual(["ERR_SIGN_ONLY", "UnsupportedError"]);
  });

  it.each([1024, 1536, 2047])("RSA of %i bits is refused, unless weak keys are allowed", (bits) => {
    const key = publicKeyFromRsa(modulusOf(bits), E);
    const { code, name } = refusal(() => requireExchange(key));
    expect([code, name]).toEqual(["ERR_WEAK_KEY", "PolicyError"]);
    expect(requireExchange(key, { allowWeak: true })).toBe(key);
  });

  it("RSA below 1024 bits is refused even where weak keys are allowed", () => {
    const key = publicKeyFromRsa(modulusOf(1023), E);
    expect(codeOf(() => requireExchange(key, { allowWeak: true }))).toBe("ERR_WEAK_KEY");
  });

  it("RSA of 8192 bits passes, of 8193 bits is refused as too large", () => {
    const largest = publicKeyFromRsa(modulusOf(8192), E);
    expect(requireExchange(largest)).toBe(largest);
    const { code, name } = refusal(() => requireExchange(publicKeyFromRsa(modulusOf(8193), E)));
    expect([code, name]).toEqual(["ERR_KEY_SIZE", "UnsupportedError"]);
  });

  it.each(["03", "11", "ffff"])("exponent 0x%s is refused, unless weak keys are allowed", (e) => {
    const key = publicKeyFromRsa(rsaKey("rsa2048").modulus, fromHex(e));
    expect(codeOf(() => requireExchange(key))).toBe("ERR_WEAK_KEY");
    expect(requireExchange(key, { allowWeak: true })).toBe(key);
  });

  it("OpenSSL's key with exponent 3 is refused", () => {
    const key = publicKeyFromSpki(fixtureDer("rsa2048-e3.spki.pem"));
    expect(codeOf(() => requireExchange(key))).toBe("ERR_WEAK_KEY");
  });

  it("a modulus with a small factor is refused even where weak keys are allowed", () => {
    for (const factor of [3n, 7n, 251n, 751n]) {
      const product = (BigInt(`0x${toHex(rsaKey("rsa2048").modulus)}`) / factor) * factor;
      const odd = product % 2n === 0n ? product - factor : product;
      const key = publicKeyFromRsa(fromHex(odd.toString(16)), E);
      const { code, text } = refusal(() => requireExchange(key, { allowWeak: true }));
      expect(code).toBe("ERR_WEAK_KEY");
      expect(text).toContain("divisible");
    }
  });

  it("every X25519 point of small order is refused", () => {
    // The u-coordinates of order 1, 2, 4 and 8, and two of them plus the prime, little-endian.
    const points = [
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for (const [index, hex] of points.entries()) {
      const code = codeOf(() =>
        requireExchange(publicKeyFromX25519(fromHex(hex)), { allowWeak: true }),
      );
      expect([hex, code]).toEqual([hex, index < 5 ? "ERR_WEAK_KEY" : "ERR_POINT"]);
    }
  });
});
