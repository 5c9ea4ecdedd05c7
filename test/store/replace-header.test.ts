/**
 * Another header before the same body: what becomes of the file, what is refused, and that a fault
 * at any call leaves the file with one of the two headers.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, it } from "@jest/globals";
import { finishInPlace } from "../../src/store/header-in-place.js";
import { thisProcess } from "../../src/store/owner.js";
import { replaceHeader } from "../../src/store/replace-header.js";
import { sideFileOf } from "../../src/store/work-files.js";
import { faultShim, NO_SHIM } from "../support/file-faults/shim.js";
import { isFull } from "../support/scale.js";
import { describeIf, itAsRoot } from "../support/missing.js";

const PROGRAM = fileURLToPath(new URL("support/replace-header.mjs", import.meta.url));
const NOBODY = 65534;

const above = realpathSync(mkdtempSync(join(tmpdir(), "p11seal-header-")));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});
const shim = faultShim(above);

const old = randomBytes(4096);
/** Another in each byte, so that a file with any part of it is neither the old nor the new one. */
const same = Buffer.from(old.map((byte) => byte ^ 0xff));
const longer = randomBytes(8192);
const body = randomBytes(700_001);

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(above, "f-"));
  path = join(folder, "m.p11s");
  writeFileSync(path, Buffer.concat([old, body]), { mode: 0o640 });
});

function requireFile(header: Uint8Array): void {
  expect(readFileSync(path).equals(Buffer.concat([header, body]))).toBe(true);
}

/** Nothing else is in the folder. */
function requireAlone(): void {
  expect(readdirSync(folder)).toEqual(["m.p11s"]);
}

function untouched(): void {
  requireFile(old);
  requireAlone();
}

describe("a new header", () => {
  it.each([
    ["of the same size", same],
    ["that is longer", longer],
    ["that is shorter", longer.subarray(0, 100)],
    ["of a whole other file, such as a detached header", undefined],
  ])("%s comes before the same body", async (_, header) => {
    if (header === undefined) {
      writeFileSync(path, old);
      await replaceHeader(path, { expected: old, header: longer });
      expect(readFileSync(path).equals(longer)).toBe(true);
    } else {
      const how = await replaceHeader(path, { expected: old, header });
      expect(how).toMatch(header === same ? /^(?:cloned|copied)$/ : /^copied$/);
      requireFile(header);
    }
    requireAlone();
  });

  it.each(["600", "640", "644", "400", "2750"])("keeps the mode %s", async (octal) => {
    const mode = Number.parseInt(octal, 8);
    chmodSync(path, mode);
    for (const [expected, header] of [
      [old, same],
      [same, longer],
    ] as const) {
      await replaceHeader(path, { expected, header });
      expect(statSync(path).mode & 0o7777).toBe(mode);
    }
  });

  it("gives the file a new time of change, so that backups see it", async () => {
    utimesSync(path, 1, 1);
    await replaceHeader(path, { expected: old, header: same });
    expect(Date.now() - statSync(path).mtimeMs).toBeLessThan(60_000);
  });

  itAsRoot("keeps the owner and the group", async () => {
    chownSync(path, NOBODY, 1234);
    await replaceHeader(path, { expected: old, header: same });
    expect(statSync(path)).toMatchObject({ uid: NOBODY, gid: 1234 });
  });

  it("of a large file takes little memory", async () => {
    const size = 96 * 1024 * 1024;
    spawnSync("truncate", ["-s", String(size), path]);
    const before = process.memoryUsage().rss;
    await replaceHeader(path, { expected: old, header: longer });
    expect(statSync(path).size).toBe(size + longer.length - old.length);
    expect(process.memoryUsage().rss - before).toBeLessThan(48 * 1024 * 1024);
  });

  it("undoes nothing, and is undone by nothing, once it is there", async () => {
    const undone: (() => void)[] = [];
    const forgotten: string[] = [];
    await replaceHeader(path, {
      ...{ expected: old, header: same },
      onInterrupt(undo) {
        undone.push(undo);
        return () => {
          forgotten.push("once");
        };
      },
    });
    expect([undone.length, forgotten]).toEqual([1, ["once"]]);
  });

  it("that a signal interrupts leaves no temporary file", async () => {
    let undo = (): void => undefined;
    await expect(
      replaceHeader(path, {
        ...{ expected: old, header: same },
        onInterrupt(one) {
          undo = one;
          return () => undefined;
        },
        confirm() {
          undo();
          requireAlone();
          return Promise.resolve();
        },
      }),
    ).rejects.toMatchObject({ code: "ERR_WRITE" });
    untouched();
  });
});

