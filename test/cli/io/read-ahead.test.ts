/** Reading ahead changes nothing in what is read, and leaves nothing behind. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openInput, type Input } from "../../../src/cli/io/inputs.js";
import { readAhead } from "../../../src/cli/io/read-ahead.js";
import { collect } from "../../../src/stream.js";
import { temporaryFolder } from "../support/folder.js";

const folder = temporaryFolder();

const input = (chunks: AsyncIterable<Uint8Array>, descriptor?: number): Input => ({
  ...{ name: "test", size: undefined, id: undefined, chunks },
  ...(descriptor !== undefined && { descriptor }),
  close: () => Promise.resolve(),
});

describe("reading ahead", () => {
  it("passes on the same bytes", async () => {
    const bytes = randomBytes(1_000_000);
    const path = join(folder, "file");
    writeFileSync(path, bytes);
    const file = await openInput(path, {} as never);
    try {
      expect(Buffer.from(await collect(readAhead(file))).equals(bytes)).toBe(true);
    } finally {
      await file.close();
    }
  });

  it("asks for one chunk more than was taken, and ends the source", async () => {
    let asked = 0;
    let ended = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          await Promise.resolve();
          asked++;
          yield Uint8Array.of(asked);
        }
      } finally {
        ended = true;
      }
    }
    for await (const chunk of readAhead(input(source(), 3))) {
      if (chunk[0] === 2) break;
    }
    expect({ asked, ended }).toEqual({ asked: 3, ended: true });
  });

  it("passes a failure on in its turn", async () => {
    async function* source(): AsyncGenerator<Uint8Array> {
      await Promise.resolve();
      yield Uint8Array.of(1);
      throw new Error("no more");
    }
    const seen: number[] = [];
    const read = async (): Promise<void> => {
      for await (const chunk of readAhead(input(source(), 3))) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        seen.push(chunk[0] ?? 0);
      }
    };
    await expect(read()).rejects.toThrow("no more");
    expect(seen).toEqual([1]);
  });

  it("is not done where a chunk may be replaced by the next", () => {
    const chunks = (async function* () {
      await Promise.resolve();
      yield Uint8Array.of(1);
    })();
    expect(readAhead(input(chunks))).toBe(chunks);
  });
});
