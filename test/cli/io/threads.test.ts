/**
 * From file to file with several threads: the same bytes, the same refusals, nothing left behind.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { run } from "../support/run.js";
import { p11seal, PROGRAM, sizeOf, start, startProgram, until } from "../support/spawn.js";
import { itIf } from "../../support/missing.js";

const root = temporaryFolder();
const folder = join(root, "case");
const OLD = Buffer.from("old content");
/** A little more than several units of work for a thread. */
const content = randomBytes(5 * 1024 * 1024 + 1);
let sealed: Buffer;

const seal = (...argv: string[]): ReturnType<typeof p11seal> =>
  p11seal(["seal", "-r", join(root, "bob.pem"), ...argv], { cwd: folder });
const open = (...argv: string[]): ReturnType<typeof p11seal> =>
  p11seal(["open", "-i", join(root, "bob.key"), ...argv], { cwd: folder });

beforeAll(async () => {
  writeKeys(root);
  mkdirSync(folder);
  writeFileSync(join(root, "content"), content);
  const made = await seal("--threads", "3", "-o", "../m.p11s", "../content");
  expect(made).toMatchObject({ status: 0, stderr: "" });
  sealed = readFileSync(join(root, "m.p11s"));
});

beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
});

describe("threads", () => {
  it.each([
    ["3", "1"],
    ["1", "3"],
  ])("make the same message: sealed by %s, opened by %s", async (sealers, openers) => {
    expect(await seal("--threads", sealers, "-o", "m", "../content")).toMatchObject({ status: 0 });
    expect(sizeOf(join(folder, "m"))).toBe(sealed.length);
    expect(await open("--threads", openers, "-o", "out", "m")).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, "out")).equals(content)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["m", "out"]);
  });

  it.each([0, 262_112, 262_113, 524_224])("seal and open %d bytes", async (length) => {
    const bytes = randomBytes(length);
    writeFileSync(join(folder, "plain"), bytes);
    expect(await seal("--threads", "2", "-o", "m", "plain")).toMatchObject({ status: 0 });
    expect(await open("--threads", "2", "-o", "out", "m")).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, "out")).equals(bytes)).toBe(true);
  });

  it("seal and open with the header in a file of its own", async () => {
    const parted = ["--threads", "2", "--key-blob", "k"];
    expect(await seal(...parted, "-o", "m", "../content")).toMatchObject({ status: 0 });
    expect(await open(...parted, "-o", "out", "m")).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, "out")).equals(content)).toBe(true);
  });

  it.each(["0", "100", "two", "-1"])("can't be %s", async (threads) => {
    const { status } = await run(["open", `--threads=${threads}`, "-o", "out", "m.p11s"]);
    expect(status).toBe(2);
  });
});

describe("how many threads work", () => {
  /** At exit, prints to stderr how many threads were started besides the first. */
  const spy = `import threads from "node:worker_threads";
    import { syncBuiltinESMExports } from "node:module";
    let started = 0;
    threads.Worker = class extends threads.Worker {
      constructor(...given) { super(...given); started += 1; }
    };
    syncBuiltinESMExports();
    if (threads.isMainThread) process.on("exit", () => console.error(1 + started));`;

  /** Seals just enough bytes; `under` is a program that runs ours. */
  async function threadsUsed(target: string, under: readonly string[] = []): Promise<number> {
    writeFileSync(join(folder, "spy.mjs"), spy);
    spawnSync("truncate", ["-s", "16M", join(folder, "large")]);
    const argv = ["--import", "./spy.mjs", PROGRAM, "seal", "-q", "-r", join(root, "bob.pem")];
    const all = [...under, process.execPath, ...argv, "-o", target, "large"];
    const [program = "", ...rest] = all;
    const { status, stderr } = await startProgram(program, rest, { cwd: folder }).ended;
    expect(status).toBe(0);
    return Number(stderr);
  }

  it.each(["out", "/dev/null"])("follows the machine, into %s", async (target) => {
    const suited = Math.min(4, Math.max(2, availableParallelism()));
    expect(await threadsUsed(target)).toBe(suited);
  });

  const bound = spawnSync("taskset", ["-c", "0", "true"]).status === 0;
  itIf(bound, "needs taskset")("is two on one processor", async () => {
    expect(await threadsUsed("out", ["taskset", "-c", "0"])).toBe(2);
  });
});

