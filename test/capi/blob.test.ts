import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { concat, fromHex, toHex } from "../../src/bytes.js";
import {
  blobKind,
  encodeBackupRecord,
  encodePlaintextKeyBlob,
  encodePublicKeyBlob,
  encodeSimpleBlob,
  formatPhase2,
  generateSessionKey,
  parseBackupRecord,
  parsePhase2,
  parsePlaintextKeyBlob,
  parsePublicKeyBlob,
  parseSimpleBlob,
  readSdkFile,
  requireExchangeBlob,
  sdkFileHead,
  SESSION_ALGORITHMS,
  ThreePhase,
  wrapSessionKey,
  type Terms,
} from "../../src/capi/index.js";
import { P11SealError } from "../../src/errors.js";
import { publicKeyFromRsa } from "../../src/keys/public-key.js";
import { fuzz, type FuzzReport } from "../support/mutate.js";
import { scaled } from "../support/scale.js";
import { alice, bob, codeOf, joined, secret } from "./support.js";

const E65537 = Uint8Array.of(1, 0, 1);
const simple = wrapSessionKey(generateSessionKey("aes256"), bob.publicKey);
const exchangeKey = encodePublicKeyBlob({ use: "exchange", publicKey: bob.publicKey });
const signatureKey = encodePublicKeyBlob({ use: "signature", publicKey: alice.publicKey });
const plaintextKey = encodePlaintextKeyBlob({
  algorithm: "rc4",
  bytes: secret(fromHex("4a3aee7737")),
}).expose();

/** The bytes, with others in their place from `at`. */
function patched(bytes: Uint8Array, at: number, hex: string): Uint8Array {
  const copy = bytes.slice();
  copy.set(fromHex(hex), at);
  return copy;
}

