/** A header that is being overwritten where it is, when the disk fails in the middle of it. */
import * as nodeFs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeEach, describe, expect, it, jest } from "@jest/globals";

/** How many bytes can still be written before the disk fails; how many writes fail then. */
let disk = { room: Infinity, failures: 0 };

const write = async (
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  place: number,
): Promise<{ bytesWritten: number }> => {
  if (disk.room === 0 && disk.failures > 0) {
    disk.failures--;
    if (disk.failures === 0) disk.room = Infinity;
    throw Object.assign(new Error("EIO"), { code: "EIO", syscall: "write" });
  }
  const fitting = Math.min(length, disk.room);
  disk.room -= fitting;
  return promisify(nodeFs.write)(fd, bytes, offset, fitting, place);
};
jest.unstable_mockModule("node:fs", () => ({
  ...nodeFs,
  write: Object.assign(() => undefined, { [promisify.custom]: write }),
}));
const { finishInPlace } = await import("../../src/store/header-in-place.js");
const { replaceHeader } = await import("../../src/store/replace-header.js");
const { sideFileOf } = await import("../../src/store/work-files.js");

const above = nodeFs.mkdtempSync(join(tmpdir(), "p11seal-torn-"));
afterAll(() => {
  nodeFs.rmSync(above, { recursive: true, force: true });
});

const [old, next, body] = [Buffer.alloc(4096, 1), Buffer.alloc(4096, 2), Buffer.alloc(99, 3)];
let path: string;
beforeEach(() => {
  path = join(nodeFs.mkdtempSync(join(above, "f-")), "m");
  nodeFs.writeFileSync(path, Buffer.concat([old, body]));
  disk = { room: Infinity, failures: 0 };
});

const has = (...parts: readonly Uint8Array[]): boolean =>
  nodeFs.readFileSync(path).equals(Buffer.concat(parts));
const replaced = (): Promise<unknown> =>
  replaceHeader(path, { expected: old, header: next, inPlace: true });

describe("a header that is overwritten in part", () => {
  it("is put back", async () => {
    disk = { room: 512, failures: 1 };
    await expect(replaced()).rejects.toMatchObject({ code: "ERR_WRITE" });
    expect(has(old, body)).toBe(true);
    expect(nodeFs.existsSync(sideFileOf(path))).toBe(false);
  });

  it("keeps what finishes it if it can't be put back", async () => {
    disk = { room: 512, failures: 2 };
    const torn = await replaced().catch((error: unknown) => error);
    expect(torn).toMatchObject({ code: "ERR_WRITE" });
    expect((torn as { hint: string }).hint).toContain("p11seal doctor");
    expect(has(next.subarray(0, 512), old.subarray(512), body)).toBe(true);
    // Its run goes on; once it has ended, whoever comes next finishes the work.
    const side = sideFileOf(path);
    const [line = "", ...rest] = nodeFs.readFileSync(side, "latin1").split("\n");
    const fields = JSON.parse(line) as { run: string };
    const ended = { ...fields, run: fields.run.replace(/-[0-9]+$/, "-1") };
    nodeFs.writeFileSync(side, [JSON.stringify(ended), ...rest].join("\n"), "latin1");
    await expect(finishInPlace(path)).resolves.toBe("finished");
    expect(has(next, body)).toBe(true);
    expect(nodeFs.existsSync(side)).toBe(false);
  });
});
