/**
 * Mechanisms that a token has and does not list: tried last, few times, and told as what they are.
 * The token is SoftHSM behind a module that lists nothing.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { temporaryFolder } from "../../cli/support/folder.js";
import { type Outcome, run } from "../../cli/support/run.js";
import type { PkcsFunction, WrappedModule } from "../../../src/testing/index.js";
import { countedCalls, softHsmBehind } from "../../support/behind-shim.js";
import { freshToken, importKey, SOFTHSM_MODULE, USER_PIN } from "../../support/softhsm.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let unlisted: WrappedModule;
let token: string;
/** Lists what it has, and has the key "ec" too. */
let lists: string;

/** No function is made to fail: the module lists nothing, and has it all. */
const NONE = "none";
const USES = { UNWRAP: false, DECRYPT: false, DERIVE: false, SIGN: false };

function cli(
  argv: readonly string[],
  fault?: { fn: PkcsFunction | typeof NONE },
): Promise<Outcome> {
  unlisted.faults.clear();
  if (fault !== undefined && fault.fn !== NONE) {
    unlisted.faults.fail(fault.fn, { rv: "CKR_MECHANISM_INVALID" });
  }
  return run(argv, {
    env: {
      P11SEAL_HOME: at("home"),
      P11SEAL_SYSTEM_MODULES: "0",
      P11SEAL_MODULE: fault === undefined ? SOFTHSM_MODULE : unlisted.module,
      SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"],
      P11SEAL_PIN_SOURCE: "env:PIN",
      PIN: USER_PIN,
    },
  });
}

/** How often each of these functions was called since the last question. */
function counted(...functions: readonly string[]): number[] {
  return countedCalls(unlisted, ...functions);
}

const privatePem = (key: KeyObject): string =>
  key.export({ format: "pem", type: "pkcs8" }).toString();

const uri = (object: string): string => `${token};object=${object}`;
const sealed = (object: string): string => at(`${object}.p11s`);

beforeAll(async () => {
  unlisted = await softHsmBehind(undefined, { mechanisms: { unlistedOn: "unlisted" } });
  const own = await freshToken("unlisted");
  const other = await freshToken("lists");
  [token, lists] = [own.uri, other.uri];
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const signer = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const keys = [
    ["ec", ec, { DERIVE: true }],
    ["rsa", rsa, { UNWRAP: true, DECRYPT: true }],
    ["signer", signer, { SIGN: true }],
  ] as const;
  writeFileSync(at("note"), "meet at noon\n");
  for (const [label, key, uses] of keys) {
    const [id, privateHalf] = [randomBytes(4), { ...USES, ...uses }];
    await importKey(own, privatePem(key), {
      label,
      id: randomBytes(4),
      privateHalf: { ...USES, ...uses },
    });
    const spki = createPublicKey(key).export({ format: "pem", type: "spki" });
    writeFileSync(at(`${label}.pem`), spki);
    if (label === "signer") continue;
    if (label === "ec") await importKey(other, privatePem(key), { label, id, privateHalf });
    const oaep = label === "rsa" ? ["--oaep", "sha1"] : [];
    const argv = ["seal", "-r", at(`${label}.pem`), ...oaep, "-o", sealed(label), at("note")];
    expect((await cli(argv)).status).toBe(0);
  }
});

beforeEach(() => {
  unlisted.forgetCalls();
});

describe("a token that has what it does not list", () => {
  it.each([
    ["ec", "C_DeriveKey"],
    ["rsa", "C_UnwrapKey"],
  ])("opens what was sealed to %s by %s, after one try of its own", async (label, fn) => {
    const opened = await cli(["open", "-i", uri(label), sealed(label)], { fn: NONE });
    expect(opened.stdout.toString("utf8")).toBe("meet at noon\n");
    expect(counted(fn)[0]).toBeLessThanOrEqual(3);
  });

  it("signs", async () => {
    const argv = ["seal", "--sign-with", uri("signer"), "-r", at("ec.pem"), at("note")];
    const { status, stderr } = await cli([...argv, "-o", at("signed.p11s")], { fn: NONE });
    expect({ status, stderr }).toMatchObject({ status: 0 });
  });

  it("is told by seal and doctor as a doubt, and by no PIN", async () => {
    const argv = ["seal", "-r", uri("ec"), "-o", at("again.p11s"), at("note")];
    const { status, stderr } = await cli(argv, { fn: NONE });
    expect(status).toBe(0);
    expect(stderr).toContain("not certain: the token does not list CKM_ECDH1_DERIVE");
    const file = (await cli(["doctor", "-i", uri("ec"), sealed("ec")], { fn: NONE })).stdout;
    expect(file.toString("utf8")).toMatch(
      /: may open\n(.*\n)*.*in doubt: .*CKM_ECDH1_DERIVE; open/,
    );
    const machine = (await cli(["doctor", "-i", uri("ec")], { fn: NONE })).stdout;
    expect(machine.toString("utf8")).toMatch(/may open with .*\n.*in doubt: .*CKM_ECDH1_DERIVE/);
    expect(counted("C_Login", "C_DeriveKey")).toEqual([0, 0]);
  });
});

it("a key whose token lists how to use it is preferred to its copy elsewhere", async () => {
  const both = ["-i", uri("ec"), "-i", `${lists};object=ec`];
  const opened = await cli(["open", "-v", ...both, sealed("ec")], { fn: NONE });
  expect(opened.stderr).toContain('C_DeriveKey CKM_ECDH1_DERIVE on token "lists');
  expect(counted("C_Login")).toEqual([1]);
});

describe("a token that does not have what it does not list", () => {
  it("is asked once for each way, and the error says what it lists and what was tried", async () => {
    const argv = ["open", "-i", uri("ec"), sealed("ec")];
    const { status, stderr } = await cli(argv, { fn: "C_DeriveKey" });
    expect(status).toBe(5);
    expect(stderr).toContain("cannot derive a shared secret on token");
    expect(stderr).toMatch(/lists no way to do it; tried .*: C_DeriveKey CKM_ECDH1_DERIVE, /);
    expect(counted("C_DeriveKey", "C_Login")).toEqual([1, 1]);
  });

  it("is asked no more of RSA, whatever the hash", async () => {
    const { status, stderr } = await cli(["open", "-i", uri("rsa"), sealed("rsa")], {
      fn: "C_UnwrapKey",
    });
    // What is refused by unwrapping goes by decrypting, which isn't listed either.
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(counted("C_UnwrapKey")).toEqual([1]);
  });

  it("is not signed with, and says why", async () => {
    const argv = ["seal", "--sign-with", uri("signer"), "-r", at("ec.pem"), at("note")];
    const { status, stderr } = await cli([...argv, "-o", at("none.p11s")], { fn: "C_SignInit" });
    expect(status).toBe(5);
    expect(stderr).toContain("cannot sign with this key: the token does not list CKM_ECDSA");
    expect(counted("C_SignInit")).toEqual([1]);
    expect(existsSync(at("none.p11s"))).toBe(false);
  });
});
