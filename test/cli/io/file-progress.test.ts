/** The bar of a run over many files: how many are done, and when it makes way. */
import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeAll, beforeEach, describe, expect, it, jest } from "@jest/globals";
import { fileProgress, type FileProgress } from "../../../src/cli/io/file-progress.js";
import { processIo } from "../../../src/cli/io/io.js";
import { Report } from "../../../src/cli/io/report.js";
import type { Terminal } from "../../../src/terminal/terminal.js";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { run, type Outcome } from "../support/run.js";

const GONE = "\u001b[2K";
const root = temporaryFolder();

/** Each look at the clock is a tenth of a second later than the one before. */
beforeEach(() => {
  const begin = Date.now();
  let looks = 0;
  jest.spyOn(Date, "now").mockImplementation(() => begin + 100 * ++looks);
});

afterEach(() => {
  jest.restoreAllMocks();
});

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

describe("the bar of many files", () => {
  let stderr: PassThrough;
  let report: Report;
  let progress: FileProgress;
  const terminal: Terminal = { ask: () => Promise.resolve("1234"), close: () => undefined };
  const shown = (): string => String(stderr.read() ?? "");

  interface Given {
    readonly tty?: boolean;
    readonly quiet?: boolean;
    readonly json?: boolean;
    readonly count?: () => Promise<number>;
  }

  function begin(given: Given = {}): void {
    const { tty = true, quiet = false, json = false } = given;
    stderr = Object.assign(new PassThrough(), { isTTY: tty, columns: 80 });
    const io = { ...processIo(), stderr, terminal: () => Promise.resolve(terminal) };
    report = new Report(io, { quiet, verbose: false, json });
    progress = fileProgress({ io, report }, { json });
    progress.count(given.count ?? (() => Promise.resolve(40)));
  }

  async function add(files: number): Promise<void> {
    for (let n = 0; n < files; n++) progress.add();
    await soon();
  }

  it("says how many of them are done, and is taken away at the end", async () => {
    begin();
    await soon();
    await add(20);
    await add(1);
    progress.stop();
    const text = shown();
    expect(text).toMatch(/2[01] of 40 files/);
    expect(text.endsWith(GONE)).toBe(true);
    await add(10);
    expect(shown()).toBe("");
  });

  it.each([
    ["--quiet", { quiet: true }],
    ["--json", { json: true }],
    ["a stderr that is no terminal", { tty: false }],
  ])("is not shown with %s, nor are files counted for it", async (_what, given) => {
    const counted = jest.fn(() => Promise.resolve(40));
    begin({ ...given, count: counted });
    await add(30);
    progress.stop();
    expect(shown()).toBe("");
    expect(counted).not.toHaveBeenCalled();
  });

  it("is not shown while nobody knows how many there are", async () => {
    begin({ count: () => Promise.reject(new Error("no such folder")) });
    await soon();
    await add(30);
    progress.stop();
    expect(shown()).toBe("");
  });

  it("makes way for a line, and comes back with the next file", async () => {
    begin();
    await soon();
    await add(20);
    shown();
    report.note("a.p11s: foreign");
    expect(shown().split(GONE).at(-1)).toBe("p11seal: a.p11s: foreign\n");
    await add(1);
    expect(shown()).toContain("21 of 40 files");
    progress.stop();
  });

  it("stays away while a question waits for its answer", async () => {
    begin();
    await soon();
    await add(20);
    const asked = await progress.io.terminal();
    await asked?.ask("PIN:", { silent: true });
    shown();
    await add(5);
    expect(shown()).toBe("");
    asked?.close();
    await add(1);
    expect(shown()).toContain("26 of 40 files");
    progress.stop();
  });
});

describe("a command over many files", () => {
  let folder: string;
  const FILES = 12;

  beforeAll(async () => {
    writeKeys(root);
    writeFileSync(join(root, "plain"), "content\n");
    const sealed = ["seal", "-r", join(root, "bob.pem"), "-o", join(root, "sealed.p11s")];
    expect((await run([...sealed, join(root, "plain")])).status).toBe(0);
  });

  beforeEach(() => {
    folder = mkdtempSync(join(root, "run-"));
    mkdirSync(join(folder, "tree"));
    for (let n = 0; n < FILES; n++) {
      copyFileSync(join(root, "sealed.p11s"), join(folder, "tree", `${n + 10}.p11s`));
    }
  });

  const names = (): string[] =>
    Array.from({ length: FILES }, (_, n) => join(folder, "tree", `${n + 10}.p11s`));

  function command(name: string, more: readonly string[] = []): Promise<Outcome> {
    const env = { P11SEAL_HOME: join(folder, "home") };
    const [bob, alice] = [join(root, "bob.key"), join(root, "alice.pem")];
    const tree = ["--tree", join(folder, "tree")];
    const words = {
      rewrap: ["-i", bob, "-r", alice, "--from-key", join(root, "bob.pem"), ...tree],
      reseal: ["-i", bob, "-r", alice, ...names()],
      audit: tree,
    }[name] as string[];
    return run([name, ...more, ...words], { env, tty: ["stderr"] });
  }

  it.each(["rewrap", "reseal", "audit"])("shows how far %s is", async (name) => {
    const { status, stderr } = await command(name);
    expect([status, stderr]).toEqual([0, expect.stringMatching(/\d+ of 12 files/)]);
    // The last lines stand alone.
    expect(stderr.slice(stderr.lastIndexOf(GONE))).not.toContain("of 12 files");
  });

  it.each([
    ["rewrap", "-q"],
    ["rewrap", "--json"],
    ["reseal", "-q"],
    ["reseal", "--json"],
    ["audit", "-q"],
    ["audit", "--json"],
  ])("shows no bar with %s %s", async (name, option) => {
    const { status, stderr } = await command(name, [option]);
    expect([status, stderr]).toEqual([0, expect.not.stringContaining("of 12 files")]);
    expect(stderr).not.toContain("\u001b");
  });
});