describe("a PUBLICKEYBLOB", () => {
  it("has the documented layout", () => {
    expect(toHex(exchangeKey.subarray(0, 20))).toBe("0602000000a40000525341310008000001000100");
    expect(exchangeKey.length).toBe(276);
    expect(toHex(exchangeKey.subarray(20))).toBe(toHex(bob.publicKey.modulus.slice().reverse()));
    expect(toHex(signatureKey.subarray(0, 8))).toBe("0602000000240000");
  });

  it("of any key comes back as it went", () => {
    for (const exponent of [Uint8Array.of(3), Uint8Array.of(17), E65537, fromHex("ffffffff")]) {
      for (const use of ["exchange", "signature"] as const) {
        const publicKey = publicKeyFromRsa(bob.publicKey.modulus, exponent);
        const bytes = encodePublicKeyBlob({ use, publicKey });
        const parsed = parsePublicKeyBlob(bytes);
        expect(parsed.use).toBe(use);
        expect(toHex(parsed.publicKey.spki)).toBe(toHex(publicKey.spki));
        expect(toHex(encodePublicKeyBlob(parsed))).toBe(toHex(bytes));
      }
    }
  });

  it.each([
    ["another bType", patched(exchangeKey, 0, "01"), "ERR_BLOB"],
    ["a private key", patched(exchangeKey, 0, "07"), "ERR_PRIVATE_KEY_AS_RECIPIENT"],
    ["bVersion 1", patched(exchangeKey, 1, "01"), "ERR_BLOB"],
    ["bVersion 3", patched(exchangeKey, 1, "03"), "ERR_BLOB"],
    ["reserved bytes that are not zero", patched(exchangeKey, 2, "0001"), "ERR_BLOB"],
    ["the ALG_ID of a cipher", patched(exchangeKey, 4, "10660000"), "ERR_BLOB"],
    ["an ALG_ID with high bits", patched(exchangeKey, 4, "00a40001"), "ERR_BLOB"],
    ["the magic of a private key", patched(exchangeKey, 8, "52534132"), "ERR_BLOB"],
    ["a big-endian bitlen", patched(exchangeKey, 12, "00000800"), "ERR_BLOB"],
    ["a bitlen of 0", patched(exchangeKey, 12, "00000000"), "ERR_BLOB"],
    ["a bitlen of 2047", patched(exchangeKey, 12, "ff070000"), "ERR_BLOB"],
    ["a bitlen of 2^31", patched(exchangeKey, 12, "00000080"), "ERR_BLOB"],
    ["a bitlen below the modulus", patched(exchangeKey, 12, "f8070000"), "ERR_TRAILING"],
    ["a bitlen above the modulus", patched(exchangeKey, 12, "08080000"), "ERR_TRUNCATED"],
    ["an even exponent", patched(exchangeKey, 16, "00000100"), "ERR_KEY"],
    ["an exponent of 1", patched(exchangeKey, 16, "01000000"), "ERR_KEY"],
    ["an even modulus", patched(exchangeKey, 20, "00"), "ERR_KEY"],
    ["a modulus with its highest bit missing", patched(exchangeKey, 275, "01"), "ERR_BLOB"],
    ["a byte too many", concat(exchangeKey, Uint8Array.of(0)), "ERR_TRAILING"],
    ["a byte too few", exchangeKey.subarray(0, 275), "ERR_TRUNCATED"],
    ["the header alone", exchangeKey.subarray(0, 8), "ERR_TRUNCATED"],
    ["nothing", new Uint8Array(0), "ERR_TRUNCATED"],
  ])("with %s is refused", async (_what, bytes, code) => {
    expect(await codeOf(() => parsePublicKeyBlob(bytes))).toBe(code);
  });

  it("of a signature key is no recipient", async () => {
    expect(await codeOf(() => requireExchangeBlob(parsePublicKeyBlob(signatureKey)))).toBe(
      "ERR_SIGN_ONLY",
    );
    const recipient = requireExchangeBlob(parsePublicKeyBlob(exchangeKey));
    expect(toHex(recipient.fingerprint)).toBe(toHex(bob.publicKey.fingerprint));
  });

  it("of a weak key is a recipient only when asked for", async () => {
    const small = publicKeyFromRsa(bob.publicKey.modulus, Uint8Array.of(3));
    const blob = { use: "exchange", publicKey: small } as const;
    expect(await codeOf(() => requireExchangeBlob(blob))).toBe("ERR_WEAK_KEY");
    expect(requireExchangeBlob(blob, { allowWeak: true })).toBe(small);
  });

  it("is not made for a key it has no room for", async () => {
    const wide = publicKeyFromRsa(bob.publicKey.modulus, fromHex("0100000001"));
    const odd = publicKeyFromRsa(fromHex(`01${"00".repeat(254)}01`), E65537);
    for (const publicKey of [wide, odd]) {
      expect(await codeOf(() => encodePublicKeyBlob({ use: "exchange", publicKey }))).toBe(
        "ERR_KEY_SIZE",
      );
    }
  });
});

