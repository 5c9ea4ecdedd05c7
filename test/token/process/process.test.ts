/** The token's process: a module's faults stay in it, and a PIN is not sent twice. */
import { spawn } from "node:child_process";
import { createPublicKey, diffieHellman, generateKeyPairSync, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { oaepEncrypt } from "../../../src/wrap/rsa-oaep.js";
import type { PrivateKey, RsaPrivateKey } from "../../../src/keys/key.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import {
  TokenProcess,
  type TokenProcessOptions,
} from "../../../src/token/process/token-process.js";
import type { KeyInfo } from "../../../src/token/values.js";
import { parseUri } from "../../../src/token/uri.js";
import { CHILD_PROGRAM } from "../../support/child-program.js";
import type { PkcsFunction } from "../../../src/testing/index.js";
import { type SetFaults, softHsmBehind } from "../../support/behind-shim.js";
import { TEST_KEYS } from "../../support/keys.js";
import {
  freshToken,
  importKey,
  objectCount,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../support/softhsm.js";
import { agree, decryptOaep } from "../../support/private-key.js";

let token: TestToken;
const open: TokenProcess[] = [];

beforeAll(async () => {
  token = await freshToken("process");
  const uses = { UNWRAP: true, DERIVE: false, SIGN: false, DECRYPT: false };
  await importKey(token, TEST_KEYS.rsa2048, {
    ...{ label: "rsa", id: randomBytes(8), privateHalf: uses },
  });
  await importKey(token, TEST_KEYS.p256, {
    ...{ label: "ec", id: randomBytes(8), privateHalf: { ...uses, UNWRAP: false, DERIVE: true } },
  });
});

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

interface Running {
  readonly tokens: TokenProcess;
  /** Number of times a PIN was asked for. */
  readonly asked: () => number;
  readonly traced: string[];
}

async function start(
  fault?: SetFaults,
  options: Partial<TokenProcessOptions> = {},
): Promise<Running> {
  let asked = 0;
  const traced: string[] = [];
  const tokens = new TokenProcess({
    modules: [fault === undefined ? SOFTHSM_MODULE : (await softHsmBehind(fault)).module],
    home: "/nonexistent",
    env: process.env,
    pin: () => {
      asked += 1;
      return Promise.resolve(USER_PIN);
    },
    trace: (line) => traced.push(line),
    ...options,
  });
  open.push(tokens);
  return { tokens, asked: () => asked, traced };
}

/** Much longer than any call takes, also on a busy machine. */
const HANG_MS = 5_000;

function keyNamed(tokens: TokenProcess, object: string): Promise<KeyInfo> {
  return tokens.findKey({ ...parseUri(token.uri), object });
}

/** Seals a secret to the RSA key and has the token unwrap it. */
async function unwraps(tokens: TokenProcess): Promise<boolean> {
  const key = await keyNamed(tokens, "rsa");
  const secret = randomBytes(32);
  if (key.publicKey === undefined) throw new Error("no public key");
  const ciphertext = oaepEncrypt(key.publicKey.object, secret, { hash: "sha1" });
  const privateKey = (await tokens.identity(key).unlock()) as RsaPrivateKey;
  const found = await decryptOaep(privateKey, ciphertext, "sha1");
  return found !== null && secret.equals(found.expose());
}

async function agrees(tokens: TokenProcess): Promise<boolean> {
  const key = await keyNamed(tokens, "ec");
  if (key.publicKey === undefined) throw new Error("no public key");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const peer = publicKeyFromSpki(new Uint8Array(spki));
  if (peer.type !== "ec") throw new Error("not EC");
  const ours = diffieHellman({ privateKey, publicKey: key.publicKey.object });
  const held = (await tokens.identity(key).unlock()) as PrivateKey;
  const theirs = await agree(held, peer.point);
  return theirs !== null && ours.equals(theirs.expose());
}

describe("a module that goes wrong in the middle of its work", () => {
  it.each([
    ["crashes", "crash", "ERR_TOKEN_CRASHED", /SIGSEGV/],
    ["aborts", "abort", "ERR_TOKEN_CRASHED", /SIGABRT/],
    ["ends the process", "exit", "ERR_TOKEN_CRASHED", /status 3/],
    ["never returns", "hang", "ERR_TOKEN_TIMEOUT", /did not answer in time/],
  ] as const)("%s: one error, and the next message opens", async (_, how, code, told) => {
    const { tokens, asked } = await start((faults) => faults[how]("C_UnwrapKey", { times: 1 }), {
      timeoutMs: how === "hang" ? HANG_MS : 60_000,
    });
    await expect(unwraps(tokens)).rejects.toMatchObject({
      ...{ name: "TokenError", code, message: expect.stringMatching(told) as unknown },
    });
    await expect(unwraps(tokens)).resolves.toBe(true);
    // Once for each process: the first one's login ended with it.
    expect(asked()).toBe(2);
  });

  it("takes along only what was under way", async () => {
    const { tokens } = await start((faults) => faults.crash("C_UnwrapKey", { times: 1 }));
    const [first, second] = await Promise.allSettled([unwraps(tokens), agrees(tokens)]);
    expect(first).toMatchObject({ status: "rejected", reason: { code: "ERR_TOKEN_CRASHED" } });
    // The other call was in the same process, or came after it.
    if (second.status === "rejected") {
      expect(second.reason).toMatchObject({ code: "ERR_TOKEN_CRASHED" });
    }
    await expect(agrees(tokens)).resolves.toBe(true);
  });

  it.each<PkcsFunction>(["C_OpenSession", "C_FindObjectsInit", "C_DeriveKey", "C_DestroyObject"])(
    "crashes in %s: told as what it is",
    async (fn) => {
      const { tokens } = await start((faults) => faults.crash(fn, { times: 1 }));
      await expect(agrees(tokens)).rejects.toMatchObject({ code: "ERR_TOKEN_CRASHED" });
      await expect(agrees(tokens)).resolves.toBe(true);
    },
  );

  it("hangs in C_Finalize: closing takes seconds, not forever", async () => {
    const { tokens } = await start((faults) => faults.hang("C_Finalize"));
    await expect(agrees(tokens)).resolves.toBe(true);
    const before = Date.now();
    await tokens.close();
    expect(Date.now() - before).toBeLessThan(15_000);
  });
});

describe("a token that says it is gone", () => {
  it.each(["CKR_DEVICE_REMOVED", "CKR_TOKEN_NOT_PRESENT", "CKR_SESSION_HANDLE_INVALID"])(
    "with %s: ERR_TOKEN_REMOVED, and works when it is back",
    async (rv) => {
      const { tokens } = await start((faults) => faults.fail("C_DeriveKey", { rv, times: 1 }));
      await expect(agrees(tokens)).rejects.toMatchObject({
        ...{ code: "ERR_TOKEN_REMOVED", fn: "C_DeriveKey" },
      });
      await expect(agrees(tokens)).resolves.toBe(true);
    },
  );
});

describe("a module that goes wrong as it is loaded", () => {
  it.each([
    ["crashes in C_GetFunctionList", "C_GetFunctionList", "crash"],
    ["crashes in C_Initialize", "C_Initialize", "crash"],
    ["aborts in C_Initialize", "C_Initialize", "abort"],
    ["never returns from C_Initialize", "C_Initialize", "hang"],
    ["crashes in C_GetSlotList", "C_GetSlotList", "crash"],
    ["never returns from C_GetTokenInfo", "C_GetTokenInfo", "hang"],
  ] as const)("%s: the others are found all the same", async (_, fn, how) => {
    const { module } = await softHsmBehind((faults) => faults[how](fn));
    const { tokens } = await start(undefined, {
      modules: [module, SOFTHSM_MODULE],
      timeoutMs: how === "hang" ? HANG_MS : 60_000,
    });
    await expect(agrees(tokens)).resolves.toBe(true);
    const [bad, good] = await tokens.modules();
    expect(bad).toMatchObject({
      path: module,
      error: { code: how === "hang" ? "ERR_TOKEN_TIMEOUT" : "ERR_TOKEN_CRASHED" },
    });
    expect(good).toMatchObject({ path: SOFTHSM_MODULE, library: expect.anything() as unknown });
  });

  it("is named when it is the only one", async () => {
    const { module } = await softHsmBehind((faults) => faults.crash("C_Initialize"));
    const { tokens } = await start(undefined, { modules: [module] });
    await expect(keyNamed(tokens, "ec")).rejects.toMatchObject({
      ...{ code: "ERR_TOKEN_CRASHED", message: expect.stringContaining(module) as unknown },
    });
  });
});

describe("a module that lies", () => {
  it("CKR_OK and another key than was wrapped: nobody takes it for the right one", async () => {
    const { tokens } = await start((faults) => faults.wrong("C_GetAttributeValue"));
    await expect(agrees(tokens)).resolves.toBe(false);
  });

  it("CKR_OK and a key that is too short: the token can't derive, as a try of our own shows", async () => {
    const { tokens } = await start((faults) => faults.short("C_GetAttributeValue"));
    await expect(agrees(tokens)).rejects.toMatchObject({ code: "ERR_MECHANISM" });
  });

  it("that a way is not there, is taken at its word: another one, or an error, and no retry of the PIN", async () => {
    const { tokens, asked } = await start((faults) =>
      faults.fail("C_UnwrapKey", { rv: "CKR_FUNCTION_NOT_SUPPORTED" }),
    );
    await expect(unwraps(tokens)).rejects.toMatchObject({ code: "ERR_MECHANISM" });
    expect(asked()).toBe(1);
  });
});

describe("a PIN", () => {
  it.each(["crash", "hang"] as const)(
    "is not sent again when the module went down with it (%s)",
    async (how) => {
      const { tokens, asked } = await start(
        (faults) => faults[how]("C_Login", { times: 1 }),
        how === "hang" ? { timeoutMs: HANG_MS } : {},
      );
      await expect(agrees(tokens)).rejects.toMatchObject({
        code: how === "hang" ? "ERR_TOKEN_TIMEOUT" : "ERR_TOKEN_CRASHED",
      });
      await expect(agrees(tokens)).rejects.toMatchObject({ code: "ERR_PIN_REFUSED" });
      expect(asked()).toBe(1);
    },
  );

  it("that was refused is not sent again, in whichever process", async () => {
    let asked = 0;
    const pin = (): Promise<string> => {
      asked += 1;
      return Promise.resolve("9999");
    };
    const { tokens } = await start(
      (faults) => faults.crash("C_FindObjectsInit", { at: 4, times: 1 }),
      { pin },
    );
    for (let i = 0; i < 4; i++) {
      await expect(agrees(tokens)).rejects.toMatchObject({ name: "TokenError" });
    }
    expect(asked).toBe(1);
  });

  it("is neither in the process's arguments nor in its environment", async () => {
    const { tokens } = await start(undefined, {
      env: { ...process.env, KEEP: "kept" },
      pin: () => Promise.resolve(USER_PIN),
    });
    await expect(agrees(tokens)).resolves.toBe(true);
    const [child] = childrenOf(process.pid);
    if (child === undefined) throw new Error("the process is not there");
    const environment = readFileSync(`/proc/${child}/environ`, "utf8").split("\0");
    expect(environment).toContain("KEEP=kept");
    expect(environment.some((one) => one.endsWith(`=${USER_PIN}`))).toBe(false);
    expect(readFileSync(`/proc/${child}/cmdline`, "utf8")).not.toContain(USER_PIN);
  });

  it("may take a person longer than a token may take", async () => {
    const pin = async (): Promise<string> => {
      await sleep(HANG_MS + 500);
      return USER_PIN;
    };
    const { tokens } = await start(undefined, { pin, timeoutMs: HANG_MS });
    await expect(agrees(tokens)).resolves.toBe(true);
  });
});

describe("the process", () => {
  it("ends with its parent, even while a native call never returns", async () => {
    const { module } = await softHsmBehind((faults) => faults.hang("C_GetSlotList"));
    const program = `
      const { TokenProcess } = await import(${JSON.stringify(new URL("../../../dist/token/process/token-process.js", import.meta.url).href)});
      const tokens = new TokenProcess({ modules: [${JSON.stringify(module)}], home: "/nonexistent",
        env: process.env, pin: () => Promise.resolve("1234") });
      tokens.tokens().catch(() => undefined);
      setTimeout(() => process.stdout.write("waiting"), 1500);
      setInterval(() => undefined, 1000);`;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => parent.stdout.once("data", resolve));
    const [child] = childrenOf(parent.pid ?? 0);
    if (child === undefined) throw new Error("the process is not there");
    parent.kill("SIGKILL");
    await expect(endOf(child)).resolves.toBe(true);
  });

  it("holds nobody back from ending who forgot to close it", async () => {
    const program = `
      const { TokenProcess } = await import(${JSON.stringify(new URL("../../../dist/token/process/token-process.js", import.meta.url).href)});
      const tokens = new TokenProcess({ modules: [${JSON.stringify(SOFTHSM_MODULE)}], home: "/nonexistent",
        env: process.env, pin: () => Promise.resolve("1234") });
      await tokens.tokens();`;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", program]);
    const status = await new Promise((resolve) => parent.once("exit", resolve));
    expect(status).toBe(0);
  });

  it("does many things at once on one login, and leaves no object behind", async () => {
    const before = await objectCount(token);
    const { tokens, asked } = await start();
    const done = await Promise.all(
      Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? agrees(tokens) : unwraps(tokens))),
    );
    expect(done.every((one) => one)).toBe(true);
    expect(asked()).toBe(1);
    await expect(objectCount(token)).resolves.toBe(before);
  });

  it("is distinguished from a program that is missing", async () => {
    const { tokens } = await start(undefined, {
      program: join(CHILD_PROGRAM, "..", "no-such-file.js"),
    });
    await expect(tokens.tokens()).rejects.toMatchObject({ code: "ERR_TOKEN_CRASHED" });
  });
});

/** Child processes, as Linux lists them. */
function childrenOf(parent: number): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return (
        readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[1] === String(parent)
      );
    } catch {
      return false;
    }
  });
}

async function endOf(pid: string): Promise<boolean> {
  for (let i = 0; i < 100; i++) {
    try {
      process.kill(Number(pid), 0);
    } catch {
      return true;
    }
    await sleep(100);
  }
  return false;
}
