/** A throw-away token: what it has, that it is alone, and that nothing of it stays. */
import { execFileSync, spawnSync } from "node:child_process";
import { createPublicKey, X509Certificate } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "@jest/globals";
import { testToken, type TestToken, type TestTokenOptions } from "../../src/testing/index.js";
import { TokenAccess } from "../../src/token/access.js";
import { template } from "../../src/token/modules/template.js";
import { parseUri } from "../../src/token/uri.js";
import { rawModule } from "../support/softhsm.js";

const KEYS = { exchange: "rsa:2048", ec: "ec:p256", sign: "ed25519" } as const;
const made: TestToken[] = [];

async function token(options: TestTokenOptions = {}): Promise<TestToken> {
  const one = await testToken({ keys: KEYS, ...options });
  made.push(one);
  return one;
}

afterAll(async () => {
  for (const one of made) await one.close();
});

function access({ module, pin }: TestToken): TokenAccess {
  return new TokenAccess({
    ...{ modules: [module], home: "/nonexistent", env: {} },
    pin: () => Promise.resolve(pin),
  });
}

describe("a test token", () => {
  it("has the keys, their public halves and certificates", async () => {
    const hsm = await token({ label: "alice", certificate: true });
    const tokens = access(hsm);
    const keys = await tokens.keys();
    expect(keys.map(({ label, kind }) => `${label} ${kind}`).sort()).toEqual([
      ...["ec P-256", "exchange RSA-2048", "sign Ed25519"],
    ]);
    for (const label of Object.keys(KEYS)) {
      const certificate = new X509Certificate(hsm.certificate(label));
      expect(certificate.verify(createPublicKey(hsm.pem(label)))).toBe(true);
      const key = await tokens.findKey({ ...parseUri(hsm.uri), object: label });
      expect(key.publicKey?.object.equals(createPublicKey(hsm.pem(label)))).toBe(true);
    }
    await tokens.close();
  });

  it("works in one process beside others, although jest hides the environment", async () => {
    const [one, other] = [await token(), await token()];
    // What a test sets here never reaches getenv(3).
    process.env["SOFTHSM2_CONF"] = "/nonexistent";
    const [a, b] = [await rawModule(one.module), await rawModule(other.module)];
    const labelled = (native: typeof a): number => {
      const [slot] = native.C_GetSlotList(true);
      if (slot === undefined) throw new Error("no slot");
      const session = native.C_OpenSession(slot, 6);
      native.C_Login(session, 1, one.pin);
      native.C_FindObjectsInit(session, []);
      const found = native.C_FindObjects(session, 100).length;
      native.C_FindObjectsFinal(session);
      // A data object on the token.
      native.C_CreateObject(session, template({ CLASS: 0, TOKEN: true, LABEL: "data" }));
      native.C_Logout(session);
      native.C_CloseSession(session);
      return found;
    };
    expect([labelled(a), labelled(a), labelled(b)]).toEqual([6, 7, 6]);
  });

  it("is copied with what it has by then", async () => {
    const hsm = await token({ label: "original" });
    const copy = await hsm.clone();
    made.push(copy);
    expect(copy.module).not.toBe(hsm.module);
    expect(copy.pem("exchange")).toBe(hsm.pem("exchange"));
    await hsm.close();
    const tokens = access(copy);
    const key = await tokens.findKey({ ...parseUri(copy.uri), object: "ec" });
    const unlocked = await tokens.identity(key).unlock();
    expect(unlocked.publicKey).toMatchObject({ type: "ec", curve: "P-256" });
    await tokens.close();
  });

  it("serves other programs through the environment", async () => {
    const hsm = await token({ label: "other programs" });
    const env = { PATH: process.env["PATH"], ...hsm.env };
    const binding = JSON.stringify(createRequire(import.meta.url).resolve("pkcs11js"));
    const listed = execFileSync(
      process.execPath,
      [
        "-e",
        `const { PKCS11 } = require(${binding});
         const p = new PKCS11(); p.load(process.env.PKCS11_MODULE_PATH); p.C_Initialize();
         const [slot] = p.C_GetSlotList(true);
         const s = p.C_OpenSession(slot, 4); p.C_Login(s, 1, process.env.PKCS11_PIN);
         console.log(p.C_GetTokenInfo(slot).label.trim());`,
      ],
      { env, encoding: "utf8" },
    );
    expect(listed).toBe("other programs\n");
  });

  it("refuses what there is not", async () => {
    await expect(testToken({ keys: { a: "rsa:12" } })).rejects.toMatchObject({
      code: "ERR_TEST_KEY",
    });
    await expect(testToken({ keys: KEYS, certificate: "x" })).rejects.toMatchObject({
      code: "ERR_TEST_KEY",
    });
    await expect(testToken({ softhsm: "/nonexistent" })).rejects.toMatchObject({
      code: "ERR_TEST_TOKEN_UNAVAILABLE",
    });
    const hsm = await token();
    expect(() => hsm.pem("nobody")).toThrow('the test token has no key "nobody"');
    expect(() => hsm.certificate("ec")).toThrow("without a certificate");
  });
});

describe("nothing stays", () => {
  it("after close, twice as well", async () => {
    const hsm = await token();
    const folder = dirname(hsm.module);
    expect(existsSync(folder)).toBe(true);
    await hsm.close();
    await hsm.close();
    expect(existsSync(folder)).toBe(false);
  });

  it("after `await using`", async () => {
    let folder: string;
    {
      await using hsm = await testToken({ keys: KEYS });
      folder = dirname(hsm.module);
    }
    expect(existsSync(folder)).toBe(false);
  });

  it("after the process exits, and after a kill once another process starts", async () => {
    const parent = dirname(dirname((await token()).module));
    const built = pathToFileURL(join(process.cwd(), "dist", "testing", "index.js")).href;
    const run = (end: string): string => {
      const code = `const { testToken } = await import(${JSON.stringify(built)});
        const hsm = await testToken({ keys: ${JSON.stringify(KEYS)} });
        process.stdout.write(hsm.module); ${end}`;
      const args = ["--input-type=module", "-e", code];
      const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
      return basename(dirname(stdout));
    };
    const exited = run("");
    expect(exited).toMatch(/~/);
    expect(readdirSync(parent)).not.toContain(exited);
    const killed = run('process.kill(process.pid, "SIGKILL");');
    expect(readdirSync(parent)).toContain(killed);
    run("");
    expect(readdirSync(parent)).not.toContain(killed);
  });
});

describe("many tokens", () => {
  it("50 side by side, 50 ms of processor time each at most", async () => {
    await token();
    const start = process.cpuUsage();
    const fifty = await Promise.all(Array.from({ length: 50 }, () => token()));
    const { user, system } = process.cpuUsage(start);
    const each = (user + system) / 1000 / fifty.length;
    expect(new Set(fifty.map(({ module }) => module)).size).toBe(50);
    expect(each).toBeLessThan(50);
    // Each is a token that works, whatever the others do.
    const natives = await Promise.all(fifty.slice(0, 20).map(({ module }) => rawModule(module)));
    for (const [i, native] of natives.entries()) {
      const [slot] = native.C_GetSlotList(true);
      if (slot === undefined) throw new Error("no slot");
      const session = native.C_OpenSession(slot, 4);
      native.C_Login(session, 1, fifty[i]?.pin ?? "");
      native.C_CloseSession(session);
    }
  });
});
