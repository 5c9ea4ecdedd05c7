/**
 * Threads that write to stdout themselves: to kernel pipes, which block; to sockets, which don't;
 * and with a reader that is slow, stuck, or gone.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { p11seal, PROGRAM, sizeOf, start, startProgram, until } from "../support/spawn.js";

const folder = temporaryFolder();
const SEGMENT = 2 ** 18;
const FULL = SEGMENT - 32;
/** Far more than is done before a thread has started. */
const SEGMENTS = 121;
const content = randomBytes((SEGMENTS - 1) * FULL + 1);
let sealed: Buffer;
let bodyAt: number;

const P11SEAL = '"$0" "$1"';
const OPEN = ["open", "-i", "bob.key"];

/** A shell command line, in which `P11SEAL` runs the program. */
function shell(
  script: string,
  stdin: string | null = "",
  env: Readonly<Record<string, string>> = {},
): ReturnType<typeof startProgram> {
  const argv = ["-c", script, process.execPath, PROGRAM];
  return startProgram("sh", argv, { cwd: folder, stdin, env });
}

const read = (name: string): Buffer => readFileSync(join(folder, name));

beforeAll(async () => {
  writeKeys(folder);
  writeFileSync(join(folder, "plain"), content);
  const made = await p11seal(["seal", "-r", "bob.pem", "-o", "m", "plain"], { cwd: folder });
  expect(made).toMatchObject({ status: 0, stderr: "" });
  sealed = read("m");
  bodyAt = sealed.length - (content.length + SEGMENTS * 32);
});

describe("through pipes of the kernel", () => {
  it.each(["2", "3", "9"])("%s threads make and take what one thread does", async (threads) => {
    const seal = `${P11SEAL} seal -r bob.pem`;
    const open = `${P11SEAL} open -i bob.key`;
    const script = `cat plain | ${seal} --threads ${threads} | cat > sealed && \
      cat plain | ${seal} --threads 1 | cat > alone && \
      cat sealed | ${open} --threads 1 | cat > one && \
      cat m | ${open} --threads ${threads} | cat > many`;
    expect(await shell(script).ended).toMatchObject({ status: 0, stderr: "" });
    expect(sizeOf(join(folder, "sealed"))).toBe(sizeOf(join(folder, "alone")));
    expect(read("one").equals(content)).toBe(true);
    expect(read("many").equals(content)).toBe(true);
  });

  it("where nobody says how many, there are more the longer a message is, and most if they wait", async () => {
    const meddle = fileURLToPath(new URL("../support/meddle.mjs", import.meta.url));
    const env = { MEDDLE_FILE: join(folder, "plain"), MEDDLE_HOW: "count threads" };
    const threadsFor = async (input: string, output: string): Promise<number> => {
      const seal = `cat ${input} | "$0" --import ${meddle} "$1" seal -q -r bob.pem ${output}`;
      const sealing = await shell(seal, "", env).ended;
      const opening = await shell(`cat long | ${P11SEAL} open -i bob.key | cat > opened`).ended;
      expect([sealing.status, opening]).toMatchObject([0, { status: 0, stderr: "" }]);
      const whole = Buffer.concat(input.split(" ").map(() => content));
      expect(read("opened").equals(whole)).toBe(true);
      return Number(/^(\d+) threads$/.exec(sealing.stderr)?.[1]);
    };
    // 30 MiB each.
    expect(await threadsFor("plain", "| cat > long")).toBe(1);
    const toPipe = await threadsFor("plain plain plain", "| cat > long");
    expect([3, 4]).toContain(toPipe);
    expect(await threadsFor("plain plain plain", "> long")).toBeLessThan(toPipe);
  });

  it("one thread does it alone where no other can be started", async () => {
    const meddle = fileURLToPath(new URL("../support/meddle.mjs", import.meta.url));
    const env = { MEDDLE_FILE: join(folder, "plain"), MEDDLE_HOW: "no threads" };
    const open = `cat m | "$0" --import ${meddle} "$1" open -i bob.key --threads 3 | cat > alone`;
    expect(await shell(open, "", env).ended).toMatchObject({ status: 0, stderr: "" });
    expect(read("alone").equals(content)).toBe(true);
  });

  it("a signed message has its trailer over all segments, in their order", async () => {
    const key = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    spawnSync("openssl", [...key, "-out", join(folder, "zoe.key")]);
    spawnSync("chmod", ["600", join(folder, "zoe.key")]);
    const sign = `${P11SEAL} seal -q -r bob.pem --sign-with zoe.key`;
    const open = `${P11SEAL} open -q -i bob.key`;
    const script = `cat plain | ${sign} --threads 3 | cat > signed && \
      cat signed | ${open} --threads 1 | cat > one && cat signed | ${open} --threads 3 | cat > many`;
    const home = { P11SEAL_HOME: join(folder, "home") };
    const argv = ["-c", script, process.execPath, PROGRAM];
    const ended = await startProgram("sh", argv, { cwd: folder, env: home }).ended;
    expect(ended).toMatchObject({ status: 0 });
    expect(read("one").equals(content)).toBe(true);
    expect(read("many").equals(content)).toBe(true);
  });

  const places: [string, number, number][] = [
    ["in the middle", 70, 70],
    ["in the last but one", SEGMENTS - 2, SEGMENTS - 2],
    ["in the last", SEGMENTS - 1, SEGMENTS - 1],
  ];
  it.each(places)(
    "a bad segment %s is told, after all before it were delivered",
    async (_where, bad, good) => {
      const copy = Buffer.from(sealed);
      const at = bodyAt + bad * SEGMENT + 20;
      copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
      writeFileSync(join(folder, "bad"), copy);
      for (const threads of ["1", "2", "4"]) {
        const open = `${P11SEAL} open -i bob.key --threads ${threads}`;
        const { stderr } = await shell(`cat bad | { ${open}; echo "exit $?" >&2; } | cat > out`)
          .ended;
        expect(stderr).toContain(`segment ${bad} is not authentic`);
        expect(stderr).toContain(`the ${good * FULL} bytes on stdout are not the whole message`);
        expect(stderr).toContain("exit 4\n");
        expect(read("out").equals(content.subarray(0, good * FULL))).toBe(true);
      }
    },
  );

  it("what came is delivered, while more is to come", async () => {
    const running = shell(`cat | ${P11SEAL} open -i bob.key --threads 3 | cat`, null);
    let arrived = 0;
    running.child.stdout?.on("data", (chunk: Buffer) => (arrived += chunk.length));
    running.child.stdin?.write(sealed.subarray(0, bodyAt + 100 * SEGMENT + 7));
    await until(() => arrived === 100 * FULL, "all segments that are whole");
    for (let at = bodyAt + 100 * SEGMENT + 7; at < sealed.length; at += 700_000) {
      running.child.stdin?.write(sealed.subarray(at, at + 700_000));
    }
    running.child.stdin?.end();
    expect((await running.ended).stdout.equals(content)).toBe(true);
  });

  it("a failure is reported, though no more input comes and nothing ends", async () => {
    const copy = Buffer.from(sealed);
    copy.writeUInt8(copy.readUInt8(bodyAt + 90 * SEGMENT) ^ 1, bodyAt + 90 * SEGMENT);
    const open = `${P11SEAL} open -i bob.key --threads 2`;
    const running = shell(`cat | { ${open}; echo "exit $?" >&2; } | cat > /dev/null`, null);
    let told = "";
    running.child.stderr?.on("data", (chunk: Buffer) => (told += chunk.toString()));
    running.child.stdin?.write(copy.subarray(0, bodyAt + 100 * SEGMENT));
    await until(() => told.includes("exit 4\n"), "the exit status");
    expect(told).toContain("segment 90 ");
    running.child.stdin?.end();
    await running.ended;
  });
});

