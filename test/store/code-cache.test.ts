/** Where compiled code is kept. It gets executed, so nobody else may be able to write it. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import nodeModule, { createRequire } from "node:module";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, jest } from "@jest/globals";
import { loadProgram } from "../../src/store/code-cache.js";
import { childEnvironment, restoreEnvironment } from "../../src/token/process/environment.js";
import { temporaryFolder } from "../cli/support/folder.js";
import { p11seal, type SpawnOptions } from "../cli/support/spawn.js";
import { SOFTHSM_MODULE } from "../support/softhsm.js";
import { runPlugin } from "../plugin/support/plugin-process.js";
import { itIf } from "../support/missing.js";

const root = temporaryFolder();
const caches = join(root, "caches");
const ours = join(caches, "p11seal");
const program = join(root, "program.js");
const required = createRequire(program);

/** For Node a module; as a script, what Node would make of it. */
const PROGRAM = `(f => typeof module === "object" ? f(exports) : f)((exports) => {
exports.answer = 42;
})`;

/** The folders that Node was told to use. */
function used(env: Record<string, string>): string[] {
  const folders: string[] = [];
  const loaded = loadProgram(required, program, "test", env, {
    enableCompileCache: (one) => folders.push(one),
  });
  expect(loaded.program).toEqual({ answer: 42 });
  return folders;
}

beforeEach(() => {
  rmSync(caches, { recursive: true, force: true });
  writeFileSync(program, PROGRAM);
});

afterEach(() => {
  jest.restoreAllMocks();
});

describe("compiled code is kept", () => {
  it("in a folder of its own that its owner alone may use", () => {
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([ours]);
    expect(lstatSync(ours).mode & 0o777).toBe(0o700);
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([ours]);
  });

  it("in a folder that nobody else enters: Node's own below it may be open", () => {
    mkdirSync(ours, { recursive: true });
    chmodSync(ours, 0o755);
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([ours]);
    expect(lstatSync(ours).mode & 0o777).toBe(0o700);
  });

  it("below the home folder, where nothing else is said or what is said is relative", () => {
    const kept = [
      join(root, process.platform === "darwin" ? "Library/Caches" : ".cache", "p11seal"),
    ];
    expect(used({ HOME: root })).toEqual(kept);
    expect(used({ HOME: root, XDG_CACHE_HOME: "caches" })).toEqual(kept);
  });

  it("at once where Node can do that, before a signal ends the process", () => {
    const flushCompileCache = jest.fn();
    loadProgram(
      required,
      program,
      "test",
      { XDG_CACHE_HOME: caches },
      { flushCompileCache },
    ).keep();
    expect(flushCompileCache).not.toHaveBeenCalled();
    const node = { enableCompileCache: jest.fn(), flushCompileCache };
    loadProgram(required, program, "test", { XDG_CACHE_HOME: caches }, node).keep();
    expect(flushCompileCache).toHaveBeenCalledTimes(1);
  });
});

describe("no code is looked for", () => {
  it.each([0o722, 0o770, 0o777])("in a folder of mode %o", (mode) => {
    mkdirSync(ours, { recursive: true });
    chmodSync(ours, mode);
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([]);
  });

  it("in a folder that others can put another one in the place of", () => {
    mkdirSync(ours, { recursive: true });
    chmodSync(caches, 0o777);
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([]);
  });

  it("behind a link", () => {
    const elsewhere = join(root, "elsewhere");
    mkdirSync(elsewhere, { recursive: true, mode: 0o700 });
    mkdirSync(caches, { mode: 0o700 });
    symlinkSync(elsewhere, ours);
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([]);
  });

  it("below a home folder that is missing, as one that is not mounted yet, and none is made", () => {
    expect(used({ HOME: join(caches, "home") })).toEqual([]);
    expect(existsSync(caches)).toBe(false);
  });

  it("in another user's home, and no folder is made there, as root with their HOME might", () => {
    const home = join(root, "home");
    mkdirSync(home, { mode: 0o755 });
    jest.spyOn(process, "geteuid").mockReturnValue(4711);
    expect(used({ HOME: home })).toEqual([]);
    expect(readdirSync(home)).toEqual([]);
    mkdirSync(ours, { recursive: true, mode: 0o700 });
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([]);
  });

  it("in a folder that would have to be made where others can put another one", () => {
    mkdirSync(caches);
    chmodSync(caches, 0o777);
    expect(used({ XDG_CACHE_HOME: join(caches, "mine") })).toEqual([]);
    expect(readdirSync(caches)).toEqual([]);
  });

  it("without a home, if it can't be made, or if it is turned off", () => {
    expect(used({})).toEqual([]);
    expect(used({ HOME: "/dev/null/nobody" })).toEqual([]);
    writeFileSync(caches, "a file");
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([]);
    rmSync(caches);
    expect(used({ XDG_CACHE_HOME: caches, P11SEAL_CODE_CACHE: "0" })).toEqual([]);
    expect(used({ XDG_CACHE_HOME: caches, NODE_DISABLE_COMPILE_CACHE: "1" })).toEqual([]);
    expect(existsSync(caches)).toBe(false);
  });
});

