/** A data folder that others can write to is refused, whatever is read from it. */
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { discoverModules, softHsmPaths } from "../../../src/token/modules/discover.js";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { run } from "../support/run.js";
import { itAsRoot } from "../../support/missing.js";

const folder = temporaryFolder();
const home = join(folder, "home");
const env = { P11SEAL_HOME: home, P11SEAL_SYSTEM_MODULES: "0" };

beforeAll(() => {
  writeKeys(folder);
  mkdirSync(join(home, "softhsm"), { recursive: true });
  writeFileSync(join(home, "recipients"), "carol = carol.pem\n");
  writeFileSync(join(home, "softhsm", "module"), "/m.so\n");
  process.chdir(folder);
});

describe.each([0o775, 0o757])("a data folder with mode %o", (mode) => {
  it.each([
    ["recipients", ["seal", "-r", "carol"]],
    ["the development token's module", ["tokens"]],
    ["senders", ["senders", "list"]],
    ["custodians", ["custodians", "list"]],
    ["the ledger", ["ledger", "verify"]],
  ])("is refused before %s is read", async (_what, argv) => {
    chmodSync(home, mode);
    const { status, stderr } = await run(argv, { env, stdin: "word" });
    chmodSync(home, 0o700);
    expect(stderr).toContain(`"${home}" can be written by others`);
    expect(status).toBe(6);
  });

  it("names no module to the library", () => {
    const system = { wellKnown: [], p11KitConfigs: [], p11KitModules: [] };
    expect(softHsmPaths({ home, env: {}, system })).toEqual(["/m.so"]);
    chmodSync(home, mode);
    expect(softHsmPaths({ home, env: {}, system })).toEqual([]);
    chmodSync(home, 0o700);
  });
});

describe("a data folder that others can replace", () => {
  const above = join(folder, "above");
  const inside = join(above, "data");
  const list = (path: string): ReturnType<typeof run> =>
    run(["senders", "list"], { env: { ...env, P11SEAL_HOME: path } });
  beforeAll(() => {
    mkdirSync(inside, { recursive: true });
    mkdirSync(join(folder, "elsewhere"));
    symlinkSync(inside, join(folder, "elsewhere", "link"));
  });

  it.each([
    [0o757, 2, "where every user may replace files"],
    // An ordinary user's own group is no other group.
    ...(process.getuid?.() === 0
      ? ([[0o775, 4711, "where its group may replace files"]] as const)
      : []),
  ])("is refused below one with mode %o", async (mode, group, fact) => {
    if (process.getuid?.() === 0) chownSync(above, 0, group);
    chmodSync(above, mode);
    for (const path of [inside, join(folder, "elsewhere", "link")]) {
      const { status, stderr } = await list(path);
      expect(stderr).toContain(`"${path}" is in "${above}", ${fact}`);
      expect(stderr).toContain("chmod go-w");
      expect(status).toBe(6);
    }
    chmodSync(above, 0o700);
    expect((await list(inside)).status).toBe(0);
  });

  it("is refused behind a link that others can replace", async () => {
    chmodSync(join(folder, "elsewhere"), 0o777);
    const { status, stderr } = await list(join(folder, "elsewhere", "link"));
    chmodSync(join(folder, "elsewhere"), 0o700);
    expect(stderr).toContain("where every user may replace files");
    expect(status).toBe(6);
  });

  it("is refused behind a link that a link of one's own leads to", async () => {
    mkdirSync(join(folder, "own"), { recursive: true });
    symlinkSync(join(folder, "elsewhere", "link"), join(folder, "own", "first"));
    chmodSync(join(folder, "elsewhere"), 0o777);
    const { status, stderr } = await list(join(folder, "own", "first"));
    chmodSync(join(folder, "elsewhere"), 0o700);
    expect(stderr).toContain("where every user may replace files");
    expect(status).toBe(6);
    expect((await list(join(folder, "own", "first"))).status).toBe(0);
  });

  it("is taken below a sticky one, as /tmp is", async () => {
    chmodSync(above, 0o1777);
    expect((await list(inside)).status).toBe(0);
    chmodSync(above, 0o700);
  });

  itAsRoot("is refused below another user's", async () => {
    chownSync(above, 4711, 4711);
    const { status, stderr } = await list(inside);
    chownSync(above, 0, 0);
    expect(stderr).toContain("another user's folder");
    expect(status).toBe(6);
  });
});

describe("a development token that others can change", () => {
  const parts = [
    ["its folder", "softhsm", 0o770],
    ["its configuration", "softhsm/softhsm2.conf", 0o620],
    ["its module", "softhsm/module", 0o602],
    ["its keys", "softhsm/tokens", 0o707],
  ] as const;
  beforeAll(() => {
    writeFileSync(join(home, "softhsm", "softhsm2.conf"), "");
    mkdirSync(join(home, "softhsm", "tokens"));
    for (const [, path] of parts) chmodSync(join(home, path), 0o700);
  });

  it.each(parts)("by %s is refused", async (_what, path, mode) => {
    chmodSync(join(home, path), mode);
    const { status, stderr } = await run(["senders", "list"], { env });
    chmodSync(join(home, path), 0o700);
    expect(stderr).toContain(`"${join(home, path)}" can be written by others`);
    expect(status).toBe(6);
    expect((await run(["senders", "list"], { env })).status).toBe(0);
  });

  it("is none to the library", () => {
    const system = { wellKnown: [], p11KitConfigs: [], p11KitModules: [] };
    const found = (): unknown => discoverModules({ home, env: {}, system });
    expect(found()).toHaveLength(1);
    for (const path of ["softhsm", "softhsm/softhsm2.conf"]) {
      chmodSync(join(home, path), 0o770);
      expect(found()).toEqual([]);
      chmodSync(join(home, path), 0o700);
    }
  });
});
