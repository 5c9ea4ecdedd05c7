/** `p11seal testing exec`, with the built program: the token, the command's end, and signals. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { TESTING } from "../../../../src/cli/commands/testing/testing-commands.js";
import { PROFILE_NAMES } from "../../../../src/testing/index.js";
import { skipped } from "../../../support/missing.js";
import { temporaryFolder } from "../../support/folder.js";
import { p11seal, PROGRAM, start, until, type Ended } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const exec = (...words: string[]): Promise<Ended> =>
  p11seal(["testing", "exec", ...words], { cwd: folder });

/** A program in Node that gets to know the token by its environment alone. */
const LOOK = `
  const { PKCS11 } = require(${JSON.stringify(createRequire(import.meta.url).resolve("pkcs11js"))});
  const { env } = process;
  const p = new PKCS11(); p.load(env.PKCS11_MODULE_PATH); p.C_Initialize();
  const slots = p.C_GetSlotList(true);
  const s = p.C_OpenSession(slots[0], 4); p.C_Login(s, 1, env.PKCS11_PIN);
  p.C_FindObjectsInit(s, [{ type: 0, value: 3 }]);
  const keys = p.C_FindObjects(s, 9).map((o) => p.C_GetAttributeValue(s, o, [{ type: 3 }])[0].value.toString());
  p.C_FindObjectsFinal(s); p.C_Finalize();
  console.log(JSON.stringify({ keys, uri: env.PKCS11_URI, label: env.PKCS11_TOKEN_LABEL,
    softhsm: require("node:fs").existsSync(env.SOFTHSM2_CONF), module: env.PKCS11_MODULE_PATH }));`;

/** Through python-pkcs11 where it is installed, else as far as ctypes goes. */
const PYTEST = `
import ctypes, os
import pytest

def test_the_module_is_there():
    functions = ctypes.c_void_p()
    module = ctypes.CDLL(os.environ["PKCS11_MODULE_PATH"])
    assert module.C_GetFunctionList(ctypes.byref(functions)) == 0
    assert len(os.environ["PKCS11_PIN"]) == 8

def test_the_key_is_there():
    pkcs11 = pytest.importorskip("pkcs11")
    lib = pkcs11.lib(os.environ["PKCS11_MODULE_PATH"])
    token = lib.get_token(token_label=os.environ["PKCS11_TOKEN_LABEL"])
    with token.open(user_pin=os.environ["PKCS11_PIN"]) as session:
        session.get_key(label="sign", object_class=pkcs11.ObjectClass.PRIVATE_KEY)
`;
const hasPytest = spawnSync("python3", ["-m", "pytest", "--version"]).status === 0;

