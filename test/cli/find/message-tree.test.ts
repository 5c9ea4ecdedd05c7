/** Which files a command about many messages works on, in which order, and what it passes over. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync, type PathLike } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { beforeEach, describe, expect, it } from "@jest/globals";
import {
  isInShard,
  messageFiles,
  shardOf,
  type TreeEntry,
  type TreeOptions,
} from "../../../src/cli/find/message-tree.js";
import { processIo } from "../../../src/cli/io/io.js";
import { sideFileOf } from "../../../src/store/work-files.js";
import { ownTemporaryBeside, temporaryBeside } from "../../../src/store/temporary.js";
import { temporaryFolder } from "../support/folder.js";
import { itAsUser } from "../../support/missing.js";

const folder = temporaryFolder();
const root = join(folder, "root");
const own = { ...processIo() };
// Without them, stdin is the stream that a test gives.
delete own.descriptors;

beforeEach(() => {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  process.chdir(folder);
});

function write(path: PathLike): void {
  writeFileSync(path, "content");
}

async function walk(
  paths: readonly string[],
  options: Partial<TreeOptions> = { tree: true },
  stdin?: string | Buffer,
): Promise<TreeEntry[]> {
  const io = { ...own, stdin: Readable.from([Buffer.from(stdin ?? "")]) };
  const found: TreeEntry[] = [];
  for await (const entry of messageFiles(paths, { tree: false, ...options }, io)) {
    found.push(entry);
  }
  return found;
}

const placesOf = (entries: readonly TreeEntry[]): string[] =>
  entries.flatMap((entry) => (entry.kind === "file" ? [entry.place] : []));

const faultsOf = (entries: readonly TreeEntry[]): (readonly [string, string])[] =>
  entries.flatMap((one) => (one.kind === "fault" ? [[one.path, one.error.code] as const] : []));

describe("a tree", () => {
  it("is gone through in the order of the names' bytes, each folder in its place", async () => {
    mkdirSync(join(root, "b"));
    mkdirSync(join(root, "B"));
    for (const name of ["a", "ab", "a.b", "b/z", "b/a", "B/x", "é", "z", "\u{10000}", "\uffee"]) {
      write(join(root, name));
    }
    const order = ["B/x", "a", "a.b", "ab", "b/a", "b/z", "z", "é", "\uffee", "\u{10000}"];
    expect(placesOf(await walk([root]))).toEqual(order);
    expect(placesOf(await walk(["root/"]))).toEqual(order);
    const [first] = await walk(["root"]);
    expect(first).toEqual({ kind: "file", path: "root/B/x", place: "B/x", named: false });
  });

  it("has names with line feeds, quotes and blanks at their ends", async () => {
    const names = [" a ", "a\nb", 'q"', "\r"];
    for (const name of names) write(join(root, name));
    expect(new Set(placesOf(await walk([root])))).toEqual(new Set(names));
  });

  it("follows no link in it, to a file, to a folder above or nowhere; a FIFO is not opened", async () => {
    const outside = join(folder, "outside");
    mkdirSync(outside, { recursive: true });
    write(join(outside, "secret"));
    write(join(root, "m"));
    symlinkSync(join(outside, "secret"), join(root, "file"));
    symlinkSync(outside, join(root, "folder"));
    symlinkSync("..", join(root, "up"));
    symlinkSync("nowhere", join(root, "nowhere"));
    execFileSync("mkfifo", [join(root, "pipe")]);
    const found = await walk([root]);
    expect(placesOf(found)).toEqual(["m"]);
    expect(found.filter(({ kind }) => kind === "skipped")).toEqual([
      ...["file", "folder", "nowhere"].map((name) => skippedLink(name)),
      { kind: "skipped", path: join(root, "pipe"), what: "FIFO" },
      skippedLink("up"),
    ]);
  });

  const skippedLink = (name: string): object => ({
    ...{ kind: "skipped", path: join(root, name), what: "symbolic link" },
  });

  it("passes over temporary files, side files and locks, and over nothing that only looks alike", async () => {
    const message = join(root, "m.p11s");
    write(message);
    const ours = [temporaryBeside(message), ownTemporaryBeside(message), sideFileOf(message)];
    for (const path of ours) write(path);
    write(`${temporaryBeside(message)}.old`);
    for (const name of [".p11seal-lock", ".p11seal-lock-2-of-4", ".p11seal-lock.a1B2c3"]) {
      mkdirSync(join(root, name));
      write(join(root, name, "free"));
    }
    const alike = [".hidden", ".p11seal-locked", "m.p11seal-header", "x.p11seal-01234567.part"];
    for (const name of alike) write(join(root, name));
    expect(placesOf(await walk([root]))).toEqual([...alike, "m.p11s"].sort());
  });

  it("reports a name that is not UTF-8, and goes on", async () => {
    const odd = Buffer.concat([Buffer.from(`${root}/b`), Buffer.from([0xff])]);
    write(odd);
    write(join(root, "b\ufffd"));
    write(join(root, "a"));
    write(join(root, "c"));
    const found = await walk([root]);
    expect(placesOf(found)).toEqual(["a", "b\ufffd", "c"]);
    expect(faultsOf(found)).toEqual([[join(root, "b\ufffd"), "ERR_NOT_UTF8"]]);
  });

  itAsUser("reports a folder that it may not read, and goes on", async () => {
    mkdirSync(join(root, "closed"), { mode: 0 });
    write(join(root, "d"));
    try {
      const found = await walk([root]);
      expect(placesOf(found)).toEqual(["d"]);
      expect(faultsOf(found)).toEqual([[join(root, "closed"), "ERR_READ"]]);
    } finally {
      chmodSync(join(root, "closed"), 0o700);
    }
  });

  it("holds little of 20,000 files in memory", async () => {
    for (let at = 0; at < 20; at++) mkdirSync(join(root, String(at)));
    for (let at = 0; at < 20_000; at++) {
      const name = `message-number-${String(at).padStart(6, "0")}.p11s`;
      writeFileSync(join(root, String(at % 20), name), "");
    }
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    let files = 0;
    let last = "";
    for await (const entry of messageFiles([root], { tree: true }, own)) {
      files++;
      if (entry.kind === "file") last = entry.place;
    }
    expect(files).toBe(20_000);
    expect(last).toBe("9/message-number-019989.p11s");
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);
  });
});

describe("named paths", () => {
  it("are taken in their order; one that is missing is a fault of its own", async () => {
    write(join(root, "b"));
    write(join(root, "a"));
    const found = await walk(["root/b", "root/missing", "./root//a"]);
    expect(placesOf(found)).toEqual(["root/b", "root/a"]);
    expect(faultsOf(found)).toEqual([["root/missing", "ERR_READ"]]);
    expect(found[0]).toMatchObject({ named: true, path: "root/b" });
  });

  it("are refused before any work if one is a folder, without --tree", async () => {
    write(join(root, "a"));
    await expect(walk(["root/a", "root"], {})).rejects.toMatchObject({
      code: "ERR_USAGE",
      message: '"root" is a folder',
    });
  });

  it("may be a link to a folder, but not to a file", async () => {
    write(join(root, "a"));
    symlinkSync("root", join(folder, "link"));
    symlinkSync("a", join(root, "to-a"));
    expect(placesOf(await walk(["link"]))).toEqual(["a"]);
    await expect(walk(["link"], {})).rejects.toMatchObject({ code: "ERR_USAGE" });
    const [fault] = await walk(["root/to-a"]);
    expect(fault).toMatchObject({
      kind: "fault",
      error: { code: "ERR_FILE_KIND", message: '"root/to-a" is a symbolic link' },
    });
  });

  it("are no devices, FIFOs, or links that lead nowhere", async () => {
    execFileSync("mkfifo", [join(root, "pipe")]);
    symlinkSync("nowhere", join(root, "nowhere"));
    expect(faultsOf(await walk(["root/pipe", "/dev/null", "root/nowhere"]))).toEqual([
      ["root/pipe", "ERR_FILE_KIND"],
      ["/dev/null", "ERR_FILE_KIND"],
      ["root/nowhere", "ERR_READ"],
    ]);
  });
});

describe("a manifest", () => {
  beforeEach(() => {
    for (const name of ["a", "b\nc", "d\r"]) write(join(root, name));
  });

  it("has a path on each line, and empty lines count for nothing", async () => {
    for (const list of ["root/a\n\nroot/d\r", "root/a\nroot/d\r\n"]) {
      expect(placesOf(await walk([], { manifest: "-" }, list))).toEqual(["root/a", "root/d\r"]);
    }
  });

  it("may end each path with a NUL, so that paths may have line feeds", async () => {
    for (const list of ["root/b\nc\0root/a\0", "root/b\nc\0root/a"]) {
      expect(placesOf(await walk([], { manifest: "-" }, list))).toEqual(["root/b\nc", "root/a"]);
    }
  });

  it("is read from a file, after the named paths; folders need --tree", async () => {
    writeFileSync(join(folder, "list"), "root\n");
    expect(placesOf(await walk(["root/a"], { manifest: "list", tree: true }))).toEqual([
      ...["root/a", "a", "b\nc", "d\r"],
    ]);
    expect(faultsOf(await walk([], { manifest: "list" }))).toEqual([["root", "ERR_USAGE"]]);
    await expect(walk([], { manifest: "none" })).rejects.toMatchObject({ code: "ERR_READ" });
  });

  it("names the line that is not UTF-8", async () => {
    const list = Buffer.concat([
      Buffer.from("root/a\nroot/"),
      Buffer.from([0xe9]),
      Buffer.from("\n"),
    ]);
    const [, fault] = await walk([], { manifest: "-" }, list);
    expect(fault).toMatchObject({
      kind: "fault",
      error: { code: "ERR_NOT_UTF8", message: 'line 2 of "stdin" is not UTF-8: "root/\ufffd"' },
    });
  });

  it("that is another file is refused before it fills the memory", async () => {
    await expect(walk([], { manifest: "-" }, "x".repeat(20_000))).rejects.toMatchObject({
      message: '"stdin" is not a list of paths',
    });
  });

  it("is as long as it likes", async () => {
    const list = "root/a\n".repeat(10_000);
    expect(placesOf(await walk([], { manifest: "-" }, list))).toHaveLength(10_000);
  });
});

describe("a shard", () => {
  const shards = [1, 2, 3, 4].map((part) => ({ part, of: 4 }));

  it("is one of the parts of all files, each in exactly one, wherever the tree lies", async () => {
    for (let at = 0; at < 100; at++) write(join(root, String(at)));
    const parts = await Promise.all(
      shards.map(async (shard) => placesOf(await walk([root], { tree: true, shard }))),
    );
    expect(parts.flat().sort()).toEqual(placesOf(await walk([root])).sort());
    for (const part of parts) expect(part.length).toBeGreaterThan(10);
    process.chdir(root);
    const [first = shardOf("1/4")] = shards;
    expect(placesOf(await walk(["."], { tree: true, ...(first && { shard: first }) }))).toEqual(
      parts[0],
    );
  });

  it("stays the same in later versions", () => {
    const at = (place: string): number => shards.findIndex((shard) => isInShard(place, shard)) + 1;
    // SHA-256, its first 48 bits modulo 4, by coreutils.
    expect(["a", "b/c", "é"].map(at)).toEqual(["a", "b/c", "é"].map(expected));
  });

  function expected(place: string): number {
    const hash = execFileSync("sha256sum", { input: place, encoding: "utf8" });
    return Number(BigInt(`0x${hash.slice(0, 12)}`) % 4n) + 1;
  }

  it("is counted from 1", () => {
    expect(shardOf(undefined)).toBeUndefined();
    expect(shardOf("2/4")).toEqual({ part: 2, of: 4 });
    for (const text of ["0/4", "5/4", "1", "1/0", "01/4", "1/4 ", "-1/4", "1/1000000"]) {
      expect(() => shardOf(text)).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
    }
  });
});
