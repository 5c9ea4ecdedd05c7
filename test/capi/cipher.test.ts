import { describe, expect, it } from "@jest/globals";
import { createDecipheriv } from "node:crypto";
import fc from "fast-check";
import { concat, fromHex, toHex } from "../../src/bytes.js";
import {
  cipherMode,
  decryptMessage,
  encryptMessage,
  generateSessionKey,
  SESSION_ALGORITHMS,
  type CipherParameters,
  type SessionAlgorithm,
} from "../../src/capi/index.js";
import { ALGORITHMS } from "../../src/capi/algorithms.js";
import { Rc2 } from "../../src/body/rc2.js";
import { Rc4 } from "../../src/capi/rc4.js";
import { codeOf, inSteps, joined, secret } from "./support.js";

const zeros = (length: number) => new Uint8Array(length);
const key = (algorithm: SessionAlgorithm, hex: string) => ({
  algorithm,
  bytes: secret(fromHex(hex)),
});
const AES128 = key("aes128", "000102030405060708090a0b0c0d0e0f");

describe("RC2", () => {
  // RFC 2268 §5, all eight.
  it.each([
    ["0000000000000000", 63, "0000000000000000", "ebb773f993278eff"],
    ["ffffffffffffffff", 64, "ffffffffffffffff", "278b27e42e2f0d49"],
    ["3000000000000000", 64, "1000000000000001", "30649edf9be7d2c2"],
    ["88", 64, "0000000000000000", "61a8a244adacccf0"],
    ["88bca90e90875a", 64, "0000000000000000", "6ccf4308974c267f"],
    ["88bca90e90875a7f0f79c384627bafb2", 64, "0000000000000000", "1a807d272bbe5db1"],
    ["88bca90e90875a7f0f79c384627bafb2", 128, "0000000000000000", "2269552ab0f85ca6"],
    [
      "88bca90e90875a7f0f79c384627bafb216f80a6f85920584c42fceb0be255daf1e",
      129,
      "0000000000000000",
      "5b78d3a43dfff1f1",
    ],
  ])("under key %s with %i effective bits is as published", (hex, bits, plain, encrypted) => {
    const cipher = new Rc2(fromHex(hex), bits);
    expect(toHex(cipher.encrypt(fromHex(plain)))).toBe(encrypted);
    expect(toHex(cipher.decrypt(fromHex(encrypted)))).toBe(plain);
  });

  it("decrypts what it encrypted, whatever the key", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 128 }),
        fc.integer({ min: 1, max: 1024 }),
        fc.uint8Array({ minLength: 8, maxLength: 8 }),
        (bytes, bits, block) => {
          const cipher = new Rc2(bytes, bits);
          expect(toHex(cipher.decrypt(cipher.encrypt(block)))).toBe(toHex(block));
        },
      ),
    );
  });
});

describe("RC4", () => {
  // RFC 6229 §2, offsets 0, 16 and 4096.
  it.each([
    [
      "0102030405",
      "b2396305f03dc027ccc3524a0a1118a86982944f18fc82d589c403a47a0d0919",
      "ff25b58995996707e51fbdf08b34d875",
    ],
    [
      "01020304050607",
      "293f02d47f37c9b633f2af5285feb46be620f1390d19bd84e2e0fd752031afc1",
      "e74b0b9731227fd37c0ec08a47ddd8b8",
    ],
    [
      "0102030405060708090a0b0c0d0e0f10",
      "9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c",
      "a36a4c301ae8ac13610ccbc12256cacc",
    ],
  ])("under key %s is as published", (hex, start, far) => {
    const stream = new Rc4(fromHex(hex)).update(zeros(4112));
    expect(toHex(stream.subarray(0, 32))).toBe(start);
    expect(toHex(stream.subarray(4096))).toBe(far);
  });

  it("goes on where the last chunk ended", () => {
    const whole = new Rc4(fromHex("0102030405")).update(zeros(100));
    const cut = new Rc4(fromHex("0102030405"));
    expect(toHex(concat(cut.update(zeros(33)), cut.update(zeros(67))))).toBe(toHex(whole));
  });
});

