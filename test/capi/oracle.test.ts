/**
 * Somebody who sends chosen blobs learns nothing: a good block and each kind of bad one make the
 * same calls to node:crypto, on the same number of bytes.
 */
import * as nodeCrypto from "node:crypto";
import { describe, expect, it, jest } from "@jest/globals";

let calls: string[] = [];
const recorded = <T extends unknown[], R>(name: string, act: (...args: T) => R) => {
  return (...args: T): R => {
    const sizes = args.map((arg) => (arg instanceof Uint8Array ? arg.length : typeof arg));
    calls.push(`${name} ${sizes.join(" ")}`);
    return act(...args);
  };
};

jest.unstable_mockModule("node:crypto", () => ({
  ...nodeCrypto,
  createHash: recorded("createHash", nodeCrypto.createHash),
  createHmac: recorded("createHmac", nodeCrypto.createHmac),
  createDecipheriv: (name: string, key: Uint8Array, iv: Uint8Array) => {
    calls.push(`createDecipheriv ${name} ${key.length} ${iv.length}`);
    const cipher = nodeCrypto.createDecipheriv(name, key, iv);
    const update = cipher.update.bind(cipher) as (data: Uint8Array) => Buffer;
    return Object.assign(cipher, {
      update: (data: Uint8Array) => {
        calls.push(`update ${data.length}`);
        return update(data);
      },
    });
  },
  privateDecrypt: (options: { padding: number }, data: Uint8Array) => {
    calls.push(`privateDecrypt ${options.padding} ${data.length}`);
    return nodeCrypto.privateDecrypt(options as nodeCrypto.RsaPrivateKey, data);
  },
  randomBytes: recorded("randomBytes", (size: number) => nodeCrypto.randomBytes(size)),
  timingSafeEqual: recorded("timingSafeEqual", nodeCrypto.timingSafeEqual),
}));

const { encodeSimpleBlob, encryptMessage, receiveMessage } =
  await import("../../src/capi/index.js");
const { pkcs1Decode } = await import("../../src/wrap/rsa-pkcs1.js");
const { Secret } = await import("../../src/secret.js");
const { oaepEncrypt } = await import("../../src/wrap/rsa-oaep.js");
const { bob, joined } = await import("./support.js");

const rejectionSecret = new Secret(new Uint8Array(32).fill(3));
const sessionKey = new Uint8Array(32).fill(0x11);
const plaintext = new Uint8Array(40).fill(0x61);
const ciphertext = await joined(
  encryptMessage({ algorithm: "aes256", bytes: new Secret(sessionKey.slice()) }, {}, plaintext),
);

interface Outcome {
  readonly error: { code: unknown; message: string; hint: unknown } | undefined;
  readonly calls: string[];
  /** The output before the end was reached. */
  readonly left: number;
}

async function outcome(wrapped: Uint8Array, padding: "pkcs1" | "oaep"): Promise<Outcome> {
  calls = [];
  let left = 0;
  try {
    const { plaintext: stream } = await receiveMessage({
      blob: encodeSimpleBlob({ algorithm: "aes256", wrapped }),
      ciphertext,
      privateKey: bob,
      padding,
      allowUnauthenticated: true,
      rejectionSecret,
    });
    for await (const chunk of stream) left += chunk.length;
    return { error: undefined, calls, left };
  } catch (caught) {
    const { code, message, hint } = caught as { code: unknown; message: string; hint: unknown };
    return { error: { code, message, hint }, calls, left };
  }
}

/** The ciphertext of a block. */
function raw(em: Uint8Array): Uint8Array {
  const padding = nodeCrypto.constants.RSA_NO_PADDING;
  return nodeCrypto.publicEncrypt({ key: bob.publicKey.object, padding }, em);
}

function block(key: Uint8Array, changes: readonly (readonly [number, number])[] = []): Uint8Array {
  const em = new Uint8Array(256).fill(0x5a);
  em.set([0, 2]);
  em[255 - key.length] = 0;
  em.set(key, 256 - key.length);
  for (const [at, value] of changes) em[at] = value;
  return em;
}

