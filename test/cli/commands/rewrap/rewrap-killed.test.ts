/**
 * A run on a tree that is killed at any moment: each file opens for exactly the old or the new
 * recipients, the next run does the rest, and nothing is left beside the messages.
 */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { scaled } from "../../../support/scale.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { run } from "../../support/run.js";
import { start, type Ended } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const template = at("template");
const tree = at("tree");
const env = { P11SEAL_HOME: at("home") };

/** The messages' paths in the tree, with what is in them. */
const messages = new Map<string, Buffer>();

beforeAll(async () => {
  writeKeys(folder);
  for (let number = 0; number < 24; number++) {
    const path = join(`team-${number % 3}`, `${number}.p11s`);
    const plain = randomBytes(1000 + number);
    messages.set(path, plain);
    mkdirSync(dirname(join(template, path)), { recursive: true });
    writeFileSync(at("plain"), plain);
    await ok("seal", "-r", at("bob.pem"), "-o", join(template, path), at("plain"));
  }
  // The headers have their final size from here on, so that they can be overwritten.
  const from = ["--from-key", at("bob.pem")];
  await ok("rewrap", "--tree", ...from, "-i", at("bob.key"), "-r", at("alice.pem"), template);
}, 60_000);

async function ok(...argv: readonly string[]): Promise<void> {
  const { status, stderr } = await run(argv, { env });
  expect({ status, stderr }).toMatchObject({ status: 0 });
}

/** From bob to carol; alice stays. */
const CHANGE = [
  ...["rewrap", "--tree", "-i", at("bob.key"), "--from-key", at("alice.pem")],
  ...["-r", at("carol.pem"), "--remove", at("bob.pem")],
];

function change(options: readonly string[]): ReturnType<typeof start> {
  return start([...CHANGE, ...options, tree], { env });
}

function fresh(): void {
  rmSync(tree, { recursive: true, force: true });
  cpSync(template, tree, { recursive: true });
}

async function opens(path: string, plain: Buffer, key: string): Promise<boolean> {
  const { status, stdout } = await run(["open", "-i", at(key), join(tree, path)], { env });
  if (status === 0) expect(stdout.equals(plain)).toBe(true);
  else expect(status).toBe(3);
  return status === 0;
}

/** What shows that a file was replaced or written to. */
function states(): string[] {
  return Array.from(messages.keys(), (path) => {
    const stats = statSync(join(tree, path), { bigint: true, throwIfNoEntry: false });
    return `${stats?.ino}:${stats?.mtimeNs}`;
  });
}

/** Waits until so many files are no longer as before, or the run has ended. */
async function someTouched(
  before: readonly string[],
  count: number,
  child: ChildProcess,
): Promise<void> {
  const touched = (): number => states().filter((state, index) => state !== before[index]).length;
  while (child.exitCode === null && touched() < count) await sleep(1);
}

/** Whether each file is for the new recipients. */
async function changed(): Promise<boolean[]> {
  const found: boolean[] = [];
  for (const [path, plain] of messages) {
    const isNew = await opens(path, plain, "carol.key");
    expect(await opens(path, plain, "bob.key")).toBe(!isNew);
    found.push(isNew);
  }
  return found;
}

/** As a run that nobody disturbed leaves it. */
async function requireDone({ status }: Ended): Promise<void> {
  expect(status).toBe(0);
  expect(await changed()).toEqual(Array.from(messages, () => true));
  for (const [path, plain] of messages) {
    expect(await opens(path, plain, "alice.key")).toBe(true);
    const [before, after] = [template, tree].map((root) => readFileSync(join(root, path)));
    expect(after?.subarray(4096).equals(before?.subarray(4096) ?? Buffer.alloc(0))).toBe(true);
  }
  const names = readdirSync(tree, { recursive: true, encoding: "utf8" });
  expect(names.filter((name) => !name.startsWith("team-") || name.includes("/")).sort()).toEqual(
    [...messages.keys()].sort(),
  );
}

describe("a run on a tree that is killed", () => {
  it.each([["in new files", []] as const, ["in place", ["--in-place"]] as const])(
    "loses nothing and leaves nothing: %s",
    async (_, options) => {
      fresh();
      await requireDone(await change(options).ended);

      let isKilled = false;
      let isHalf = false;
      for (let moment = 0; moment < scaled(50, 3); moment++) {
        fresh();
        const before = states();
        const running = change(options);
        // A number of files, not a time: a busy machine may start slowly, and then be fast.
        await someTouched(before, Math.floor(Math.random() * 12), running.child);
        await sleep(2 * Math.random());
        running.child.kill("SIGKILL");
        isKilled ||= (await running.ended).signal === "SIGKILL";
        isHalf ||= new Set(await changed()).size === 2;
        await requireDone(await change(options).ended);
      }
      expect(isKilled).toBe(true);
      if (scaled(1, 0) === 1) expect(isHalf).toBe(true);
    },
    1_800_000,
  );
});
