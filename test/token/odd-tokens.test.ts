/**
 * Tokens as they occur in practice: filled by other tools, with incomplete key pairs, with
 * duplicate names, used by two processes.
 */
import { spawn } from "node:child_process";
import { createPublicKey, diffieHellman, generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { oaepEncrypt } from "../../src/wrap/rsa-oaep.js";
import type { EcPublicKey } from "../../src/keys/key.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import { requireCapability } from "../../src/keys/purpose.js";
import type { TokenAccess } from "../../src/token/access.js";
import type { KeyInfo } from "../../src/token/values.js";
import { parseUri } from "../../src/token/uri.js";
import { TEST_KEYS, type TestKeyName } from "../support/keys.js";
import {
  freshToken,
  importKey,
  rawModule,
  softHsmAccess,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
  withRawSession,
} from "../support/softhsm.js";
import { decryptOaep } from "../support/private-key.js";
import { temporaryFolder } from "./modules/temporary.js";

let token: TestToken;
let access: TokenAccess;
let asked = 0;

beforeAll(async () => {
  await rawModule(SOFTHSM_MODULE);
  token = await freshToken("odd");
  access = softHsmAccess({
    pin: () => {
      asked++;
      return Promise.resolve(USER_PIN);
    },
  });
});

afterAll(async () => {
  await access.close();
});

const NO_USE = { UNWRAP: false, DECRYPT: false, SIGN: false, SIGN_RECOVER: false, DERIVE: false };

const find = (id: number): Promise<KeyInfo> =>
  access.findKey({ ...parseUri(token.uri), id: Uint8Array.of(id) });

async function opens(key: KeyInfo, by = access): Promise<boolean> {
  const privateKey = await by.identity(key).unlock();
  if (key.publicKey === undefined) throw new Error("not RSA");
  const secret = randomBytes(32);
  const sealed = oaepEncrypt(key.publicKey.object, secret, { hash: "sha1" });
  return secret.equals((await decryptOaep(privateKey, sealed, "sha1"))?.expose() ?? Buffer.of());
}

/** The certificate of a TEST key, as a token's tools store it with the key. */
async function addCertificate(id: number, file: string, to = token): Promise<void> {
  const pem = readFileSync(new URL(`../keys/fixtures/${file}`, import.meta.url), "utf8");
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
  await withRawSession(to, (native, session) => {
    native.C_CreateObject(session, [
      { type: 0, value: 1 },
      { type: 1, value: true },
      { type: 2, value: false },
      { type: 0x80, value: 0 },
      { type: 3, value: "a certificate" },
      { type: 0x102, value: Buffer.from([id]) },
      { type: 0x101, value: Buffer.of(0x30, 0) },
      { type: 0x11, value: der },
    ]);
  });
}

describe("a plan", () => {
  it("made before the PIN assumes what it cannot see, and knows it afterwards", async () => {
    // This process has not logged in yet: a login would show the private key.
    const id = Uint8Array.of(9);
    const privateHalf = { ...NO_USE, UNWRAP: true };
    await importKey(token, TEST_KEYS.rsa2048, { label: "plan", id, privateHalf });
    const key = await find(9);
    expect((await access.plan(key)).assumed).toHaveLength(1);
    expect(asked).toBe(0);
    await access.identity(key).unlock();
    const plan = await access.plan(key);
    expect(plan.assumed).toEqual([]);
    const offered = plan.steps.filter(({ standing }) => standing === "offered");
    expect(offered.map(({ way }) => way)).toEqual(["C_UnwrapKey CKM_RSA_PKCS_OAEP sha1"]);
  });
});

describe("two keys of one label", () => {
  it("are not chosen between; their ids tell them apart", async () => {
    const privateHalf = { ...NO_USE, UNWRAP: true };
    await importKey(token, TEST_KEYS.rsa2048, { label: "two", id: Uint8Array.of(1), privateHalf });
    await importKey(token, TEST_KEYS.rsa3072, { label: "two", id: Uint8Array.of(2), privateHalf });
    const uri = { ...parseUri(token.uri), object: "two" };
    await expect(access.findKey(uri)).rejects.toMatchObject({
      code: "ERR_KEY_NOT_UNIQUE",
      hint: expect.stringContaining("id="),
    });
    expect((await find(1)).kind).toBe("RSA-2048");
    expect(await opens(await find(2))).toBe(true);
  });
});

describe("a key that may neither unwrap nor decrypt", () => {
  it("is refused in one sentence that says so, once it shows itself", async () => {
    const id = Uint8Array.of(3);
    const privateHalf = { ...NO_USE, SIGN: true };
    await importKey(token, TEST_KEYS.rsa2048, { label: "signs", id, privateHalf });
    await expect(access.identity(await find(3)).unlock()).rejects.toMatchObject({
      code: "ERR_MECHANISM",
      message: expect.stringMatching(
        /^"signs" on token .* cannot open messages: the key may not unwrap \(CKA_UNWRAP is false\); the key may not decrypt \(CKA_DECRYPT is false\)$/,
      ),
    });
  });

  it("is refused before a PIN is asked for, if that is visible", async () => {
    const id = Uint8Array.of(4);
    const privateHalf = { ...NO_USE, PRIVATE: false, SIGN: true };
    await importKey(token, TEST_KEYS.rsa2048, { label: "open", id, privateHalf });
    let own = 0;
    const other = softHsmAccess({
      pin: () => {
        own++;
        return Promise.resolve(USER_PIN);
      },
    });
    const key = await other.findKey({ ...parseUri(token.uri), id });
    await expect(other.identity(key).unlock()).rejects.toMatchObject({ code: "ERR_MECHANISM" });
    expect(own).toBe(0);
    await other.close();
  });
});

describe("a certificate", () => {
  it("replaces a missing public key object", async () => {
    const privateHalf = { ...NO_USE, UNWRAP: true };
    const id = Uint8Array.of(5);
    await importKey(token, TEST_KEYS.rsa2048, { label: "x", id, privateHalf, publicHalf: false });
    await addCertificate(5, "rsa2048-enc.crt.pem");
    const key = await find(5);
    expect(key).toMatchObject({ seenAs: "certificate", kind: "RSA-2048" });
    expect((await access.plan(key)).steps[0]).toMatchObject({ standing: "offered" });
    expect(await opens(key)).toBe(true);
  });

  it("without its private key is distinguished from one with it", async () => {
    await addCertificate(6, "p256-agree.crt.pem");
    await expect(access.identity(await find(6)).unlock()).rejects.toMatchObject({
      code: "ERR_KEY_NOT_FOUND",
      hint: expect.stringContaining("no private key on this token has its id"),
    });
  });
});

describe("objects that were stored one by one, with ids of their own", () => {
  let split: TestToken;
  const at = (id: number): Promise<KeyInfo> =>
    access.findKey({ ...parseUri(split.uri), id: Uint8Array.of(id) });
  const add = (key: TestKeyName, id: number, use: "UNWRAP" | "DERIVE"): Promise<void> =>
    importKey(split, TEST_KEYS[key], {
      ...{ label: key, id: Uint8Array.of(id), publicHalf: false },
      privateHalf: { ...NO_USE, [use]: true },
    });

  beforeAll(async () => {
    split = await freshToken("split");
    await add("rsa2048", 0x46, "UNWRAP");
    await addCertificate(0x45, "rsa2048-enc.crt.pem", split);
    await add("p384", 0x48, "DERIVE");
    await add("p256", 0x49, "DERIVE");
    await addCertificate(0x47, "p256-agree.crt.pem", split);
    await access.rescan();
  });

  it("belong together by the key that they show", async () => {
    expect(await opens(await at(0x45))).toBe(true);
    // Now that it shows, the private key's id finds the pair too.
    const key = await at(0x46);
    expect(key.objects.map(({ class: one }) => one)).toEqual(["certificate", "private key"]);
    expect(key.uri).toMatch(/;object=rsa2048;type=private;id=%46$/);
    expect(await opens(key)).toBe(true);
  });

  it("belong together if a use of the private key shows it", async () => {
    const privateKey = await access.identity(await at(0x47)).unlock();
    const { publicKey, privateKey: peer } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
    const { point } = publicKeyFromSpki(spki) as EcPublicKey;
    const secret = await requireCapability(privateKey, "agree")(point);
    const own = { privateKey: peer, publicKey: createPublicKey(TEST_KEYS.p256) };
    expect(secret?.expose()).toEqual(new Uint8Array(diffieHellman(own)));
  });
});

describe("a module of the system's that does not load", () => {
  it("is no trouble of a token that is named and there, but may hide others", async () => {
    const broken = join(temporaryFolder("broken-module"), "libbroken.so");
    writeFileSync(broken, "not a library", { mode: 0o644 });
    const system = { wellKnown: [broken, SOFTHSM_MODULE], p11KitConfigs: [], p11KitModules: [] };
    const env = { ...process.env, P11SEAL_SYSTEM_MODULES: undefined };
    const around = softHsmAccess({ modules: [], system, env });
    const faultsFor = async (uri: string): Promise<string[]> =>
      (await around.troubles(parseUri(uri))).map(({ module }) => module);
    expect(await faultsFor(token.uri)).toEqual([]);
    expect(await faultsFor("pkcs11:")).toEqual([broken]);
    expect(await faultsFor("pkcs11:token=nobody")).toEqual([broken]);
    await around.close();
  });
});

describe("a token that another process is logged in to", () => {
  it("opens here all the same, and asks for the PIN once", async () => {
    const program = `
      const { PKCS11 } = require("pkcs11js");
      const native = new PKCS11();
      native.load(${JSON.stringify(SOFTHSM_MODULE)});
      native.C_Initialize({ flags: 2 });
      const slot = native.C_GetSlotList(true).find((one) => {
        try { return native.C_GetTokenInfo(one).label.trimEnd() === ${JSON.stringify(token.label)}; }
        catch { return false; }
      });
      const session = native.C_OpenSession(slot, 6);
      native.C_Login(session, 1, ${JSON.stringify(USER_PIN)});
      process.stdout.write("in");
      process.stdin.on("end", () => { native.C_Logout(session); process.exit(0); }).resume();`;
    const child = spawn(process.execPath, ["-e", program], { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise((resolve, reject) => {
      child.stdout.once("data", resolve);
      child.once("exit", reject);
    });
    asked = 0;
    const other = softHsmAccess({
      pin: () => {
        asked++;
        return Promise.resolve(USER_PIN);
      },
    });
    try {
      const key = await other.findKey({ ...parseUri(token.uri), id: Uint8Array.of(1) });
      expect(await opens(key, other)).toBe(true);
      expect(asked).toBe(1);
    } finally {
      await other.close();
      child.stdin.end();
      await new Promise((resolve) => child.once("exit", resolve));
    }
  });
});
