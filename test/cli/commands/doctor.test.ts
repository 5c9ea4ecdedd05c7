/** What `doctor` and `inspect -i` predict, and that it comes true, on SoftHSM. */
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { thisProcess } from "../../../src/store/owner.js";
import { freshToken } from "../../support/softhsm.js";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { run, type Outcome } from "../support/run.js";
import { p11seal, type Ended } from "../support/spawn.js";

const PIN = "correct-7291";
const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const SOFTHSM = process.env["TEST_SOFTHSM2_MODULE"];
const env = {
  P11SEAL_HOME: at("home"),
  P11SEAL_MODULE: SOFTHSM,
  P11SEAL_SOFTHSM2: SOFTHSM,
  SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"],
  // Every request for a PIN leaves a file behind.
  P11SEAL_PIN_SOURCE: `cmd:touch '${at("asked")}'; echo ${PIN}`,
};
const TOKEN = "pkcs11:token=doctor";

const cli = (...argv: string[]): Promise<Outcome> => run(argv, { env });
/** A separate process, since SoftHSM reads its configuration once. */
const alone = (argv: string[], own: Record<string, string | undefined> = {}): Promise<Ended> =>
  p11seal(argv, { cwd: folder, env: { ...env, ...own } });

async function ok(...argv: string[]): Promise<string> {
  const { status, stdout, stderr } = await cli(...argv);
  expect({ argv, status, stderr }).toMatchObject({ argv, status: 0 });
  return stdout.toString("utf8");
}

interface VerdictData {
  opens: boolean;
  exit: number;
  key: string | null;
  token: { label: string } | null;
  way: string | null;
  cause: { code: string; message: string; hint: string | null } | null;
  keys: { key: string; ways: string[]; plan: { steps: unknown[]; oaep?: string[] } | null }[];
}

async function verdict(...argv: string[]): Promise<VerdictData & { status: number }> {
  const { status, stdout } = await cli("doctor", "--json", ...argv);
  return { ...(JSON.parse(stdout.toString("utf8")) as VerdictData), status };
}

beforeAll(async () => {
  mkdirSync(at("home"), { mode: 0o700 });
  writeKeys(folder);
  process.chdir(folder);
  writeFileSync(at("note"), "meet at noon\n");
  await ok("token", "init", "--label", "doctor", "--so-pin-source", `cmd:echo ${PIN}`);
  for (const [label, type, ...more] of [
    ["rsa", "rsa:2048"],
    ["both", "rsa:2048", "--allow-decrypt"],
    ["ec", "ec:p256"],
    ["x25519", "x25519"],
    ["signer", "rsa:2048", "--use", "sign"],
  ]) {
    const argv = ["--token", TOKEN, "--label", label ?? "", "--type", type ?? "", ...more];
    await ok("keys", "generate", ...argv, "-o", `${label ?? ""}.pem`);
    const sealed = `${label ?? ""}.p11s`;
    await ok("seal", "--allow-signing-key", "-r", `${label ?? ""}.pem`, "-o", sealed, "note");
  }
  await ok("seal", "-r", "rsa.pem", "--oaep", "sha256", "-o", "rsa-sha256.p11s", "note");
  await ok("seal", "-r", "bob.pem", "-o", "for-bob.p11s", "note");
  // Not a TEST key, since other tests' tokens hold those.
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(at("nobody.pem"), publicKey.export({ format: "pem", type: "spki" }));
  await ok("seal", "-r", "nobody.pem", "-o", "for-nobody.p11s", "note");
});

let asked: () => boolean;
beforeEach(async () => {
  const { rm } = await import("node:fs/promises");
  await rm(at("asked"), { force: true });
  asked = () => existsSync(at("asked"));
});

