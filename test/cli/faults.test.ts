/**
 * External faults: a full file system, an input that changes while it is read, threads that end.
 */
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { TEST_KEYS } from "../support/keys.js";
import { temporaryFolder, writeKeys } from "./support/folder.js";
import { p11seal, PROGRAM, startProgram, type Ended } from "./support/spawn.js";

const root = temporaryFolder();
const folder = join(root, "case");
const MEDDLE = fileURLToPath(new URL("support/meddle.mjs", import.meta.url));
const OLD = Buffer.from("old content");
const SEGMENT = 2 ** 18;
const FULL = SEGMENT - 32;
const content = randomBytes(20 * FULL + 1);
const appended = Buffer.alloc(300_000, "appended");
const SEAL = ["seal", "-r", "../bob.pem", "--force", "-o", "out"];
const OPEN = ["open", "-i", "../bob.key", "--force", "-o", "out"];
const SIGNED = [...SEAL, "--sign-with", "../zoe.key"];
let sealed: Buffer;
let bodyAt: number;

beforeAll(async () => {
  writeKeys(root);
  writeFileSync(join(root, "zoe.key"), TEST_KEYS.p384, { mode: 0o600 });
  mkdirSync(folder);
  writeFileSync(join(folder, "in"), content);
  sealed = await outputOf(SEAL, "1");
  bodyAt = sealed.length - (content.length + 21 * 32);
});

beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  writeFileSync(join(folder, "out"), OLD);
});

/** Runs the command on the file `in`. */
function run(command: readonly string[], threads: string): Promise<Ended> {
  return p11seal([...command, "--threads", threads, "in"], { cwd: folder });
}

/** The same, while the file is changed or threads end. */
function meddled(how: string, command: readonly string[], threads: string): Promise<Ended> {
  const env = { MEDDLE_FILE: join(folder, "in"), MEDDLE_HOW: how };
  const argv = [...command, "--threads", threads, "in"];
  return p11seal(argv, { cwd: folder, node: ["--import", MEDDLE], env });
}

/** The same, with files limited to about 2 MiB. */
function limited(command: readonly string[], threads: string, how = "none"): Promise<Ended> {
  // The shell's unit is 512 or 1,024 bytes.
  const script = 'ulimit -f 4096; exec "$0" --import "$@"';
  const argv = ["-c", script, process.execPath, MEDDLE, PROGRAM, ...command, "--threads", threads];
  const env = { MEDDLE_FILE: join(folder, "in"), MEDDLE_HOW: how };
  return startProgram("sh", [...argv, "in"], { cwd: folder, env }).ended;
}

async function outputOf(command: readonly string[], threads: string): Promise<Buffer> {
  expect(await run(command, threads)).toMatchObject({ status: 0, stderr: "" });
  return readFileSync(join(folder, "out"));
}

/** The plaintext of the sealed output. */
async function opened(): Promise<Buffer> {
  copyFileSync(join(folder, "out"), join(folder, "in"));
  expect(await run(OPEN, "1")).toMatchObject({ status: 0 });
  return readFileSync(join(folder, "out"));
}

/** The existing output is unchanged, and nothing was left beside it. */
function expectUntouched(): void {
  expect(readFileSync(join(folder, "out"))).toEqual(OLD);
  expect(readdirSync(folder).sort()).toEqual(["in", "out"]);
}

function damaged(...places: readonly number[]): Buffer {
  const copy = Buffer.from(sealed);
  for (const at of places) copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}

const COMMANDS: [string, string[], () => Buffer][] = [
  ["seal", SEAL, () => content],
  ["seal, signed", SIGNED, () => content],
  ["open", OPEN, () => sealed],
];

describe.each(COMMANDS)("%s", (_name, command, input) => {
  beforeEach(() => {
    writeFileSync(join(folder, "in"), input());
  });

  it.each(["1", "3"])(
    "that the system lets write a part only fails whole: %s threads",
    async (threads) => {
      const { status, stderr } = await limited(command, threads);
      expect([status, stderr]).toEqual([
        1,
        'p11seal: cannot write "out": file too large (EFBIG)\n',
      ]);
      expectUntouched();
    },
  );

  it("that loses a thread in the middle fails, and leaves nothing", async () => {
    const { status, stderr } = await meddled("others die", command, "3");
    expect([status, stderr]).toEqual([
      1,
      "p11seal: unexpected: a thread ended before its work did\n",
    ]);
    expectUntouched();
  });

  it("that can start no thread does its work alone", async () => {
    expect(await meddled("no threads", command, "3")).toMatchObject({ status: 0, stderr: "" });
    const result = command === OPEN ? readFileSync(join(folder, "out")) : await opened();
    expect(result.equals(content)).toBe(true);
  });
});

