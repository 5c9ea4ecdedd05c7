/** Through pipes, with several threads at work: what arrives, in which order, and when. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { p11seal, PROGRAM, start, startProgram, until, type Ended } from "../support/spawn.js";

const folder = temporaryFolder();
const SEGMENT = 2 ** 18;
const FULL = SEGMENT - 32;
/** A little more than is done before a thread has started. */
const content = randomBytes(40 * FULL + 1);
let sealed: Buffer;
let bodyAt: number;

const SEAL = ["seal", "-r", "bob.pem"];
const OPEN = ["open", "-i", "bob.key"];

function run(argv: readonly string[], stdin: Uint8Array, ...threads: string[]): Promise<Ended> {
  const options = threads.length === 0 ? [] : ["--threads", ...threads];
  return p11seal([...argv, ...options], { cwd: folder, stdin });
}

beforeAll(async () => {
  writeKeys(folder);
  const made = await run(SEAL, content, "3");
  expect(made).toMatchObject({ status: 0, stderr: "" });
  sealed = made.stdout;
  bodyAt = sealed.length - (content.length + 41 * 32);
});

describe("a pipe", () => {
  it.each([
    ["3", "1"],
    ["1", "3"],
    ["2", "2"],
  ])("sealed by %s threads and opened by %s gives what went in", async (sealers, openers) => {
    const message = await run(SEAL, content, sealers);
    expect({ ...message, stdout: message.stdout.length }).toMatchObject({
      status: 0,
      stdout: sealed.length,
      stderr: "",
    });
    const opened = await run(OPEN, message.stdout, openers);
    expect(opened.status).toBe(0);
    expect(opened.stdout.equals(content)).toBe(true);
  });

  it.each([0, 1, 65_535, 65_536, 65_537, FULL - 1, FULL, FULL + 1, 17 * FULL, 17 * FULL + 1])(
    "takes %d bytes, from a true pipe to a true pipe",
    (length) => {
      const bytes = content.subarray(0, length);
      writeFileSync(join(folder, "plain"), bytes);
      const seal = '"$0" "$1" seal -r bob.pem --threads 2';
      const open = '"$0" "$1" open -i bob.key --threads 2';
      const script = `cat plain | ${seal} | cat | ${open} | cat > opened`;
      const { status } = spawnSync("sh", ["-c", script, process.execPath, PROGRAM], {
        cwd: folder,
      });
      expect(status).toBe(0);
      expect(readFileSync(join(folder, "opened")).equals(bytes)).toBe(true);
    },
  );

  it("may be a file on either side", async () => {
    writeFileSync(join(folder, "m.p11s"), sealed);
    const fd = openSync(join(folder, "m.p11s"), "r");
    const fromFile = await p11seal(OPEN, { cwd: folder, stdin: { fd } });
    closeSync(fd);
    expect(fromFile.stdout.equals(content)).toBe(true);
    expect(await run([...OPEN, "-o", "out"], sealed)).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, "out")).equals(content)).toBe(true);
  });

  it("delivers what came, while more is to come", async () => {
    const running = start([...OPEN, "--threads", "3"], { cwd: folder, stdin: null });
    let arrived = 0;
    running.child.stdout?.on("data", (chunk: Buffer) => (arrived += chunk.length));
    running.child.stdin?.write(sealed.subarray(0, bodyAt + 20 * SEGMENT));
    await until(() => arrived === 20 * FULL, "all segments that are whole");
    running.child.stdin?.end(sealed.subarray(bodyAt + 20 * SEGMENT));
    expect((await running.ended).stdout.equals(content)).toBe(true);
  });
});