describe("a blob of the attacker's choice", () => {
  it("shows whether its padding and its key's length were good, in nothing", async () => {
    const wrongKey = new Uint8Array(32).fill(0x22);
    const good = await outcome(raw(block(sessionKey)), "pkcs1");
    expect(good.error).toBeUndefined();
    expect(good.left).toBe(40);

    // Well formed, with a key other than the message's: the attacker wants to distinguish this.
    const conforming = await outcome(raw(block(wrongKey)), "pkcs1");
    expect(conforming.error?.code).toBe("ERR_DECRYPT");
    expect(conforming.calls).toEqual(good.calls);
    expect(good.calls.filter((call) => call.startsWith("privateDecrypt"))).toEqual([
      "privateDecrypt 3 256",
    ]);

    for (const em of [
      block(wrongKey, [[0, 1]]),
      block(wrongKey, [[1, 1]]),
      block(wrongKey, [[1, 0]]),
      block(wrongKey, [[2, 0]]),
      block(wrongKey, [[9, 0]]),
      block(wrongKey, [[223, 1]]),
      block(wrongKey.subarray(1)),
      block(wrongKey.subarray(16)),
      block(new Uint8Array(0)),
      block(new Uint8Array(200).fill(1)),
      new Uint8Array(256),
      new Uint8Array(256).fill(0xff, 1),
    ]) {
      expect(await outcome(raw(em), "pkcs1")).toEqual(conforming);
    }
    // A number that is not below the modulus never reaches the padding check. The sender knows
    // that.
    expect(await outcome(new Uint8Array(256).fill(0xff), "pkcs1")).toEqual(conforming);
  });

  it("nor with OAEP", async () => {
    const key = bob.publicKey.object;
    const good = await outcome(oaepEncrypt(key, sessionKey, { hash: "sha1" }), "oaep");
    expect(good.error).toBeUndefined();
    const conforming = await outcome(
      oaepEncrypt(key, new Uint8Array(32).fill(0x22), { hash: "sha1" }),
      "oaep",
    );
    expect(conforming.error?.code).toBe("ERR_DECRYPT");
    expect(conforming.calls).toEqual(good.calls);
    for (const wrap of [
      () => raw(block(sessionKey)),
      () => oaepEncrypt(key, sessionKey.subarray(1), { hash: "sha1" }),
      () => oaepEncrypt(key, new Uint8Array(0), { hash: "sha1" }),
      () => oaepEncrypt(key, sessionKey, { hash: "sha256" }),
      () => raw(new Uint8Array(256)),
    ]) {
      // Encryption is random, and one implicit rejection key in 256 decrypts to noise.
      const tries = [await outcome(wrap(), "oaep"), await outcome(wrap(), "oaep")];
      tries.push(await outcome(wrap(), "oaep"));
      expect(tries).toContainEqual(conforming);
      for (const { calls: made } of tries) expect(made).toEqual(conforming.calls);
    }
  });

  it("and a message whose own padding is bad is the same error again", async () => {
    const conforming = await outcome(raw(block(new Uint8Array(32).fill(0x22))), "pkcs1");
    const last = ciphertext.at(-1) ?? 0;
    ciphertext[ciphertext.length - 1] = last ^ 1;
    const altered = await outcome(raw(block(sessionKey)), "pkcs1");
    ciphertext[ciphertext.length - 1] = last;
    expect(altered).toEqual(conforming);
  });
});

describe("PKCS#1 v1.5 decoding", () => {
  it("finds the message after the first zero, wherever it stands", () => {
    for (const length of [0, 1, 5, 16, 32, 200, 245]) {
      const message = new Uint8Array(length).map((_, index) => index);
      expect(pkcs1Decode(block(message))).toEqual(message);
    }
    // A key of 246 bytes leaves seven bytes of padding.
    expect(pkcs1Decode(block(new Uint8Array(246).fill(1)))).toBeNull();
  });

  it("keeps zeros in the message", () => {
    expect(pkcs1Decode(block(new Uint8Array(32)))).toEqual(new Uint8Array(32));
  });

  it("is nothing for a block with any fault", () => {
    const message = new Uint8Array(32).fill(7);
    expect(pkcs1Decode(block(message))).toEqual(message);
    for (const at of [0, 1]) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        expect(pkcs1Decode(block(message, [[at, (at === 1 ? 2 : 0) ^ bit]]))).toBeNull();
      }
    }
    for (let at = 2; at < 10; at++) expect(pkcs1Decode(block(message, [[at, 0]]))).toBeNull();
    expect(pkcs1Decode(block(message, [[10, 0]]))?.length).toBe(245);
  });

  it("is nothing for a block of no bytes", () => {
    expect(pkcs1Decode(new Uint8Array(0))).toBeNull();
    expect(pkcs1Decode(Uint8Array.of(0, 2, 0))).toBeNull();
  });
});
