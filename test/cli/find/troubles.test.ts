/** What hides a token, told alike by every command that looks for one. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import type { PkcsFunction, WrappedModule } from "../../../src/testing/index.js";
import { softHsmBehind } from "../../support/behind-shim.js";
import { freshToken, SOFTHSM_MODULE, type TestToken, USER_PIN } from "../../support/softhsm.js";
import { temporaryFolder } from "../support/folder.js";
import { run, type Outcome } from "../support/run.js";

const folder = temporaryFolder();
const home = join(folder, "home");
let token: TestToken;
let faulty: WrappedModule;

const SESSION_COUNT = 0xb1;
const NOT_RECOGNIZED = 0xe1;
const DEVICE_ERROR = 0x30;

type Environment = Record<string, string | undefined>;

function cli(argv: readonly string[], env: Environment): Promise<Outcome> {
  const common = {
    P11SEAL_HOME: home,
    P11SEAL_SYSTEM_MODULES: "0",
    SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"],
    P11SEAL_PIN_SOURCE: "env:PIN",
    PIN: USER_PIN,
  };
  return run(argv, { env: { ...common, ...env } });
}

/** What each command says, and its status. */
async function told(env: Environment, ...more: string[]): Promise<Record<string, Told>> {
  const outcomes: Record<string, Told> = {};
  for (const [name, argv] of Object.entries(COMMANDS)) {
    const { status, stdout, stderr } = await cli([...argv, ...more], env);
    outcomes[name] = { status, text: stdout.toString("utf8") + stderr };
  }
  return outcomes;
}

interface Told {
  readonly status: number;
  readonly text: string;
}

const COMMANDS = {
  open: ["open", "-o", join(folder, "opened"), "--force", join(folder, "k.p11s")],
  "doctor FILE": ["doctor", join(folder, "k.p11s")],
  doctor: ["doctor"],
  "keys list": ["keys", "list"],
  tokens: ["tokens"],
};

function failing({ fn, how }: { fn: PkcsFunction; how: number }): Environment {
  faulty.faults.clear();
  faulty.faults.fail(fn, { rv: how });
  return { P11SEAL_MODULE: faulty.module };
}

beforeAll(async () => {
  mkdirSync(home, { mode: 0o700 });
  process.chdir(folder);
  writeFileSync("note", "meet at noon\n");
  faulty = await softHsmBehind();
  token = await freshToken("troubles");
  const env = { P11SEAL_MODULE: SOFTHSM_MODULE };
  const key = ["--token", token.uri, "--label", "k", "--type", "ec:p256"];
  expect(await cli(["keys", "generate", ...key], env)).toMatchObject({ status: 0 });
  const seal = ["seal", "-r", `${token.uri};object=k`, "-o", "k.p11s", "note"];
  expect(await cli(seal, env)).toMatchObject({ status: 0 });
});

describe("a module that can't be used", () => {
  it.each([
    ["is missing", "/nonexistent.so", "does not exist"],
    ["is no module", join(folder, "note"), "note"],
  ])("%s: every command says so", async (_what, path, fact) => {
    for (const outcomes of [
      await told({ P11SEAL_MODULE: path }),
      await told({ P11SEAL_MODULE: SOFTHSM_MODULE }, "--module", path),
    ]) {
      for (const outcome of Object.values(outcomes)) {
        expect(outcome).toEqual({ status: 5, text: expect.stringContaining(fact) });
        expect(outcome.text).not.toMatch(/no token is present|no key was found/);
      }
    }
  });

  it("does not start: every command says so", async () => {
    const outcomes = await told(failing({ fn: "C_Initialize", how: DEVICE_ERROR }));
    for (const outcome of Object.values(outcomes)) {
      expect(outcome).toEqual({
        status: 5,
        text: expect.stringContaining("CKR_DEVICE_ERROR"),
      });
    }
  });

  it("can't list its slots: every command says so", async () => {
    const outcomes = await told(failing({ fn: "C_GetSlotList", how: DEVICE_ERROR }));
    for (const [command, { status, text }] of Object.entries(outcomes)) {
      expect({ command, status, text }).toEqual({
        ...{ command, status: 5 },
        text: expect.stringMatching(/module "[^"]+": C_GetSlotList: [^]*CKR_DEVICE_ERROR/),
      });
    }
  });

  it("is told where another one's tokens have no key for the message", async () => {
    const env = { P11SEAL_MODULE: `/nonexistent.so:${SOFTHSM_MODULE}` };
    const another = await freshToken("another");
    expect(await cli(["open", "-i", another.uri, "k.p11s"], env)).toMatchObject({
      status: 5,
      stderr: expect.stringContaining("/nonexistent.so"),
    });
    // And does no harm where one has.
    expect(await cli(["open", "--force", "-o", "opened", "k.p11s"], env)).toMatchObject({
      status: 0,
    });
  });
});

