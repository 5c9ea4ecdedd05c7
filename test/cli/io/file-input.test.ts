/** A file read by this thread alone is the same file, and holds up nothing else for long. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { FileInput } from "../../../src/cli/io/file-input.js";
import { collect } from "../../../src/stream.js";
import { temporaryFolder } from "../support/folder.js";

const folder = temporaryFolder();

describe("a file that this thread reads", () => {
  it("has the same bytes", async () => {
    const bytes = randomBytes(1_000_000);
    const path = join(folder, "file");
    writeFileSync(path, bytes);
    const handle = await open(path);
    try {
      const file = new FileInput(handle, path, bytes.length);
      file.readAlone();
      expect(Buffer.from(await collect(file.chunks)).equals(bytes)).toBe(true);
    } finally {
      await handle.close();
    }
  });

  it("is refused if it got shorter", async () => {
    const path = join(folder, "short");
    writeFileSync(path, "short");
    const handle = await open(path);
    try {
      const file = new FileInput(handle, path, 6);
      file.readAlone();
      await expect(collect(file.chunks)).rejects.toMatchObject({
        code: "ERR_READ",
        hint: "it got shorter while it was being read",
      });
    } finally {
      await handle.close();
    }
  });

  it("lets signals and timers have their turn", async () => {
    const handle = await open("/dev/zero");
    try {
      const file = new FileInput(handle, "zeros", 0);
      file.readAlone();
      const target = new Uint8Array(4096);
      const turns: NodeJS.Immediate[] = [];
      const turn = (): void => void turns.push(setImmediate(turn));
      turn();
      const giveUpAt = Date.now() + 10_000;
      while (turns.length < 4 && Date.now() < giveUpAt) await file.chunks.fill(target);
      clearImmediate(turns.at(-1));
      expect(turns.length).toBeGreaterThanOrEqual(4);
    } finally {
      await handle.close();
    }
  });
});