describe("--sync", () => {
  /** Prints to stderr what is flushed. */
  const spy = `import fs from "node:fs";
    import { open } from "node:fs/promises";
    import { syncBuiltinESMExports } from "node:module";
    const handle = await open("/dev/null");
    const { prototype } = handle.constructor;
    await handle.close();
    for (const on of [prototype, fs]) {
      for (const name of ["sync", "datasync", "fsync", "fdatasync", "fsyncSync", "fdatasyncSync"]) {
        const flush = on[name];
        if (flush === undefined) continue;
        on[name] = function (...given) { console.error("flushed"); return flush.apply(this, given); };
      }
    }
    syncBuiltinESMExports();`;

  it.each([
    ["flushes a new file and its folder", ["--sync"], 2],
    ["is not needed for what replaces a file", ["--force", "-o", "old"], 1],
    ["else nothing is flushed", [], 0],
  ])("%s", async (_name, options, flushes) => {
    writeFileSync(join(folder, "spy.mjs"), spy);
    writeFileSync(join(folder, "old"), OLD);
    const argv = ["seal", "-r", join(root, "bob.pem"), "-o", "new", ...options, "../content"];
    if (options.includes("-o")) argv.splice(3, 2);
    const node = ["--import", join(folder, "spy.mjs")];
    const { status, stderr } = await p11seal(argv, { cwd: folder, node });
    expect([status, stderr]).toEqual([0, "flushed\n".repeat(flushes)]);
  });
});

describe("a message that is cut or changed", () => {
  const damaged: [string, () => Buffer, RegExp][] = [
    ["cut in its last segment", () => sealed.subarray(0, -100), /segment|ends|cut/],
    ["cut after a whole segment", () => sealed.subarray(0, -(sealed.length % 262_144)), /./],
    ["continued", () => Buffer.concat([sealed, Buffer.from([0])]), /./],
    ["changed in its last byte", () => flipped(sealed, sealed.length - 1), /segment 20/],
    ["changed in its middle", () => flipped(sealed, (sealed.length >> 1) + 4096), /segment 10/],
  ];

  it.each(damaged)(
    "%s is refused as on one thread, and leaves nothing",
    async (_how, damage, why) => {
      writeFileSync(join(folder, "bad"), damage());
      writeFileSync(join(folder, "kept"), OLD);
      const one = await open("--threads", "1", "-o", "out", "bad");
      const three = await open("--threads", "3", "-o", "out", "bad");
      const forced = await open("--threads", "3", "--force", "-o", "kept", "bad");
      expect(one.status).toBe(4);
      expect(one.stderr).toMatch(why);
      expect([three.status, three.stderr]).toEqual([4, one.stderr]);
      expect(forced.status).toBe(4);
      expect(readFileSync(join(folder, "kept"))).toEqual(OLD);
      expect(readdirSync(folder).sort()).toEqual(["bad", "kept"]);
    },
  );
});

describe("a run by threads that does not end well", () => {
  it("by a signal leaves nothing behind, and an existing file as it was", async () => {
    const large = join(root, "large");
    const { status } = spawnSync("truncate", ["-s", "3G", large]);
    expect(status).toBe(0);
    writeFileSync(join(folder, "out"), OLD);
    const argv = ["seal", "-r", join(root, "bob.pem"), "--force", "-o", "out", large];
    const running = start(argv, { cwd: folder });
    const part = (): string => readdirSync(folder).find((name) => name.endsWith(".part")) ?? "none";
    await until(() => sizeOf(join(folder, part())) > 2 ** 20, "a temporary file");
    running.child.kill("SIGINT");
    expect(await running.ended).toMatchObject({ status: null, signal: "SIGINT" });
    expect(readdirSync(folder)).toEqual(["out"]);
    expect(readFileSync(join(folder, "out"))).toEqual(OLD);
  });

  it("because its input got shorter says so, and leaves nothing", async () => {
    const large = join(root, "shrinking");
    for (const [command, input] of [
      ["seal", large],
      ["open", `${large}.p11s`],
    ] as const) {
      spawnSync("truncate", ["-s", "1G", large]);
      const keys =
        command === "seal" ? ["-r", join(root, "bob.pem")] : ["-i", join(root, "bob.key")];
      if (command === "open") await seal("-o", input, large);
      const running = start([command, ...keys, "-o", "out", input], { cwd: folder });
      const part = (): string =>
        readdirSync(folder).find((name) => name.endsWith(".part")) ?? "none";
      await until(() => sizeOf(join(folder, part())) > 2 ** 20, "a temporary file");
      spawnSync("truncate", ["-s", "10M", input]);
      const { status, stderr } = await running.ended;
      expect(status).toBe(1);
      expect(stderr).toContain("it got shorter while it was being read");
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  const namespaces = spawnSync("unshare", ["-rm", "true"]).status === 0;
  const itIfMounts = itIf(namespaces, "needs mount namespaces");

  itIfMounts("on a full disk leaves no partial output", async () => {
    const script = `
      mount -t tmpfs -o size=2m tmpfs "$1" && cd "$1" || exit 99
      echo old > out
      for target in out fresh; do
        "$0" "$2" open -i ../bob.key --threads 2 --force -o $target ../m.p11s; echo "exit $?"
      done
      ls -A; cat out`;
    const argv = ["-rm", "sh", "-c", script, process.execPath, folder, PROGRAM];
    const { stdout, stderr } = await startProgram("unshare", argv, { cwd: root }).ended;
    expect(stdout.toString()).toBe("exit 1\nexit 1\nout\nold\n");
    expect(stderr).toContain('cannot write "fresh": no space left on device (ENOSPC)');
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}
