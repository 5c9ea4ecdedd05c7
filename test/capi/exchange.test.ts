import { describe, expect, it } from "@jest/globals";
import { constants, generateKeyPairSync, createPrivateKey, publicEncrypt } from "node:crypto";
import { concat, equal, toHex } from "../../src/bytes.js";
import {
  AuthenticMessage,
  encodeSimpleBlob,
  generateSessionKey,
  parseSimpleBlob,
  receiveMessage,
  sendMessage,
  signMessage,
  softwareRsaKey,
  wrapSessionKey,
  type ReceiveOptions,
  type SendOptions,
  type SessionAlgorithm,
} from "../../src/capi/index.js";
import { publicKeyFromRsa } from "../../src/keys/public-key.js";
import { Secret } from "../../src/secret.js";
import {
  alice,
  aliceSigner,
  bob,
  bobObject,
  codeOf,
  counted,
  inSteps,
  joined,
  text,
} from "./support.js";
import { decryptPkcs1 } from "../support/private-key.js";

const FORM = { hash: "sha256" } as const;

interface Message {
  readonly blob: Uint8Array;
  readonly ciphertext: Uint8Array;
}

async function sent(options: Partial<SendOptions> = {}): Promise<Message> {
  const message = sendMessage(text, { recipients: [bob.publicKey], ...options });
  return { blob: message.blobs[0] as Uint8Array, ciphertext: await joined(message.ciphertext) };
}

/** The plaintext in hexadecimal, or the error's code. */
function outcome(message: Message, options: Partial<ReceiveOptions> = {}): Promise<unknown> {
  return codeOf(async () => {
    const received = await receiveMessage({
      ...message,
      privateKey: bob,
      allowUnauthenticated: true,
      rejectionSecret: REJECTION,
      ...options,
    });
    return toHex(await joined(received.plaintext));
  });
}

/**
 * Refused with `code`; never yields the message. With an implicit rejection key, one message in 256
 * happens to end with valid padding, and is noise. So more than one is tried.
 */
async function expectRefused(act: () => Promise<unknown>, code: string): Promise<void> {
  const outcomes = [await act(), await act(), await act(), await act()];
  expect(outcomes).not.toContain(TEXT);
  expect(outcomes).toContain(code);
}

const REJECTION = new Secret(new Uint8Array(32).fill(9));
const TEXT = toHex(text);

/** A blob whose padded block is `em`, unchecked: the public key operation alone. */
function blobOfBlock(em: Uint8Array, algorithm: SessionAlgorithm = "aes256"): Uint8Array {
  const padding = constants.RSA_NO_PADDING;
  const wrapped = publicEncrypt({ key: bob.publicKey.object, padding }, em);
  return encodeSimpleBlob({ algorithm, wrapped });
}

/** 00 02 PS 00 KEY, as long as Bob's modulus. */
function block(key: Uint8Array, type = 2, padding = 0xa5): Uint8Array {
  const em = new Uint8Array(256).fill(padding);
  em.set([0, type]);
  em[255 - key.length] = 0;
  em.set(key, 256 - key.length);
  return em;
}

describe("receiving without a signature", () => {
  it("is refused unless asked for, before the private key is used", async () => {
    const privateKey = counted(bob);
    const message = await sent();
    expect(await outcome(message, { allowUnauthenticated: false, privateKey })).toBe(
      "ERR_UNAUTHENTICATED",
    );
    expect(privateKey.calls).toEqual([]);
  });

  it("gives the message when asked for, with one private key operation", async () => {
    const privateKey = counted(bob);
    expect(await outcome(await sent(), { privateKey })).toBe(TEXT);
    expect(privateKey.calls).toEqual(["pkcs1"]);
  });

  it("works with OAEP when both ends say so", async () => {
    const privateKey = counted(bob);
    const message = await sent({ padding: "oaep" });
    expect(await outcome(message, { padding: "oaep", privateKey })).toBe(TEXT);
    expect(privateKey.calls).toEqual(["oaep"]);
  });
});

