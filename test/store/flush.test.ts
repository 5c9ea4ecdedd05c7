/** Who waits for a folder's flush, waits for one that began after the call. */
import * as nodeFs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, it, jest } from "@jest/globals";

/** Ends the flushes that were begun, in their order. */
let flushes: ((error: NodeJS.ErrnoException | null) => void)[] = [];

jest.unstable_mockModule("node:fs", () => ({
  ...nodeFs,
  fsync: (_: number, done: nodeFs.NoParamCallback) => {
    flushes.push(done);
  },
}));
const { syncFolder, syncIfPossible } = await import("../../src/store/flush.js");

const above = nodeFs.mkdtempSync(join(tmpdir(), "p11seal-sync-"));
afterAll(() => {
  nodeFs.rmSync(above, { recursive: true, force: true });
});

let folder: string;
let ended: string[];
beforeEach(() => {
  folder = nodeFs.mkdtempSync(join(above, "f-"));
  [flushes, ended] = [[], []];
});

function flush(name: string, path = folder): void {
  syncFolder(path).then(
    () => ended.push(name),
    (error: unknown) => ended.push(`${name}: ${(error as NodeJS.ErrnoException).code}`),
  );
}

async function end(error: NodeJS.ErrnoException | null = null): Promise<void> {
  flushes.shift()?.(error);
  await new Promise((resolve) => setImmediate(resolve));
}

it("shares none that is under way, and the next one with all who come meanwhile", async () => {
  for (const name of ["a", "b", "c"]) flush(name);
  expect(flushes).toHaveLength(1);
  await end();
  expect(ended).toEqual(["a"]);
  expect(flushes).toHaveLength(1);
  flush("d");
  await end();
  expect(ended).toEqual(["a", "b", "c"]);
  await end();
  expect(ended).toEqual(["a", "b", "c", "d"]);
  expect(flushes).toHaveLength(0);
  flush("e");
  await end();
  expect(ended.at(-1)).toBe("e");
});

it("tells each who waited of a failure, and those of the next flush nothing of it", async () => {
  for (const name of ["a", "b", "c"]) flush(name);
  await end(Object.assign(new Error("I/O error"), { code: "EIO" }));
  expect(ended).toEqual(["a: EIO"]);
  await end();
  expect(ended).toEqual(["a: EIO", "b", "c"]);
});

it("keeps folders apart, and tells of one that is not there", async () => {
  flush("other", nodeFs.mkdtempSync(join(above, "f-")));
  flush("this");
  flush("none", join(folder, "none"));
  expect(flushes).toHaveLength(2);
  await end();
  await end();
  expect(ended.sort()).toEqual(["none: ENOENT", "other", "this"]);
});

it.each(["EINVAL", "EACCES", "EROFS"])(
  "lets a folder be that can't be flushed: %s",
  async (code) => {
    const done = syncIfPossible(folder);
    await end(Object.assign(new Error(code), { code }));
    await expect(done).resolves.toBe(undefined);
  },
);

it("tells of a disk that fails, also where a folder need not be flushed", async () => {
  const done = syncIfPossible(folder);
  const told = expect(done).rejects.toMatchObject({ code: "EIO" });
  await end(Object.assign(new Error("I/O error"), { code: "EIO" }));
  await told;
});
