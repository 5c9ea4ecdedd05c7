/**
 * Every call that changes a file, made to fail or to be the last: by SIGKILL, ENOSPC or EIO, as
 * SQLite is tested. `npm run test:slow` tries each call, `npm test` a sample of them.
 */
import { createPublicKey, randomBytes } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "@jest/globals";
import { defined } from "../../src/defined.js";
import { parsePublicKey } from "../../src/keys/formats/key-file.js";
import { addEntry } from "../../src/records/directory/directory-file.js";
import { initLedger } from "../../src/records/ledger/sqlite-ledger.js";
import { faultShim, NO_SHIM } from "../support/file-faults/shim.js";
import { TEST_KEYS } from "../support/keys.js";
import { isFull } from "../support/scale.js";
import { CapiBench } from "./support/capi.js";
import { temporaryFolder, writeKeys } from "./support/folder.js";
import { p11seal, type Ended } from "./support/spawn.js";
import { describeIf } from "../support/missing.js";

const root = temporaryFolder();
const shim = faultShim(root);

const folder = join(root, "case");
const home = join(root, "home");
const OLD = Buffer.from("old content");
const plain = randomBytes(70_000);

const FAULTS = ["kill", "ENOSPC", "EIO"] as const;

interface Command {
  readonly name: string;
  readonly argv: readonly string[];
  /**
   * What `argv` writes, in the order in which it appears. `undefined`: what it holds is random, so
   * its size alone is compared. In several groups, one may appear without the others.
   */
  readonly groups: readonly Group[];
  /** Whether the outputs are there before. */
  readonly replaces?: boolean;
  /** A message is accepted once, and recorded in the audit log. */
  readonly accepts?: boolean;
  /** The permanent policy is to take signed messages only. */
  readonly policed?: boolean;
}

interface Group {
  readonly outputs: Readonly<Record<string, Buffer | undefined>>;
  /** Follows `argv`. */
  readonly input?: string;
}

const SEAL = ["seal", "-r", "../bob.pem"];
const OPEN = ["open", "-i", "../bob.key"];
const FROM = [...OPEN, "--from", "zoe"];
const RECEIVE = ["capi", "receive", "-i", "../peer.key", "--signer", "maker"];
const random = undefined;

const commands: readonly Command[] = [
  {
    name: "seal",
    argv: [...SEAL, "-o", "out", "../plain"],
    groups: [{ outputs: { out: random } }],
  },
  {
    name: "seal --sign-with",
    argv: [...SEAL, "--sign-with", "../zoe.key", "-o", "out", "../plain"],
    groups: [{ outputs: { out: random } }],
  },
  {
    name: "seal of several files",
    argv: [...SEAL, "-o", "."],
    groups: ["plain", "also"].map((name) => ({
      outputs: { [`${name}.p11s`]: random },
      input: `../${name}`,
    })),
  },
  {
    name: "seal --key-blob",
    argv: [...SEAL, "--key-blob", "blob", "-o", "out", "../plain"],
    groups: [{ outputs: { out: random, blob: random } }],
  },
  {
    name: "seal --key-blob --force",
    argv: [...SEAL, "--force", "--key-blob", "blob", "-o", "out", "../plain"],
    groups: [{ outputs: { out: random, blob: random } }],
    replaces: true,
  },
  {
    name: "open",
    argv: [...OPEN, "-o", "out", "../m.p11s"],
    groups: [{ outputs: { out: plain } }],
  },
  {
    name: "open --force",
    argv: [...OPEN, "--force", "-o", "out", "../m.p11s"],
    groups: [{ outputs: { out: plain } }],
    replaces: true,
  },
  {
    name: "open --key-blob",
    argv: [...OPEN, "--key-blob", "../m.blob", "-o", "out", "../m.body"],
    groups: [{ outputs: { out: plain } }],
  },
  {
    name: "open of several files",
    argv: [...OPEN, "-o", "."],
    groups: ["m", "two"].map((name) => ({
      outputs: { [name]: plain },
      input: `../${name}.p11s`,
    })),
  },
  {
    name: "open --from",
    argv: [...FROM, "-o", "out", "../signed.p11s"],
    groups: [{ outputs: { out: plain } }],
    accepts: true,
  },
  {
    name: "open --from of several files",
    argv: [...FROM, "-o", "."],
    groups: ["signed", "second"].map((name) => ({
      outputs: { [name]: plain },
      input: `../${name}.p11s`,
    })),
    accepts: true,
  },
  {
    name: "open --from --receipt",
    argv: [
      ...[...FROM, "--receipt", "receipt", "--receipt-key", "../zoe.key"],
      ...["-o", "out", "../signed.p11s"],
    ],
    groups: [{ outputs: { receipt: random, out: plain } }],
    accepts: true,
  },
  {
    name: "capi send",
    argv: [
      ...["capi", "send", "--to", "../peer.blob", "--blob", "blob", "--cipher", "out"],
      ...["--sign-with", "../maker.key", "--signature", "sig", "../plain"],
    ],
    groups: [{ outputs: { out: random, blob: random, sig: random } }],
  },
  {
    name: "capi receive",
    argv: [
      ...[...RECEIVE, "--blob", "../k.blob", "--cipher", "../k.bin", "--signature", "../k.sig"],
      ...["-o", "out"],
    ],
    groups: [{ outputs: { out: plain } }],
    accepts: true,
    policed: true,
  },
];