describe("a SIMPLEBLOB", () => {
  it("has the documented layout, with the payload reversed", () => {
    expect(toHex(simple.subarray(0, 12))).toBe("010200001066000000a40000");
    expect(simple.length).toBe(268);
    expect(toHex(parseSimpleBlob(simple).wrapped)).toBe(toHex(simple.slice(12).reverse()));
  });

  it("of any algorithm and length comes back as it went", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...SESSION_ALGORITHMS),
        fc.uint8Array({ minLength: 64, maxLength: 2048 }),
        (algorithm, wrapped) => {
          const bytes = encodeSimpleBlob({ algorithm, wrapped });
          const parsed = parseSimpleBlob(bytes);
          expect(parsed.algorithm).toBe(algorithm);
          expect(toHex(parsed.wrapped)).toBe(toHex(wrapped));
          expect(toHex(encodeSimpleBlob(parsed))).toBe(toHex(bytes));
        },
      ),
      { numRuns: 50 },
    );
  });

  it("keeps a zero byte at its end, which was the number's first", () => {
    const wrapped = new Uint8Array(256).fill(5);
    wrapped[0] = 0;
    const bytes = encodeSimpleBlob({ algorithm: "aes128", wrapped });
    expect(bytes.length).toBe(268);
    expect(bytes.at(-1)).toBe(0);
    expect(toHex(parseSimpleBlob(bytes).wrapped)).toBe(toHex(wrapped));
  });

  it.each([
    ["another bType", patched(simple, 0, "06"), "ERR_BLOB"],
    ["bVersion 1", patched(simple, 1, "01"), "ERR_BLOB"],
    ["reserved bytes that are not zero", patched(simple, 2, "0100"), "ERR_BLOB"],
    ["the ALG_ID of a hash", patched(simple, 4, "0c800000"), "ERR_ALGORITHM"],
    ["the ALG_ID of an RSA key", patched(simple, 4, "00a40000"), "ERR_ALGORITHM"],
    ["an unknown ALG_ID", patched(simple, 4, "ffffffff"), "ERR_ALGORITHM"],
    ["a signature key's ALG_ID for the wrapping", patched(simple, 8, "00240000"), "ERR_BLOB"],
    ["a cipher's ALG_ID for the wrapping", patched(simple, 8, "03660000"), "ERR_BLOB"],
    ["no payload", simple.subarray(0, 12), "ERR_TRUNCATED"],
    ["a payload no RSA key makes", simple.subarray(0, 12 + 63), "ERR_TRUNCATED"],
    ["a payload beyond every RSA key's", concat(simple, new Uint8Array(2048)), "ERR_TRAILING"],
    ["nothing", new Uint8Array(0), "ERR_TRUNCATED"],
  ])("with %s is refused", async (_what, bytes, code) => {
    expect(await codeOf(() => parseSimpleBlob(bytes))).toBe(code);
  });
});

describe("a PLAINTEXTKEYBLOB", () => {
  it("of any key comes back as it went", () => {
    for (const algorithm of SESSION_ALGORITHMS) {
      const bytes = encodePlaintextKeyBlob(generateSessionKey(algorithm)).expose();
      const key = parsePlaintextKeyBlob(bytes);
      expect(key.algorithm).toBe(algorithm);
      expect(toHex(encodePlaintextKeyBlob(key).expose())).toBe(toHex(bytes));
    }
  });

  it.each([
    ["another bType", patched(plaintextKey, 0, "01"), "ERR_BLOB"],
    ["a key that is too long for its ALG_ID", patched(plaintextKey, 8, "11000000"), "ERR_BLOB"],
    ["an empty key", patched(plaintextKey, 8, "00000000"), "ERR_BLOB"],
    ["an AES ALG_ID over five bytes", patched(plaintextKey, 4, "10660000"), "ERR_BLOB"],
    ["a byte too many", concat(plaintextKey, Uint8Array.of(0)), "ERR_TRAILING"],
    ["a byte too few", plaintextKey.subarray(0, 16), "ERR_TRUNCATED"],
  ])("with %s is refused, without a word of the key", async (_what, bytes, code) => {
    expect(await codeOf(() => parsePlaintextKeyBlob(bytes))).toBe(code);
    try {
      parsePlaintextKeyBlob(bytes);
    } catch (error) {
      expect(String(error)).not.toMatch(/4a3aee|77 37|7737/);
    }
  });

  it("does not print", () => {
    expect(String(encodePlaintextKeyBlob(generateSessionKey("aes256")))).toBe("[secret]");
  });
});

describe("the sample's file", () => {
  it.each([
    ["nothing", new Uint8Array(0), "ERR_TRUNCATED"],
    ["half a length", Uint8Array.of(12, 1), "ERR_TRUNCATED"],
    ["a length of 0", new Uint8Array(400), "ERR_SDK_FILE"],
    ["a length below every blob's", concat(fromHex("4b000000"), simple), "ERR_SDK_FILE"],
    ["a length above every blob's", concat(fromHex("0d080000"), simple), "ERR_SDK_FILE"],
    ["a big-endian length", concat(fromHex("0000010c"), simple), "ERR_SDK_FILE"],
    ["a length beyond its end", concat(fromHex("0d010000"), simple), "ERR_TRUNCATED"],
    ["a blob, not a file", simple, "ERR_TRUNCATED"],
  ])("with %s is refused", async (_what, bytes, code) => {
    expect(await codeOf(() => readSdkFile(bytes))).toBe(code);
  });

  it("gives its parts, also where the ciphertext is empty", async () => {
    for (const rest of [new Uint8Array(0), Uint8Array.of(1, 2, 3)]) {
      const { blob, ciphertext } = await readSdkFile(concat(sdkFileHead(simple), rest));
      expect(toHex(blob)).toBe(toHex(simple));
      expect(toHex(await joined(ciphertext))).toBe(toHex(rest));
    }
  });
});