describe("testing exec", () => {
  it("has an agent of its own: that of the user is neither asked nor stopped", async () => {
    const session = at("s");
    mkdirSync(session, { mode: 0o700 });
    const env = { XDG_RUNTIME_DIR: session };
    const control = (...words: string[]): Promise<Ended> => p11seal(["agent", ...words], { env });
    expect(await control("start", "--pin-source", "cmd:false")).toMatchObject({ status: 0 });
    const stop = [process.execPath, PROGRAM, "agent", "stop"];
    const ended = await p11seal(["testing", "exec", "--", ...stop], { cwd: folder, env });
    expect(ended).toMatchObject({ status: 3 });
    expect(await control("stop")).toMatchObject({ status: 0 });
  });

  if (!hasPytest) skipped("runs pytest", "pytest is not installed");
  else {
    it("runs pytest", async () => {
      writeFileSync(at("test_token.py"), PYTEST);
      const pytest = ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider"];
      const { status, stdout } = await exec("--key", "sign=ec:p256", "--", ...pytest);
      expect({ status, said: stdout.toString() }).toEqual({
        status: 0,
        said: expect.stringMatching(/2 passed|1 passed, 1 skipped/) as unknown,
      });
    });
  }

  it("runs a command with a token, and removes the token", async () => {
    const options = ["--key", "sign=ec:p256", "--label", "ci"];
    const { status, stdout, stderr } = await exec(...options, "--", process.execPath, "-e", LOOK);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const seen = JSON.parse(stdout.toString()) as { module: string };
    expect(seen).toMatchObject({
      ...{ keys: ["sign"], label: "ci", softhsm: true },
      uri: expect.stringMatching(/^pkcs11:token=ci/) as unknown,
    });
    expect(existsSync(seen.module)).toBe(false);
  });

  it("serves p11seal itself, which sees that token alone", async () => {
    const script = `"$0" "$1" keys list "$PKCS11_URI" && "$0" "$1" tokens --json`;
    const { status, stdout } = await exec(
      ...["--key", "exchange=ec:p256", "--"],
      ...["sh", "-c", script, process.execPath, PROGRAM],
    );
    expect(status).toBe(0);
    expect(stdout.toString()).toMatch(/^exchange +P-256/);
    expect(stdout.toString().match(/"label"/g)).toHaveLength(1);
  });

  it("ends as the command ends, and passes its words and stdin on", async () => {
    const { status, stdout } = await p11seal(
      ["testing", "exec", "--", "sh", "-c", 'cat; echo "$#$1$2"; exit 9', "sh", "", "--key"],
      { cwd: folder, stdin: "typed " },
    );
    expect({ status, said: stdout.toString() }).toEqual({ status: 9, said: "typed 2--key\n" });
    expect(await exec("--", "sh", "-c", "kill -KILL $$")).toMatchObject({ status: 137 });
  });

  it("says which command it could not start", async () => {
    const missing = await exec("--", "no-such-command");
    expect(missing).toMatchObject({ status: 127 });
    expect(missing.stderr).toContain('the command "no-such-command" was not found');
    expect(await exec("--", folder)).toMatchObject({ status: 126 });
  });

  it.each([
    [["--key", "sign", "--", "true"], '--key takes NAME=TYPE, not "sign"'],
    [["--key", "a=ed25519", "--key", "a=ec:p256", "--", "true"], 'two keys are named "a"'],
    [["--key", "a=dsa:1024", "--", "true"], 'there is no kind of key "dsa:1024"'],
    [["--certificate", "b", "--", "true"], 'has no key "b"'],
    [["--profile", "hsm", "--", "true"], "--profile takes softhsm"],
    [["--", ""], "an operand is empty"],
    [[], "missing: <command>"],
  ])("refuses %j", async (words, message) => {
    const { status, stderr } = await exec(...words);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });

  it.each(["SIGTERM", "SIGHUP", "SIGINT"] as const)(
    "passes %s on, and removes the token after the command has ended",
    async (signal) => {
      const [ready, module] = [at(`ready-${signal}`), at(`module-${signal}`)];
      const name = signal.slice(3);
      const script = `trap 'test -e "$PKCS11_MODULE_PATH" && exit 21' ${name}
        printf %s "$PKCS11_MODULE_PATH" > ${module}; : > ${ready}
        while :; do sleep 0.1; done`;
      const { child, ended } = start(["testing", "exec", "--", "sh", "-c", script], {
        cwd: folder,
      });
      await until(() => existsSync(ready), "the command to run");
      child.kill(signal);
      expect(await ended).toMatchObject({ status: 21, stderr: "" });
      expect(existsSync(readFileSync(module, "utf8"))).toBe(false);
    },
  );

  it("may leave a token behind when it is killed, which the next one removes", async () => {
    const script = `printf %s "$PKCS11_MODULE_PATH" > ${at("module")}; : > ${at("ready")}; cat`;
    const { child, ended } = start(["testing", "exec", "--", "sh", "-c", script], {
      cwd: folder,
      stdin: null,
    });
    await until(() => existsSync(at("ready")), "the command to run");
    child.kill("SIGKILL");
    // The command reads to the end of its stdin, which this closes.
    child.stdin?.end();
    await ended;
    // Another test's process may have removed it already.
    const left = readFileSync(at("module"), "utf8");
    expect(left).toMatch(/^\//);
    expect(await exec("--", "true")).toMatchObject({ status: 0 });
    expect(existsSync(left)).toBe(false);
  });

  it("knows all profiles", () => {
    const [spec] = TESTING.commands;
    expect(spec?.options["profile"]?.choices).toEqual(PROFILE_NAMES);
  });
});