describe("a header is left as it is", () => {
  it("if it is another one by now", async () => {
    for (const inPlace of [false, true]) {
      const change = { expected: same, header: longer.subarray(0, 4096), inPlace };
      await expect(replaceHeader(path, change)).rejects.toMatchObject({ code: "ERR_CHANGED" });
      untouched();
    }
  });

  it("if the file is shorter than it", async () => {
    writeFileSync(path, old.subarray(0, 4095));
    const change = { expected: old, header: same };
    await expect(replaceHeader(path, change)).rejects.toMatchObject({ code: "ERR_CHANGED" });
  });

  const meanwhile: readonly (readonly [string, () => void, Buffer])[] = [
    [
      "was appended to",
      () => {
        appendFileSync(path, "x");
      },
      Buffer.concat([old, body, Buffer.from("x")]),
    ],
    [
      "was replaced",
      () => {
        writeFileSync(join(folder, "new"), "other");
        renameSync(join(folder, "new"), path);
      },
      Buffer.from("other"),
    ],
    [
      "was replaced by its own copy",
      () => {
        writeFileSync(join(folder, "new"), readFileSync(path));
        renameSync(join(folder, "new"), path);
      },
      Buffer.concat([old, body]),
    ],
    [
      "was removed and is a link now",
      () => {
        renameSync(path, join(above, "elsewhere"));
        symlinkSync(join(above, "elsewhere"), path);
      },
      Buffer.concat([old, body]),
    ],
    [
      "got another header, and its old time of change back",
      () => {
        const { atime, mtime } = statSync(path);
        writeFileSync(path, Buffer.concat([longer.subarray(0, 4096), body]));
        utimesSync(path, atime, mtime);
      },
      Buffer.concat([longer.subarray(0, 4096), body]),
    ],
    [
      "got another body of the same size",
      () => {
        writeFileSync(path, Buffer.concat([old, Buffer.alloc(body.length, 7)]));
      },
      Buffer.concat([old, Buffer.alloc(body.length, 7)]),
    ],
    [
      "got another name",
      () => {
        linkSync(path, join(above, `link-${Math.random()}`));
      },
      Buffer.concat([old, body]),
    ],
  ];

  it.each(meanwhile)("if the file %s meanwhile", async (_, act, after) => {
    for (const inPlace of [false, true]) {
      writeFileSync(join(folder, "again"), Buffer.concat([old, body]));
      renameSync(join(folder, "again"), path);
      // Clocks of file systems are coarse.
      utimesSync(path, 1, 1);
      const confirm = (): Promise<void> => {
        act();
        return Promise.resolve();
      };
      const change = { expected: old, header: same, inPlace, confirm };
      await expect(replaceHeader(path, change)).rejects.toMatchObject({ code: "ERR_CHANGED" });
      expect(readFileSync(path).equals(after)).toBe(true);
      requireAlone();
    }
  });

  it("if the lock was lost meanwhile", async () => {
    for (const inPlace of [false, true]) {
      const confirm = (): Promise<void> => Promise.reject(new RangeError("lost"));
      const change = { expected: old, header: same, inPlace, confirm };
      await expect(replaceHeader(path, change)).rejects.toThrow("lost");
      untouched();
    }
  });

  it("if it is reached by a link, or is no file", async () => {
    symlinkSync("m.p11s", join(folder, "link"));
    mkdirSync(join(folder, "d"));
    spawnSync("mkfifo", [join(folder, "pipe")]);
    const server = createServer().listen(join(folder, "socket"));
    await once(server, "listening");
    const change = { expected: old, header: same };
    for (const name of ["link", "d", "pipe", "socket"]) {
      await expect(replaceHeader(join(folder, name), change)).rejects.toMatchObject({
        code: "ERR_FILE_KIND",
      });
    }
    server.close();
    await once(server, "close");
    requireFile(old);
  });

  it("if the file has other names, unless this one may get a file of its own", async () => {
    const other = join(above, "other-name");
    linkSync(path, other);
    const change = { expected: old, header: same };
    const inPlace = { ...change, inPlace: true, breakLinks: true };
    for (const one of [change, { ...change, inPlace: true }, inPlace]) {
      await expect(replaceHeader(path, one)).rejects.toMatchObject({ code: "ERR_HARD_LINK" });
      untouched();
    }
    await replaceHeader(path, { ...change, breakLinks: true });
    requireFile(same);
    expect(readFileSync(other).equals(Buffer.concat([old, body]))).toBe(true);
    expect(statSync(other).nlink).toBe(1);
    rmSync(other);
  });

  itAsRoot("if the file is another user's, who could not be given the new one", () => {
    chmodSync(above, 0o755);
    chmodSync(folder, 0o777);
    chmodSync(path, 0o666);
    expect(run(same, [`--as=${NOBODY}`])).toMatchObject({ status: 1, stdout: "ERR_OWNER\n" });
    untouched();
    expect(run(same, ["--in-place", `--as=${NOBODY}`])).toMatchObject({ status: 0 });
    requireFile(same);
    expect(statSync(path).uid).toBe(0);
  });

  itAsRoot("if the folder is read-only", () => {
    chmodSync(above, 0o755);
    chmodSync(folder, 0o555);
    chownSync(path, NOBODY, NOBODY);
    for (const options of [[], ["--in-place"]]) {
      const ended = run(same, [...options, `--as=${NOBODY}`]);
      expect(ended).toMatchObject({ status: 1, stdout: "ERR_WRITE\n" });
      untouched();
    }
  });
});