describe("of a file", () => {
  it.each([
    ["rsa", "C_UnwrapKey CKM_RSA_PKCS_OAEP sha1"],
    ["both", "C_Decrypt CKM_RSA_X_509, OAEP sha256 on the host"],
    ["ec", "C_DeriveKey CKM_ECDH1_DERIVE"],
    ["x25519", "C_DeriveKey CKM_ECDH1_DERIVE"],
  ])("for %s it foretells the way that opening goes, and asks for no PIN", async (name, way) => {
    const said = await verdict(`${name}.p11s`);
    expect(said).toMatchObject({ status: 0, opens: null, exit: 0, cause: null, way });
    expect(said.token?.label).toBe("doctor");
    expect(asked()).toBe(false);
    const { stdout, stderr } = await cli("open", "-v", `${name}.p11s`);
    expect(stdout.toString("utf8")).toBe("meet at noon\n");
    expect(stderr).toContain(`unwrap: ${way} on token "doctor"`);
    expect(stderr).toContain(`opened with ${said.key ?? ""}`);
    expect(asked()).toBe(true);
  });

  it.each([
    ["a hash that the token cannot undo", ["rsa-sha256.p11s"], "ERR_OAEP_HASH", 6],
    ["a key that is for signing", ["signer.p11s"], "ERR_MECHANISM", 5],
    ["nobody here", ["for-nobody.p11s"], "ERR_NO_MATCH", 3],
    ["a key that was not named", ["-i", `${TOKEN};object=ec`, "rsa.p11s"], "ERR_NO_MATCH", 3],
    [
      "a token that is not there",
      ["-i", "pkcs11:token=none", "rsa.p11s"],
      "ERR_TOKEN_NOT_FOUND",
      5,
    ],
    ["a key that is not there", ["-i", `${TOKEN};object=no`, "rsa.p11s"], "ERR_KEY_NOT_FOUND", 5],
  ])(
    "for %s it says no, with cause and remedy, and opening agrees",
    async (_to, argv, code, exit) => {
      const said = await verdict(...argv);
      expect(said).toMatchObject({ status: exit, opens: false, exit, cause: { code } });
      expect(said.cause?.hint).not.toBeNull();
      const { status, stderr } = await cli("open", "--json", ...argv);
      expect({ status, stderr }).toMatchObject({ status: exit });
      expect((JSON.parse(stderr) as { error: { code: string } }).error.code).toBe(code);
    },
  );

  it("shows labels beside the URIs of hidden keys, which have ids alone", async () => {
    const text = await ok("doctor", "ec.p11s");
    expect(text).toMatch(/^ {2}key: pkcs11:token=doctor;[^ ]*type=private;id=[^ ]* \("ec"\)$/m);
    expect(await ok("inspect", "-i", TOKEN, "ec.p11s")).toMatch(/with pkcs11:[^ ]* \("ec"\):/);
    const { stderr } = await cli("open", "-i", `${TOKEN};object=rsa`, "ec.p11s");
    expect(stderr).toMatch(/identities tried: pkcs11:[^ ]* \("rsa"\)/);
    expect((await cli("open", "-v", "ec.p11s")).stderr).toMatch(
      /opened with pkcs11:[^ ]* \("ec"\)/,
    );
  });

  it("says it in words, on few lines", async () => {
    const text = (await cli("doctor", "rsa-sha256.p11s")).stdout.toString("utf8");
    expect(text).toMatch(/^rsa-sha256\.p11s: will not open\n/);
    expect(text).toMatch(/^ {2}cause: sealed with RSA-OAEP sha256; token "doctor" undoes sha1$/m);
    expect(text).toMatch(/^ {2}remedy: .*--oaep sha1/m);
  });

  it("knows private key files", async () => {
    const said = await verdict("-i", "bob.key", "for-bob.p11s");
    expect(said).toMatchObject({ status: 0, opens: true, key: "bob.key", token: null });
  });

  it("says what it assumes, as private keys do not show", async () => {
    const text = await ok("doctor", "rsa.p11s");
    expect(text).toMatch(/^rsa\.p11s: may open\n/);
    expect(text).toContain("assumed: the private key may do what");
  });

  it("that is no message is an error like any other", async () => {
    const { status, stderr } = await cli("doctor", "note");
    expect(status).toBe(1);
    expect(stderr).toMatch(/^p11seal: /);
  });
});

