/** The module that comes compiled: that it fits, where it is used, that it can be made again. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "@jest/globals";
import { compileShim, hasCompiler } from "../../scripts/lib/prebuilt.mjs";
import { readCalls } from "../../src/testing/calls.js";
import { PROFILES } from "../../src/testing/profiles.js";
import { type PrebuiltShim, sourcesHash } from "../../src/testing/shim-library.js";
import { ShimSettings, UNTOUCHED } from "../../src/testing/shim-settings.js";
import { skipped } from "../support/missing.js";
import { SOFTHSM_MODULE } from "../support/softhsm.js";

const root = join(import.meta.dirname, "..", "..");
const SOURCES = join(root, "src", "testing", "shim");
const PREBUILT = join(root, "dist", "testing", "prebuilt");
const HERE = `${process.platform}-${process.arch}`;

const folder = mkdtempSync(join(tmpdir(), "p11seal-prebuilt-"));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const platforms = existsSync(PREBUILT) ? readdirSync(PREBUILT) : [];
const shimOf = (platform: string): string => join(PREBUILT, platform, "shim.so");

for (const platform of ["linux-x64", "linux-arm64"]) {
  const name = `the prebuilt module for ${platform}`;
  if (!hasCompiler(platform)) {
    skipped(name, "this machine has no GCC for it (Debian: apt install g++-aarch64-linux-gnu)");
    continue;
  }

  describe(name, () => {
    it("is of these sources, needs no newer glibc than Node, and weighs what docs/testing.md says", () => {
      const facts = JSON.parse(
        readFileSync(join(PREBUILT, platform, "shim.json"), "utf8"),
      ) as PrebuiltShim;
      expect(facts).toMatchObject({ sources: sourcesHash(), glibc: "2.28" });
      const page = readFileSync(join(root, "docs", "testing.md"), "utf8");
      const stated = Number(/each prebuilt module ([\d.]+) MB/.exec(page)?.[1]);
      expect(Math.abs(statSync(shimOf(platform)).size / 1e6 - stated)).toBeLessThan(0.015);
    });

    it("is the same, byte for byte, when it is made again in another folder", () => {
      const elsewhere = join(folder, platform, "elsewhere");
      cpSync(SOURCES, elsewhere, { recursive: true });
      const again = join(folder, platform, "again.so");
      compileShim(platform, elsewhere, again);
      expect(readFileSync(again).equals(readFileSync(shimOf(platform)))).toBe(true);
    });
  });
}

describe("on a machine without a compiler", () => {
  /** A copy of the package, with these words about the prebuilt module. */
  function copyOf(name: string, facts: object): string {
    const copy = join(folder, name);
    cpSync(join(root, "dist"), join(copy, "dist"), { recursive: true });
    cpSync(join(root, "package.json"), join(copy, "package.json"));
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    const file = join(copy, "dist", "testing", "prebuilt", HERE, "shim.json");
    const known = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...known, ...facts }));
    return copy;
  }

  /** What the first token of a new user of that copy is, or why there is none. */
  function firstToken(copy: string, binding = "koffi"): unknown {
    const built = pathToFileURL(join(copy, "dist", "testing", "index.js")).href;
    const code = `const { testToken, whyNoTestToken } = await import(${JSON.stringify(built)});
      const reason = await whyNoTestToken();
      if (reason === undefined) await using_(await testToken({ label: "first" }));
      else console.log(JSON.stringify({ reason }));
      async function using_(hsm) {
        console.log(JSON.stringify({ label: hsm.label }));
        await hsm.close();
      }`;
    const cache = mkdtempSync(join(folder, "cache-"));
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
      encoding: "utf8",
      env: {
        ...process.env,
        ...{ NODE_OPTIONS: "", CXX: "/nonexistent/c++", P11SEAL_BINDING: binding },
        ...{ P11SEAL_TESTING_CACHE: cache, SOFTHSM2_LIB: SOFTHSM_MODULE },
      },
    });
    expect(stderr).toBe("");
    return JSON.parse(stdout);
  }

  const needed =
    'test tokens need a C++ compiler on this platform, and "/nonexistent/c++" is not installed; ' +
    "install g++ or clang++, or name a compiler in CXX";

  if (!platforms.includes(HERE)) skipped("a token is there all the same", `none for ${HERE}`);
  else {
    it("a token is there all the same, also where pkcs11js was not compiled", () => {
      expect(firstToken(copyOf("as-built", {}))).toEqual({ label: "first" });
    });

    it("there is a clear reason where neither pkcs11js nor koffi is installed", () => {
      const copy = copyOf("no-binding", {});
      rmSync(join(copy, "node_modules"));
      expect(firstToken(copy, "")).toEqual({
        reason:
          "neither pkcs11js nor koffi can be loaded; using a token needs one of them: " +
          "run npm install koffi, which needs no compiler",
      });
    });

    it.each([
      ["is from other sources", { sources: "0123456789abcdef" }],
      ["needs a newer glibc", { glibc: "2.999" }],
    ])("there is a clear reason where the prebuilt module %s", (_, facts) => {
      expect(firstToken(copyOf(_.replaceAll(" ", "-"), facts))).toEqual({ reason: needed });
    });
  }
});

describe("the prebuilt module for linux-arm64, on an emulated machine", () => {
  const NAME = "passes calls on, refuses and logs them";
  const [gcc, qemu] = ["aarch64-linux-gnu-gcc", "qemu-aarch64"];
  const missing = [gcc, qemu].filter((one) => spawnSync(one, ["--version"]).error !== undefined);
  if (missing.length > 0 || !platforms.includes("linux-arm64")) {
    const lacks = missing.length > 0 ? missing.join(" and ") : "the prebuilt module";
    skipped(NAME, `${lacks} missing (Debian: apt install g++-aarch64-linux-gnu qemu-user)`);
    return;
  }

  it(NAME, () => {
    const at = (name: string): string => join(folder, "arm64", name);
    mkdirSync(at(""), { recursive: true });
    const compile = (source: string, ...args: string[]): void => {
      const file = join(import.meta.dirname, "arm64", source);
      execFileSync(gcc, ["-std=c++17", "-I", SOURCES, file, ...args]);
    };
    compile("module.cc", "-shared", "-fPIC", "-o", at("real.so"));
    compile("loader.cc", "-o", at("loader"));
    cpSync(shimOf("linux-arm64"), at("token.so"));
    const fault = { id: 0, fn: "C_GetInfo", action: "rv", value: 0x30, at: 2, times: 1 } as const;
    new ShimSettings(at(""), {
      ...UNTOUCHED,
      ...{ real: at("real.so"), softHsmConf: at("softhsm2.conf") },
      ...{ profile: PROFILES.piv, faults: [{ ...fault, attribute: "any", untilLogin: false }] },
    });
    const library = "/usr/aarch64-linux-gnu";
    const said = execFileSync(qemu, ["-L", library, at("loader"), at("token.so")], {
      encoding: "utf8",
    });
    expect(said.split("\n")).toEqual([
      ...["C_GetFunctionList 0", "C_Initialize 0", "C_GetInfo 0 OpenSC smartcard"],
      ...["C_GetInfo 30 ", "C_GetSlotList 0 1 7", "C_GetTokenInfo 0 empty piv_II "],
      ...["C_OpenSession 0 5", "C_CreateObject 54", "C_CloseSession 0", "C_Finalize 0", ""],
    ]);
    expect(readCalls(at("")).map(({ fn }) => fn)).toEqual(
      said
        .split("\n")
        .filter(Boolean)
        .map((line) => line.split(" ")[0]),
    );
  });
});