describe("in place", () => {
  it("the header is overwritten in the same file", async () => {
    const { ino } = statSync(path);
    await expect(replaceHeader(path, { expected: old, header: same, inPlace: true })).resolves.toBe(
      "in place",
    );
    requireFile(same);
    requireAlone();
    expect(statSync(path).ino).toBe(ino);
  });

  it("a header of another size does not fit", async () => {
    const change = { expected: old, header: longer, inPlace: true };
    await expect(replaceHeader(path, change)).rejects.toMatchObject({ code: "ERR_IN_PLACE" });
    untouched();
  });

  it("works on a file with the longest name", async () => {
    const long = join(folder, "ä".repeat(120));
    renameSync(path, long);
    path = long;
    await replaceHeader(path, { expected: old, header: same, inPlace: true });
    requireFile(same);
    expect(readdirSync(folder)).toHaveLength(1);
  });
});

// ── After a crash ──

const [host = "", boot = "", space = ""] = thisProcess().split("-");
const ENDED = `${host}-${boot}-${space}-${process.pid}-1`;
const UNSEEN = `${"0".repeat(12)}-${"0".repeat(12)}-${space}-${process.pid}-1`;

/** The side file of a run that was killed: made by a run, with another one's name put in. */
async function leaveSideFile(run: string, change?: (bytes: Buffer) => Buffer): Promise<string> {
  const side = sideFileOf(path);
  let bytes = Buffer.alloc(0);
  const confirm = (): Promise<void> => {
    bytes = readFileSync(side);
    return Promise.reject(new RangeError("stop"));
  };
  const inPlace = { expected: old, header: same, inPlace: true, confirm };
  await expect(replaceHeader(path, inPlace)).rejects.toThrow("stop");
  const text = bytes.toString("latin1").replace(thisProcess(), run);
  writeFileSync(side, (change ?? ((one) => one))(Buffer.from(text, "latin1")), { mode: 0o600 });
  return side;
}

