/** Data files that somebody else owns, or may write to, are not read. */
import * as nodeFs from "node:fs";
import { chmodSync, mkdtempSync, rmSync, type Stats, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, it, jest } from "@jest/globals";
import { describeIf } from "../support/missing.js";

/** Whom the file system says a path belongs to; only root can give files away. */
const owners = new Map<string, number>();
const shown = (path: string, stats: Stats | undefined): Stats | undefined =>
  stats && Object.assign(stats, { uid: owners.get(path) ?? stats.uid });
const QUIET = { throwIfNoEntry: false } as const;

jest.unstable_mockModule("node:fs", () => ({
  ...nodeFs,
  lstatSync: (path: string) => shown(path, nodeFs.lstatSync(path, QUIET)),
  statSync: (path: string) => shown(path, nodeFs.statSync(path, QUIET)),
}));
const { fileState, readWhole } = await import("../../src/store/files.js");

const above = mkdtempSync(join(tmpdir(), "p11seal-owners-"));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});

let folder: string;
let file: string;
beforeEach(() => {
  owners.clear();
  folder = mkdtempSync(join(above, "f-"));
  file = join(folder, "list");
  writeFileSync(file, "content", { mode: 0o600 });
});

const STRANGER = (process.getuid?.() ?? 0) + 4711;
const describeUnix = describeIf(process.platform !== "win32", "Windows has no owners and modes");
const UNSAFE = { code: "ERR_UNSAFE_FILE" };

describeUnix("a data file", () => {
  it("of another user is refused", async () => {
    owners.set(file, STRANGER);
    await expect(fileState(file)).rejects.toMatchObject(UNSAFE);
    await expect(readWhole(file, 100)).rejects.toMatchObject(UNSAFE);
  });

  it("in a folder of another user is refused", async () => {
    owners.set(folder, STRANGER);
    await expect(readWhole(file, 100)).rejects.toMatchObject(UNSAFE);
  });

  it("of root is read", async () => {
    owners.set(file, 0);
    expect(await readWhole(file, 100)).toEqual(new Uint8Array(Buffer.from("content")));
  });

  it.each([0o620, 0o602, 0o666])("of mode %o is refused", async (mode) => {
    chmodSync(file, mode);
    await expect(readWhole(file, 100)).rejects.toMatchObject(UNSAFE);
  });

  it.each([0o770, 0o707])("in a folder of mode %o is refused", async (mode) => {
    chmodSync(folder, mode);
    await expect(readWhole(file, 100)).rejects.toMatchObject(UNSAFE);
  });
});