describe("what is no message for this key", () => {
  it.each<[string, (message: Message) => Message, Partial<ReceiveOptions>, string]>([
    ["a payload not reversed", unreversed, {}, "ERR_DECRYPT"],
    ["OAEP taken for PKCS#1", (m) => m, { padding: "oaep" }, "ERR_DECRYPT"],
    ["an altered payload", (m) => ({ ...m, blob: flipped(m.blob, 40) }), {}, "ERR_DECRYPT"],
    [
      "the highest bit of the payload",
      (m) => ({ ...m, blob: flipped(m.blob, 267) }),
      {},
      "ERR_DECRYPT",
    ],
    [
      "an altered last block",
      (m) => ({ ...m, ciphertext: flipped(m.ciphertext, 15) }),
      {},
      "ERR_DECRYPT",
    ],
    ["a ciphertext cut by a byte", (m) => cutBy(m, 1), {}, "ERR_DECRYPT"],
    ["no ciphertext", (m) => cutBy(m, 16), {}, "ERR_DECRYPT"],
    ["another mode", (m) => m, { parameters: { mode: "cfb" } }, "ERR_DECRYPT"],
    ["another key of the same size", (m) => ({ ...m, blob: forAnother }), {}, "ERR_DECRYPT"],
    ["a key of another size", (m) => m, { privateKey: alice }, "ERR_NO_MATCH"],
    [
      "bytes after the blob",
      (m) => ({ ...m, blob: concat(m.blob, Uint8Array.of(0)) }),
      {},
      "ERR_NO_MATCH",
    ],
    ["a blob cut by a byte", (m) => ({ ...m, blob: m.blob.subarray(0, 267) }), {}, "ERR_NO_MATCH"],
    [
      "a mode with RC4's blob",
      (m) => ({ ...m, blob: relabelled(m.blob, 0x01, 0x68) }),
      { parameters: { mode: "cbc" } },
      "ERR_CIPHER_PARAMETER",
    ],
    [
      "an AES-128 header over an AES-256 key",
      (m) => ({ ...m, blob: relabelled(m.blob, 0x0e) }),
      {},
      "ERR_DECRYPT",
    ],
    [
      "an AES-192 header over an AES-256 key",
      (m) => ({ ...m, blob: relabelled(m.blob, 0x0f) }),
      {},
      "ERR_DECRYPT",
    ],
    ["bVersion 3", (m) => ({ ...m, blob: withByte(m.blob, 1, 3) }), {}, "ERR_BLOB"],
    ["reserved bytes", (m) => ({ ...m, blob: withByte(m.blob, 3, 1) }), {}, "ERR_BLOB"],
    ["a PUBLICKEYBLOB's type", (m) => ({ ...m, blob: withByte(m.blob, 0, 6) }), {}, "ERR_BLOB"],
  ])("%s: refused", async (_what, damage, options, code) => {
    await expectRefused(async () => outcome(damage(await sent()), options), code);
  });

  it("an OAEP message taken for PKCS#1 v1.5 is refused", async () => {
    await expectRefused(async () => outcome(await sent({ padding: "oaep" })), "ERR_DECRYPT");
  });

  const key = generateSessionKey("aes256").bytes.expose();
  it.each([
    ["block type 01", block(key, 1)],
    ["block type 00", block(key, 0)],
    ["a first byte of 01", withByte(block(key), 0, 1)],
    ["an empty key", block(new Uint8Array(0))],
    ["a key of 31 bytes", block(key.subarray(1))],
    ["a key of 33 bytes", block(concat(key, Uint8Array.of(1)))],
    ["a key of 16 bytes", block(key.subarray(16))],
    ["seven bytes of padding", withByte(block(key), 9, 0)],
    ["no byte of padding", withByte(block(key), 2, 0)],
    ["no separator", new Uint8Array(256).fill(0xa5).fill(0, 0, 1).fill(2, 1, 2)],
    ["zeros", new Uint8Array(256)],
  ])("a padded block with %s: the same error as bad padding in the message", async (_what, em) => {
    // The message is encrypted under the key inside, so accepting the block would reveal it.
    const blob = blobOfBlock(em);
    const iv = { parameters: { iv: new Uint8Array(16) } };
    const sessionKey = { algorithm: "aes256", bytes: new Secret(key.slice()) } as const;
    const { ciphertext } = await sent({ sessionKey, ...iv });
    const outcomes = [await outcome({ blob, ciphertext })];
    for (const salt of [1, 2, 3]) {
      const rejectionSecret = new Secret(new Uint8Array(32).fill(salt));
      outcomes.push(await outcome({ blob, ciphertext }, { rejectionSecret }));
    }
    expect(outcomes).not.toContain(TEXT);
    expect(outcomes).toContain("ERR_DECRYPT");
  });

  it("the same block in good order is taken, so the others fail for what they say", async () => {
    const sessionKey = { algorithm: "aes256", bytes: new Secret(key.slice()) } as const;
    const { ciphertext } = await sent({ sessionKey, parameters: { iv: new Uint8Array(16) } });
    expect(await outcome({ blob: blobOfBlock(block(key)), ciphertext })).toBe(TEXT);
  });

  it("no PIN is asked for a blob that is seen to be none", async () => {
    const privateKey = counted(bob);
    const message = await sent();
    await outcome({ ...message, blob: withByte(message.blob, 1, 1) }, { privateKey });
    await outcome({ ...message, blob: message.blob.subarray(0, 200) }, { privateKey });
    await outcome(message, { privateKey, parameters: { iv: new Uint8Array(3) } });
    expect(privateKey.calls).toEqual([]);
  });
});

