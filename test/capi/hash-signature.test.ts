import { describe, expect, it } from "@jest/globals";
import { constants, createHash, privateEncrypt, verify } from "node:crypto";
import { ascii, concat, fromHex, toHex } from "../../src/bytes.js";
import {
  capiHash,
  deriveSessionKey,
  hashParts,
  signData,
  signDigest,
  signingHash,
  verifyData,
  verifyDigest,
  type CapiHash,
  type SessionAlgorithm,
  type SignatureForm,
} from "../../src/capi/index.js";
import { DIGEST_BYTES } from "../../src/capi/hash-signature.js";
import { aliceSigner, bobObject, bobSigner, codeOf, inSteps, secret, text } from "./support.js";

const FORM: SignatureForm = { hash: "sha256" };

describe("a signature", () => {
  it.each(["sha256", "sha384", "sha512"] as const)(
    "over %s is PKCS#1 v1.5 with its bytes reversed, as any other tool verifies it",
    async (hash) => {
      const signature = await signData(bobSigner, inSteps(text, 5), { hash });
      expect(signature.length).toBe(256);
      const ordinary = signature.slice().reverse();
      expect(verify(hash, text, bobSigner.publicKey.object, ordinary)).toBe(true);
      expect(await verifyData(bobSigner.publicKey, text, signature, { hash })).toBe(true);
    },
  );

  it("is not made over SHA-1 or MD5", async () => {
    for (const hash of ["sha1", "md5"] as const) {
      expect(await codeOf(() => signData(bobSigner, text, { hash }))).toBe("ERR_WEAK_HASH");
      const digest = new Uint8Array(DIGEST_BYTES[hash]);
      expect(await codeOf(() => signDigest(bobSigner, digest, { hash }))).toBe("ERR_WEAK_HASH");
      expect(await codeOf(() => signingHash(hash))).toBe("ERR_WEAK_HASH");
    }
  });

  it("over MD5 is verified only when asked for", async () => {
    const md5 = { hash: "md5" } as const;
    const verified = (allowMd5: boolean) =>
      codeOf(() =>
        verifyData(bobSigner.publicKey, text, new Uint8Array(256), { ...md5, allowMd5 }),
      );
    expect(await verified(false)).toBe("ERR_WEAK_HASH");
    expect(await verified(true)).toBe(false);
  });

  it("with a description is over the text in UTF-16LE after the data, without a zero", async () => {
    const form = { ...FORM, description: "über 7 €" };
    const signature = await signData(bobSigner, text, form);
    const spelled = concat(text, new Uint8Array(Buffer.from("über 7 €", "utf16le")));
    expect(await verifyData(bobSigner.publicKey, spelled, signature, FORM)).toBe(true);
    expect(await verifyData(bobSigner.publicKey, text, signature, form)).toBe(true);
    expect(await verifyData(bobSigner.publicKey, text, signature, FORM)).toBe(false);
    const other = { ...FORM, description: "über 8 €" };
    expect(await verifyData(bobSigner.publicKey, text, signature, other)).toBe(false);
  });

  it("takes no description that is half a character", async () => {
    const form = { ...FORM, description: "\ud83d" };
    expect(await codeOf(() => signData(bobSigner, text, form))).toBe("ERR_DESCRIPTION");
  });

  it("without the hash's name verifies only where that is expected", async () => {
    const bare = { ...FORM, noHashOid: true };
    const signature = await signData(bobSigner, text, bare);
    expect(await verifyData(bobSigner.publicKey, text, signature, bare)).toBe(true);
    expect(await verifyData(bobSigner.publicKey, text, signature, FORM)).toBe(false);
  });

  it("of another key, length or byte order does not hold", async () => {
    const signature = await signData(bobSigner, text, FORM);
    const holds = (bytes: Uint8Array, key = bobSigner.publicKey) =>
      verifyData(key, text, bytes, FORM);
    expect(await holds(signature)).toBe(true);
    expect(await holds(signature, aliceSigner.publicKey)).toBe(false);
    expect(await holds(signature.slice().reverse())).toBe(false);
    expect(await holds(signature.subarray(1))).toBe(false);
    expect(await holds(concat(signature, Uint8Array.of(0)))).toBe(false);
    expect(await holds(new Uint8Array(256))).toBe(false);
    expect(await holds(new Uint8Array(256).fill(0xff))).toBe(false);
  });

  it("padded in any way but the one does not hold", () => {
    // The input of the private key operation, computed with the private key.
    const raw = (em: Uint8Array) =>
      new Uint8Array(
        privateEncrypt({ key: bobObject, padding: constants.RSA_NO_PADDING }, em),
      ).reverse();
    const digest = createHash("sha256").update(text).digest();
    const info = concat(fromHex("3031300d060960864801650304020105000420"), digest);
    const block = (payload: Uint8Array, type: number, filling: number) => {
      const em = new Uint8Array(256).fill(filling);
      em.set([0, type]);
      em[255 - payload.length] = 0;
      em.set(payload, 256 - payload.length);
      return em;
    };
    const holds = (em: Uint8Array) => verifyDigest(bobSigner.publicKey, digest, raw(em), FORM);

    expect(holds(block(info, 1, 0xff))).toBe(true);
    expect(holds(block(info, 2, 0xff))).toBe(false);
    expect(holds(block(info, 1, 0xfe))).toBe(false);
    expect(holds(block(digest, 1, 0xff))).toBe(false);
    // A digest followed by arbitrary bytes: the forgery of 2006.
    const early = concat(Uint8Array.of(0, 1), new Uint8Array(8).fill(0xff), Uint8Array.of(0), info);
    expect(holds(concat(early, new Uint8Array(256 - early.length)))).toBe(false);
    // A DigestInfo without its NULL.
    const noNull = concat(fromHex("302f300b0609608648016503040201" + "0420"), digest);
    expect(holds(block(noNull, 1, 0xff))).toBe(false);
  });

  it("that the signing key got wrong is not given out", async () => {
    const faulty = {
      publicKey: bobSigner.publicKey,
      signPkcs1: () => Promise.resolve(new Uint8Array(256).fill(1)),
    };
    expect(await codeOf(() => signData(faulty, text, FORM))).toBe("ERR_BAD_SIGNATURE");
  });

  it("over a hash of keys and data is one over that hash", async () => {
    const key = secret(fromHex("4a3aee7737"));
    const digest = hashParts("sha256", [{ key }, ascii("Bob")]);
    const signature = await signDigest(bobSigner, digest, FORM);
    const spelled = concat(fromHex("3777ee3a4a"), ascii("Bob"));
    expect(await verifyData(bobSigner.publicKey, spelled, signature, FORM)).toBe(true);
  });

  it("needs a digest of the hash's length", async () => {
    expect(await codeOf(() => signDigest(bobSigner, new Uint8Array(20), FORM))).toBeInstanceOf(
      TypeError,
    );
  });
});

