/** A journal: lines are added, whole, and only to a file of one's own. */
import {
  appendFileSync,
  chownSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { open, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it, jest } from "@jest/globals";
import { Journal } from "../../src/store/journal.js";
import { itAsRoot } from "../support/missing.js";

const above = mkdtempSync(join(tmpdir(), "p11seal-journal-"));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});

let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(above, "f-")), "journal");
});

async function add(...entries: readonly object[]): Promise<void> {
  const journal = await Journal.open(path);
  await Promise.all(entries.map((entry) => journal.add(entry)));
  await journal.close();
}

const lines = (): string[] => readFileSync(path, "utf8").split("\n");

describe("a journal", () => {
  it("gets a line for each entry, in their order, and keeps what it has", async () => {
    await add({ n: 1 }, { n: 2, name: "a\nb" }, { n: 3 });
    await add({ n: 4 });
    expect(lines()).toEqual(['{"n":1}', '{"n":2,"name":"a\\nb"}', '{"n":3}', '{"n":4}', ""]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("goes on in a line of its own after one that was cut", async () => {
    await add({ n: 1 });
    appendFileSync(path, '{"n":');
    await add({ n: 3 });
    expect(lines()).toEqual(['{"n":1}', '{"n":', '{"n":3}', ""]);
  });

  it("escapes what a terminal would act on", async () => {
    await add({ path: "\u001b[31m\u202e" });
    expect(readFileSync(path, "utf8")).toBe('{"path":"\\u001b[31m\\u202e"}\n');
  });

  it("is no link, FIFO or folder", async () => {
    writeFileSync(`${path}.real`, "");
    symlinkSync(`${path}.real`, path);
    await expect(Journal.open(path)).rejects.toMatchObject({ code: "ERR_FILE_KIND" });
    expect(readFileSync(`${path}.real`, "utf8")).toBe("");
    spawnSync("mkfifo", [`${path}.fifo`]);
    await expect(Journal.open(`${path}.fifo`)).rejects.toMatchObject({ code: "ERR_FILE_KIND" });
    await expect(Journal.open(above)).rejects.toMatchObject({ code: "ERR_WRITE" });
    await expect(Journal.open(join(path, "none"))).rejects.toMatchObject({ code: "ERR_WRITE" });
  });

  it("is nothing else that lies there: a message would not open any more", async () => {
    for (const other of ["p11seal\u0000", "\n\n", '["a"]\n', "{\n  1\n}\n"]) {
      writeFileSync(path, other);
      const refusal = { code: "ERR_FILE_KIND", message: expect.stringContaining("is no journal") };
      await expect(Journal.open(path)).rejects.toMatchObject(refusal);
      expect(readFileSync(path, "utf8")).toBe(other);
    }
  });

  it("goes on after a first line that was cut", async () => {
    for (const cut of ["{", "\n"]) {
      writeFileSync(path, cut);
      await add({ n: 1 });
      await add({ n: 2 });
      expect(lines().slice(1)).toEqual(['{"n":1}', '{"n":2}', ""]);
    }
  });

  itAsRoot("is nobody else's file", async () => {
    writeFileSync(path, "");
    chownSync(path, 65534, 65534);
    await expect(Journal.open(path)).rejects.toMatchObject({ code: "ERR_OWNER" });
  });

  it("says that a line was cut, and goes on in a line of its own", async () => {
    const journal = await Journal.open(path);
    const handle = await open(path);
    const methods = Object.getPrototypeOf(handle) as FileHandle;
    await handle.close();
    jest.spyOn(methods, "appendFile").mockImplementationOnce(async function (
      this: FileHandle,
      line,
    ) {
      await this.write(String(line).slice(0, 4));
      throw Object.assign(new Error("no room"), { code: "ENOSPC", syscall: "write" });
    });
    await expect(journal.add({ n: 1 })).rejects.toMatchObject({ code: "ERR_WRITE" });
    await journal.add({ n: 2 });
    await journal.add({ n: 3 });
    await journal.close();
    expect(lines()).toEqual(['{"n"', '{"n":2}', '{"n":3}', ""]);
  });

  it("says when the disk is full, and each later line stands alone", async () => {
    await add({ n: 1 });
    // A limit on the file's size stands for the disk: the write ends in the middle, then fails.
    const program = `
      const { Journal } = await import(${JSON.stringify(new URL("../../dist/store/journal.js", import.meta.url).href)});
      process.on("SIGXFSZ", () => undefined);
      const journal = await Journal.open(process.argv[1]);
      const code = await journal.add({ n: "x".repeat(4000) }).catch((error) => error.code);
      console.log(code);
    `;
    const limited = `ulimit -f 1; exec "$0" --input-type=module -e "$1" "$2"`;
    const ended = spawnSync("sh", ["-c", limited, process.execPath, program, path], {
      encoding: "utf8",
    });
    expect(ended.stdout).toBe("ERR_WRITE\n");
    await add({ n: 3 });
    const [first, cut = "", third, ...rest] = lines();
    expect([first, third, rest]).toEqual(['{"n":1}', '{"n":3}', [""]]);
    expect(cut).toMatch(/^\{"n":"x+$/);
  });
});