describe("messages", () => {
  const combinations = SESSION_ALGORITHMS.flatMap((algorithm) =>
    ALGORITHMS[algorithm].blockBytes === 0
      ? [{ algorithm, parameters: {} }]
      : (["cbc", "ecb", "cfb"] as const).map((mode) => ({ algorithm, parameters: { mode } })),
  );

  it.each(combinations)(
    "$algorithm $parameters: every length comes back, however it is cut into chunks",
    async ({ algorithm, parameters }) => {
      await fc.assert(
        fc.asyncProperty(
          fc.uint8Array({ maxLength: 70 }),
          fc.integer({ min: 1, max: 40 }),
          fc.integer({ min: 1, max: 40 }),
          async (plaintext, inSize, outSize) => {
            const sessionKey = generateSessionKey(algorithm);
            const iv = withIv(algorithm, parameters);
            const encrypted = await joined(
              encryptMessage(sessionKey, { ...parameters, ...iv }, inSteps(plaintext, inSize)),
            );
            const { blockBytes } = ALGORITHMS[algorithm];
            expect(encrypted.length).toBe(
              blockBytes === 0
                ? plaintext.length
                : plaintext.length - (plaintext.length % blockBytes) + blockBytes,
            );
            const decrypted = await joined(
              decryptMessage(sessionKey, { ...parameters, ...iv }, inSteps(encrypted, outSize)),
            );
            expect(toHex(decrypted)).toBe(toHex(plaintext));
          },
        ),
        { numRuns: 20 },
      );
    },
  );

  it("an IV of zeros is the default, in CBC and in CFB", async () => {
    for (const mode of ["cbc", "cfb"] as const) {
      const given = await joined(encryptMessage(AES128, { mode, iv: zeros(16) }, zeros(20)));
      const absent = await joined(encryptMessage(AES128, { mode }, zeros(20)));
      expect(toHex(absent)).toBe(toHex(given));
    }
    const unnamed = await joined(encryptMessage(AES128, {}, zeros(20)));
    const cbc = await joined(encryptMessage(AES128, { mode: "cbc" }, zeros(20)));
    expect(toHex(unnamed)).toBe(toHex(cbc));
  });

  it("salt counts for keys of 40 bits alone, and none is another key than zeros", async () => {
    const encrypt = (algorithm: SessionAlgorithm, hex: string, parameters: CipherParameters) =>
      joined(encryptMessage(key(algorithm, hex), parameters, zeros(16)));
    for (const algorithm of ["rc2", "rc4"] as const) {
      const short = "0102030405";
      const zero = toHex(await encrypt(algorithm, short, {}));
      const none = toHex(await encrypt(algorithm, short, { salt: "none" }));
      expect(zero).not.toBe(none);
      expect(toHex(await encrypt(algorithm, short, { salt: zeros(11) }))).toBe(zero);
      expect(toHex(await encrypt(algorithm, short, { salt: zeros(0) }))).toBe(none);
      const other = Uint8Array.of(1, 2, 3, 4);
      expect(toHex(await encrypt(algorithm, short, { salt: other }))).not.toBe(zero);

      const long = "01020304050607";
      expect(toHex(await encrypt(algorithm, long, {}))).toBe(
        toHex(await encrypt(algorithm, long, { salt: "none" })),
      );
    }
  });

  it("RC2's effective bits are by default those of the key that travelled", async () => {
    for (const [hex, bits] of [
      ["0102030405", 40],
      ["00112233445566778899aabbccddeeff", 128],
    ] as const) {
      const encrypt = (parameters: CipherParameters) =>
        joined(encryptMessage(key("rc2", hex), parameters, zeros(16)));
      const absent = toHex(await encrypt({}));
      expect(absent).toBe(toHex(await encrypt({ effectiveBits: bits })));
      expect(absent).not.toBe(toHex(await encrypt({ effectiveBits: 64 })));
    }
  });

  it("DES keys come with odd parity, and keys without it are taken", async () => {
    for (const algorithm of ["des", "3des", "3des112"] as const) {
      for (const byte of generateSessionKey(algorithm).bytes.expose()) {
        expect(byte.toString(2).replaceAll("0", "").length % 2).toBe(1);
      }
    }
    const even = await joined(encryptMessage(key("des", "0000000000000000"), {}, zeros(8)));
    const odd = await joined(encryptMessage(key("des", "0101010101010101"), {}, zeros(8)));
    expect(toHex(even)).toBe(toHex(odd));
  });

  it("two-key triple DES is what OpenSSL calls des-ede", async () => {
    const bytes = fromHex("0123456789abcdeffedcba9876543210");
    const encrypted = await joined(
      encryptMessage(key("3des112", toHex(bytes)), {}, new Uint8Array(20)),
    );
    const cipher = createDecipheriv("des-ede-cbc", bytes, zeros(8));
    expect(toHex(Buffer.concat([cipher.update(encrypted), cipher.final()]))).toBe(toHex(zeros(20)));
  });
});

