/**
 * Every call that changes a file, made to fail or to be the last: by SIGKILL, ENOSPC or EIO, as
 * SQLite is tested. `npm run test:slow` tries each call, `npm test` a sample of them.
 */
import { spawnSync } from "node:child_process";
import { createPublicKey, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { parsePublicKey } from "../../src/keys/formats/key-file.js";
import { addEntry } from "../../src/records/directory/directory-file.js";
import { initLedger } from "../../src/records/ledger/sqlite-ledger.js";
import { TEST_KEYS } from "../support/keys.js";
import { isFull } from "../support/scale.js";
import { temporaryFolder, writeKeys } from "./support/folder.js";
import { p11seal, type Ended } from "./support/spawn.js";

const SOURCE = fileURLToPath(new URL("../support/file-faults/file-faults.c", import.meta.url));
const root = temporaryFolder();
const shim = join(root, "file-faults.so");
const built = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-o", shim, SOURCE, "-ldl"]);
const canFault = process.platform === "linux" && built.status === 0;

const folder = join(root, "case");
const home = join(root, "home");
const OLD = Buffer.from("old content");
const plain = randomBytes(70_000);

type Fault = "kill" | "ENOSPC" | "EIO";

interface Command {
  readonly name: string;
  readonly argv: readonly string[];
  /** What `argv` writes, each whole afterwards; `undefined`: random, so only its absence counts. */
  readonly outputs: Readonly<Record<string, Buffer | undefined>>;
  /** Whether the outputs are there before. */
  readonly replaces: boolean;
}

const commands: readonly Command[] = [
  {
    name: "seal",
    argv: ["seal", "-r", "../bob.pem", "-o", "out", "../plain"],
    outputs: { out: undefined },
    replaces: false,
  },
  {
    name: "open",
    argv: ["open", "-i", "../bob.key", "-o", "out", "../m.p11s"],
    outputs: { out: plain },
    replaces: false,
  },
  {
    name: "open --force",
    argv: ["open", "-i", "../bob.key", "--force", "-o", "out", "../m.p11s"],
    outputs: { out: plain },
    replaces: true,
  },
  {
    name: "open --from",
    argv: ["open", "-i", "../bob.key", "--from", "zoe", "-o", "out", "../signed.p11s"],
    outputs: { out: plain },
    replaces: false,
  },
  {
    name: "open of several files",
    argv: ["open", "-i", "../bob.key", "-o", ".", "../m.p11s", "../two.p11s"],
    outputs: { m: plain, two: plain },
    replaces: false,
  },
];

async function run(
  { argv }: Pick<Command, "argv">,
  faults: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const preload = Object.keys(faults).length === 0 ? {} : { LD_PRELOAD: shim };
  return p11seal([...argv], { cwd: folder, env: { P11SEAL_HOME: home, ...preload, ...faults } });
}

async function fresh(replaces: boolean): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  rmSync(home, { recursive: true, force: true });
  mkdirSync(folder);
  mkdirSync(home, { mode: 0o700 });
  if (replaces) writeFileSync(join(folder, "out"), OLD);
  const { publicKey } = parsePublicKey(readFileSync(join(root, "zoe.pem")), "zoe");
  const entry = { name: "zoe", publicKey, source: "test", addedMs: Date.now() };
  await addEntry(home, "senders", entry);
  await initLedger(join(home, "ledger.db"), { nowMs: Date.now() });
}

/** What a fault may leave: each output whole, as before, or absent; and a run that goes through. */
async function requireSound(command: Command, faulted: Ended): Promise<void> {
  for (const [name, whole] of Object.entries(command.outputs)) {
    const path = join(folder, name);
    if (command.replaces) expect(existsSync(path)).toBe(true);
    if (!existsSync(path)) continue;
    const found = readFileSync(path);
    const isOld = command.replaces && found.equals(OLD);
    if (whole !== undefined && !isOld) expect(found.equals(whole)).toBe(true);
  }
  if (faulted.status === 0) {
    for (const name of Object.keys(command.outputs)) {
      expect(existsSync(join(folder, name))).toBe(true);
    }
    return;
  }
  const present = Object.keys(command.outputs).filter((name) => existsSync(join(folder, name)));
  const again = await run(command);
  if (present.length === 0 || command.replaces) expect(again).toMatchObject({ status: 0 });
  for (const name of Object.keys(command.outputs)) {
    expect(existsSync(join(folder, name))).toBe(true);
  }
}

(canFault ? describe : describe.skip)("a fault at a call that changes a file", () => {
  beforeAll(async () => {
    writeKeys(root);
    writeFileSync(join(root, "zoe.key"), TEST_KEYS.p384, { mode: 0o600 });
    writeFileSync(join(root, "plain"), plain);
    mkdirSync(folder);
    mkdirSync(home, { mode: 0o700 });
    const seal = (name: string, ...more: string[]): Promise<Ended> =>
      run({ argv: ["seal", "-r", "../bob.pem", "-o", `../${name}`, ...more, "../plain"] });
    for (const name of ["m.p11s", "two.p11s"])
      expect(await seal(name)).toMatchObject({ status: 0 });
    const signed = await seal("signed.p11s", "--sign-with", "../zoe.key");
    expect(signed).toMatchObject({ status: 0 });
    const pem = createPublicKey(TEST_KEYS.p384).export({ format: "pem", type: "spki" });
    writeFileSync(join(root, "zoe.pem"), pem);
  });

  describe.each(commands.map((command) => [command.name, command] as const))(
    "of %s",
    (_, command) => {
      beforeEach(() => fresh(command.replaces));

      it.each<Fault>(["kill", "ENOSPC", "EIO"])(
        "by %s leaves whole outputs or none, and the next run goes through",
        async (fault) => {
          const counted = join(root, "count");
          expect(await run(command, { FILE_FAULT_COUNT: counted })).toMatchObject({ status: 0 });
          const calls = Number(readFileSync(counted, "utf8"));
          expect(calls).toBeGreaterThan(2);
          const step = isFull ? 1 : Math.ceil(calls / 3);
          let faulted = 0;
          for (let at = 1; at <= calls; at += step) {
            await fresh(command.replaces);
            const faults = { FILE_FAULT: fault, FILE_FAULT_AT: String(at) };
            const ended = await run(command, faults);
            if (ended.status !== 0) faulted++;
            await requireSound(command, ended);
          }
          expect(faulted).toBeGreaterThan(0);
        },
        600_000,
      );
    },
  );
});
