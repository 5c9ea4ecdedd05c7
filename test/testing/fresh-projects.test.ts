/**
 * Projects of other people: a folder with the packed package in its node_modules, and a test that
 * gets a token in a line. What the package needs is linked from this checkout, so nothing is
 * downloaded.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { SOFTHSM_MODULE } from "../support/softhsm.js";
import { itIf } from "../support/missing.js";

const root = join(import.meta.dirname, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "p11seal-fresh-"));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<
  "dependencies" | "optionalDependencies",
  Record<string, string>
>;

interface Ran {
  readonly status: number | null;
  readonly said: string;
}

let tarball: string;

beforeAll(() => {
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
  const done = execFileSync("npm", args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  const [packed] = JSON.parse(done) as { filename: string }[];
  tarball = join(folder, packed?.filename ?? "");
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A new folder with p11seal installed, these packages of the checkout, and these files. */
function project(
  name: string,
  packages: readonly string[],
  files: Readonly<Record<string, string>>,
): string {
  const into = join(folder, name);
  const modules = join(into, "node_modules");
  mkdirSync(join(modules, "p11seal"), { recursive: true });
  execFileSync("tar", ["-xzf", tarball, "-C", join(modules, "p11seal"), "--strip-components=1"]);
  const needed = [manifest.dependencies, manifest.optionalDependencies].flatMap(Object.keys);
  for (const one of [...needed, ...packages]) {
    mkdirSync(dirname(join(modules, one)), { recursive: true });
    symlinkSync(join(root, "node_modules", one), join(modules, one));
  }
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(into, path)), { recursive: true });
    writeFileSync(join(into, path), text);
  }
  return into;
}

function node(cwd: string, ...args: string[]): Ran {
  const env = { ...process.env, NODE_OPTIONS: "", SOFTHSM2_CONF: "", SOFTHSM: SOFTHSM_MODULE };
  const done = spawnSync(process.execPath, args, { cwd, env, encoding: "utf8" });
  return { status: done.status, said: done.stdout + done.stderr };
}

/** A run that succeeded and said so. */
const passed = (said: string): object => ({
  status: 0,
  said: expect.stringContaining(said) as unknown,
});

const bin = (name: string): string => join(root, "node_modules", name);

/** CommonJS: the label of each token that a module shows. */
const LOOK = `
  const { PKCS11 } = require("pkcs11js");
  exports.labels = (module) => {
    const native = new PKCS11();
    native.load(module);
    native.C_Initialize();
    const labels = native.C_GetSlotList(true).map((slot) => native.C_GetTokenInfo(slot).label.trim());
    native.C_Finalize();
    native.close();
    return labels.filter((label) => label !== "");
  };`;

describe("a fresh project with jest", () => {
  const run = (cwd: string): Ran => node(cwd, bin("jest/bin/jest.js"), "--ci");

  it("has a token for each test, in CommonJS as jest has it by default", () => {
    const test = `
      const { testToken } = require("p11seal/testing");
      const { labels } = require("./look.js");
      test("one", async () => {
        const hsm = await testToken({ label: "one", keys: { sign: "ec:p256" } });
        expect(labels(hsm.module)).toEqual(["one"]);
        expect(hsm.pem("sign")).toMatch("PUBLIC KEY");
      });
      test("another", async () => {
        const hsm = await testToken({ label: "another", keys: { sign: "ec:p256" } });
        hsm.faults.fail("C_GetTokenInfo", { rv: "CKR_DEVICE_ERROR" });
        expect(() => labels(hsm.module)).toThrow("CKR_DEVICE_ERROR");
      });`;
    const files = {
      "package.json": "{}",
      // Five seconds, jest's own limit, may be too short for the first token on a machine.
      "jest.config.json": '{ "testTimeout": 60000 }',
      ...{ "look.js": LOOK, "one.test.js": test },
    };
    expect(run(project("jest", ["jest"], files))).toEqual(passed("2 passed"));
  });

  it("has one for the whole run, which native code sees, too", () => {
    const test = `
      const { labels } = require("./look.js");
      test("through the token's module, and through SoftHSM, which calls getenv", () => {
        expect(labels(process.env.PKCS11_MODULE_PATH)).toEqual(["shared"]);
        expect(labels(process.env.SOFTHSM)).toEqual(["shared"]);
        expect(process.env.PKCS11_PIN).toMatch(/^[0-9]{8}$/);
      });`;
    const config = {
      globalSetup: "p11seal/testing/jest",
      globals: { p11sealToken: { label: "shared", keys: { sign: "ec:p256" } } },
    };
    const files = {
      "package.json": "{}",
      "jest.config.json": JSON.stringify(config),
      ...{ "look.js": LOOK, "a.test.js": test, "b.test.js": test },
    };
    expect(run(project("jest-setup", ["jest"], files))).toEqual(passed("2 passed"));
  });
});

describe("a fresh project with node:test", () => {
  it("has a token for each test", () => {
    const test = `
      import assert from "node:assert/strict";
      import { existsSync } from "node:fs";
      import test from "node:test";
      import { withToken } from "p11seal/testing";
      import { labels } from "./look.cjs";
      const seen = [];
      test("one", withToken(async (t, token) => {
        assert.equal(t.name, "one");
        assert.deepEqual(labels(token.module), ["test"]);
        seen.push(token.module);
      }));
      test("another", withToken({ label: "another" }, async (t, token) => {
        assert.deepEqual(labels(token.module), ["another"]);
        seen.push(token.module);
      }));
      test("both are gone", () => assert.deepEqual(seen.map((path) => existsSync(path)), [false, false]));`;
    const files = {
      "package.json": '{ "type": "module" }',
      ...{ "look.cjs": LOOK, "one.test.js": test },
    };
    const done = node(project("node-test", [], files), "--test", "--test-reporter=tap");
    expect(done).toEqual(passed("# pass 3"));
  });
});

