/**
 * A script's compiled code in a file. V8 compares the version, its flags and the length of the
 * source, and trusts the rest: a byte that changed would crash the process. So a file has a hash in
 * front, and a name that is a hash of everything that tells what the code was made from. A file
 * that is torn or not this user's alone is as good as none.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { NO_FOLLOW, NO_WAITING } from "./open-flags.js";

/**
 * What compiles. Some of Node's options change the code; V8 would refuse the other's, and each run
 * would write its own.
 */
type Compiler = Pick<NodeJS.Process, "arch" | "execArgv" | "env" | "platform" | "version">;

export class CompiledCode {
  readonly #folder: string;
  readonly #path: string;

  /**
   * @param folder - one that only this user can write to
   * @param purpose - letters and hyphens
   * @param source - tells what the code was, or will be, compiled from (`sourceName`)
   */
  constructor(folder: string, purpose: string, source: string, node: Compiler = process) {
    const { arch, execArgv, env, platform, version } = node;
    const made = [version, arch, platform, execArgv, env["NODE_OPTIONS"], source];
    const hash = createHash("sha256").update(JSON.stringify(made)).digest("hex");
    this.#folder = folder;
    this.#path = join(folder, `${purpose}-${hash.slice(0, 32)}.code`);
  }

  /** The code, if it was kept. */
  read(): Buffer | undefined {
    try {
      const bytes = ownFile(this.#path);
      const code = bytes?.subarray(HASH_BYTES);
      if (bytes === undefined || code === undefined) return undefined;
      return this.#hash(code).equals(bytes.subarray(0, HASH_BYTES)) ? code : undefined;
    } catch {
      return undefined;
    }
  }

  /** Keeps the code for the next run, in place of what is there. If that fails, there is none. */
  write(code: Uint8Array): void {
    const temporary = `${this.#path}.${randomBytes(8).toString("hex")}`;
    try {
      const bytes = Buffer.concat([this.#hash(code), code]);
      writeFileSync(temporary, bytes, { flag: "wx", mode: 0o600 });
      renameSync(temporary, this.#path);
    } catch {
      remove(temporary);
    }
    removeOld(this.#folder);
  }

  /** Of the name, too: each file is good for its own purpose and source only. */
  #hash(code: Uint8Array): Buffer {
    return createHash("sha256").update(basename(this.#path)).update(code).digest();
  }
}

/**
 * Tells a source from every other: by its hash, which the build has put in front, and what the file
 * system says, which tells whether somebody has changed the file since. That of a file that changed
 * just now tells little: the next change may get the same time, as clocks of file systems tick
 * every few milliseconds.
 *
 * @param stats - taken before the file was read: if it changed in between, no run has this name
 */
export function sourceName(source: Buffer, { mtimeMs, ctimeMs }: Times): string {
  const mark = source.subarray(0, MARK_BYTES).toString("latin1");
  const isMarked = /^\/\*[0-9a-f]{64}\*\/$/.test(mark);
  if (isMarked && ctimeMs < Date.now() - MAX_TICK_MS) {
    return `${mark} ${source.length} ${mtimeMs} ${ctimeMs}`;
  }
  return createHash("sha256").update(source).digest("hex");
}

/** When a file, and what is known of it, was changed. */
export type Times = Pick<Stats, "mtimeMs" | "ctimeMs">;

/** Whether a file or folder belongs to the user this runs as, and nobody else may write to it. */
export function isOurs({ uid, mode }: Stats): boolean {
  return uid === process.geteuid?.() && (mode & 0o022) === 0;
}

// ── Details ──

const HASH_BYTES = 32;

/** Comment signs around a SHA-256. */
const MARK_BYTES = 68;

/** Far above 10 ms, the longest tick of a Linux kernel. */
const MAX_TICK_MS = 100;

/** More than any program of this package needs. */
const MAX_FILE_BYTES = 16 << 20;

function ownFile(path: string): Buffer | undefined {
  const descriptor = openSync(path, constants.O_RDONLY | NO_FOLLOW | NO_WAITING);
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile() || !isOurs(stats) || stats.size > MAX_FILE_BYTES) return undefined;
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** A megabyte each: what several versions of Node, or of p11seal, need for the usual commands. */
const MAX_FILES = 24;

/** A run that was killed while it wrote leaves its temporary file. None takes so long. */
const ABANDONED_MS = 60 * 60 * 1000;

/** Removes what is too much: the oldest files first. Files of Node's own stay. */
function removeOld(folder: string): void {
  for (const path of tooMuch(folder)) remove(path);
}

function tooMuch(folder: string): string[] {
  try {
    const all = readdirSync(folder)
      .filter((name) => /\.code(?:\.[0-9a-f]{16})?$/.test(name))
      .map((name) => join(folder, name))
      .map((path) => ({ path, ms: statSync(path).mtimeMs }));
    const whole = all.filter(({ path }) => path.endsWith(".code"));
    const rest = all.filter((one) => !whole.includes(one) && one.ms < Date.now() - ABANDONED_MS);
    const old = whole.sort((a, b) => b.ms - a.ms).slice(MAX_FILES);
    return [...old, ...rest].map(({ path }) => path);
  } catch {
    // Another run is removing the same files.
    return [];
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Gone already.
  }
}
