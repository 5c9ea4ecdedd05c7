/** The cache of test tokens: what goes, what stays, and that nobody who uses it notices. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeEach, expect, it } from "@jest/globals";
import { cacheFolder, cachePath, pruneCache } from "../../src/testing/cache.js";
import { testToken } from "../../src/testing/index.js";
import { SOFTHSM_MODULE } from "../support/softhsm.js";

const before = process.env["P11SEAL_TESTING_CACHE"];
const parent = mkdtempSync(join(tmpdir(), "p11seal-cache-"));
let folder: string;
const at = (name: string): string => join(folder, name);

beforeEach(() => {
  folder = mkdtempSync(join(parent, "cache-"));
  process.env["P11SEAL_TESTING_CACHE"] = folder;
});

afterAll(() => {
  if (before === undefined) delete process.env["P11SEAL_TESTING_CACHE"];
  else process.env["P11SEAL_TESTING_CACHE"] = before;
  rmSync(parent, { recursive: true, force: true });
});

const HASH = "0123456789abcdef";

function lay(path: string, days: number): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "file"), "");
  age(path, days);
}

function age(path: string, days: number): void {
  const time = new Date(Date.now() - days * 86_400_000);
  utimesSync(path, time, time);
}

const names = (): string[] =>
  readdirSync(folder)
    .filter((name) => name !== "pruned")
    .sort();

it("it is below the home folder where XDG_CACHE_HOME is relative, or empty", () => {
  const { HOME, XDG_CACHE_HOME } = process.env;
  try {
    delete process.env["P11SEAL_TESTING_CACHE"];
    process.env["HOME"] = folder;
    for (const relative of ["", "caches"]) {
      process.env["XDG_CACHE_HOME"] = relative;
      expect(cacheFolder()).toBe(join(folder, ".cache", "p11seal-testing"));
    }
  } finally {
    Object.assign(process.env, { HOME, XDG_CACHE_HOME });
    if (XDG_CACHE_HOME === undefined) delete process.env["XDG_CACHE_HOME"];
  }
});

it("an entry goes when nobody has used it for 30 days", () => {
  const [token, shim] = [cachePath("token", HASH), cachePath("shim", `${HASH}.so`)];
  for (const path of [token, shim, at("softhsm-debian-12-x64")]) lay(path, 29);
  pruneCache();
  expect(names()).toHaveLength(3);
  for (const path of [token, shim, at("softhsm-debian-12-x64")]) age(path, 31);
  rmSync(at("pruned"));
  pruneCache();
  expect(names()).toEqual([]);
});

it("what an earlier version or a killed process left goes after a day, a later version's stays", () => {
  const left = [
    `token-2-${HASH}`,
    `token-${HASH}89abcdef`,
    `shim-${HASH}.so`,
    `shim-${HASH}-7.new`,
  ];
  const unfinished = ["making-aB3_x9", "unpack-aB3xx9", "gone-0a1b2c"];
  for (const name of [...left, ...unfinished, `token-9999-${HASH}`]) lay(at(name), 2);
  lay(at(`token-1-${HASH}`), 0.5);
  lay(at("making-ZZZZZZ"), 0.5);
  pruneCache();
  expect(names()).toEqual(["making-ZZZZZZ", `token-1-${HASH}`, `token-9999-${HASH}`]);
});

it("nothing goes that is none of its entries, however old", () => {
  const others = ["compiling", "downloading", "src", "token", "token-3-notes", "softhsm2.conf"];
  for (const name of others) lay(at(name), 999);
  pruneCache();
  expect(names()).toEqual([...others].sort());
});

it("it looks once a day", () => {
  pruneCache();
  lay(cachePath("token", HASH), 31);
  pruneCache();
  expect(names()).toHaveLength(1);
  age(at("pruned"), 1.01);
  pruneCache();
  expect(names()).toEqual([]);
});

it("a folder that others may write to is refused: a library from it is loaded", () => {
  chmodSync(folder, 0o770);
  expect(() => cacheFolder()).toThrow(expect.objectContaining({ code: "ERR_TEST_FOLDER" }));
  pruneCache();
  expect(existsSync(at("pruned"))).toBe(false);
  chmodSync(folder, 0o755);
  expect(cacheFolder()).toBe(folder);
});

it("its path is a whole one: programs with other working folders load from it", () => {
  process.env["P11SEAL_TESTING_CACHE"] = relative(process.cwd(), folder);
  expect(cacheFolder()).toBe(folder);
});

it("a token that is made from an entry has used it", async () => {
  const options = { label: "used", softhsm: SOFTHSM_MODULE };
  await (await testToken(options)).close();
  const [name = ""] = names().filter((one) => one.startsWith("token-"));
  age(at(name), 29);
  // This process has it in memory.
  await make("used");
  expect(Date.now() - statSync(at(name)).mtimeMs).toBeLessThan(86_400_000);
});

it("tokens are made beside others that remove all entries, again and again", async () => {
  const built = pathToFileURL(join(process.cwd(), "dist", "testing", "cache.js")).href;
  const code = `
    import { readdirSync, rmSync, utimesSync } from "node:fs";
    import { join, relative } from "node:path";
    const { pruneCache } = await import(${JSON.stringify(built)});
    const [folder] = process.argv.slice(1);
    setInterval(() => {
      for (const name of readdirSync(folder)) {
        if (name.startsWith("token-")) try { utimesSync(join(folder, name), 0, 0); } catch {}
      }
      rmSync(join(folder, "pruned"), { force: true });
      pruneCache();
    }, 2);`;
  const pruning = spawn(process.execPath, ["--input-type=module", "-e", code, folder], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  try {
    await Promise.all(["a", "b", "a"].map((label) => make(label)));
    await Promise.all(["a", "b", "a"].map((label) => make(label)));
  } finally {
    pruning.kill();
    await once(pruning, "close");
  }
  expect(pruning.exitCode).toBeNull();
  expect(existsSync(folder)).toBe(true);
});

/** Makes a token in another process. */
async function make(label: string): Promise<void> {
  const built = pathToFileURL(join(process.cwd(), "dist", "testing", "index.js")).href;
  const options = { label, softhsm: SOFTHSM_MODULE };
  const code = `const { testToken } = await import(${JSON.stringify(built)});
    await (await testToken(${JSON.stringify(options)})).close();`;
  const env = { ...process.env, P11SEAL_TESTING_CACHE: folder, NODE_OPTIONS: "" };
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    ...{ env, stdio: ["ignore", "ignore", "inherit"] },
  });
  expect(await once(child, "close")).toEqual([0, null]);
}