/** What a run of the command writes, or only some groups of it. */
function argvFor({ argv }: Command, groups: readonly Group[]): string[] {
  return [...argv, ...groups.flatMap(({ input }) => input ?? [])];
}

async function run(
  argv: readonly string[],
  faults: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const preload = Object.keys(faults).length === 0 ? {} : defined({ LD_PRELOAD: shim });
  return p11seal(argv, { cwd: folder, env: { P11SEAL_HOME: home, ...preload, ...faults } });
}

async function ok(argv: readonly string[]): Promise<void> {
  expect(await run(argv)).toMatchObject({ status: 0 });
}

/** The data folder that each run begins with. */
const template = join(root, "template");

async function makeTemplate(): Promise<void> {
  mkdirSync(template, { mode: 0o700 });
  for (const name of ["zoe", "maker"]) {
    const { publicKey } = parsePublicKey(readFileSync(join(root, `${name}.pem`)), name);
    const entry = { name, publicKey, source: "test", addedMs: Date.now() };
    await addEntry(template, "senders", entry);
  }
  await initLedger(join(template, "ledger.db"), { nowMs: Date.now() });
}

function fresh({ groups, replaces, policed }: Command): void {
  rmSync(folder, { recursive: true, force: true });
  rmSync(home, { recursive: true, force: true });
  mkdirSync(folder);
  cpSync(template, home, { recursive: true });
  chmodSync(home, 0o700);
  if (policed === true) {
    writeFileSync(join(home, "config.toml"), 'require = "signed"\n', { mode: 0o600 });
  }
  if (replaces !== true) return;
  for (const name of groups.flatMap(namesOf)) writeFileSync(join(folder, name), OLD);
}

const namesOf = ({ outputs }: Group): string[] => Object.keys(outputs);
const isThere = (name: string): boolean => existsSync(join(folder, name));

/** The sizes of random outputs, as a run without any fault left them. */
const sizes = new Map<string, number>();

function requireWhole(name: string, content: Buffer | undefined): void {
  if (content === undefined) expect(statSync(join(folder, name)).size).toBe(sizes.get(name));
  else expect(readFileSync(join(folder, name)).equals(content)).toBe(true);
}

/** Whether all of a group appeared; each output is whole, as it was before, or absent. */
function hasAppeared(group: Group, command: Command, { signal }: Ended): boolean {
  const states = Object.entries(group.outputs).map(([name, content]) => {
    if (!isThere(name)) return false;
    if (command.replaces === true && readFileSync(join(folder, name)).equals(OLD)) return false;
    requireWhole(name, content);
    return true;
  });
  if (command.replaces === true) expect(namesOf(group).every(isThere)).toBe(true);
  // Several files can't appear in one step, so SIGKILL may come between them.
  if (signal === null) expect(new Set(states).size).toBe(1);
  const isLast = states.at(-1) === true;
  if (isLast) expect(states).not.toContain(false);
  return isLast;
}