describe("implicit rejection", () => {
  it("gives a bad blob the same noise each time, and each blob its own", async () => {
    const { ciphertext } = await sent({ algorithm: "rc4", allowWeak: true });
    const bad = (byte: number) => blobOfBlock(block(Uint8Array.of(byte), 1), "rc4");
    const first = await outcome({ blob: bad(1), ciphertext });
    expect(first).not.toBe(TEXT);
    expect(await outcome({ blob: bad(1), ciphertext })).toBe(first);
    expect(await outcome({ blob: bad(2), ciphertext })).not.toBe(first);
    const elsewhere = new Secret(new Uint8Array(32).fill(8));
    expect(await outcome({ blob: bad(1), ciphertext }, { rejectionSecret: elsewhere })).not.toBe(
      first,
    );
  });

  it("by default holds within the process", async () => {
    const { ciphertext } = await sent({ algorithm: "rc4", allowWeak: true });
    const message = { blob: blobOfBlock(block(Uint8Array.of(1), 1), "rc4"), ciphertext };
    const noise = async () =>
      toHex(
        await joined(
          (await receiveMessage({ ...message, privateKey: bob, allowUnauthenticated: true }))
            .plaintext,
        ),
      );
    expect(await noise()).toBe(await noise());
  });
});

describe("a signed message", () => {
  const signedMessage = async (options: Partial<SendOptions> = {}) => {
    const message = await sent(options);
    const signature = await signMessage(aliceSigner, message, FORM);
    return { message, signature };
  };
  const verified = (message: Message, signature: Uint8Array) =>
    AuthenticMessage.verify(
      { blob: message.blob, ciphertext: inSteps(message.ciphertext, 7) },
      signature,
      aliceSigner.publicKey,
      FORM,
    );

  it("is read without being told that nothing authenticates it, and names its signer", async () => {
    const { message, signature } = await signedMessage();
    const authentic = await verified(message, signature);
    const received = await receiveMessage({ ...message, privateKey: bob, authentic });
    expect(toHex(await joined(received.plaintext))).toBe(TEXT);
    expect(received.signer && equal(received.signer.spki, aliceSigner.publicKey.spki)).toBe(true);
  });

  it("with any byte of blob, ciphertext or signature altered is refused, and nothing decrypted", async () => {
    const { message, signature } = await signedMessage();
    for (const at of [0, 11, 12, 267]) {
      const altered = { ...message, blob: flipped(message.blob, at) };
      expect(await codeOf(() => verified(altered, signature))).toBe("ERR_SENDER_SIGNATURE");
    }
    for (const at of [0, 15]) {
      const altered = { ...message, ciphertext: flipped(message.ciphertext, at) };
      expect(await codeOf(() => verified(altered, signature))).toBe("ERR_SENDER_SIGNATURE");
    }
    expect(await codeOf(() => verified(message, flipped(signature, 100)))).toBe(
      "ERR_SENDER_SIGNATURE",
    );
    expect(await codeOf(() => verified(message, signature.subarray(1)))).toBe(
      "ERR_SENDER_SIGNATURE",
    );
  });

  it("is not a proof for another message", async () => {
    const { message, signature } = await signedMessage();
    const authentic = await verified(message, signature);
    const other = await sent();
    const privateKey = counted(bob);
    const options = { authentic, privateKey, allowUnauthenticated: false };
    expect(await outcome({ ...message, blob: other.blob }, options)).toBe("ERR_SENDER_SIGNATURE");
    expect(privateKey.calls).toEqual([]);
    // The ciphertext is changed between the check and the decryption.
    expect(await outcome({ ...message, ciphertext: other.ciphertext }, options)).toBe(
      "ERR_SENDER_SIGNATURE",
    );
  });

  it("with RC4 says when the padding was not the agreed one, where unsigned it gives noise", async () => {
    const { message, signature } = await signedMessage({ algorithm: "rc4", allowWeak: true });
    const authentic = await verified(message, signature);
    expect(await outcome(message, { authentic, padding: "oaep" })).toBe("ERR_DECRYPT");
    expect(await outcome(message, { authentic })).toBe(TEXT);
    expect(await outcome(message, { padding: "oaep" })).toMatch(/^[0-9a-f]{28}$/);
  });

  it("is signed while it is sent, once for each recipient, as it would be afterwards", async () => {
    const message = sendMessage(inSteps(text, 3), {
      recipients: [bob.publicKey, alice.publicKey],
      signer: { key: aliceSigner, form: { hash: "sha512", description: "Bestellung №7" } },
    });
    expect(await codeOf(() => message.signatures())).toBeInstanceOf(TypeError);
    const ciphertext = await joined(message.ciphertext);
    const signatures = await message.signatures();
    expect(signatures.length).toBe(2);
    for (const [index, blob] of message.blobs.entries()) {
      const form = { hash: "sha512", description: "Bestellung №7" } as const;
      const after = await signMessage(aliceSigner, { blob, ciphertext }, form);
      expect(toHex(signatures[index] as Uint8Array)).toBe(toHex(after));
    }
  });

  it("over MD5 is no proof, over SHA-1 is one but is not made", async () => {
    const message = await sent();
    const verify = (hash: "md5" | "sha1") =>
      codeOf(() =>
        AuthenticMessage.verify(message, new Uint8Array(384), aliceSigner.publicKey, { hash }),
      );
    expect(await verify("md5")).toBe("ERR_WEAK_HASH");
    expect(await verify("sha1")).toBe("ERR_SENDER_SIGNATURE");
    for (const hash of ["md5", "sha1"] as const) {
      expect(await codeOf(() => signMessage(aliceSigner, message, { hash }))).toBe("ERR_WEAK_HASH");
    }
  });
});

