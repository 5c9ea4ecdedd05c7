/** Folders whose names are on the disk before anything in them is relied on. */
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "@jest/globals";
import { calls } from "../support/recorded-calls.js";

const { makeFolder } = await import("../../src/store/make-folder.js");

const above = mkdtempSync(join(tmpdir(), "p11seal-folders-"));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});

let top: string;
let flushTop: string;
beforeEach(() => {
  top = mkdtempSync(join(above, "f-"));
  writeFileSync(join(top, "other"), "");
  flushTop = `flush ${basename(top)}`;
  calls.length = 0;
});

describe("a folder", () => {
  it("is its owner's alone, and so is each that was missing above it", async () => {
    await makeFolder(join(top, "a", "b"));
    for (const path of ["a", "a/b"]) expect(statSync(join(top, path)).mode & 0o777).toBe(0o700);
  });

  it("that is made has its name on the disk before anything is made in it", async () => {
    await makeFolder(join(top, "a", "b", "c"));
    expect(calls).toEqual(["make a", flushTop, "make b", "flush a", "make c", "flush b"]);
  });

  it("that is found empty is flushed: its run may have been killed before", async () => {
    mkdirSync(join(top, "a"));
    await makeFolder(join(top, "a"));
    expect(calls).toEqual([flushTop]);
  });

  it("that was made for another one, which was not, is flushed", async () => {
    mkdirSync(join(top, "a", "b"), { recursive: true });
    await makeFolder(join(top, "a", "b", "c"));
    expect(calls).toEqual(["flush a", "make c", "flush b"]);
  });

  it("that has something in it costs one look", async () => {
    mkdirSync(join(top, "a", "b"), { recursive: true });
    await makeFolder(join(top, "a"));
    expect(calls).toEqual([]);
  });

  it.each([
    [
      "a file",
      (path: string) => {
        writeFileSync(path, "");
      },
    ],
    [
      "a link that leads nowhere",
      (path: string) => {
        symlinkSync("nowhere", path);
      },
    ],
  ])("can't be made in the place of %s, nor in it", async (_, put) => {
    put(join(top, "a"));
    for (const path of ["a", "a/b"]) {
      await expect(makeFolder(join(top, path))).rejects.toMatchObject({ code: "ERR_WRITE" });
    }
  });
});