/** A run that a fault ended lost nothing, let nothing in twice, and stands in nobody's way. */
async function requireSound(command: Command, faulted: Ended): Promise<void> {
  const { groups, accepts, replaces } = command;
  const missing = groups.filter((group) => !hasAppeared(group, command, faulted));
  if (faulted.status === 0) expect(missing).toEqual([]);

  for (const group of groups) {
    if (accepts !== true || missing.includes(group)) continue;
    mkdirSync(join(folder, "again"), { recursive: true });
    const elsewhere = argvFor(command, [group]).map((word) =>
      word === "." ? "again" : namesOf(group).includes(word) ? join("again", word) : word,
    );
    expect(await run(elsewhere)).toMatchObject({ status: 6 });
    expect(readdirSync(join(folder, "again"))).toEqual([]);
  }
  rmSync(join(folder, "again"), { recursive: true, force: true });

  for (const group of missing) {
    if (replaces !== true) {
      for (const name of namesOf(group)) rmSync(join(folder, name), { force: true });
    }
    await ok(argvFor(command, [group]));
    for (const [name, content] of Object.entries(group.outputs)) requireWhole(name, content);
  }
  if (accepts === true) await ok(["audit-log", "verify"]);

  // The last of what a killed run replaced stays.
  const left = readdirSync(folder).filter((name) => !name.endsWith(".part.old"));
  if (missing.length > 0) expect(left.sort()).toEqual(groups.flatMap(namesOf).sort());
}

describeIf(shim !== undefined, NO_SHIM)("a fault at a call that changes a file", () => {
  beforeAll(async () => {
    writeKeys(root);
    writeFileSync(join(root, "zoe.key"), TEST_KEYS.p384, { mode: 0o600 });
    const pem = createPublicKey(TEST_KEYS.p384).export({ format: "pem", type: "spki" });
    writeFileSync(join(root, "zoe.pem"), pem);
    const bench = new CapiBench(root);
    bench.keyPair("peer", "exchange");
    bench.keyPair("maker", "signature");
    for (const name of ["plain", "also"]) writeFileSync(join(root, name), plain);
    await makeTemplate();
    mkdirSync(folder);
    cpSync(template, home, { recursive: true });
    for (const name of ["m", "two"]) await ok([...SEAL, "-o", `../${name}.p11s`, "../plain"]);
    for (const name of ["signed", "second"]) {
      await ok([...SEAL, "-o", `../${name}.p11s`, "--sign-with", "../zoe.key", "../plain"]);
    }
    await ok([...SEAL, "--key-blob", "../m.blob", "-o", "../m.body", "../plain"]);
    await ok([
      ...["capi", "send", "--to", "../peer.blob", "--blob", "../k.blob", "--cipher", "../k.bin"],
      ...["--sign-with", "../maker.key", "--signature", "../k.sig", "../plain"],
    ]);
  });

  it.each(commands.map((command) => [command.name, command] as const))(
    "of %s leaves whole outputs or none, and the next run goes through",
    async (_, command) => {
      const counted = join(root, "count");
      fresh(command);
      const whole = await run(argvFor(command, command.groups), { FILE_FAULT_COUNT: counted });
      expect(whole).toMatchObject({ status: 0 });
      for (const name of command.groups.flatMap(namesOf)) {
        sizes.set(name, statSync(join(folder, name)).size);
      }
      const calls = Number(readFileSync(counted, "utf8"));
      expect(calls).toBeGreaterThan(2);

      const ended = new Set<string>();
      for (const [fault, at] of chosen(calls)) {
        fresh(command);
        const faults = { FILE_FAULT: fault, FILE_FAULT_AT: String(at) };
        const faulted = await run(argvFor(command, command.groups), faults);
        if (faulted.status !== 0) ended.add(fault);
        try {
          await requireSound(command, faulted);
        } catch (error) {
          throw new Error(`${fault} at call ${at} of ${calls}: ${faulted.stderr}`, {
            cause: error,
          });
        }
      }
      expect(ended).toContain("kill");
    },
    3_600_000,
  );
});

/** Each fault at each call; or some of them, with each call near the end, where files appear. */
function chosen(calls: number): [fault: (typeof FAULTS)[number], at: number][] {
  const all = Array.from({ length: calls }, (_, index) => index + 1);
  if (isFull)
    return FAULTS.flatMap((fault) => all.map((at): [typeof fault, number] => [fault, at]));
  return [0.1, 0.5, 0.75, 1].map((part, index) => [
    FAULTS[index % FAULTS.length] ?? "kill",
    Math.max(1, Math.round(part * calls)),
  ]);
}