describe("inspect -i", () => {
  it("says which way the token would go, without a PIN", async () => {
    const text = await ok("inspect", "-i", `${TOKEN};object=rsa`, "rsa.p11s");
    expect(text).toMatch(
      /^with pkcs11:.*type=private;id=%.*:\n {2}way: C_UnwrapKey CKM_RSA_PKCS_OAEP sha1$/m,
    );
    const { keys } = JSON.parse(
      await ok("inspect", "--json", "-i", `${TOKEN};object=rsa`, "rsa.p11s"),
    ) as VerdictData;
    expect(keys[0]?.ways).toEqual(["C_UnwrapKey CKM_RSA_PKCS_OAEP sha1"]);
    expect(asked()).toBe(false);
  });

  it("says when a message was sealed to none of the keys", async () => {
    expect(await ok("inspect", "-i", `${TOKEN};object=ec`, "rsa.p11s")).toContain(
      "none of these keys",
    );
  });
});

interface MachineData {
  works: boolean;
  cause: { code: string; message: string; hint: string | null } | null;
  modules: {
    path: string;
    error?: { code: string; message: string };
    configuration?: { message: string; hint: string };
    tokens: {
      token: { label: string; pin: string };
      keys: { label: string; plan: { operation: string }; findings: { rule: string }[] }[];
      quirks: { name: string }[];
    }[];
  }[];
}

function machine(text: Buffer): MachineData {
  return JSON.parse(text.toString("utf8")) as MachineData;
}

