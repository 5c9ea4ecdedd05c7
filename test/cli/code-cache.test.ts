/** Where compiled code is kept: it is executed, so nobody else may be able to put it there. */
import { chmodSync, lstatSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { useCodeCache } from "../../src/cli/code-cache.js";
import { childEnvironment, restoreEnvironment } from "../../src/token/process/environment.js";
import { temporaryFolder } from "./support/folder.js";

const root = temporaryFolder();
const caches = join(root, "caches");
const ours = join(caches, "p11seal");

/** The folders that were taken into use. */
function used(env: Record<string, string>): string[] {
  const folders: string[] = [];
  useCodeCache(env, (folder) => folders.push(folder));
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

  it("without a home, where it can't be made, or where it is said so", () => {
    expect(used({})).toEqual([]);
    expect(used({ HOME: "/dev/null/nobody" })).toEqual([]);
    writeFileSync(caches, "a file");
    expect(used({ XDG_CACHE_HOME: caches })).toEqual([]);
    rmSync(caches);
    expect(used({ XDG_CACHE_HOME: caches, P11SEAL_CODE_CACHE: "0" })).toEqual([]);
  });
});

describe("the token's process", () => {
  it("finds the environment as it was, once it has started", () => {
    used({ XDG_CACHE_HOME: caches });
    const before = { KEEP: "kept", NODE_EXTRA_CA_CERTS: "/etc/certificates.pem" };
    const started = childEnvironment(before);
    expect(started).toMatchObject({ KEEP: "kept", NODE_COMPILE_CACHE: ours });
    expect(started["NODE_EXTRA_CA_CERTS"]).toBeUndefined();
    restoreEnvironment(started);
    expect(started).toEqual(before);
  });
});