describe.each(["1", "3"])("an input that changes while it is sealed by %s threads", (threads) => {
  beforeEach(() => {
    writeFileSync(join(folder, "in"), content);
  });

  it.each([
    ["", SEAL],
    [", and signed,", SIGNED],
  ])("is sealed%s to its new end when something is added", async (_how, command) => {
    expect(await meddled("append", command, threads)).toMatchObject({ status: 0, stderr: "" });
    expect((await opened()).equals(Buffer.concat([content, appended]))).toBe(true);
  });

  it("is not sealed when it gets shorter", async () => {
    const { status, stderr } = await meddled("shrink", SEAL, threads);
    expect(status).toBe(1);
    expect(stderr).toContain('cannot read "in"');
    expect(stderr).toContain("it got shorter while it was being read");
    expectUntouched();
  });

  it("is sealed as it was when another takes its name", async () => {
    expect(await meddled("replace", SEAL, threads)).toMatchObject({ status: 0, stderr: "" });
    expect((await opened()).equals(content)).toBe(true);
  });

  it("is sealed as it was read when it is written over", async () => {
    expect(await meddled("overwrite", SEAL, threads)).toMatchObject({ status: 0, stderr: "" });
    const result = await opened();
    expect(result.length).toBe(content.length);
    // Each byte is the old or the new one, and both occur.
    expect(result.every((byte, at) => byte === 0 || byte === content[at])).toBe(true);
    expect(result.subarray(0, 1000).equals(content.subarray(0, 1000))).toBe(true);
    expect(result.subarray(-1000).equals(Buffer.alloc(1000))).toBe(true);
  });
});

describe.each(["1", "3"])("a message that changes while %s threads open it", (threads) => {
  beforeEach(() => {
    writeFileSync(join(folder, "in"), sealed);
  });

  it.each([
    ["append", 4, "data follows the end of the message"],
    ["shrink", 1, "it got shorter while it was being read"],
    ["overwrite", 4, "is not authentic"],
  ])("is refused: %s", async (how, status, why) => {
    const ended = await meddled(how, OPEN, threads);
    expect(ended.status).toBe(status);
    expect(ended.stderr).toContain(why);
    expectUntouched();
  });

  it("is opened as it was when another takes its name", async () => {
    expect(await meddled("replace", OPEN, threads)).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(join(folder, "out")).equals(content)).toBe(true);
  });
});

describe("of two faults", () => {
  it("the earlier segment's failure is reported, though another thread met the later one first", async () => {
    writeFileSync(join(folder, "in"), damaged(bodyAt + 40, bodyAt + 20 * SEGMENT + 16));
    const { status, stderr } = await meddled("others first", OPEN, "3");
    expect([status, stderr]).toEqual([4, expect.stringContaining("segment 0 is not authentic")]);
    expectUntouched();
  });

  it.each(["1", "3"])(
    "a bad segment's is told before the disk's, by %s threads",
    async (threads) => {
      writeFileSync(join(folder, "in"), damaged(bodyAt + 40));
      const { status, stderr } = await limited(OPEN, threads, "others first");
      expect([status, stderr]).toEqual([4, expect.stringContaining("segment 0 is not authentic")]);
      expectUntouched();
    },
  );
});

describe.each(["1", "3"])("an input that can't be read, by %s threads", (threads) => {
  it("is reported as such: the device refuses", async () => {
    const argv = [...SEAL, "--threads", threads, "/proc/self/mem"];
    const { status, stderr } = await p11seal(argv, { cwd: folder });
    expect([status, stderr]).toEqual([
      1,
      'p11seal: cannot read "/proc/self/mem": i/o error (EIO)\n',
    ]);
    expect(readdirSync(folder)).toEqual(["out"]);
    expect(readFileSync(join(folder, "out"))).toEqual(OLD);
  });
});

describe("stdout that is a file", () => {
  it("and takes a part of the last write only is an error, not a short result", async () => {
    const script = `head -c 5000 ../content > in
      "$0" "$1" seal -r ../bob.pem in > m; echo $?
      ulimit -f 2
      "$0" "$1" open -i ../bob.key m > opened; echo $?
      "$0" "$1" --help > help; echo $?`;
    writeFileSync(join(root, "content"), content);
    const argv = ["-c", script, process.execPath, PROGRAM];
    const { stdout, stderr } = await startProgram("sh", argv, { cwd: folder }).ended;
    expect(stdout.toString()).toBe("0\n1\n1\n");
    expect(stderr).toContain('cannot write "stdout": file too large (EFBIG)');
  });
});