describe("a fresh project in strict TypeScript", () => {
  const source = `
    import test from "node:test";
    import { tokenFixture, testToken, withToken, type TestToken } from "p11seal/testing";
    import setUp from "p11seal/testing/jest";
    test("signs", withToken(async (t, token) => {
      t.diagnostic(token.pem("sign"));
    }));
    test("fails", withToken({ keys: { sign: "ed25519" } }, async (t, token) => {
      token.faults.fail("C_Sign", { rv: "CKR_DEVICE_ERROR" });
      t.diagnostic(token.calls()[0]?.fn ?? "");
      // @ts-expect-error there is no such kind of key
      await using other = await testToken({ keys: { sign: "dsa:1024" } });
    }));
    // As vitest has it.
    type Use<T> = (value: T) => Promise<void>;
    declare function extend<T>(fixtures: { [K in keyof T]: (context: object, use: Use<T[K]>) => Promise<void> }): T;
    export const { token }: { token: TestToken } = extend({ token: tokenFixture() });
    export default setUp;`;
  const tsc = (name: string, compilerOptions: object, manifest: string): Ran => {
    const options = { strict: true, exactOptionalPropertyTypes: true, noEmit: true };
    const config = {
      compilerOptions: {
        ...{ target: "es2022", lib: ["es2023", "esnext.disposable"], types: ["node"] },
        ...{ ...options, ...compilerOptions },
      },
      files: ["one.test.ts"],
    };
    const files = {
      ...{ "package.json": manifest, "one.test.ts": source },
      "tsconfig.json": JSON.stringify(config),
    };
    const into = project(name, ["@types/node"], files);
    return node(into, bin("typescript/bin/tsc"), "-p", "tsconfig.json");
  };

  it("compiles as an ES module, all types checked", () => {
    const done = tsc("types", { module: "nodenext" }, '{ "type": "module" }');
    expect(done).toEqual({ status: 0, said: "" });
  });

  it("compiles as CommonJS", () => {
    const done = tsc("types-cjs", { module: "nodenext", skipLibCheck: true }, "{}");
    expect(done).toEqual({ status: 0, said: "" });
  });
});

describe("a fresh project with vitest", () => {
  // No dependency of this package: `npm test` gets it (scripts/lib/vitest.mjs).
  const { TEST_VITEST: vitest = "", TEST_VITEST_MISSING: why = "TEST_VITEST is not set" } =
    process.env;
  const where = itIf(vitest !== "", why);

  where("has a fixture with a token for each test", () => {
    const test = `
      import { expect, test as base } from "vitest";
      import { tokenFixture } from "p11seal/testing";
      import { labels } from "./look.cjs";
      const test = base.extend({ token: tokenFixture({ label: "fixture" }) });
      test("one", ({ token }) => expect(labels(token.module)).toEqual(["fixture"]));
      test("another", ({ token }) => expect(labels(token.module)).toEqual(["fixture"]));`;
    const files = {
      "package.json": '{ "type": "module" }',
      ...{ "look.cjs": LOOK, "one.test.js": test },
    };
    const into = project("vitest", [], files);
    symlinkSync(vitest, join(into, "node_modules", "vitest"));
    const done = node(into, join(vitest, "vitest.mjs"), "run");
    expect(done).toEqual(passed("2 passed"));
  });

  it("gets a fixture whose text names no other fixture: vitest reads it", () => {
    for (const built of ["index.js", "index.cjs"]) {
      const code = `const { tokenFixture } = require(${JSON.stringify(join(root, "dist/testing", built))});
        console.log(tokenFixture().toString());`;
      if (built === "index.js" && !process.features.require_module) continue;
      expect(node(folder, "-e", code).said).toMatch(/^async \(\{\s*\}, use\) => \{/);
    }
  });
});

describe("the example repository", () => {
  const ci = join(root, "examples", "ci");
  const there = (name: string): string => readFileSync(join(ci, name), "utf8");
  const files = ["package.json", "sign.mjs", "README.md", "test/sign.test.mjs"] as const;
  const copy = (name: string): string =>
    project(name, [], Object.fromEntries(files.map((file) => [file, there(file)])));

  it("passes its tests", () => {
    const done = node(copy("ci"), "--test", "--test-reporter=tap");
    expect(done).toEqual(passed("# pass 4"));
  });

  it("passes its smoke test, through the command line", () => {
    const into = copy("ci-smoke");
    const scripts = (JSON.parse(there("package.json")) as { scripts: { smoke: string } }).scripts;
    const [program = "", ...words] = scripts.smoke.split(" ");
    expect(program).toBe("p11seal");
    const main = join(into, "node_modules", "p11seal", "dist", "cli", "main.js");
    const { status, said } = node(into, main, ...words);
    expect({ status, said }).toMatchObject({ status: 0 });
    expect(Buffer.from(said.trim(), "base64")).toHaveLength(64);
  });

  it.each([".github/workflows/test.yml", ".gitlab-ci.yml"])("%s runs both", (name) => {
    for (const line of ["npm ci", "npm test", "npm run smoke"]) expect(there(name)).toContain(line);
    expect(there(name)).toMatch(/P11SEAL_TESTING_CACHE: .*\.p11seal-testing\n/);
  });
});