describe("code that was kept", () => {
  const env = { XDG_CACHE_HOME: caches };
  const help = ["inspect", "--help"];
  const files = (): string[] =>
    existsSync(ours)
      ? readdirSync(ours, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name))
      : [];
  const run = (argv: readonly string[], options: SpawnOptions = {}) =>
    p11seal(argv, { cwd: root, env, ...options });

  it("is left by a run for its owner alone, and found by the next", async () => {
    const first = await run(help);
    expect(first.status).toBe(0);
    expect(files().length).toBeGreaterThan(0);
    for (const file of files()) expect(statSync(file).mode & 0o022).toBe(0);
    const before = files().map((file) => statSync(file).ino);
    await expect(run(help)).resolves.toEqual(first);
    expect(files().map((file) => statSync(file).ino)).toEqual(before);
  });

  it("is not run when it was damaged", async () => {
    const first = await run(help);
    const kept = files();
    for (const file of kept) {
      const bytes = readFileSync(file);
      for (let i = 100; i < bytes.length; i += 500) bytes[i] = ~(bytes[i] ?? 0);
      writeFileSync(file, bytes);
    }
    await expect(run(help)).resolves.toEqual(first);
    for (const file of kept) writeFileSync(file, "");
    await expect(run(help)).resolves.toEqual(first);
  });

  it("is whole after runs side by side", async () => {
    const runs = await Promise.all(Array.from({ length: 4 }, () => run(help)));
    expect(new Set(runs.map(({ stdout }) => stdout.toString())).size).toBe(1);
    expect(runs.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
    expect(files().filter((file) => file.includes(".code."))).toEqual([]);
    await expect(run(help)).resolves.toEqual(runs[0]);
  });

  // From here on, of the files that are ours. Node's own are its own business.
  const itBefore22 = itIf(
    !("enableCompileCache" in nodeModule),
    "this Node keeps compiled code by itself",
  );
  const names = (): string[] => readdirSync(ours).sort();

  itBefore22("is for one command, and for one set of Node's options", async () => {
    await run(help);
    await run(["completion", "bash"]);
    await run(["recipients", "list"]);
    // Help runs few of a command's functions, and would leave little to the next run.
    expect(names()).toEqual([
      expect.stringMatching(/^completion-[0-9a-f]{32}\.code$/),
      expect.stringMatching(/^help-[0-9a-f]{32}\.code$/),
      expect.stringMatching(/^recipients-[0-9a-f]{32}\.code$/),
    ]);
    await run(help, { node: ["--stack-trace-limit=20"] });
    await run(help, { env: { ...env, NODE_OPTIONS: "--stack-trace-limit=20" } });
    expect(names().map((name) => name.split("-")[0])).toEqual([
      ...["completion", "help", "help", "help", "recipients"],
    ]);
  });

  itBefore22("is not kept by a run that failed", async () => {
    await expect(run(["inspect", "missing"])).resolves.not.toMatchObject({ status: 0 });
    await expect(run(["no-such-command"])).resolves.not.toMatchObject({ status: 0 });
    expect(names()).toEqual([]);
    await expect(run(["--help"])).resolves.toMatchObject({ status: 0 });
    expect(names()).toEqual([expect.stringMatching(/^help-/)]);
  });

  itBefore22("serves the token's process, too", async () => {
    const tokens = ["tokens", "--module", SOFTHSM_MODULE];
    const named = { ...env, P11SEAL_SYSTEM_MODULES: "0" };
    const first = await run(tokens, { env: named });
    const kept = names();
    expect(kept).toContainEqual(expect.stringMatching(/^token-[0-9a-f]{32}\.code$/));
    const before = kept.map((name) => statSync(join(ours, name)).ino);
    await expect(run(tokens, { env: named })).resolves.toEqual(first);
    expect(names().map((name) => statSync(join(ours, name)).ino)).toEqual(before);
  });

  itBefore22("serves the age plugin, too", async () => {
    const talk = () => runPlugin("identity-v1", [], { ...process.env, ...env });
    await expect(talk()).resolves.toMatchObject({ status: 0, stderr: "" });
    expect(names()).toEqual([expect.stringMatching(/^age-identity-/)]);
    await expect(talk()).resolves.toMatchObject({ status: 0, stderr: "" });
    expect(names()).toHaveLength(1);
  });
});

describe("the token's process", () => {
  it("finds the environment as it was, once it has started", () => {
    const before = {
      KEEP: "kept",
      NODE_EXTRA_CA_CERTS: "/etc/certificates.pem",
      NODE_COMPILE_CACHE: "/var/cache/node",
    };
    const started = childEnvironment(before);
    expect(started).toMatchObject({ KEEP: "kept" });
    expect(started["NODE_EXTRA_CA_CERTS"]).toBeUndefined();
    expect(started["NODE_COMPILE_CACHE"]).toBeUndefined();
    restoreEnvironment(started);
    expect(started).toEqual(before);
  });
});
