/** A data folder that others can write to is refused, whatever is read from it. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { discoverModules, softHsmPaths } from "../../../src/token/modules/discover.js";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { run } from "../support/run.js";

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