describe("a package that calls modules, if there is none,", () => {
  it("is told by every command, and not as a fault of the modules", () => {
    const copy = join(folder, "copy");
    for (const one of ["dist", "package.json"]) {
      cpSync(join(import.meta.dirname, "../../..", one), join(copy, one), { recursive: true });
    }
    const env = { ...process.env, P11SEAL_HOME: home, P11SEAL_MODULE: "" };
    for (const [command, argv] of Object.entries(COMMANDS)) {
      const program = [join(copy, "dist/cli/main.js"), ...argv];
      for (const own of [
        { P11SEAL_MODULE: SOFTHSM_MODULE },
        { PKCS11_MODULE_PATH: faulty.module },
      ]) {
        const ended = spawnSync(process.execPath, program, {
          env: { ...env, ...own, P11SEAL_SYSTEM_MODULES: "0" },
          encoding: "utf8",
        });
        expect({ command, status: ended.status, text: ended.stdout + ended.stderr }).toEqual({
          command,
          status: 5,
          text: expect.stringMatching(
            /neither pkcs11js nor koffi can be loaded[^]*npm install koffi/,
          ),
        });
      }
    }
  });
});

describe("a slot whose token can't be read", () => {
  it.each([
    ["CKR_TOKEN_NOT_RECOGNIZED", NOT_RECOGNIZED],
    ["CKR_DEVICE_ERROR", DEVICE_ERROR],
  ])("is told by every command: %s", async (name, how) => {
    const outcomes = await told(failing({ fn: "C_GetTokenInfo", how }));
    for (const [command, outcome] of Object.entries(outcomes)) {
      expect({ command, text: outcome.text }).toEqual({
        command,
        text: expect.stringMatching(new RegExp(`slot "SoftHSM slot[^]*${name}`)),
      });
      expect(outcome.text).not.toMatch(/no token is present|no key was found/);
      expect({ command, status: outcome.status }).toEqual({ command, status: 5 });
    }
    const listed = await cli(["tokens", "--json"], failing({ fn: "C_GetTokenInfo", how }));
    const { unread } = JSON.parse(listed.stdout.toString("utf8")) as { unread: unknown[] };
    expect(unread[0]).toMatchObject({
      slot: expect.stringMatching(/^slot "SoftHSM slot/),
      module: faulty.module,
      error: { message: expect.stringContaining(name) },
    });
  });

  it("is of no interest if another module reads that slot", async () => {
    const env = failing({ fn: "C_GetTokenInfo", how: NOT_RECOGNIZED });
    const listed = await cli(["tokens"], {
      ...env,
      P11SEAL_MODULE: `${faulty.module}:${SOFTHSM_MODULE}`,
    });
    expect(listed.status).toBe(0);
    expect(listed.stderr).not.toContain("NOT_RECOGNIZED");
  });
});

describe("a token that can't be listed", () => {
  it.each([
    ["CKR_SESSION_COUNT", SESSION_COUNT],
    ["CKR_DEVICE_ERROR", DEVICE_ERROR],
  ])("is named, with the cause: %s", async (name, how) => {
    const outcomes = await told(failing({ fn: "C_OpenSession", how }));
    for (const [command, outcome] of Object.entries(outcomes)) {
      // It lists tokens without opening a session.
      if (command === "tokens") continue;
      expect({ command, ...outcome }).toEqual({
        command,
        status: 5,
        text: expect.stringMatching(new RegExp(`token "[^]*${name}`)),
      });
    }
  });

  it("is told by a command that names it, too", async () => {
    const env = failing({ fn: "C_OpenSession", how: SESSION_COUNT });
    const uri = `${token.uri};object=k`;
    for (const argv of [
      ["open", "-i", token.uri, "k.p11s"],
      ["open", "-i", uri, "k.p11s"],
      ["keys", "list", token.uri],
      ["keys", "export", uri],
      ["seal", "-r", uri, "-o", "other.p11s", "note"],
    ]) {
      expect(await cli(argv, env)).toMatchObject({
        status: 5,
        stderr: expect.stringMatching(/token "troubles[^"]*": .*CKR_SESSION_COUNT/),
      });
    }
  });
});
