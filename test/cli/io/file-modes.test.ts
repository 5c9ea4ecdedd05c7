/**
 * File systems that ignore modes (FAT, NTFS, WSL's /mnt/c), where everything is 0777. The program
 * runs with a `node:fs` that shows a folder so.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../support/keys.js";
import { temporaryFolder } from "../support/folder.js";
import { p11seal, type Ended } from "../support/spawn.js";

const folder = temporaryFolder();

/** File systems by their numbers in statfs(2). */
const FAT = 0x4d44;
const FUSE = 0x65735546;
const EXT4 = 0xef53;

/** Everything under `drive` has mode 0777, whatever it was made with. */
const SHIM = `
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
const drive = process.env.DRIVE;
const open = new Set();
const opened = (stats) => Object.assign(stats, {
  mode: typeof stats.mode === "bigint" ? stats.mode | 0o777n : stats.mode | 0o777,
});
const { openSync, fstatSync, statSync, statfsSync } = fs;
fs.openSync = (path, ...rest) => {
  const fd = openSync(path, ...rest);
  if (String(path).startsWith(drive)) open.add(fd);
  return fd;
};
fs.fstatSync = (fd, ...rest) => open.has(fd) ? opened(fstatSync(fd, ...rest)) : fstatSync(fd, ...rest);
fs.statSync = (path, ...rest) => {
  const stats = statSync(path, ...rest);
  return stats !== undefined && String(path).startsWith(drive) ? opened(stats) : stats;
};
fs.statfsSync = (path, ...rest) => {
  const stats = statfsSync(path, ...rest);
  return Object.assign(stats, { type: Number(process.env.FS_TYPE) });
};
syncBuiltinESMExports();
`;

beforeAll(async () => {
  writeFileSync(join(folder, "shim.mjs"), SHIM);
  writeFileSync(join(folder, "bob.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(join(folder, "bob.key"), TEST_KEYS.p256, { mode: 0o600 });
  writeFileSync(join(folder, "text"), "content\n");
  mkdirSync(join(folder, "drive", "home"), { recursive: true });
  const argv = ["seal", "-r", "bob.pem", "-o", "text.p11s", "text"];
  expect(await p11seal(argv, { cwd: folder })).toMatchObject({ status: 0 });
});

function open(
  target: string,
  { home = "home", type = FAT }: { home?: string; type?: number } = {},
): Promise<Ended> {
  const argv = ["open", "-i", "bob.key", "--force", "-o", join(folder, target), "text.p11s"];
  const env = {
    ...{ P11SEAL_HOME: join(folder, home), DRIVE: join(folder, "drive") },
    FS_TYPE: String(type),
  };
  return p11seal(argv, { cwd: folder, env, node: ["--import", join(folder, "shim.mjs")] });
}

describe("on a file system without permissions", () => {
  it("a note says that others can read the plaintext", async () => {
    expect(await open("plain")).toMatchObject({ status: 0, stderr: "" });
    const { status, stderr } = await open("drive/plain");
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: `p11seal: ${join(folder, "drive/plain")}: other users may read it: its file system ignores permissions\n`,
    });
    expect(readFileSync(join(folder, "drive/plain"), "utf8")).toBe("content\n");
  });

  it.each([
    ["is known to have none", FAT, /^hint: its file system has no permissions: set P11SEAL_HOME/m],
    [
      "may have none",
      FUSE,
      /^hint: .*\(chmod go-w\); if that changes nothing, .*set P11SEAL_HOME/m,
    ],
    ["has them", EXT4, /^hint: it must belong to you, .* \(chmod go-w\)$/m],
  ])("the data folder's hint says what helps where the file system %s", async (_, type, hint) => {
    const { status, stderr } = await open("plain", { home: "drive/home", type });
    expect(status).toBe(6);
    expect(stderr).toMatch(hint);
  });
});
