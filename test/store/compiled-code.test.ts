/**
 * Compiled code in files of our own, as Node before 22.1 needs it. V8 runs what it is given, so
 * nothing may be given to it but what was kept for the same source, whole.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, jest } from "@jest/globals";
import { loadProgram } from "../../src/store/code-cache.js";
import { CompiledCode, sourceName } from "../../src/store/compiled-code.js";
import { temporaryFolder } from "../cli/support/folder.js";

const root = temporaryFolder();
const caches = join(root, "caches");
const ours = join(caches, "p11seal");
const program = join(root, "program.js");

/** Long enough for V8 to compile and keep something. For Node it is a module, too. */
const SOURCE = `(f => typeof module === "object" ? f(exports, require, module, __filename, __dirname) : f)(
(exports, require, module, __filename, __dirname) => {
exports.answer = function answer() { return [1, 2, 3].map((one) => one * 14).at(-1); };
exports.names = [require("node:path").basename(__filename), __dirname, module.exports === exports];
exports.fail = () => { throw new Error("as asked"); };
})`;

interface Program {
  answer: () => number;
  names: unknown[];
  fail: () => void;
}

/** Loads the program as Node 20 does. */
function load(purpose = "test"): { loaded: Program; keep: () => void } {
  const env = { XDG_CACHE_HOME: caches };
  const { program: loaded, keep } = loadProgram(createRequire(program), program, purpose, env, {});
  return { loaded: loaded as Program, keep };
}

/** One run: what it computed, and whether it found its code, in which case it keeps none. */
function run(purpose?: string): { answer: number; found: boolean } {
  const { loaded, keep } = load(purpose);
  const answer = loaded.answer();
  const before = inodes();
  keep();
  return { answer, found: before === inodes() };
}

const files = (): string[] => readdirSync(ours).sort();
const only = (): string => {
  expect(files()).toHaveLength(1);
  return join(ours, files()[0] ?? "");
};
const codeOf = (file: string): CompiledCode => new CompiledCode(ours, "test", nameOf(file));
const nameOf = (file: string): string => sourceName(readFileSync(file), statSync(file));
/** A file that is replaced gets another number, as the old one is there until then. */
const inodes = (): string =>
  files()
    .map((name) => `${name} ${lstatSync(join(ours, name)).ino}`)
    .join();

const FOUND = { answer: 42, found: true };
const COMPILED = { answer: 42, found: false };

beforeEach(() => {
  rmSync(caches, { recursive: true, force: true });
  writeFileSync(program, SOURCE);
});

afterEach(() => {
  jest.restoreAllMocks();
});