describe("sending", () => {
  it("makes one blob a recipient for one session key", async () => {
    const message = sendMessage(text, { recipients: [bob.publicKey, alice.publicKey] });
    const ciphertext = await joined(message.ciphertext);
    for (const [index, privateKey] of [bob, alice].entries()) {
      const blob = message.blobs[index] as Uint8Array;
      expect(await outcome({ blob, ciphertext }, { privateKey })).toBe(TEXT);
    }
  });

  it("uses a new key each time, and AES-256 unless told otherwise", async () => {
    const [one, two] = [await sent(), await sent()];
    expect(toHex(one.ciphertext)).not.toBe(toHex(two.ciphertext));
    expect(parseSimpleBlob(one.blob).algorithm).toBe("aes256");
  });

  it.each<[string, Partial<SendOptions>, string]>([
    ["nobody", { recipients: [] }, "ERR_NO_RECIPIENTS"],
    ["RC4", { algorithm: "rc4" }, "ERR_WEAK_CIPHER"],
    ["RC2", { algorithm: "rc2" }, "ERR_WEAK_CIPHER"],
    ["DES", { algorithm: "des" }, "ERR_WEAK_CIPHER"],
    ["triple DES", { algorithm: "3des" }, "ERR_WEAK_CIPHER"],
    ["triple DES with two keys", { algorithm: "3des112" }, "ERR_WEAK_CIPHER"],
    ["ECB", { parameters: { mode: "ecb" } }, "ERR_WEAK_CIPHER"],
    ["a key with e = 3", { recipients: [withExponent3()] }, "ERR_WEAK_KEY"],
    ["a wrong IV", { parameters: { iv: new Uint8Array(8) } }, "ERR_CIPHER_PARAMETER"],
    ["a key length AES has not", { keyBits: 40 }, "ERR_KEY_LENGTH"],
    ["SHA-1", { signer: { key: aliceSigner, form: { hash: "sha1" } } }, "ERR_WEAK_HASH"],
    [
      "a stored key without an IV",
      { sessionKey: generateSessionKey("aes256") },
      "ERR_CIPHER_PARAMETER",
    ],
  ])("to or with %s is refused before a byte is read", async (_what, options, code) => {
    let read = false;
    const plaintext = (function* () {
      read = true;
      yield text;
    })();
    const act = () => sendMessage(plaintext, { recipients: [bob.publicKey], ...options });
    expect(await codeOf(act)).toBe(code);
    expect(read).toBe(false);
  });

  it("fails with the plaintext's own error, and signs nothing then", async () => {
    const failing = (async function* () {
      yield await Promise.resolve(text);
      throw new Error("disk on fire");
    })();
    const message = sendMessage(failing, {
      recipients: [bob.publicKey],
      signer: { key: aliceSigner, form: FORM },
    });
    await expect(joined(message.ciphertext)).rejects.toThrow("disk on fire");
    expect(await codeOf(() => message.signatures())).toBeInstanceOf(TypeError);
  });

  it("a key too small for the session key is named", async () => {
    const { privateKey } = generateKeyPairSync("rsa", {
      modulusLength: 512,
      privateKeyEncoding: { type: "pkcs8", format: "der" },
      publicKeyEncoding: { type: "spki", format: "der" },
    });
    const key = createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" });
    const tiny = softwareRsaKey(key).publicKey;
    const aes256 = generateSessionKey("aes256");
    expect(await codeOf(() => wrapSessionKey(aes256, tiny, "oaep"))).toBe("ERR_KEY_SIZE");
    expect(wrapSessionKey(aes256, tiny, "pkcs1").length).toBe(12 + 64);
  });
});

