/** The token layer on SoftHSM: every kind of key, in every way. */
import {
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { oaepEncrypt } from "../../src/wrap/rsa-oaep.js";
import type { OaepHash, OaepParameters, PrivateKey } from "../../src/keys/key.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import type { TokenAccess } from "../../src/token/access.js";
import type { GeneratedKey, KeyInfo, KeyType } from "../../src/token/values.js";
import { parseUri } from "../../src/token/uri.js";
import { SHARED_NAMES } from "../../src/token/use/plan.js";
import { TEST_KEYS } from "../support/keys.js";
import {
  freshToken,
  importKey,
  objectCount,
  rawModule,
  softHsmAccess,
  SOFTHSM_MODULE,
  type TestToken,
  withRawSession,
} from "../support/softhsm.js";
import { agree, decryptOaep } from "../support/private-key.js";

const SECRET = new Uint8Array(32).fill(0x4b);

/** What age and CMS ask of OAEP. */
const UNUSUAL: readonly OaepParameters[] = [
  { hash: "sha256", label: ascii("age-encryption.org/v1/ssh-rsa") },
  { hash: "sha384", mgfHash: "sha1" },
  { hash: "sha1", label: ascii("L") },
];

let token: TestToken;
let access: TokenAccess;
/** Generated once, since RSA is slow. */
let unwrapOnly: GeneratedKey;
let mayDecrypt: GeneratedKey;
const trace: string[] = [];

beforeAll(async () => {
  // Left initialized, so that the tests can look at the token after `close`.
  await rawModule(SOFTHSM_MODULE);
  token = await freshToken("layer");
  access = softHsmAccess({ trace: (line) => trace.push(line) });
  unwrapOnly = await generate("rsa:2048");
  mayDecrypt = await generate("rsa:2048", true);
});

afterAll(async () => {
  await access.close();
});

async function generate(type: KeyType, allowDecrypt = false): Promise<GeneratedKey> {
  const info = await access.findToken(parseUri(token.uri));
  const label = `${type}${allowDecrypt ? "-decrypt" : ""}-${randomBytes(3).toString("hex")}`;
  return access.generate(info, { type, label, use: "exchange", allowDecrypt });
}

/** Seals a secret to the key on the host and opens it on the token. */
async function roundTrip(key: KeyInfo, privateKey: PrivateKey, hash: OaepHash): Promise<boolean> {
  const { publicKey } = key;
  if (publicKey === undefined) throw new Error("no public key");
  if (publicKey.type === "rsa") {
    const secret = randomBytes(32);
    const found = await decryptOaep(
      privateKey,
      oaepEncrypt(publicKey.object, secret, { hash }),
      hash,
    );
    return found !== null && secret.equals(found.expose());
  }
  const { point, secret } = peerOf(publicKey);
  const found = await agree(privateKey, point);
  return found !== null && secret.equals(found.expose());
}

function peerOf(publicKey: NonNullable<KeyInfo["publicKey"]>): {
  point: Uint8Array;
  secret: Buffer;
} {
  if (publicKey.type !== "ec" && publicKey.type !== "x25519") throw new Error("not for exchange");
  const { privateKey, publicKey: ours } =
    publicKey.type === "ec"
      ? generateKeyPairSync("ec", { namedCurve: publicKey.curve })
      : generateKeyPairSync("x25519");
  const peer = publicKeyFromSpki(new Uint8Array(ours.export({ type: "spki", format: "der" })));
  if (peer.type !== "ec" && peer.type !== "x25519") throw new Error("not for exchange");
  return { point: peer.point, secret: diffieHellman({ privateKey, publicKey: publicKey.object }) };
}

describe("a generated key", () => {
  it.each<KeyType>(["rsa:3072", "rsa:4096", "ec:p256", "ec:p384", "ec:p521", "x25519"])(
    "of type %s opens what the host sealed to its public half, and leaves no object behind",
    async (type) => {
      const { key, notHonoured, oaep } = await generate(type);
      const before = await objectCount(token);
      const found = await access.findKey(parseUri(key.uri));
      const privateKey = await access.identity(found).unlock();
      expect(await roundTrip(found, privateKey, "sha1")).toBe(true);
      expect(await objectCount(token)).toBe(before);
      expect(notHonoured).toEqual([]);
      expect(oaep).toEqual(type.startsWith("rsa") ? ["sha1"] : undefined);
    },
  );

  it("has one purpose, and can be neither read, exported, changed nor copied", async () => {
    const { key } = unwrapOnly;
    expect(await access.audit(parseUri(key.uri))).toEqual([]);
    const attributes = await withRawSession(token, (native, session) => {
      native.C_FindObjectsInit(session, [
        { type: 0, value: 3 },
        { type: 0x102, value: Buffer.from(key.id) },
      ]);
      const [object] = native.C_FindObjects(session, 2);
      native.C_FindObjectsFinal(session);
      if (object === undefined) throw new Error("the key is gone");
      const flag = (type: number): boolean =>
        (native.C_GetAttributeValue(session, object, [{ type }])[0]?.value as Buffer)[0] === 1;
      return {
        SENSITIVE: flag(0x103),
        DECRYPT: flag(0x105),
        UNWRAP: flag(0x107),
        SIGN: flag(0x108),
        DERIVE: flag(0x10c),
        EXTRACTABLE: flag(0x162),
        MODIFIABLE: flag(0x170),
        COPYABLE: flag(0x171),
      };
    });
    expect(attributes).toEqual({
      SENSITIVE: true,
      DECRYPT: false,
      UNWRAP: true,
      SIGN: false,
      DERIVE: false,
      EXTRACTABLE: false,
      MODIFIABLE: false,
      COPYABLE: false,
    });
  });

  it("is found by its URI, with the public half that the token generated", async () => {
    const { key } = await generate("ec:p256");
    expect(key).toMatchObject({ kind: "P-256", uses: ["exchange"], seenAs: "public key" });
    expect(parseUri(key.uri)).toMatchObject({ token: token.label, type: "private", id: key.id });
    const found = await access.findKey(parseUri(key.uri));
    expect(found.uri).toBe(key.uri);
    expect(found.publicKey?.fingerprint).toEqual(key.publicKey?.fingerprint);
  });

  it("does not take the label of an existing one", async () => {
    const info = await access.findToken(parseUri(token.uri));
    const request = {
      type: "ec:p256",
      label: "twice",
      use: "exchange",
      allowDecrypt: false,
    } as const;
    await access.generate(info, request);
    const before = await objectCount(token);
    await expect(access.generate(info, request)).rejects.toMatchObject({ code: "ERR_KEY_EXISTS" });
    expect(await objectCount(token)).toBe(before);
  });

  it("for signing is not offered for exchange, and the audit likes it", async () => {
    const info = await access.findToken(parseUri(token.uri));
    const { key } = await access.generate(info, {
      type: "ec:p256",
      label: "signer",
      use: "sign",
      allowDecrypt: false,
    });
    expect(key.uses).toEqual(["sign"]);
    expect(await access.audit(parseUri(key.uri))).toEqual([]);
    await expect(access.identity(key).unlock()).rejects.toMatchObject({
      code: "ERR_MECHANISM",
      message: expect.stringContaining("the key may not derive (CKA_DERIVE is false)"),
    });
  });
});

describe("a key that may decrypt", () => {
  it("opens every OAEP hash: SHA-1 by unwrapping, the others by raw RSA and the host", async () => {
    const { key, oaep } = mayDecrypt;
    expect(oaep).toEqual(["sha256", "sha384", "sha512", "sha1"]);
    const privateKey = await access.identity(key).unlock();
    expect(privateKey.oaep?.hashes ?? []).toEqual(["sha256", "sha384", "sha512", "sha1"]);
    trace.length = 0;
    expect(await roundTrip(key, privateKey, "sha1")).toBe(true);
    expect(trace).toEqual([`unwrap: C_UnwrapKey CKM_RSA_PKCS_OAEP sha1 on token "${token.label}"`]);
    for (const hash of ["sha256", "sha384", "sha512"] as const) {
      expect(await roundTrip(key, privateKey, hash)).toBe(true);
    }
    expect(trace.at(-1)).toBe(
      `unwrap: C_Decrypt CKM_RSA_X_509, OAEP sha512 on the host on token "${token.label}"`,
    );
  });

  it("opens with any label and MGF1 hash, which the host undoes", async () => {
    const { key } = mayDecrypt;
    const { oaep } = await access.identity(key).unlock();
    expect(oaep?.labels).toBe("any");
    for (const parameters of UNUSUAL) {
      const sealed = oaepEncrypt(key.publicKey?.object as KeyObject, SECRET, parameters);
      expect((await oaep?.decrypt(sealed, parameters))?.expose()).toEqual(SECRET);
      expect(await oaep?.decrypt(sealed, { hash: parameters.hash })).toBeNull();
    }
    expect(trace.join()).not.toContain("C_UnwrapKey CKM_RSA_PKCS_OAEP sha384");
  });

  it("is named by the audit", async () => {
    const { key } = mayDecrypt;
    const findings = await access.audit(parseUri(key.uri));
    expect(findings.map(({ rule }) => rule)).toEqual(["wrap-and-decrypt"]);
  });

  it("and may not unwrap, opens with C_Decrypt", async () => {
    const id = Uint8Array.of(0xde, 0xc);
    await importKey(token, TEST_KEYS.rsa2048, {
      label: "decrypt-only",
      id,
      privateHalf: { DECRYPT: true, UNWRAP: false, SIGN: false },
    });
    const key = await access.findKey({ ...parseUri(token.uri), id });
    const privateKey = await access.identity(key).unlock();
    trace.length = 0;
    expect(await roundTrip(key, privateKey, "sha1")).toBe(true);
    expect(await roundTrip(key, privateKey, "sha256")).toBe(true);
    expect(trace[0]).toContain("C_Decrypt CKM_RSA_PKCS_OAEP sha1");
    expect(await access.probeOaep(key)).toEqual(["sha256", "sha384", "sha512", "sha1"]);
  });
});

describe("a key that may only unwrap", () => {
  it("knows no label and no MGF1 hash of its own, and says so without asking the token", async () => {
    const { key } = unwrapOnly;
    const { oaep } = await access.identity(key).unlock();
    expect(oaep?.labels).toBe("empty");
    trace.length = 0;
    for (const parameters of UNUSUAL) {
      const sealed = oaepEncrypt(key.publicKey?.object as KeyObject, SECRET, parameters);
      await expect(oaep?.decrypt(sealed, parameters)).rejects.toMatchObject({
        code: "ERR_MECHANISM",
      });
    }
    expect(trace).toEqual([]);
  });
});

describe("a bad ciphertext", () => {
  it("gives null, whatever is wrong with it, and leaves no object behind", async () => {
    const { key } = unwrapOnly;
    const { publicKey } = key;
    if (publicKey?.type !== "rsa") throw new Error("not an RSA key");
    const privateKey = await access.identity(key).unlock();
    const good = oaepEncrypt(publicKey.object, randomBytes(32), { hash: "sha1" });
    const flipped = good.slice();
    flipped[100] = (flipped[100] as number) ^ 1;
    const bad = {
      flipped,
      zero: new Uint8Array(256),
      modulus: publicKey.modulus,
      ones: new Uint8Array(256).fill(0xff),
      short: good.subarray(1),
      long: Uint8Array.of(0, ...good),
      empty: new Uint8Array(),
      otherHash: oaepEncrypt(publicKey.object, randomBytes(32), { hash: "sha256" }),
    };
    const before = await objectCount(token);
    for (const [name, ciphertext] of Object.entries(bad)) {
      expect([name, await decryptOaep(privateKey, ciphertext, "sha1")]).toEqual([name, null]);
    }
    expect(await decryptOaep(privateKey, good, "sha1")).not.toBeNull();
    expect(await objectCount(token)).toBe(before);
  });

  it("gives null through C_Decrypt and raw RSA as well", async () => {
    const { key } = mayDecrypt;
    const privateKey = await access.identity(key).unlock();
    const noise = randomBytes(256);
    noise[0] = 0;
    for (const hash of privateKey.oaep?.hashes ?? []) {
      expect(await decryptOaep(privateKey, noise, hash)).toBeNull();
    }
  });

  it("is distinguished from a hash that the token cannot undo", async () => {
    const { key } = unwrapOnly;
    const { publicKey } = key;
    if (publicKey === undefined) throw new Error("no public key");
    const privateKey = await access.identity(key).unlock();
    expect(privateKey.oaep?.hashes ?? []).toEqual(["sha1"]);
    const sealed = oaepEncrypt(publicKey.object, randomBytes(32), { hash: "sha256" });
    await expect(decryptOaep(privateKey, sealed, "sha256")).rejects.toMatchObject({
      code: "ERR_MECHANISM",
    });
  });

  it("of an EC key gives null for points off the curve, and the token sees none of them", async () => {
    const { key } = await generate("ec:p256");
    const { publicKey } = key;
    if (publicKey?.type !== "ec") throw new Error("not an EC key");
    const privateKey = await access.identity(key).unlock();
    const off = publicKey.point.slice();
    off[40] = (off[40] as number) ^ 1;
    const compressed = Uint8Array.of(2, ...publicKey.point.subarray(1, 33));
    trace.length = 0;
    for (const point of [off, compressed, new Uint8Array(65), new Uint8Array(), Uint8Array.of(0)]) {
      expect(await agree(privateKey, point)).toBeNull();
    }
    expect(trace).toEqual([]);
  });
});

describe("many operations on one login", () => {
  it("run side by side, each with its own result, and leave nothing behind", async () => {
    const { key } = await generate("ec:p256");
    const rsa = unwrapOnly;
    const ec = await access.identity(key).unlock();
    const unwrap = await access.identity(rsa.key).unlock();
    const before = await objectCount(token);
    const results = await Promise.all(
      Array.from({ length: 24 }, (_, i) =>
        i % 2 === 0 ? roundTrip(key, ec, "sha1") : roundTrip(rsa.key, unwrap, "sha1"),
      ),
    );
    expect(results).toEqual(new Array(24).fill(true));
    expect(await objectCount(token)).toBe(before);
  });
});

describe("looking for a key", () => {
  it("finds exactly one or says how many", async () => {
    const id = Uint8Array.of(7, 7);
    await importKey(token, TEST_KEYS.p256, { label: "same", id, privateHalf: { DERIVE: true } });
    await importKey(token, TEST_KEYS.p384, {
      label: "same",
      id: Uint8Array.of(7, 8),
      privateHalf: { DERIVE: true },
    });
    const uri = { ...parseUri(token.uri), object: "same" };
    // They are on one token and have one label: only the id helps.
    await expect(access.findKey(uri)).rejects.toMatchObject({
      code: "ERR_KEY_NOT_UNIQUE",
      hint: "add id= to the URI; `p11seal keys list` shows them",
    });
    expect((await access.findKey({ ...uri, id })).kind).toBe("P-256");
    await expect(access.findKey({ ...uri, object: "none" })).rejects.toMatchObject({
      code: "ERR_KEY_NOT_FOUND",
    });
  });

  it("tells two keys with one id by the key itself, or else by their labels", async () => {
    const id = Uint8Array.of(9, 9);
    const privateHalf = { UNWRAP: true };
    await importKey(token, TEST_KEYS.rsa2048, { label: "first", id, privateHalf });
    await importKey(token, TEST_KEYS.rsa3072, { label: "second", id, privateHalf });
    for (const object of ["first", "second"]) {
      const key = await access.findKey({ ...parseUri(token.uri), id, object });
      expect(await roundTrip(key, await access.identity(key).unlock(), "sha1")).toBe(true);
      expect(key.uri).toContain(`object=${object}`);
    }
    const both = { ...parseUri(token.uri), id };
    await expect(access.findKey(both)).rejects.toMatchObject({ code: "ERR_KEY_NOT_UNIQUE" });

    const same = { id: Uint8Array.of(9, 11), privateHalf: { DERIVE: true } };
    for (const label of ["one", "other"]) {
      const pem = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
      const text = pem.export({ format: "pem", type: "pkcs8" }) as string;
      await importKey(token, text, { ...same, label });
    }
    for (const object of ["one", "other"]) {
      const key = await access.findKey({ ...parseUri(token.uri), object });
      await access.identity(key).unlock();
      // The label chose, which an EC private key can't prove.
      expect(await access.plan(key)).toMatchObject({ key: key.uri, assumed: [SHARED_NAMES] });
    }
  });

  it("refuses a private key of another pair", async () => {
    const privateHalf = { UNWRAP: true };
    const other = Uint8Array.of(9, 10);
    await importKey(token, TEST_KEYS.rsa3072, {
      label: "half",
      id: other,
      publicHalf: false,
      privateHalf,
    });
    await withRawSession(token, (native, session) => {
      const fresh = generateKeyPairSync("rsa", { modulusLength: 2048 });
      // Not of the fresh key itself: Node 20 can lock up where a collection of garbage comes then.
      const spki = fresh.publicKey.export({ format: "pem", type: "spki" });
      const { n } = createPublicKey(spki).export({ format: "jwk" });
      native.C_CreateObject(session, [
        { type: 0, value: 2 },
        { type: 1, value: true },
        { type: 0x100, value: 0 },
        { type: 3, value: "half" },
        { type: 0x102, value: Buffer.from(other) },
        { type: 0x120, value: Buffer.from(n as string, "base64url") },
        { type: 0x122, value: Buffer.of(1, 0, 1) },
      ]);
    });
    const uri = { ...parseUri(token.uri), id: other };
    await expect(access.findKey(uri)).rejects.toMatchObject({ code: "ERR_KEY_NOT_UNIQUE" });
    const half = await access.findKey({ ...uri, type: "public" });
    await expect(access.identity(half).unlock()).rejects.toMatchObject({
      code: "ERR_KEY_MISMATCH",
    });
  });

  it("says so when only the public half is on the token", async () => {
    const { key } = await generate("ec:p256");
    await withRawSession(token, (native, session) => {
      native.C_FindObjectsInit(session, [
        { type: 0, value: 3 },
        { type: 0x102, value: Buffer.from(key.id) },
      ]);
      const [object] = native.C_FindObjects(session, 1);
      native.C_FindObjectsFinal(session);
      native.C_DestroyObject(session, object as Buffer);
    });
    await expect(access.identity(key).unlock()).rejects.toMatchObject({
      code: "ERR_KEY_NOT_FOUND",
    });
    await access.deleteKey(key);
    await expect(access.findKey(parseUri(key.uri))).rejects.toMatchObject({
      code: "ERR_KEY_NOT_FOUND",
    });
  });

  it("sees a private key without public half after login, and knows its RSA numbers", async () => {
    const id = Uint8Array.of(3, 1);
    await importKey(token, TEST_KEYS.rsa2048, {
      label: "lonely",
      id,
      publicHalf: false,
      privateHalf: { UNWRAP: true, SIGN: false, SIGN_RECOVER: false },
    });
    await access.logIn(parseUri(token.uri));
    const key = await access.findKey({ ...parseUri(token.uri), id });
    expect(key).toMatchObject({ seenAs: "private key", kind: "RSA-2048", uses: ["exchange"] });
    expect(await roundTrip(key, await access.identity(key).unlock(), "sha1")).toBe(true);
  });
});

describe("deleting a key", () => {
  it("destroys both halves and nothing else", async () => {
    const kept = await generate("ec:p256");
    const before = await objectCount(token);
    const { key } = await generate("ec:p256");
    expect(await objectCount(token)).toBe(before + 2);
    await access.deleteKey(key);
    expect(await objectCount(token)).toBe(before);
    expect((await access.findKey(parseUri(kept.key.uri))).label).toBe(kept.key.label);
  });
});

describe("the audit", () => {
  it("names everything about an imported, all-purpose key that the policy does not like", async () => {
    const id = Uint8Array.of(0xba, 0xd);
    await importKey(token, TEST_KEYS.rsa2048, {
      label: "bad",
      id,
      privateHalf: {
        PRIVATE: false,
        SENSITIVE: false,
        EXTRACTABLE: true,
        UNWRAP: true,
        DECRYPT: true,
        SIGN: true,
        DERIVE: true,
      },
    });
    const findings = await access.audit({ ...parseUri(token.uri), id });
    expect(findings.map(({ rule, severity }) => `${severity} ${rule}`)).toEqual([
      "danger extractable",
      "danger not-sensitive",
      "danger not-private",
      "warning wrap-and-decrypt",
      "danger sign-and-decrypt",
      "danger sign-and-unwrap",
      "warning sign-and-derive",
      "warning modifiable",
      "warning copyable",
      "warning not-local",
      "warning not-always-sensitive",
      "warning not-never-extractable",
    ]);
  });
});

describe("what a token can do", () => {
  it("is reported by name", async () => {
    const mechanisms = await access.mechanisms(await access.findToken(parseUri(token.uri)));
    expect(mechanisms.find(({ name }) => name === "CKM_RSA_PKCS_OAEP")).toEqual({
      number: 9,
      name: "CKM_RSA_PKCS_OAEP",
      operations: ["encrypt", "decrypt", "wrap", "unwrap"],
      keySizes: { min: 512, max: 16384 },
    });
  });
});
