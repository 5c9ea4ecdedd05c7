/** Output files: whole or not at all. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { openInput } from "../../../src/cli/io/inputs.js";
import { restore } from "../../../src/terminal/interrupts.js";
import { processIo } from "../../../src/cli/io/io.js";
import type { Output, OutputOptions } from "../../../src/cli/io/output.js";
import { commit, fileOutput, requireDistinct } from "../../../src/cli/io/outputs.js";
import { temporaryFolder } from "../support/folder.js";

const root = temporaryFolder();
let folder: string;
let target: string;

beforeEach(() => {
  folder = join(root, "case");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  target = join(folder, "out");
});

const OPTIONS: OutputOptions = { force: false, mode: "public", inputs: [] };
const FORCE: OutputOptions = { ...OPTIONS, force: true };
const NEW = Buffer.from("new content");
const OLD = Buffer.from("old content");

async function written(path = target, options = OPTIONS): Promise<Output> {
  const output = await fileOutput(path, options);
  await output.write(NEW);
  return output;
}

describe("an output file", () => {
  it("appears only when it is committed, and leaves nothing beside it", async () => {
    const output = await written();
    expect(existsSync(target)).toBe(false);
    await commit(output);
    expect(readFileSync(target)).toEqual(NEW);
    expect(readdirSync(folder)).toEqual(["out"]);
  });

  it("may be empty", async () => {
    await commit(await fileOutput(target, OPTIONS));
    expect(readFileSync(target)).toHaveLength(0);
  });

  it("keeps bytes in order, small and large ones mixed", async () => {
    const parts = [3, 4096, 1, 1, 70_000, 5000, 2, 100].map((length, i) => Buffer.alloc(length, i));
    const output = await fileOutput(target, OPTIONS);
    for (const part of parts) {
      const reused = Uint8Array.from(part);
      await output.write(reused);
      reused.fill(0xff);
    }
    await commit(output);
    expect(readFileSync(target).equals(Buffer.concat(parts))).toBe(true);
  });

  it("is not made before its first byte, and gone when closed without a commit", async () => {
    const output = await fileOutput(target, OPTIONS);
    expect(readdirSync(folder)).toEqual([]);
    await output.write(NEW);
    expect(readdirSync(folder)[0]).toMatch(/^\.out\.p11seal-[0-9a-f]{8}-[0-9a-f-]+\.part$/);
    await output.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("has its temporary file removed if the process is interrupted", async () => {
    const output = await written();
    restore();
    expect(readdirSync(folder)).toEqual([]);
    await output.close();
  });

  it("can have a name as long as the file system allows", async () => {
    const long = join(folder, "ä".repeat(127));
    await commit(await written(long));
    expect(readFileSync(long)).toEqual(NEW);
  });
});

describe("an output's mode", () => {
  it("keeps plaintext to its owner, while it is written and after", async () => {
    const output = await written(target, { ...OPTIONS, mode: "private" });
    const [temporary = ""] = readdirSync(folder);
    expect(statSync(join(folder, temporary)).mode & 0o777).toBe(0o600);
    await commit(output);
    expect(statSync(target).mode & 0o777).toBe(0o600);
  });

  it("is the umask's for what is public", async () => {
    writeFileSync(join(folder, "reference"), "");
    await commit(await written());
    expect(statSync(target).mode).toBe(statSync(join(folder, "reference")).mode);
  });

  it("stays that of the file it replaces", async () => {
    writeFileSync(target, OLD);
    chmodSync(target, 0o640);
    await commit(await written(target, { ...FORCE, mode: "private" }));
    expect(statSync(target).mode & 0o777).toBe(0o640);
  });
});

describe("an existing output", () => {
  beforeEach(() => {
    writeFileSync(target, OLD);
  });

  it("is refused before any work, and unchanged", async () => {
    await expect(fileOutput(target, OPTIONS)).rejects.toMatchObject({ code: "ERR_EXISTS" });
    expect(readFileSync(target)).toEqual(OLD);
  });

  it("is replaced with --force, in one step", async () => {
    const output = await written(target, FORCE);
    expect(readFileSync(target)).toEqual(OLD);
    await commit(output);
    expect(readFileSync(target)).toEqual(NEW);
    expect(readdirSync(folder)).toEqual(["out"]);
  });

  it("is byte-identical when the work fails half way", async () => {
    const output = await written(target, FORCE);
    await output.close();
    expect(readFileSync(target)).toEqual(OLD);
    expect(readdirSync(folder)).toEqual(["out"]);
  });

  it("is not overwritten when it appears while the work is done", async () => {
    rmSync(target);
    const output = await written();
    writeFileSync(target, OLD);
    await expect(commit(output)).rejects.toMatchObject({ code: "ERR_EXISTS" });
    await output.close();
    expect(readFileSync(target)).toEqual(OLD);
    expect(readdirSync(folder)).toEqual(["out"]);
  });
});

describe("an output that is not a file", () => {
  it.each([
    [
      "folder",
      () => {
        mkdirSync(target);
      },
    ],
    [
      "symbolic link",
      () => {
        writeFileSync(join(folder, "real"), OLD);
        symlinkSync("real", target);
      },
    ],
    [
      "symbolic link",
      () => {
        symlinkSync("nowhere", target);
      },
    ],
    [
      "FIFO",
      () => {
        execFileSync("mkfifo", [target]);
      },
    ],
  ])("is refused, with --force too: a %s", async (kind, make) => {
    make();
    for (const options of [OPTIONS, FORCE]) {
      await expect(fileOutput(target, options)).rejects.toMatchObject({
        code: "ERR_OUTPUT_KIND",
        message: `"${target}" is a ${kind}`,
      });
    }
  });

  it("is refused: a socket", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(target, resolve));
    try {
      await expect(fileOutput(target, FORCE)).rejects.toMatchObject({ code: "ERR_OUTPUT_KIND" });
    } finally {
      server.close();
    }
  });

  it("does not have a link planted meanwhile followed", async () => {
    const victim = join(folder, "victim");
    writeFileSync(victim, OLD);
    const plain = await written();
    symlinkSync(victim, target);
    await expect(commit(plain)).rejects.toMatchObject({ code: "ERR_EXISTS" });
    await plain.close();
    rmSync(target);

    const forced = await written(target, FORCE);
    symlinkSync(victim, target);
    await commit(forced);
    expect(readFileSync(victim)).toEqual(OLD);
    expect(readFileSync(target)).toEqual(NEW);
  });

  it("may be a character device", async () => {
    const output = await written("/dev/null");
    await commit(output);
    const full = await fileOutput("/dev/full", OPTIONS);
    await expect(full.write(NEW)).rejects.toMatchObject({
      code: "ERR_WRITE",
      message: 'cannot write "/dev/full": no space left on device (ENOSPC)',
    });
    await full.close();
  });
});

describe("an output's folder", () => {
  it.each([
    ["is missing", () => join(folder, "missing", "out"), "ENOENT"],
    ["is a file", () => join(target, "out"), "ENOTDIR"],
    ["is named where a file should be", () => join(folder, "missing") + "/", "ENOENT"],
  ])("that %s is refused before any work", async (_what, path, errno) => {
    writeFileSync(target, OLD);
    await expect(fileOutput(path(), FORCE)).rejects.toMatchObject({
      code: "ERR_WRITE",
      message: expect.stringContaining(errno) as unknown,
    });
  });

  it("that goes away while the work is done leaves an error, not a crash", async () => {
    const sub = join(folder, "sub");
    mkdirSync(sub);
    const output = await written(join(sub, "out"));
    rmSync(sub, { recursive: true });
    await expect(commit(output)).rejects.toMatchObject({ code: "ERR_WRITE" });
    await output.close();
  });
});

describe("the file being read", () => {
  it.each([
    ["under its own name", () => target],
    ["through another path", () => join(folder, "..", "case", "out")],
    [
      "under a hard link's name",
      () => {
        linkSync(target, join(folder, "also"));
        return join(folder, "also");
      },
    ],
  ])("is refused as the output %s", async (_how, path) => {
    writeFileSync(target, OLD);
    const input = await openInput(target, processIo());
    try {
      await expect(fileOutput(path(), { ...FORCE, inputs: [input] })).rejects.toMatchObject({
        code: "ERR_SAME_FILE",
      });
    } finally {
      await input.close();
    }
    expect(readFileSync(target)).toEqual(OLD);
  });
});

describe("two outputs of one run", () => {
  let second: string;
  beforeEach(() => {
    second = join(folder, "second");
  });

  it("appear together", async () => {
    await commit(await written(), await written(second));
    expect(readdirSync(folder).sort()).toEqual(["out", "second"]);
  });

  it("neither appears when one of them can't", async () => {
    const outputs = [await written(), await written(second)];
    writeFileSync(second, OLD);
    await expect(commit(...outputs)).rejects.toMatchObject({ code: "ERR_EXISTS" });
    for (const output of outputs) await output.close();
    expect(readdirSync(folder)).toEqual(["second"]);
    expect(readFileSync(second)).toEqual(OLD);
  });

  it("both stay as they were when only one could be replaced", async () => {
    writeFileSync(target, OLD);
    const outputs = [await written(target, FORCE), await written(second, OPTIONS)];
    writeFileSync(second, OLD);
    await expect(commit(...outputs)).rejects.toMatchObject({ code: "ERR_EXISTS" });
    for (const output of outputs) await output.close();
    expect(readFileSync(target)).toEqual(OLD);
    expect(readdirSync(folder).sort()).toEqual(["out", "second"]);
  });

  it("leave no copy of what they replaced", async () => {
    for (const path of [target, second]) writeFileSync(path, OLD);
    await commit(await written(target, FORCE), await written(second, FORCE));
    expect(readFileSync(target)).toEqual(NEW);
    expect(readdirSync(folder).sort()).toEqual(["out", "second"]);
  });

  it("can't have one name, however it is spelled", async () => {
    const spelled = join(folder, "..", "case", "out").replace("/case", "/./case");
    await expect(requireDistinct([target, spelled])).rejects.toMatchObject({ code: "ERR_USAGE" });
    await expect(requireDistinct([target, second])).resolves.toBeUndefined();
  });
});