describe("a program's code", () => {
  it("is found by the next run, and kept once", () => {
    expect(run()).toEqual(COMPILED);
    expect(lstatSync(only()).mode & 0o777).toBe(0o600);
    expect(run()).toEqual(FOUND);
    expect(run()).toEqual(FOUND);
  });

  it.each(["compiled", "found"])("runs as a module when it was %s", (how) => {
    if (how === "found") run();
    const { loaded } = load();
    expect(loaded.names).toEqual(["program.js", root, true]);
    expect(() => {
      loaded.fail();
    }).toThrow(/as asked/);
    try {
      loaded.fail();
    } catch (error) {
      expect((error as Error).stack).toContain(`${program}:5:`);
    }
  });

  it("is kept for each purpose by itself", () => {
    expect(run("open")).toEqual(COMPILED);
    expect(run("seal")).toEqual(COMPILED);
    expect(run("open")).toEqual(FOUND);
    expect(files().map((name) => name.split("-")[0])).toEqual(["open", "seal"]);
  });

  it("is not that of another version with a source of the same length", () => {
    expect(run()).toEqual(COMPILED);
    writeFileSync(program, SOURCE.replace("14", "15"));
    expect(run()).toEqual({ answer: 45, found: false });
    expect(run()).toEqual({ answer: 45, found: true });
    writeFileSync(program, SOURCE);
    expect(run()).toEqual(FOUND);
  });

  describe("with its hash in front", () => {
    const marked = (mark: string, source = SOURCE): string => `/*${mark.repeat(64)}*/${source}`;
    const write = (text: string, seconds: number): void => {
      writeFileSync(program, text);
      utimesSync(program, seconds, seconds);
    };

    /** As if that were long ago: what the file system says of the source is relied on. */
    const later = (): void => {
      jest.spyOn(Date, "now").mockReturnValue(Date.now() + 1000 * 60);
    };

    it("is found as long as nobody has touched the source", () => {
      write(marked("a"), 1e9);
      later();
      expect(run()).toEqual(COMPILED);
      expect(run()).toEqual(FOUND);
    });

    it("is not found for another hash, of a file that looks the same", () => {
      write(marked("a"), 1e9);
      later();
      expect(nameOf(program)).not.toBe(sourceName(Buffer.from(marked("b")), statSync(program)));
    });

    it("is not found after a change that forgot the hash, whatever the file's time says", () => {
      write(marked("a"), 1e9);
      expect(run()).toEqual(COMPILED);
      write(marked("a", SOURCE.replace("14", "15")), 1e9);
      expect(run()).toEqual({ answer: 45, found: false });
    });

    it.each(["mtimeMs", "ctimeMs"])("has another name when the file's %s is another", (time) => {
      const source = Buffer.from(marked("a"));
      const old = { mtimeMs: 1000, ctimeMs: 1000 };
      expect(sourceName(source, { ...old, [time]: 1001 })).not.toBe(sourceName(source, old));
    });

    it("is told by all of the source as long as the next change may get the same time", () => {
      const now = Date.now();
      const names = ["14", "15"].map((factor) =>
        sourceName(Buffer.from(marked("a", SOURCE.replace("14", factor))), {
          ...{ mtimeMs: now, ctimeMs: now },
        }),
      );
      expect(names[0]).not.toBe(names[1]);
    });

    it.each([
      ["cut", marked("a").slice(1)],
      ["of other letters", marked("A")],
    ])("is told by all of the source where that mark is %s", (_, text) => {
      writeFileSync(program, text);
      later();
      expect(nameOf(program)).toBe(createHash("sha256").update(text).digest("hex"));
    });
  });

  it.each([
    { version: "v20.0.0" },
    { arch: "mips" },
    { platform: "aix" },
    { execArgv: ["--jitless"] },
    { env: { NODE_OPTIONS: "--jitless" } },
  ] as const)("is not that of another Node: %j", (other) => {
    const kept = (node: NodeJS.Process) => new CompiledCode(ours, "test", nameOf(program), node);
    expect(run()).toEqual(COMPILED);
    expect(kept(process).read()).toBeDefined();
    expect(kept({ ...process, ...other } as NodeJS.Process).read()).toBeUndefined();
  });
});