describe("of the machine", () => {
  it("lists modules, tokens, keys and quirks, and asks for no PIN", async () => {
    const { status, stdout } = await cli("doctor", "--json", "-i", TOKEN);
    expect(status).toBe(0);
    const { works, modules } = machine(stdout);
    expect(works).toBe(true);
    const [token] = modules[0]?.tokens ?? [];
    expect(token?.token).toMatchObject({ label: "doctor", pin: "ok" });
    expect(token?.keys.map(({ label, plan }) => `${label} ${plan.operation}`).sort()).toEqual([
      "both open",
      "ec open",
      "rsa open",
      "signer sign",
      "x25519 open",
    ]);
    expect(token?.quirks.map(({ name }) => name)).toContain("oaep-sha1-only");
    expect(asked()).toBe(false);
    const text = await ok("doctor", "-i", TOKEN);
    expect(text).toMatch(/^ {4}key "rsa", RSA-2048, pkcs11:.*: may open with C_UnwrapKey CKM_RSA/m);
    expect(text).toMatch(/^modules are called through (?:pkcs11js|koffi)$/m);
    expect(text).toMatch(/^works: a token can be used$/m);
  });

  it("names what killed runs left behind, and what becomes of it", async () => {
    const ended = `.x.p11seal-01234567-${thisProcess().replace(/-[0-9]+$/, "-1")}.part`;
    const kept = ".x.p11seal-01234567.part";
    const header = ".x.p11seal-header";
    for (const name of [ended, kept, header, `home/${ended}`]) writeFileSync(at(name), "half");
    try {
      const { stdout } = await alone(["doctor"]);
      const text = stdout.toString("utf8");
      expect(text).toContain(`  ${ended}: unfinished; the next run that writes to this folder`);
      expect(text).toContain(`  ${kept}: perhaps all there is of a message or file; open the`);
      expect(text).toContain(`  ${at("home")}/${ended}: unfinished;`);
      expect(text).toContain(`  ${header}: the header of a file that was being overwritten;`);
      const told = await alone(["doctor", "--json"]);
      const { leftBehind } = JSON.parse(told.stdout.toString("utf8")) as { leftBehind: object[] };
      expect(leftBehind).toHaveLength(4);
      expect(leftBehind).toContainEqual({ path: kept, state: "kept" });
      expect(existsSync(at(ended))).toBe(true);
    } finally {
      for (const name of [ended, kept, header, `home/${ended}`]) rmSync(at(name));
    }
  });

  it("tells a quirk of the library once, whatever the number of tokens", async () => {
    await freshToken("doctor-second");
    const text = await ok("doctor");
    expect(text.match(/^ {2}token "doctor/gm)).toHaveLength(2);
    const quirks = text.match(/^ *quirk.*$/gm) ?? [];
    expect(quirks.length).toBeGreaterThan(0);
    expect(new Set(quirks).size).toBe(quirks.length);
  });

  it.each([
    ["not a library", () => "note", "ERR_MODULE_LOAD", /not a shared library/],
    ["missing", () => "gone.so", "ERR_MODULE_NOT_FOUND", /does not exist/],
    ["built for another processor", otherProcessor, "ERR_MODULE_LOAD", /another processor/],
    ["a library, but no module", libc, "ERR_MODULE_LOAD", /not a PKCS#11 library/],
    ["writable by everybody", openToAll, "ERR_MODULE_UNSAFE", /writable by every user/],
  ])("says of a module that is %s what is wrong", async (_how, module, code, message) => {
    const path = module();
    const { status, stdout } = await alone(["doctor", "--json", "--module", path]);
    const { works, cause, modules } = machine(stdout);
    expect({ status, works }).toEqual({ status: 5, works: false });
    expect(modules[0]?.error?.code).toBe(code);
    expect(modules[0]?.error?.message).toMatch(message);
    expect(cause?.code).toBe(code);
    expect(cause?.hint).not.toBeNull();
  });

  it.each([
    ["which does not exist", { SOFTHSM2_CONF: "/nonexistent/softhsm2.conf" }, /does not exist/],
    ["that names a folder which is gone", { SOFTHSM2_CONF: at("bad.conf") }, /keeps its tokens in/],
  ])("names a configuration of SoftHSM %s", async (_how, own, message) => {
    writeFileSync(at("bad.conf"), "directories.tokendir = /nonexistent/tokens\n");
    const { status, stdout } = await alone(["doctor", "--json"], own);
    const { modules } = machine(stdout);
    expect(status).toBe(5);
    expect(modules[0]?.configuration?.message).toMatch(message);
    const text = (await alone(["doctor"], own)).stdout.toString("utf8");
    expect(text).toMatch(/^ {2}remedy: .+$/m);
    expect(text).toMatch(/^does not work: /m);
  });

  it("takes an empty SOFTHSM2_CONF for one that is not set", async () => {
    const own = { SOFTHSM2_CONF: "", P11SEAL_HOME: at("own-home") };
    const so = ["--so-pin-source", `cmd:echo ${PIN}`];
    expect(await alone(["token", "init", "--label", "own", ...so], own)).toMatchObject({
      status: 0,
    });
    const { status, stdout } = await alone(["doctor", "--json"], own);
    expect(status).toBe(0);
    expect(machine(stdout).modules[0]?.tokens[0]?.token.label).toBe("own");
  });

  it("says so where no token is present", async () => {
    mkdirSync(at("empty"));
    writeFileSync(at("empty.conf"), `directories.tokendir = ${at("empty")}\n`);
    const { status, stdout } = await alone(["doctor"], { SOFTHSM2_CONF: at("empty.conf") });
    expect(status).toBe(5);
    expect(stdout.toString("utf8")).toContain("does not work: no token is present");
  });
});

function otherProcessor(): string {
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(3, 16);
  header.writeUInt16LE(process.arch === "riscv64" ? 62 : 243, 18);
  writeFileSync(at("other.so"), header, { mode: 0o644 });
  return at("other.so");
}

/** The C library of this process. */
function libc(): string {
  const report = process.report.getReport() as { sharedObjects: string[] };
  const path = report.sharedObjects.find((one) => one.includes("libc.so"));
  if (path === undefined) throw new Error("no libc among the shared objects");
  return path;
}

function openToAll(): string {
  const path = otherProcessor();
  chmodSync(path, 0o666);
  return path;
}