const mixed = (at: number): Buffer => Buffer.concat([same.subarray(0, at), old.subarray(at), body]);

describe("what a killed run left", () => {
  it.each([1, 512, 4000, 4095])("is finished if %i bytes were overwritten", async (at) => {
    await leaveSideFile(ENDED);
    writeFileSync(path, mixed(at));
    await expect(finishInPlace(path)).resolves.toBe("finished");
    requireFile(same);
    requireAlone();
  });

  it("is finished before the next header is written", async () => {
    await leaveSideFile(ENDED);
    writeFileSync(path, mixed(512));
    const change = { expected: old, header: longer };
    await expect(replaceHeader(path, change)).rejects.toMatchObject({ code: "ERR_CHANGED" });
    requireFile(same);
    await replaceHeader(path, { expected: same, header: longer });
    requireFile(longer);
    requireAlone();
  });

  it.each([
    ["nothing was", old],
    ["everything was", same],
  ])("goes if %s overwritten", async (_, header) => {
    await leaveSideFile(ENDED);
    writeFileSync(path, Buffer.concat([header, body]));
    await expect(finishInPlace(path)).resolves.toBe("nothing");
    requireFile(header);
    requireAlone();
  });

  it("does nothing to another message by that name", async () => {
    // Each differs from both headers at its end: one is another message, and one begins as what an
    // interrupted run leaves.
    const neither = old.map((byte) => byte ^ 1);
    const almost = Buffer.concat([mixed(512).subarray(0, 4095), neither.subarray(4095)]);
    for (const header of [neither, almost]) {
      await leaveSideFile(ENDED);
      writeFileSync(path, Buffer.concat([header, body]));
      await expect(finishInPlace(path)).resolves.toBe("nothing");
      requireFile(header);
      requireAlone();
      writeFileSync(path, Buffer.concat([old, body]));
    }
  });

  it("stays while its run goes on, or may go on out of sight", async () => {
    for (const run of [thisProcess(), UNSEEN]) {
      const side = await leaveSideFile(run);
      writeFileSync(path, mixed(512));
      await expect(finishInPlace(path)).resolves.toBe("busy");
      const change = { expected: old, header: longer };
      await expect(replaceHeader(path, change)).rejects.toMatchObject({ code: "ERR_LOCKED" });
      expect(readFileSync(path).equals(mixed(512))).toBe(true);
      rmSync(side);
      writeFileSync(path, Buffer.concat([old, body]));
    }
  }, 20_000);

  it("is finished a minute after a run out of sight began", async () => {
    const side = await leaveSideFile(UNSEEN);
    const minuteAgo = Date.now() / 1000 - 61;
    utimesSync(side, minuteAgo, minuteAgo);
    writeFileSync(path, mixed(512));
    await expect(finishInPlace(path)).resolves.toBe("finished");
    requireFile(same);
  });

  it.each([
    ["is cut", (bytes: Buffer) => bytes.subarray(0, -1)],
    [
      "has another header than it says",
      (bytes: Buffer) => {
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
        return bytes;
      },
    ],
    ["has no line", () => Buffer.from("{}")],
    ["is no JSON", () => Buffer.from("\n\n")],
    ["is empty", () => Buffer.alloc(0)],
  ])("does nothing if it %s", async (_, change) => {
    const side = await leaveSideFile(ENDED, change);
    writeFileSync(path, mixed(512));
    await expect(finishInPlace(path)).resolves.toBe("nothing");
    expect(readFileSync(path).equals(mixed(512))).toBe(true);
    expect(statSync(side).isFile()).toBe(true);
  });

  it("does nothing if others could write it, or it is a link", async () => {
    const side = await leaveSideFile(ENDED);
    writeFileSync(path, mixed(512));
    chmodSync(side, 0o620);
    await expect(finishInPlace(path)).resolves.toBe("nothing");
    chmodSync(side, 0o600);
    renameSync(side, join(above, "side"));
    symlinkSync(join(above, "side"), side);
    await expect(finishInPlace(path)).resolves.toBe("nothing");
    expect(readFileSync(path).equals(mixed(512))).toBe(true);
  });

  itAsRoot("does nothing if it is another user's, and the message is not", async () => {
    const side = await leaveSideFile(ENDED);
    writeFileSync(path, mixed(512));
    chownSync(side, NOBODY, NOBODY);
    await expect(finishInPlace(path)).resolves.toBe("nothing");
    expect(readFileSync(path).equals(mixed(512))).toBe(true);
    chownSync(path, NOBODY, NOBODY);
    await expect(finishInPlace(path)).resolves.toBe("finished");
    requireFile(same);
  });
});