describe("a message through a pipe that is cut or changed", () => {
  const damaged: [string, () => Buffer, RegExp, number][] = [
    ["changed in the middle", () => flipped(bodyAt + 20 * SEGMENT + 9), /segment 20 is not/, 20],
    ["changed in its last segment", () => flipped(sealed.length - 1), /segment 40 is not/, 40],
    [
      "changed twice",
      () => flipped(bodyAt + 30 * SEGMENT, bodyAt + 33 * SEGMENT),
      /segment 30/,
      30,
    ],
    [
      "cut in a segment",
      () => sealed.subarray(0, bodyAt + 25 * SEGMENT + 7),
      /within segment 25/,
      25,
    ],
    ["cut after one", () => sealed.subarray(0, bodyAt + 25 * SEGMENT), /within segment 25/, 25],
    ["changed, then cut", () => flipped(bodyAt + 24 * SEGMENT).subarray(0, -9e6), /segment \d+/, 0],
    ["continued", () => Buffer.concat([sealed, Buffer.of(0)]), /data follows/, 40],
  ];

  it.each(damaged)(
    "%s is refused as by one thread, after as much",
    async (how, damage, why, good) => {
      const bad = damage();
      const one = await run(OPEN, bad, "1");
      const three = await run(OPEN, bad, "3");
      expect(three.status).toBe(4);
      expect(three.stderr).toMatch(why);
      if (how !== "changed, then cut") expect(three.stdout.length).toBe(good * FULL);
      expect(content.subarray(0, three.stdout.length).equals(three.stdout)).toBe(true);
      expect({ ...three, stdout: three.stdout.length }).toEqual({
        ...one,
        stdout: one.stdout.length,
      });
    },
  );

  it("is refused at once, though its sender sends no more and does not end", async () => {
    const running = start([...OPEN, "--threads", "3", "-o", "none"], { cwd: folder, stdin: null });
    running.child.stdin?.write(flipped(bodyAt + 20 * SEGMENT).subarray(0, bodyAt + 30 * SEGMENT));
    expect(await running.ended).toMatchObject({ status: 4, signal: null });
  });
});

describe("a pipe that ends badly", () => {
  it("at its reader ends the run, though more is to come", async () => {
    const script =
      '{ cat big; sleep 60; } | { "$0" "$1" seal -r bob.pem; echo $? >&2; } | head -c 9';
    writeFileSync(join(folder, "big"), content);
    const argv = ["-c", script, process.execPath, PROGRAM];
    const running = startProgram("sh", argv, { cwd: folder });
    let told = "";
    running.child.stderr?.on("data", (chunk: Buffer) => (told += chunk.toString()));
    await until(() => told !== "", "the exit status");
    running.child.kill();
    expect(told).toMatch(/^\d+\n$/);
  });

  /** Ends each thread as soon as it has started. */
  const killer = `import threads from "node:worker_threads";
    import { syncBuiltinESMExports } from "node:module";
    const { Worker } = threads;
    threads.Worker = class extends Worker {
      constructor(...given) { super(...given); this.on("online", () => setTimeout(() => this.terminate(), 20)); }
    };
    syncBuiltinESMExports();`;

  it.each([
    [
      "a pipe",
      'cat /dev/zero | "$0" --import ./killer.mjs "$1" seal -r bob.pem --threads 2 > /dev/null',
    ],
    ["a file", '"$0" --import ./killer.mjs "$1" seal -r bob.pem --threads 2 -o none large'],
  ])("of %s by a thread's death is an error, and leaves nothing whole", async (_what, script) => {
    writeFileSync(join(folder, "killer.mjs"), killer);
    spawnSync("truncate", ["-s", "1G", join(folder, "large")]);
    const argv = ["-c", script, process.execPath, PROGRAM];
    const ended = await startProgram("sh", argv, { cwd: folder }).ended;
    expect(ended.status).not.toBe(0);
    expect(ended.stderr).toContain("a thread ended before its work did");
    expect(readdirSync(folder).filter((name) => name.includes("none"))).toEqual([]);
  });
});

function flipped(...places: readonly number[]): Buffer {
  const copy = Buffer.from(sealed);
  for (const at of places) copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}