describe("the kind of a blob", () => {
  it("is seen in its first bytes", () => {
    expect(blobKind(simple)).toBe("simple");
    expect(blobKind(exchangeKey)).toBe("public");
    expect(blobKind(plaintextKey)).toBe("plaintext");
    expect(blobKind(patched(simple, 0, "07"))).toBe("private");
    expect(blobKind(patched(simple, 0, "0b"))).toBeUndefined();
    expect(blobKind(patched(simple, 1, "01"))).toBeUndefined();
    expect(blobKind(simple.subarray(0, 7))).toBeUndefined();
    expect(blobKind(fromHex("30820122300d06092a864886"))).toBeUndefined();
  });
});

describe("20,000 damaged inputs", () => {
  const terms: Terms = {
    own: { name: "alice", publicKey: alice.publicKey },
    peer: { name: "bob", publicKey: bob.publicKey },
    algorithm: "aes256",
    hash: "sha256",
    padding: "pkcs1",
  };
  const record = encodeBackupRecord({
    hash: "sha256",
    serialNumber: 7n,
    description: "archive",
    blob: simple,
    signature: new Uint8Array(256),
  });
  const phase2 = formatPhase2({ blob: simple, hash: new Uint8Array(32) });
  const state = ThreePhase.begin(terms).run.serialize();

  it.each<[string, Uint8Array[], (bytes: Uint8Array) => Uint8Array]>([
    ["SIMPLEBLOBs", [simple], (bytes) => encodeSimpleBlob(parseSimpleBlob(bytes))],
    [
      "PUBLICKEYBLOBs",
      [exchangeKey, signatureKey],
      (bytes) => encodePublicKeyBlob(parsePublicKeyBlob(bytes)),
    ],
    [
      "PLAINTEXTKEYBLOBs",
      [plaintextKey],
      (bytes) => encodePlaintextKeyBlob(parsePlaintextKeyBlob(bytes)).expose(),
    ],
    ["backup records", [record], (bytes) => encodeBackupRecord(parseBackupRecord(bytes))],
    ["second messages", [phase2], (bytes) => formatPhase2(parsePhase2(bytes, terms))],
    ["run states", [state], (bytes) => ThreePhase.resume(bytes).serialize()],
  ])("%s are refused with a code of ours, or read and written as they were", async (...args) => {
    const [what, seeds, throughAndBack] = args;
    const report = await fuzz(
      seeds,
      what === "run states" ? scaled(20_000, 1000) : scaled(200_000, 5000),
      5,
      (bytes) => {
        try {
          return toHex(throughAndBack(bytes)) === toHex(bytes) || "other bytes came back";
        } catch (error) {
          return error instanceof P11SealError ? error : `not an error of ours: ${String(error)}`;
        }
      },
    );
    expectSound(report);
  });

  it("the sample's files are refused, or give a blob and the rest", async () => {
    const seeds = [concat(sdkFileHead(simple), new Uint8Array(40))];
    const report = await fuzz(seeds, scaled(200_000, 5000), 6, async (bytes) => {
      try {
        const { blob, ciphertext } = await readSdkFile(bytes);
        const back = concat(sdkFileHead(blob), await joined(ciphertext));
        return toHex(back) === toHex(bytes) || "other bytes came back";
      } catch (error) {
        return error instanceof P11SealError ? error : `not an error of ours: ${String(error)}`;
      }
    });
    expectSound(report);
  });
});

function expectSound(report: FuzzReport): void {
  expect(report.broken).toEqual([]);
  expect(report.codes.size).toBeGreaterThan(0);
  expect(report.slowestMs).toBeLessThan(2000);
}