describe("hashes", () => {
  it("are known by the names people write", async () => {
    expect(capiHash("SHA-256")).toBe("sha256");
    expect(capiHash("sha_512")).toBe("sha512");
    expect(capiHash("MD5")).toBe("md5");
    expect(signingHash("SHA384")).toBe("sha384");
    expect(await codeOf(() => capiHash("md4"))).toBe("ERR_HASH");
  });

  it("of keys leave the key as it was", () => {
    const key = secret(fromHex("0102030405"));
    hashParts("sha256", [{ key }, { key, littleEndian: true }]);
    expect(toHex(key.expose())).toBe("0102030405");
  });
});

describe("a derived key", () => {
  it("of 40 bits is the start of the hash", () => {
    const key = deriveSessionKey("rc4", "md5", ascii("correct horse"), 40);
    expect(toHex(key.bytes.expose())).toBe("3cb4e73263");
  });

  it.each<[SessionAlgorithm, CapiHash, number | undefined]>([
    ["aes256", "sha1", 128],
    ["rc4", "md5", 136],
    ["rc4", "md5", 12],
    ["des", "sha256", 56],
  ])("%s with %s of %p bits is refused", async (algorithm, hash, bits) => {
    expect(await codeOf(() => deriveSessionKey(algorithm, hash, text, bits))).toBe(
      "ERR_KEY_LENGTH",
    );
  });

  it("for every cipher has its length, with every hash", () => {
    for (const hash of ["md5", "sha1", "sha256", "sha384", "sha512"] as const) {
      expect(deriveSessionKey("aes256", hash, text).bytes.length).toBe(32);
      expect(deriveSessionKey("3des", hash, text).bytes.length).toBe(24);
      expect(deriveSessionKey("des", hash, text).bytes.length).toBe(8);
    }
  });
});