describe("code is compiled anew, and kept anew, if the file", () => {
  /** Damages the file, then expects one run to compile and the next to find. */
  function damaged(damage: (path: string) => void): void {
    expect(run()).toEqual(COMPILED);
    damage(only());
    expect(run()).toEqual(COMPILED);
    expect(run()).toEqual(FOUND);
  }

  it.each([0, 1, 31, 32, 33, 1000])("has %i bytes left", (length) => {
    damaged((path) => {
      writeFileSync(path, readFileSync(path).subarray(0, length));
    });
  });

  it("has a byte too many", () => {
    damaged((path) => {
      writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from([0])]));
    });
  });

  it("has a byte changed", () => {
    expect(run()).toEqual(COMPILED);
    const path = only();
    const good = readFileSync(path);
    for (let at = 0; at < good.length; at += 37) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ 1;
      writeFileSync(path, bad);
      expect(codeOf(program).read()).toBeUndefined();
    }
    expect(run()).toEqual(COMPILED);
    expect(run()).toEqual(FOUND);
  });

  it("is refused by V8", () => {
    mkdirSync(ours, { recursive: true, mode: 0o700 });
    // V8 does not look at it for a source that this process has compiled already.
    writeFileSync(program, `${SOURCE}// refused`);
    codeOf(program).write(Buffer.alloc(5000, 7));
    expect(codeOf(program).read()).toHaveLength(5000);
    expect(run()).toEqual(COMPILED);
    expect(run()).toEqual(FOUND);
  });

  it("was kept for another purpose", () => {
    run("open");
    run("seal");
    const [open = "", seal = ""] = files().map((name) => join(ours, name));
    copyFileSync(open, seal);
    expect(run("seal")).toEqual(COMPILED);
    expect(run("seal")).toEqual(FOUND);
  });

  it.each([0o620, 0o602])("can be written by others: mode %o", (mode) => {
    damaged((path) => {
      chmodSync(path, mode);
    });
  });

  it("is a link", () => {
    damaged((path) => {
      renameSync(path, join(root, "elsewhere"));
      symlinkSync(join(root, "elsewhere"), path);
    });
  });

  it("is a FIFO", () => {
    damaged((path) => {
      rmSync(path);
      execFileSync("mkfifo", [path]);
    });
  });

  it("is larger than any code", () => {
    damaged((path) => {
      writeFileSync(path, Buffer.alloc((16 << 20) + 1));
    });
  });
});

describe("a file of another user's", () => {
  it("is not read", () => {
    expect(run()).toEqual(COMPILED);
    const code = codeOf(program);
    expect(code.read()).toBeDefined();
    jest.spyOn(process, "geteuid").mockReturnValue(4711);
    expect(code.read()).toBeUndefined();
  });
});

describe("where nothing can be written", () => {
  it("in a folder that is gone, nothing is, and nobody hears of it", () => {
    const { loaded, keep } = load();
    rmSync(ours, { recursive: true });
    expect(keep).not.toThrow();
    expect(loaded.answer()).toBe(42);
  });

  it("nothing is left behind", () => {
    run();
    const path = only();
    rmSync(path);
    mkdirSync(path);
    expect(run()).toEqual({ answer: 42, found: true });
    expect(files()).toHaveLength(1);
    expect(statSync(path).isDirectory()).toBe(true);
  });
});

describe("what is too much goes", () => {
  const HOUR = 3600;
  const aged = (name: string, seconds: number): void => {
    const path = join(ours, name);
    writeFileSync(path, "old");
    const time = Date.now() / 1000 - seconds;
    utimesSync(path, time, time);
  };

  it("the oldest code first; the newest stay, and so does what is not ours", () => {
    mkdirSync(ours, { recursive: true, mode: 0o700 });
    for (let i = 10; i < 40; i++) aged(`open-${i}.code`, i);
    aged("notes.txt", 1000 * HOUR);
    run();
    const left = files().filter((name) => name.startsWith("open-"));
    expect(left).toEqual(Array.from({ length: 23 }, (_, i) => `open-${i + 10}.code`));
    expect(files()).toContain("notes.txt");
    expect(files().filter((name) => name.startsWith("test-"))).toHaveLength(1);
    expect(run()).toEqual(FOUND);
  });

  it("what a killed run left, but not what a running one writes", () => {
    mkdirSync(ours, { recursive: true, mode: 0o700 });
    aged("open-1.code.0123456789abcdef", 2 * HOUR);
    aged("open-2.code.0123456789abcdef", 60);
    run();
    expect(files()).toEqual([
      "open-2.code.0123456789abcdef",
      expect.stringMatching(/^test-[0-9a-f]{32}\.code$/),
    ]);
  });

  it("and of a file that is written meanwhile, the old one can still be read", () => {
    run();
    const path = only();
    linkSync(path, join(root, "old"));
    const before = readFileSync(path);
    codeOf(program).write(Buffer.alloc(10));
    expect(readFileSync(join(root, "old"))).toEqual(before);
  });
});
