/** The token layer on NSS softoken, which has its own cryptography, not Node's. */
import { diffieHellman, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { oaepEncrypt } from "../../src/wrap/rsa-oaep.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import type { TokenAccess } from "../../src/token/access.js";
import type { GeneratedKey, KeyType } from "../../src/token/values.js";
import { parseUri } from "../../src/token/uri.js";
import { describeNss, freshNssToken, nssAccess, type NssToken } from "../support/nss.js";
import { objectCount } from "../support/softhsm.js";
import { agree, decryptOaep } from "../support/private-key.js";

describeNss("on NSS softoken", () => {
  let token: NssToken;
  let access: TokenAccess;
  let rsa: GeneratedKey;

  beforeAll(async () => {
    token = await freshNssToken();
    access = nssAccess(token);
    rsa = await generate("rsa:2048");
  });

  afterAll(async () => {
    await access.close();
  });

  async function generate(type: KeyType): Promise<GeneratedKey> {
    const info = await access.findToken(parseUri(token.uri));
    const label = `${type}-${randomBytes(3).toString("hex")}`;
    return access.generate(info, { type, label, use: "exchange", allowDecrypt: false });
  }

  it("the module starts with its database alone: P11SEAL_NSS_DIR", async () => {
    const [module] = await access.modules();
    expect(module?.error).toBeUndefined();
    expect(module?.library?.manufacturer).toBe("Mozilla Foundation");
    const labels = (await access.tokens()).map(({ label }) => label);
    expect(labels).toEqual(["NSS Generic Crypto Services", "NSS Certificate DB"]);
  });

  it.each<KeyType>(["ec:p256", "ec:p384", "ec:p521"])(
    "a generated key of type %s agrees with the host on a secret",
    async (type) => {
      const { key } = await generate(type);
      const { publicKey } = key;
      if (publicKey?.type !== "ec") throw new Error("not an EC key");
      const privateKey = await access.identity(key).unlock();
      const peer = generateKeyPairSync("ec", { namedCurve: publicKey.curve });
      const spki = peer.publicKey.export({ type: "spki", format: "der" });
      const theirs = publicKeyFromSpki(new Uint8Array(spki));
      if (theirs.type !== "ec") throw new Error("not an EC key");
      const before = await objectCount(token);
      const found = await agree(privateKey, theirs.point);
      const secret = diffieHellman({ privateKey: peer.privateKey, publicKey: publicKey.object });
      expect(secret.equals(found?.expose() ?? new Uint8Array())).toBe(true);
      expect(await objectCount(token)).toBe(before);
    },
  );

  it("an unwrap-only RSA key opens every OAEP hash, as its token reported", async () => {
    const { key, oaep } = rsa;
    expect(oaep).toEqual(["sha256", "sha384", "sha512", "sha1"]);
    const privateKey = await access.identity(key).unlock();
    if (key.publicKey === undefined) throw new Error("not RSA");
    const before = await objectCount(token);
    for (const hash of privateKey.oaep?.hashes ?? []) {
      const secret = randomBytes(32);
      const sealed = oaepEncrypt(key.publicKey.object, secret, { hash });
      const found = await decryptOaep(privateKey, sealed, hash);
      expect(secret.equals(found?.expose() ?? new Uint8Array())).toBe(true);
    }
    expect(await objectCount(token)).toBe(before);
  });

  it("an unwrap-only RSA key undoes a label and another MGF1 hash on the token", async () => {
    const { key } = rsa;
    const { oaep } = await access.identity(key).unlock();
    expect(oaep?.labels).toBe("any");
    const label = ascii("age-encryption.org/v1/ssh-rsa");
    for (const parameters of [
      { hash: "sha256", label },
      { hash: "sha256", mgfHash: "sha1" },
      { hash: "sha1", mgfHash: "sha512", label },
    ] as const) {
      const secret = randomBytes(16);
      const sealed = oaepEncrypt(key.publicKey?.object as KeyObject, secret, parameters);
      const found = await oaep?.decrypt(sealed, parameters, { keyBytes: 16 });
      expect(secret.equals(found?.expose() ?? new Uint8Array())).toBe(true);
      expect(await oaep?.decrypt(sealed, { hash: parameters.hash })).toBeNull();
    }
  });

  it("a bad ciphertext gives null, whatever is wrong with it", async () => {
    const { publicKey } = rsa.key;
    if (publicKey?.type !== "rsa") throw new Error("not RSA");
    const privateKey = await access.identity(rsa.key).unlock();
    const good = oaepEncrypt(publicKey.object, randomBytes(32), { hash: "sha256" });
    const flipped = good.slice();
    flipped[9] = (flipped[9] as number) ^ 1;
    const before = await objectCount(token);
    for (const bad of [flipped, new Uint8Array(256), publicKey.modulus, good.subarray(1)]) {
      expect(await decryptOaep(privateKey, bad, "sha256")).toBeNull();
    }
    expect(await decryptOaep(privateKey, good, "sha1")).toBeNull();
    expect(await objectCount(token)).toBe(before);
  });

  it("a payload too long for a secret key is refused, not cut to a session key's length", async () => {
    const { key } = await generate("rsa:3072");
    const privateKey = await access.identity(key).unlock();
    if (key.publicKey?.type !== "rsa") throw new Error("not RSA");
    const sealed = (bytes: number): Uint8Array =>
      oaepEncrypt(key.publicKey?.object as KeyObject, new Uint8Array(bytes).fill(0x78), {
        hash: "sha256",
      });
    for (const bytes of [256, 257, 318, 33, 16]) {
      const found = await decryptOaep(privateKey, sealed(bytes), "sha256");
      // NSS's secret keys have at most 256 bytes.
      expect([bytes, found?.length]).toEqual([bytes, bytes > 256 ? undefined : bytes]);
    }
  });

  it("what the token does not honour is reported", () => {
    expect(rsa.notHonoured).toEqual([
      "the token does not vouch that the key was made on it (CKA_LOCAL)",
      "the key can be copied with other attributes (CKA_COPYABLE is not told)",
    ]);
  });

  it("the audit finds the same", async () => {
    const findings = await access.audit(parseUri(rsa.key.uri));
    expect(findings.map(({ rule }) => rule)).toEqual(["not-local"]);
  });

  it("closing waits for operations that run, and they end well", async () => {
    const own = nssAccess(token);
    const { key } = rsa;
    const found = await own.findKey(parseUri(key.uri));
    const privateKey = await own.identity(found).unlock();
    if (key.publicKey === undefined) throw new Error("not RSA");
    const secret = randomBytes(32);
    const sealed = oaepEncrypt(key.publicKey.object, secret, { hash: "sha256" });
    const running = Array.from({ length: 4 }, () => decryptOaep(privateKey, sealed, "sha256"));
    await access.close();
    await own.close();
    for (const opened of await Promise.all(running)) {
      expect(secret.equals(opened?.expose() ?? new Uint8Array())).toBe(true);
    }
  });

  it("the module is shut down at the end, and starts again for the next", async () => {
    await access.close();
    access = nssAccess(token);
    expect((await access.findKey(parseUri(rsa.key.uri))).kind).toBe("RSA-2048");
  });
});