// ── Faults at every call ──

function run(
  header: Uint8Array,
  options: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { status: number | null; signal: string | null; stdout: string } {
  writeFileSync(join(above, "old"), old);
  writeFileSync(join(above, "new"), header);
  const argv = [PROGRAM, path, join(above, "old"), join(above, "new"), ...options];
  return spawnSync(process.execPath, argv, { encoding: "utf8", env: { ...process.env, ...env } });
}

describeIf(shim !== undefined, NO_SHIM)("a fault at any call", () => {
  const faults = { LD_PRELOAD: shim ?? "", FILE_FAULT_FOLDERS: "1" };
  const kinds = ["kill", "ENOSPC", "EIO"] as const;

  it.each([
    ["a header of the same size", same, []],
    ["a longer header", longer, []],
    ["a header in place", same, ["--in-place"]],
  ] as const)(
    "leaves the file whole, and the next run goes through: %s",
    async (_, header, options) => {
      const counted = join(above, "count");
      expect(run(header, options, { ...faults, FILE_FAULT_COUNT: counted }).status).toBe(0);
      const calls = Number(readFileSync(counted, "utf8"));
      expect(calls).toBeGreaterThan(5);
      const ended: string[] = [];
      for (let at = 1; at <= calls; at++) {
        for (const kind of isFull ? kinds : [kinds[at % kinds.length] ?? "kill"]) {
          writeFileSync(path, Buffer.concat([old, body]));
          const env = { ...faults, FILE_FAULT: kind, FILE_FAULT_AT: String(at) };
          const { signal, stdout, status } = run(header, options, env);
          ended.push(signal ?? stdout);
          try {
            await requireSound(header, options, status);
          } catch (error) {
            throw new Error(`${kind} at call ${at} of ${calls}: ${stdout}`, { cause: error });
          }
        }
      }
      expect(ended).toContain("SIGKILL");
      expect(ended).toContain("ERR_WRITE\n");
    },
    600_000,
  );

  async function requireSound(
    header: Uint8Array,
    options: readonly string[],
    status: number | null,
  ): Promise<void> {
    if (status === null) await finishInPlace(path);
    const whole = [old, header].map((one) => Buffer.concat([one, body]));
    const now = readFileSync(path);
    expect(whole.some((one) => one.equals(now))).toBe(true);
    // Of what was done, a temporary file that could not be removed may stay till the next run.
    if (status === 1) requireAlone();
    if (whole[1]?.equals(now) === true) {
      expect(run(header, options)).toMatchObject({ stdout: "ERR_CHANGED\n" });
    } else {
      expect(run(header, options)).toMatchObject({ status: 0 });
      requireFile(header);
    }
    requireAlone();
  }
});
