import { describe, expect, it } from "@jest/globals";
import { ascii, concat, toHex } from "../../src/bytes.js";
import {
  backUpSessionKey,
  decryptMessage,
  delayBefore,
  encodeBackupRecord,
  generateSessionKey,
  NO_FAILURES,
  openBackup,
  openStoredKey,
  parseBackupRecord,
  recordFailure,
  sendMessage,
  signData,
  storeSessionKey,
  verifyData,
  wrapSessionKey,
  type Failures,
} from "../../src/capi/index.js";
import { alice, aliceSigner, bob, bobSigner, codeOf, counted, joined, text } from "./support.js";

const signer = aliceSigner;
const key = generateSessionKey("aes256");
const KEY = toHex(key.bytes.expose());

describe("a stored session key", () => {
  it("comes back, from either padding", async () => {
    for (const padding of ["pkcs1", "oaep"] as const) {
      const stored = await storeSessionKey(key, bob.publicKey, { signer, padding });
      const opened = await openStoredKey(stored, bob, signer.publicKey, { padding });
      expect(toHex(opened.bytes.expose())).toBe(KEY);
      expect(opened.algorithm).toBe("aes256");
    }
  });

  it("is signed over the blob, as CryptSignHash would sign it", async () => {
    const { blob, signature } = await storeSessionKey(key, bob.publicKey, { signer });
    expect(await verifyData(signer.publicKey, blob, signature, { hash: "sha256" })).toBe(true);
  });

  it("that somebody put in its place is refused before the private key is used", async () => {
    const stored = await storeSessionKey(key, bob.publicKey, { signer });
    const planted = wrapSessionKey(generateSessionKey("aes256"), bob.publicKey);
    const privateKey = counted(bob);
    const open = (other: Partial<typeof stored>) =>
      codeOf(() => openStoredKey({ ...stored, ...other }, privateKey, signer.publicKey));
    expect(await open({ blob: planted })).toBe("ERR_SENDER_SIGNATURE");
    const theirs = await signData(bobSigner, planted, { hash: "sha256" });
    expect(await open({ blob: planted, signature: theirs })).toBe("ERR_SENDER_SIGNATURE");
    expect(await open({ signature: stored.signature.slice().reverse() })).toBe(
      "ERR_SENDER_SIGNATURE",
    );
    expect(privateKey.calls).toEqual([]);
  });

  it("opened with the wrong padding says no more than that it doesn't decrypt", async () => {
    const stored = await storeSessionKey(key, bob.publicKey, { signer });
    expect(
      await codeOf(() => openStoredKey(stored, bob, signer.publicKey, { padding: "oaep" })),
    ).toBe("ERR_DECRYPT");
  });

  it("is not accepted with a signature over MD5, nor signed over SHA-1", async () => {
    const stored = await storeSessionKey(key, bob.publicKey, { signer });
    const form = { hash: "md5" } as const;
    expect(await codeOf(() => openStoredKey(stored, bob, signer.publicKey, { form }))).toBe(
      "ERR_WEAK_HASH",
    );
    expect(
      await codeOf(() => storeSessionKey(key, bob.publicKey, { signer, form: { hash: "sha1" } })),
    ).toBe("ERR_WEAK_HASH");
  });

  it("is not kept under the key that signs it", async () => {
    expect(await codeOf(() => storeSessionKey(key, alice.publicKey, { signer }))).toBe(
      "ERR_SAME_KEY",
    );
  });

  it("encrypts messages, each with an IV of its own", async () => {
    const stored = await storeSessionKey(key, bob.publicKey, { signer });
    const sessionKey = await openStoredKey(stored, bob, signer.publicKey);
    const iv = new Uint8Array(16).fill(3);
    const message = sendMessage(text, {
      recipients: [bob.publicKey],
      sessionKey,
      parameters: { iv },
    });
    const ciphertext = await joined(message.ciphertext);
    expect(toHex(await joined(decryptMessage(sessionKey, { iv }, ciphertext)))).toBe(toHex(text));
  });
});