describe("what does not decrypt", () => {
  const decrypt = (ciphertext: Uint8Array, parameters: CipherParameters = {}) =>
    codeOf(async () => toHex(await joined(decryptMessage(AES128, parameters, ciphertext))));

  it.each([
    ["nothing at all", 0],
    ["less than a block", 15],
    ["a block and a byte", 17],
    ["a block short of a byte", 31],
  ])("%s is refused", async (_what, length) => {
    expect(await decrypt(zeros(length))).toBe("ERR_DECRYPT");
    expect(await decrypt(zeros(length), { mode: "cfb" })).toBe("ERR_DECRYPT");
    expect(await decrypt(zeros(length), { mode: "ecb" })).toBe("ERR_DECRYPT");
  });

  it("padding is right only as PKCS#5 says, in every byte", async () => {
    // One block of CFB decrypts to the ciphertext xor a keystream, which is known after one
    // encryption. With ECB, any last block can be made: encrypt it as a message, and drop the
    // padding block.
    const encryptBlock = async (block: Uint8Array) =>
      (await joined(encryptMessage(AES128, { mode: "ecb" }, block))).subarray(0, 16);
    const outcome = async (block: Uint8Array) =>
      decrypt(await encryptBlock(block), { mode: "ecb" });

    for (let length = 1; length <= 16; length++) {
      const block = zeros(16)
        .fill(0xaa, 0, 16 - length)
        .fill(length, 16 - length);
      expect(await outcome(block)).toBe("aa".repeat(16 - length));
      for (let at = 16 - length; at < 15; at++) {
        const damaged = block.slice();
        damaged[at] = (damaged[at] ?? 0) ^ 1;
        expect(await outcome(damaged)).toBe("ERR_DECRYPT");
      }
    }
    for (const last of [0, 17, 128, 255]) {
      expect(await outcome(zeros(16).fill(last))).toBe("ERR_DECRYPT");
    }
  });

  it("holds the last block back until its padding was checked", async () => {
    const encrypted = await joined(encryptMessage(AES128, {}, zeros(32)));
    encrypted[31] = (encrypted[31] ?? 0) ^ 1;
    const chunks: number[] = [];
    const code = await codeOf(async () => {
      for await (const chunk of decryptMessage(AES128, {}, encrypted)) chunks.push(chunk.length);
    });
    expect(code).toBe("ERR_DECRYPT");
    expect(chunks).toEqual([32]);
  });
});

describe("parameters that make no sense", () => {
  it.each<[string, SessionAlgorithm, CipherParameters]>([
    ["a mode for RC4", "rc4", { mode: "cbc" }],
    ["an IV for RC4", "rc4", { iv: zeros(8) }],
    ["an IV for ECB", "aes256", { mode: "ecb", iv: zeros(16) }],
    ["an IV too short", "aes256", { iv: zeros(8) }],
    ["an IV too long", "3des", { iv: zeros(16) }],
    ["salt for AES", "aes256", { salt: "none" }],
    ["salt for DES", "des", { salt: zeros(8) }],
    ["more salt than has room", "rc4", { salt: zeros(12) }],
    ["effective bits for AES", "aes256", { effectiveBits: 128 }],
    ["effective bits for RC4", "rc4", { effectiveBits: 40 }],
    ["no effective bits", "rc2", { effectiveBits: 0 }],
    ["too many effective bits", "rc2", { effectiveBits: 1025 }],
    ["half a bit", "rc2", { effectiveBits: 40.5 }],
  ])("%s is refused, both ways", async (_what, algorithm, parameters) => {
    const sessionKey = generateSessionKey(algorithm);
    for (const act of [encryptMessage, decryptMessage]) {
      expect(await codeOf(() => joined(act(sessionKey, parameters, zeros(16))))).toBe(
        "ERR_CIPHER_PARAMETER",
      );
    }
  });

  it("modes are known by name, and OFB is named as one the providers don't have", async () => {
    expect([cipherMode("cbc"), cipherMode("ECB"), cipherMode("cfb")]).toEqual([
      "cbc",
      "ecb",
      "cfb",
    ]);
    expect(await codeOf(() => cipherMode("ofb"))).toBe("ERR_CIPHER_MODE");
    expect(await codeOf(() => cipherMode("gcm"))).toBe("ERR_CIPHER_MODE");
  });

  it.each<[SessionAlgorithm, number]>([
    ["rc4", 39],
    ["rc4", 32],
    ["rc4", 136],
    ["rc2", 44],
    ["aes256", 128],
    ["des", 56],
  ])("%s keys of %i bits are not made", async (algorithm, bits) => {
    expect(await codeOf(() => generateSessionKey(algorithm, bits))).toBe("ERR_KEY_LENGTH");
  });
});

function withIv(algorithm: SessionAlgorithm, { mode }: CipherParameters): CipherParameters {
  const { blockBytes } = ALGORITHMS[algorithm];
  return blockBytes === 0 || mode === "ecb" ? {} : { iv: zeros(blockBytes).fill(7) };
}