describe("the session key", () => {
  it("is gone from memory once the message was read, or given up", async () => {
    const keys: Secret[] = [];
    const privateKey = {
      ...bob,
      decryptPkcs1: async (ciphertext: Uint8Array) => {
        const key = await decryptPkcs1(bob, ciphertext);
        if (key !== null) keys.push(key);
        return key;
      },
    };
    const message = await sent();
    const options = { ...message, privateKey, allowUnauthenticated: true };
    await joined((await receiveMessage(options)).plaintext);
    await (await receiveMessage(options)).plaintext.close();
    await outcome({ ...message, ciphertext: flipped(message.ciphertext, 15) }, { privateKey });
    expect(keys.length).toBe(3);
    for (const key of keys) expect(() => key.expose()).toThrow(TypeError);
  });
});

describe("Buffers, whose slice is no copy,", () => {
  it("are taken everywhere, and left as they were", async () => {
    const message = await sent({ algorithm: "rc2", parameters: { mode: "cfb" }, allowWeak: true });
    const iv = Buffer.alloc(8);
    const blob = Buffer.from(message.blob);
    const ciphertext = Buffer.from(message.ciphertext);
    const privateKey = {
      ...bob,
      decryptPkcs1: async (wrapped: Uint8Array) => {
        const key = await decryptPkcs1(bob, wrapped);
        return key === null ? null : new Secret(Buffer.from(key.expose()));
      },
    };
    const signature = await signMessage(aliceSigner, { blob, ciphertext }, FORM);
    const authentic = await AuthenticMessage.verify(
      { blob, ciphertext },
      Buffer.from(signature),
      aliceSigner.publicKey,
      FORM,
    );
    const parameters = { mode: "cfb", iv } as const;
    const options = { privateKey, authentic, parameters };
    expect(await outcome({ blob, ciphertext }, options)).toBe(TEXT);
    expect(await outcome({ blob, ciphertext }, options)).toBe(TEXT);
    expect(iv.every((byte) => byte === 0)).toBe(true);
    expect(toHex(blob)).toBe(toHex(message.blob));

    const stored = new Secret(Buffer.alloc(32, 1));
    const sessionKey = { algorithm: "aes256", bytes: stored } as const;
    const again = { sessionKey, parameters: { iv: Buffer.alloc(16) } };
    const [one, two] = [await sent(again), await sent(again)];
    expect(toHex(one.ciphertext)).toBe(toHex(two.ciphertext));
    expect(stored.expose().every((byte) => byte === 1)).toBe(true);
  });
});

describe("a private key in memory", () => {
  it("is an RSA key", async () => {
    const { privateKey } = generateKeyPairSync("x25519");
    expect(await codeOf(() => softwareRsaKey(privateKey))).toBe("ERR_PRIVATE_KEY");
    expect(softwareRsaKey(bobObject).publicKey.bits).toBe(2048);
  });
});

const { publicKey: otherKey } = softwareRsaKey(
  createPrivateKey({
    key: generateKeyPairSync("rsa", {
      modulusLength: 2048,
      privateKeyEncoding: { type: "pkcs8", format: "der" },
      publicKeyEncoding: { type: "spki", format: "der" },
    }).privateKey,
    format: "der",
    type: "pkcs8",
  }),
);
const forAnother = wrapSessionKey(generateSessionKey("aes256"), otherKey);

function withExponent3() {
  return publicKeyFromRsa(bob.publicKey.modulus, Uint8Array.of(3));
}

function unreversed({ blob, ciphertext }: Message): Message {
  return { blob: concat(blob.subarray(0, 12), blob.slice(12).reverse()), ciphertext };
}

function cutBy(message: Message, count: number): Message {
  return { ...message, ciphertext: message.ciphertext.subarray(0, 16 - count) };
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return withByte(bytes, at, (bytes[at] ?? 0) ^ 0x80);
}

function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}

/** The blob with another session key's ALG_ID. */
function relabelled(blob: Uint8Array, low: number, high = 0x66): Uint8Array {
  return withByte(withByte(blob, 4, low), 5, high);
}