describe("a backup record", () => {
  const about = { serialNumber: 2n ** 63n + 5n, description: "Archiv 2024, Band 7 🗄" };
  const record = () => backUpSessionKey(key, bob.publicKey, about, { signer });

  it("gives the authority the key, the serial number and the description", async () => {
    const parsed = parseBackupRecord(await record());
    expect(parsed.serialNumber).toBe(about.serialNumber);
    expect(parsed.description).toBe(about.description);
    const opened = await openBackup(parsed, bob, signer.publicKey);
    expect(toHex(opened.bytes.expose())).toBe(KEY);
  });

  it("can be checked by hashing the record up to its signature", async () => {
    const bytes = await record();
    const signed = bytes.subarray(0, bytes.length - 384 - 4);
    const { signature } = parseBackupRecord(bytes);
    expect(await verifyData(signer.publicKey, signed, signature, { hash: "sha256" })).toBe(true);
  });

  it("with any byte altered is refused, without the key being used", async () => {
    const bytes = await record();
    const privateKey = counted(bob);
    const codes = new Set<unknown>();
    for (let at = 0; at < bytes.length; at += 3) {
      const altered = bytes.slice();
      altered[at] = (altered[at] ?? 0) ^ 0x10;
      const outcome = await codeOf(() =>
        openBackup(parseBackupRecord(altered), privateKey, signer.publicKey),
      );
      expect(outcome).toMatch(/^ERR_/);
      codes.add(outcome);
    }
    expect(codes).toContain("ERR_SENDER_SIGNATURE");
    expect(privateKey.calls).toEqual([]);
  });

  it.each<[string, (bytes: Uint8Array) => Uint8Array, string]>([
    ["another magic", (b) => concat(ascii("PKB2"), b.subarray(4)), "ERR_RECORD"],
    ["a weak hash", (b) => concat(b.subarray(0, 4), Uint8Array.of(4), b.subarray(5)), "ERR_RECORD"],
    ["a byte too many", (b) => concat(b, Uint8Array.of(0)), "ERR_TRAILING"],
    ["a byte too few", (b) => b.subarray(0, -1), "ERR_TRUNCATED"],
    ["nothing", () => new Uint8Array(0), "ERR_TRUNCATED"],
    ["megabytes", () => new Uint8Array(2_000_000), "ERR_RECORD"],
  ])("with %s is refused", async (_what, damage, code) => {
    const bytes = await record();
    expect(await codeOf(() => parseBackupRecord(damage(bytes)))).toBe(code);
  });

  it.each([
    ["a line break", "a\nb"],
    ["an escape sequence", "\u001b[31mred"],
    ["half a character", "\udc00"],
    ["too many characters", "x".repeat(1025)],
  ])("takes no description with %s, written or read", async (_what, description) => {
    expect(
      await codeOf(() =>
        backUpSessionKey(key, bob.publicKey, { ...about, description }, { signer }),
      ),
    ).toBe("ERR_DESCRIPTION");
    const sound = parseBackupRecord(await record());
    expect(await codeOf(() => encodeBackupRecord({ ...sound, description }))).toBe(
      "ERR_DESCRIPTION",
    );
  });

  it("has a serial number of 64 bits", async () => {
    for (const serialNumber of [-1n, 2n ** 64n]) {
      expect(
        await codeOf(() =>
          backUpSessionKey(key, bob.publicKey, { ...about, serialNumber }, { signer }),
        ),
      ).toBe("ERR_SERIAL_NUMBER");
    }
  });

  it("restores a lost key: the authority wraps it for the client's new one", async () => {
    const opened = await openBackup(parseBackupRecord(await record()), bob, signer.publicKey);
    const blob = wrapSessionKey(opened, alice.publicKey);
    const signature = await signData(bobSigner, blob, { hash: "sha256" });
    const back = await openStoredKey({ blob, signature }, alice, bobSigner.publicKey);
    expect(toHex(back.bytes.expose())).toBe(KEY);
  });
});

describe("the brake on guessing", () => {
  const after = (count: number): Failures => {
    let failures = NO_FAILURES;
    for (let i = 0; i < count; i++) failures = recordFailure(failures, 1_000_000 + i);
    return failures;
  };

  it("lets a person mistype, and then waits longer each time, up to a minute", () => {
    const delays = [0, 1, 2, 3, 4, 5, 9, 10, 1000].map((count) =>
      delayBefore(after(count), 1_000_000 + count),
    );
    expect(delays).toEqual([0, 0, 0, 1000, 2000, 4000, 60_000, 60_000, 60_000]);
  });

  it("is let go after an hour without a failure, and not by setting the clock back", () => {
    const failures = after(10);
    expect(delayBefore(failures, failures.lastMs + 3_600_001)).toBe(0);
    expect(recordFailure(failures, failures.lastMs + 3_600_001).count).toBe(1);
    expect(delayBefore(failures, failures.lastMs - 10_000_000)).toBe(60_000);
    expect(recordFailure(failures, 0).count).toBe(11);
  });
});
