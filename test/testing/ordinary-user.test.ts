/**
 * Debian or Ubuntu without SoftHSM, and a user without rights: the distribution's package is
 * unpacked into that user's cache. For root, the user is nobody; what is installed is hidden.
 */
import { spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, it } from "@jest/globals";
import { skipped } from "../support/missing.js";

const NAME = "an ordinary user gets a token where no SoftHSM is installed";
const NOBODY = 65_534;

const isRoot = process.getuid?.() === 0;
const home = mkdtempSync(join(tmpdir(), "p11seal-nobody-"));
afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

const HIDE = `
  import fs from "node:fs";
  import { syncBuiltinESMExports } from "node:module";
  const { existsSync } = fs;
  fs.existsSync = (path) => !/^\\/(?:usr|opt)\\/.*softhsm/.test(String(path)) && existsSync(path);
  syncBuiltinESMExports();`;

const built = pathToFileURL(join(process.cwd(), "dist", "testing", "index.js")).href;
const MAKE = `
  const { testToken } = await import(${JSON.stringify(built)});
  try {
    const hsm = await testToken({ keys: { sign: "ec:p256" } });
    console.log(JSON.stringify({ uid: process.getuid(), pem: hsm.pem("sign") }));
  } catch ({ code, message }) {
    console.log(JSON.stringify({ code, message }));
  }`;

interface Made {
  readonly uid?: number;
  readonly pem?: string;
  readonly message?: string;
}

function make(): Made {
  for (const [name, text] of [
    ["hide.mjs", HIDE],
    ["make.mjs", MAKE],
  ] as const) {
    writeFileSync(join(home, name), text);
  }
  if (isRoot) chownSync(home, NOBODY, NOBODY);
  const { PATH, LANG } = process.env;
  const done = spawnSync(
    process.execPath,
    ["--import", join(home, "hide.mjs"), join(home, "make.mjs")],
    {
      ...{ cwd: home, encoding: "utf8", timeout: 300_000 },
      env: { PATH, LANG, HOME: home, TMPDIR: home },
      ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    },
  );
  if (done.status === 0) return JSON.parse(done.stdout) as Made;
  return { message: done.error?.message ?? done.stderr };
}

/** Why it can't be tried here. */
function obstacle(made: Made): string | undefined {
  const { message = "" } = made;
  if (message.includes("could not be downloaded")) return message;
  return /EACCES|ERR_MODULE_NOT_FOUND/.test(message)
    ? "nobody may not read this checkout"
    : undefined;
}

if (!existsSync("/usr/bin/apt-get") || !existsSync("/usr/bin/dpkg")) {
  skipped(NAME, "this is neither Debian nor Ubuntu");
} else {
  const made = make();
  const why = obstacle(made);
  if (why !== undefined) skipped(NAME, why);
  else {
    it(NAME, () => {
      expect(made).toEqual({
        uid: isRoot ? NOBODY : process.getuid?.(),
        pem: expect.stringContaining("PUBLIC KEY") as unknown,
      });
      const cache = join(home, ".cache", "p11seal-testing");
      const [unpacked = ""] = readdirSync(cache).filter((name) => name.startsWith("softhsm-"));
      expect(unpacked).toMatch(/^softhsm-(?:debian|ubuntu)-[0-9.]+-(?:x64|arm64)$/);
      expect(existsSync(join(cache, unpacked, "usr", "lib"))).toBe(true);
    });
  }
}
