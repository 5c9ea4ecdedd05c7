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
import nodeModule from "node:module";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { useCodeCache } from "../../src/store/code-cache.js";
import {
  childEnvironment,
  keepCodeIn,
  restoreEnvironment,
} from "../../src/token/process/environment.js";
import { temporaryFolder } from "../cli/support/folder.js";
import { p11seal } from "../cli/support/spawn.js";

/** Since Node 22.1. */
const KEEPS_CODE = "enableCompileCache" in nodeModule;

const root = temporaryFolder();
const caches = join(root, "caches");
const ours = join(caches, "p11seal");

/** The folders that were used. */
function used(env: Record<string, string>): string[] {
  const folders: string[] = [];
  const folder = useCodeCache(env, (one) => folders.push(one));
  expect(folder).toBe(folders[0]);
  return folders;
}

beforeEach(() => {
  rmSync(caches, { recursive: true, force: true });
});

describe("compiled code is kept", () => {
  it("in a folder of its own that its owner alone may use", () => {
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([ours]);
    expect(lstatSync(ours).mode & 0o777).toBe(0o700);
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([ours]);
  });

  it("below the home folder, where nothing else is said or what is said is relative", () => {
    const kept = [
      join(root, process.platform === "darwin" ? "Library/Caches" : ".cache", "p11seal"),
    ];
    expect(used({ HOME: root })).toEqual(kept);
    expect(used({ HOME: root, XDG_CACHE_HOME: "caches" })).toEqual(kept);
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

  it("without a home, if it can't be made, or if it is turned off", () => {
    expect(used({})).toEqual([]);
    expect(used({ HOME: "/dev/null/nobody" })).toEqual([]);
    writeFileSync(caches, "a file");
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([]);
    rmSync(caches);
    expect(used({ XDG_CACHE_HOME: caches, P11SEAL_CODE_CACHE: "0" })).toEqual([]);
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

  it("is left by a run where Node keeps any, for its owner alone, and found by the next", async () => {
    const first = await p11seal(help, { cwd: root, env });
    expect(first.status).toBe(0);
    expect(files().length > 1).toBe(KEEPS_CODE);
    for (const file of files()) expect(statSync(file).mode & 0o022).toBe(0);
    await expect(p11seal(help, { cwd: root, env })).resolves.toEqual(first);
  });

  it("is not run when it was damaged", async () => {
    const first = await p11seal(help, { cwd: root, env });
    const kept = files();
    for (const file of kept) {
      const bytes = readFileSync(file);
      for (let i = 100; i < bytes.length; i += 500) bytes[i] = ~(bytes[i] ?? 0);
      writeFileSync(file, bytes);
    }
    await expect(p11seal(help, { cwd: root, env })).resolves.toEqual(first);
    for (const file of kept) writeFileSync(file, "");
    await expect(p11seal(help, { cwd: root, env })).resolves.toEqual(first);
  });
});

describe("the token's process", () => {
  it("finds the environment as it was, once it has started", () => {
    keepCodeIn(ours);
    const before = { KEEP: "kept", NODE_EXTRA_CA_CERTS: "/etc/certificates.pem" };
    const started = childEnvironment(before);
    expect(started).toMatchObject({ KEEP: "kept", NODE_COMPILE_CACHE: ours });
    expect(started["NODE_EXTRA_CA_CERTS"]).toBeUndefined();
    restoreEnvironment(started);
    expect(started).toEqual(before);
  });
});
