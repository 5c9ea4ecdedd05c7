/** Somebody who knows the name of a temporary file beforehand can't choose where the bytes go. */
import * as nodeCrypto from "node:crypto";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it, jest } from "@jest/globals";
import { itIf } from "../support/missing.js";

jest.unstable_mockModule("node:crypto", () => ({
  ...nodeCrypto,
  randomBytes: (size: number) => Buffer.alloc(size, 7),
}));
const { NO_FOLLOW } = await import("../../src/store/open-flags.js");
const { CREATE, ownTemporaryBeside } = await import("../../src/store/temporary.js");
const { writeWhole } = await import("../../src/store/files.js");
const { fileOutput } = await import("../../src/cli/io/outputs.js");

const above = mkdtempSync(join(tmpdir(), "p11seal-temporary-"));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});

let folder: string;
let target: string;
let victim: string;
beforeEach(() => {
  folder = mkdtempSync(join(above, "f-"));
  target = join(folder, "out");
  victim = join(folder, "victim");
  writeFileSync(victim, "precious");
});

const planted: readonly [string, (path: string) => void][] = [
  [
    "a link to another file",
    (path) => {
      symlinkSync(victim, path);
    },
  ],
  [
    "a link to nothing",
    (path) => {
      symlinkSync(join(folder, "new"), path);
    },
  ],
  [
    "a file that somebody else can read",
    (path) => {
      writeFileSync(path, "trap", { mode: 0o666 });
    },
  ],
];

describe.each(planted)("where %s has the temporary file's name", (_, plant) => {
  it("an output is refused, and nothing is written", async () => {
    plant(ownTemporaryBeside(target));
    const before = readdirSync(folder);
    const output = await fileOutput(target, { force: true, mode: "private", inputs: [] });
    const work = async (): Promise<void> => {
      await output.write(Buffer.from("secret"));
      await output.prepare();
    };
    await expect(work()).rejects.toMatchObject({ code: "ERR_EXISTS" });
    expect(readdirSync(folder)).toEqual(before);
    expect(readFileSync(victim, "utf8")).toBe("precious");
  });

  it("a file of the data folder is refused, and nothing is written", async () => {
    plant(ownTemporaryBeside(target));
    await expect(writeWhole(target, Buffer.from("ours"))).rejects.toMatchObject({
      code: "ERR_WRITE",
    });
    expect(readFileSync(victim, "utf8")).toBe("precious");
    expect(readdirSync(folder)).not.toContain("out");
    expect(readdirSync(folder)).not.toContain("new");
  });
});

// O_CREAT with O_EXCL follows no link on a local file system. Old NFS servers need both flags.
const itHasNoFollow = itIf(process.platform !== "win32", "Windows has no O_NOFOLLOW");
itHasNoFollow("the flags refuse a link by themselves", async () => {
  symlinkSync(victim, target);
  await expect(open(target, NO_FOLLOW)).rejects.toMatchObject({ code: "ELOOP" });
  expect(CREATE & NO_FOLLOW).toBe(NO_FOLLOW);
});
