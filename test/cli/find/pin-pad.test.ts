/** A reader with a PIN pad, on the command line: who is told what, and that no source is read. */
import { copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "@jest/globals";
import { Pad, RETURNS } from "../../support/pad/module.js";
import { isAlive } from "../../support/processes.js";
import { freshToken, SOFTHSM_MODULE, type TestToken, USER_PIN } from "../../support/softhsm.js";
import { temporaryFolder } from "../support/folder.js";
import { tokenWithNote } from "../support/sealed-note.js";
import { type Ended, p11seal, start, startProgram, until } from "../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const TYPES = `types ${USER_PIN}`;

let pad: Pad;
let token: TestToken;

beforeAll(async () => {
  pad = await Pad.start();
  token = await tokenWithNote("pin-pad", folder);
  copyFileSync(at("m.p11s"), at("copy.p11s"));
});

function environment(): Record<string, string> {
  return {
    ...{ P11SEAL_HOME: at("home"), P11SEAL_SYSTEM_MODULES: "0", P11SEAL_MODULE: pad.module },
  };
}

/** Opens one message to stdout, or several to files. */
function open(...options: string[]): Promise<Ended> {
  return p11seal(["open", "-i", token.uri, ...options, at("m.p11s")], { env: environment() });
}

it("the person is told to type the PIN there, even with --quiet, and once for several files", async () => {
  pad.person([0, TYPES]);
  const { status, stdout, stderr } = await open("--quiet", at("copy.p11s"));
  expect({ status, stdout: String(stdout) }).toEqual({ status: 0, stdout: "" });
  expect(stderr).toMatch(
    /^p11seal: type the PIN for token "pin-pad-\w+" \(serial \w+\) on the reader\n$/,
  );
  expect(pad.calls()).toEqual(["C_Login user"]);
});

it("a PIN source is not read, and that is said", async () => {
  pad.person([0, TYPES]);
  const { status, stdout, stderr } = await open("--pin-source", `cmd:touch ${at("read")}; echo 1`);
  expect({ status, stdout: String(stdout) }).toEqual({ status: 0, stdout: "meet at noon\n" });
  expect(stderr).toContain("the reader asks for the PIN; the PIN source is not read");
  expect(existsSync(at("read"))).toBe(false);
});

it.each([
  ["wrong", "types 0000", "ERR_PIN_REFUSED", "refuses the PIN"],
  ["cancelled", RETURNS.cancelled, "ERR_PIN_CANCELED", "the PIN was cancelled"],
  ["locked", RETURNS.locked, "ERR_PIN_LOCKED", "is locked"],
])("a PIN that is %s ends the run with one error", async (_what, act, code, message) => {
  pad.person([0, act], [0, TYPES]);
  const { status, stdout, stderr } = await open("--json");
  expect({ status, stdout: String(stdout) }).toEqual({ status: 5, stdout: "" });
  const errors = stderr.split("\n").filter((line) => line.startsWith("{"));
  expect(errors.map((line) => (JSON.parse(line) as { error: unknown }).error)).toMatchObject([
    { code, message: expect.stringContaining(message), fn: "C_Login" },
  ]);
  expect(pad.calls()).toEqual(["C_Login user"]);
});

it("a run that is killed while somebody is at the reader leaves no process behind", async () => {
  pad.person([60_000, TYPES]);
  const { child, ended } = start(["open", "-i", token.uri, at("m.p11s")], { env: environment() });
  await until(() => pad.asked() > 0, "the reader to ask");
  const lines = await children(child.pid);
  expect(lines).not.toEqual([]);
  child.kill("SIGKILL");
  await ended;
  const areGone = (): boolean => lines.every((pid) => !isAlive(pid));
  await until(areGone, "the token's process to end");
});

it("without koffi the error says what to install; PINs from this machine are set all the same", async () => {
  const copy = at("program");
  const root = join(import.meta.dirname, "../../..");
  for (const one of ["dist", "package.json"]) {
    cpSync(join(root, one), join(copy, one), { recursive: true });
  }
  mkdirSync(join(copy, "node_modules"));
  const addon = join(root, "node_modules/pkcs11js");
  symlinkSync(addon, join(copy, "node_modules/pkcs11js"));
  pad.person([0, TYPES]);
  const program = [join(copy, "dist/cli/main.js"), "open", "-i", token.uri, at("m.p11s")];
  const { status, stderr } = await startProgram(process.execPath, program, {
    env: environment(),
  }).ended;
  expect(status).toBe(5);
  expect(stderr.split("\n")).toEqual([
    expect.stringMatching(/^p11seal: .*token "pin-pad-\w+" wants its PIN typed on the reader$/),
    "hint: asking a reader needs the package koffi: npm install koffi",
    "",
  ]);
  expect(pad.calls()).toEqual([]);

  const doctor = [join(copy, "dist/cli/main.js"), "doctor", "--json", "-i", token.uri];
  for (const file of [[], [at("m.p11s")]]) {
    const said = await startProgram(process.execPath, [...doctor, ...file], {
      env: environment(),
    }).ended;
    expect(said.status).toBe(5);
    expect(JSON.parse(said.stdout.toString())).toMatchObject({
      exit: 5,
      cause: { code: "ERR_PIN_PAD", hint: expect.stringContaining("npm install koffi") },
    });
    // Here koffi is.
    const here = await p11seal(["doctor", "-i", token.uri, ...file], { env: environment() });
    expect([here.status, here.stdout.toString()]).toEqual([
      ...[0, expect.stringContaining("PIN typed on the reader")],
    ]);
  }

  const other = await freshToken("no-koffi");
  const change = [join(copy, "dist/cli/main.js"), "pin", "change", "--token", other.uri];
  for (const [old, fresh] of [
    [USER_PIN, "new-7291"],
    ["new-7291", "newer-7291"],
  ]) {
    const sources = ["--pin-source", "env:OLD", "--new-pin-source", "env:NEW"];
    const env = { ...environment(), P11SEAL_MODULE: SOFTHSM_MODULE, OLD: old, NEW: fresh };
    const changed = await startProgram(process.execPath, [...change, ...sources], { env }).ended;
    expect(changed).toMatchObject({ status: 0, signal: null });
  }
});

async function children(pid: number | undefined): Promise<number[]> {
  const { stdout } = await startProgram("ps", ["-o", "pid=", "--ppid", String(pid)]).ended;
  return String(stdout).trim().split(/\s+/).filter(Boolean).map(Number);
}