describe("a reader of stdout", () => {
  it("that goes away ends the run, though more is to come", async () => {
    const seal = `${P11SEAL} seal -r bob.pem --threads 2`;
    const script = `{ cat plain; exec sleep 30; } 2> /dev/null | { ${seal}; echo "exit $?" >&2; } | head -c 9000000 | wc -c`;
    const running = shell(script);
    let told = "";
    running.child.stderr?.on("data", (chunk: Buffer) => (told += chunk.toString()));
    await until(() => told.includes("exit"), "the exit status");
    running.child.kill();
    expect(told).toMatch(/^exit 1\n$/);
  });

  it("that is slow gets everything", async () => {
    const script = `cat m | ${P11SEAL} open -i bob.key --threads 2 | { head -c 5000000; sleep 1; cat; } > slow`;
    expect(await shell(script).ended).toMatchObject({ status: 0, stderr: "" });
    expect(read("slow").equals(content)).toBe(true);
  });

  it("behind a socket, where writes do not wait, gets everything when it comes to it", async () => {
    const running = start([...OPEN, "--threads", "3", "m"], { cwd: folder });
    running.child.stdout?.pause();
    setTimeout(() => running.child.stdout?.resume(), 500);
    const ended = await running.ended;
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    expect(ended.stdout.equals(content)).toBe(true);
  });

  it.each(["SIGINT", "SIGTERM"] as const)(
    "that is stuck does not keep the program from ending at %s",
    async (signal) => {
      const fifo = join(folder, `stuck-${signal}`);
      spawnSync("mkfifo", [fifo]);
      // Reads enough that threads write, and then stops.
      const script = 'exec 3< "$0"; head -c 12000000 <&3 | wc -c; exec sleep 60';
      const reader = spawn("sh", ["-c", script, fifo], { stdio: ["ignore", "pipe", "ignore"] });
      let taken = "";
      reader.stdout.on("data", (chunk: Buffer) => (taken += chunk.toString()));
      const fd = openSync(fifo, "w");
      const running = start([...OPEN, "--threads", "2"], {
        cwd: folder,
        stdin: sealed,
        stdout: { fd },
      });
      closeSync(fd);
      try {
        await until(() => taken === "12000000\n", "a pipe that nobody empties");
        await new Promise((resolve) => setTimeout(resolve, 200));
        const asked = Date.now();
        running.child.kill(signal);
        expect(await running.ended).toMatchObject({ status: null, signal });
        expect(Date.now() - asked).toBeLessThan(5000);
      } finally {
        reader.kill();
      }
    },
  );
});
