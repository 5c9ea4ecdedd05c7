/** Plaintext that the ledger calls accepted is on the disk, whatever the options. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { receiverHome, signedMessage } from "../../support/signed.js";
import { p11seal } from "../../support/spawn.js";

const folder = temporaryFolder();

/** Writes down which file is flushed, and which gets its name. */
const SHIM = `
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
const { fsync, openSync, linkSync } = fs;
const names = new Map();
const tell = (what, path) => fs.appendFileSync(process.env.CALLS, what + " " + path + "\\n");
fs.openSync = (path, ...rest) => {
  const fd = openSync(path, ...rest);
  names.set(fd, String(path));
  return fd;
};
fs.fsync = (fd, done) => {
  if (/plain.*[.]part$/.test(names.get(fd) ?? "")) tell("flush", "plaintext");
  fsync(fd, done);
};
fs.linkSync = (from, to) => {
  if (/plain$/.test(String(to))) tell("name", "plaintext");
  linkSync(from, to);
};
syncBuiltinESMExports();
`;

beforeAll(async () => {
  writeKeys(folder);
  writeFileSync(join(folder, "shim.mjs"), SHIM);
  writeFileSync(join(folder, "message"), await signedMessage("content\n"));
  await receiverHome(join(folder, "home"));
});

describe("open under a policy", () => {
  it("flushes the plaintext before the file gets its name", async () => {
    const calls = join(folder, "calls");
    writeFileSync(calls, "");
    const argv = ["open", "--from", "zoe", "-i", "bob.key", "-o", "plain", "message"];
    const env = { P11SEAL_HOME: join(folder, "home"), CALLS: calls };
    const node = ["--import", join(folder, "shim.mjs")];
    expect(await p11seal(argv, { cwd: folder, env, node })).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, "plain"), "utf8")).toBe("content\n");
    expect(readFileSync(calls, "utf8")).toBe("flush plaintext\nname plaintext\n");
  });
});
