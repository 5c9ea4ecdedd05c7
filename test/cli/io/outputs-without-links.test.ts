/**
 * On file systems without hard links, such as FAT, outputs are placed differently but as safely.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it, jest } from "@jest/globals";
import { temporaryFolder } from "../support/folder.js";

jest.unstable_mockModule("node:fs", () => ({
  ...fs,
  linkSync: () => {
    throw Object.assign(new Error("link"), { code: "EPERM" });
  },
}));
const { commit, fileOutput } = await import("../../../src/cli/io/outputs.js");

const folder = temporaryFolder();
const target = join(folder, "out");

async function written(force = false): Promise<Awaited<ReturnType<typeof fileOutput>>> {
  const output = await fileOutput(target, { force, mode: "public", inputs: [] });
  await output.write(Buffer.from("new"));
  return output;
}

beforeEach(() => {
  fs.rmSync(target, { force: true });
});

describe("without hard links", () => {
  it("an output still appears, and nothing beside it", async () => {
    await commit(await written());
    expect(fs.readFileSync(target, "utf8")).toBe("new");
    expect(fs.readdirSync(folder)).toEqual(["out"]);
  });

  it("a file that appears while the work is done is not overwritten", async () => {
    const output = await written();
    fs.writeFileSync(target, "old");
    await expect(commit(output)).rejects.toMatchObject({ code: "ERR_EXISTS" });
    await output.close();
    expect(fs.readFileSync(target, "utf8")).toBe("old");
    expect(fs.readdirSync(folder)).toEqual(["out"]);
  });

  it("an existing file is replaced with --force", async () => {
    fs.writeFileSync(target, "old");
    await commit(await written(true));
    expect(fs.readFileSync(target, "utf8")).toBe("new");
    expect(fs.readdirSync(folder)).toEqual(["out"]);
  });
});
