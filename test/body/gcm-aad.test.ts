/** The tag without associated data, against what `node:crypto` makes of the same ciphertext. */
import { createCipheriv } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { tagWithoutAad } from "../../src/body/gcm-aad.js";
import { Random } from "../support/mutate.js";

describe("GCM's tag without associated data", () => {
  const random = new Random(0x6cd);
  const lengths = [0, 1, 15, 16, 17, 1000, 100_001];

  it.each([16, 24, 32] as const)("under a key of %i bytes", (keyBytes) => {
    const [key, nonce] = [random.bytes(keyBytes), random.bytes(12)];
    for (const length of lengths) {
      const plaintext = random.bytes(length);
      const tag = (aad: Uint8Array): Buffer => {
        const cipher = createCipheriv(`aes-${keyBytes * 8}-gcm` as "aes-256-gcm", key, nonce);
        cipher.setAAD(aad);
        cipher.update(plaintext);
        cipher.final();
        return cipher.getAuthTag();
      };
      for (const aad of [0, 1, 16, 17, 500].map((bytes) => random.bytes(bytes))) {
        const without = tagWithoutAad(key, tag(aad), aad, length);
        expect(Buffer.compare(without, tag(new Uint8Array(0)))).toBe(0);
      }
    }
  });
});
