/**
 * The files that a command about many messages works on: those named, those below folders
 * (`--tree`), and those of a list (`--manifest`); of these, all or one part (`--shard`).
 *
 * The order is fixed: as named, and in a folder by the bytes of the names. At most the names of one
 * folder, and of those above it, are in memory. Below a folder no symbolic link is followed, and
 * nothing but regular files counts. A named file must not be a symbolic link either, since it may
 * be replaced; a named folder may, as for `grep -r`. What can't be looked at is a fault of its own,
 * and the rest goes on.
 */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { lstatSync, statSync, type BigIntStats, type Dirent } from "node:fs";
import { opendir } from "node:fs/promises";
import { join, normalize, sep } from "node:path";
import { FileError, type P11SealError, UsageError } from "../../errors.js";
import { type FileKind, kindOf } from "../../store/file-kind.js";
import { fileError, quoted } from "../../store/system-error.js";
import { heldLockIn, locked } from "../../store/tree-lock.js";
import { isWorkFile } from "../../store/work-files.js";
import { fileId, openInput, type FileId, type Input } from "../io/inputs.js";
import type { Io } from "../io/io.js";

export type TreeEntry =
  | {
      readonly kind: "file";
      /** To open it, and for messages (which escape what a terminal would act on). */
      readonly path: string;
      /**
       * Where it is in its tree, with `/`; without a tree, its path as it was given. The same on
       * every host that has the tree, wherever it is mounted.
       */
      readonly place: string;
      /** False if it was found in a folder, where files that are no messages may lie as well. */
      readonly named: boolean;
    }
  | { readonly kind: "fault"; readonly path: string; readonly error: P11SealError }
  /** In a tree: neither file nor folder. */
  | { readonly kind: "skipped"; readonly path: string; readonly what: FileKind };

export interface TreeOptions {
  /** Whether to go through folders. */
  readonly tree: boolean;
  /** A file with a path on each line, or a NUL after each; `-` for stdin. */
  readonly manifest?: string;
  readonly shard?: Shard;
  /** Whether a folder where another run works is a fault. */
  readonly refusesLocked?: boolean;
}

/** One of `of` parts, counted from 1. */
export interface Shard {
  readonly part: number;
  readonly of: number;
}

/**
 * Goes through the files.
 *
 * @throws UsageError before the first: a folder was named without `--tree`; FileError for a
 *   manifest that can't be read
 */
export async function* messageFiles(
  paths: readonly string[],
  options: TreeOptions,
  io: Io,
): AsyncGenerator<TreeEntry, void, undefined> {
  for (const path of paths) {
    if (!options.tree && looked(path)?.kind === "folder") throw needsTree(path);
  }
  const { manifest, shard } = options;
  for (const path of paths) yield* ofShard(named(path, options), shard);
  if (manifest === undefined) return;
  for await (const line of linesOf(manifest, io)) {
    if (typeof line === "string") yield* ofShard(named(line, options), shard);
    else yield line;
  }
}

/** How many files there are, with those that can't be looked at. */
export async function countFiles(entries: AsyncIterable<TreeEntry>): Promise<number> {
  let count = 0;
  for await (const { kind } of entries) if (kind !== "skipped") count++;
  return count;
}

/** The value of `--shard`. @throws UsageError */
export function shardOf(text: string | undefined): Shard | undefined {
  if (text === undefined) return undefined;
  const [, part, of] = /^([1-9][0-9]{0,5})\/([1-9][0-9]{0,5})$/.exec(text) ?? [];
  const shard = { part: Number(part), of: Number(of) };
  if (shard.part <= shard.of) return shard;
  throw new UsageError("ERR_USAGE", `--shard is one part of several, as in 2/4, not "${text}"`, {
    hint: "with four hosts, they get 1/4, 2/4, 3/4 and 4/4",
  });
}

/** Whether the file belongs to the part: by a hash, so that a new file moves no other. */
export function isInShard(place: string, { part, of }: Shard): boolean {
  return createHash("sha256").update(place).digest().readUIntBE(0, 6) % of === part - 1;
}

// ── Named paths ──

async function* named(
  path: string,
  { tree, refusesLocked = false }: TreeOptions,
): AsyncGenerator<TreeEntry, void, undefined> {
  const seen = looked(path);
  if (seen === undefined) yield missing(path);
  else if (seen.kind === "file") yield { kind: "file", path, place: placeOf(path), named: true };
  else if (seen.kind !== "folder") yield faultAt(path, notAFile(path, seen.kind));
  else if (tree) yield* below({ path, place: "", above: [], refusesLocked });
  else yield faultAt(path, needsTree(path));
}

/** A symbolic link counts as one where it leads to a file, and as the folder that it leads to. */
function looked(path: string): { readonly kind: FileKind | undefined } | undefined {
  try {
    const kind = kindOf(lstatSync(path));
    const isFolder = kind === "symbolic link" && statSync(path).isDirectory();
    return { kind: isFolder ? "folder" : kind };
  } catch {
    return undefined;
  }
}

/** The same lookup once more, for its error. */
function missing(path: string): TreeEntry {
  try {
    lstatSync(path);
    statSync(path);
  } catch (error) {
    return faultAt(path, fileError("ERR_READ", path, error));
  }
  return faultAt(path, fileError("ERR_READ", path, { code: "ENOENT" }));
}

function needsTree(path: string): UsageError {
  return new UsageError("ERR_USAGE", `${quoted(path)} is a folder`, {
    hint: "--tree goes through the files in it, and in the folders below",
  });
}

function notAFile(path: string, kind: FileKind | undefined): FileError {
  const options =
    kind === "symbolic link" ? { hint: "links are not followed; name the file it leads to" } : {};
  return new FileError("ERR_FILE_KIND", `${quoted(path)} is a ${kind ?? "special file"}`, options);
}

/** The same for `a/b` and `./a//b`, and on Windows for `a\b`. */
function placeOf(path: string): string {
  return normalize(path).split(sep).join("/");
}

// ── Folders ──

interface Folder {
  readonly path: string;
  /** Its place in the tree; empty at the root. */
  readonly place: string;
  readonly above: readonly FileId[];
  readonly refusesLocked: boolean;
}

async function* below(folder: Folder): AsyncGenerator<TreeEntry, void, undefined> {
  const { path, place, above, refusesLocked } = folder;
  let stats: BigIntStats;
  let entries: string[];
  try {
    // Only the root may be a link, also if somebody has just put one in a folder's place.
    stats = (place === "" ? statSync : lstatSync)(path, { bigint: true });
    if (!stats.isDirectory()) throw fileError("ERR_READ", path, { code: "ENOTDIR" });
    entries = await entriesOf(path);
    // At the root, the lock is this run's own.
    if (refusesLocked && place !== "") await requireUnlocked(path, entries);
  } catch (error) {
    yield faultAt(path, error instanceof FileError ? error : fileError("ERR_READ", path, error));
    return;
  }
  // A folder can lie in itself by a mount.
  const id = fileId(stats);
  if (above.includes(id)) return;
  for (const entry of entries) {
    const bytes = Buffer.from(entry.slice(0, -2), "latin1");
    const name = bytes.toString();
    if (!isUtf8(bytes)) {
      yield faultAt(join(path, name), notUtf8(`a name in ${quoted(path)}`, name));
      continue;
    }
    if (isWorkFile(name)) continue;
    const inside = { path: join(path, name), place: place === "" ? name : `${place}/${name}` };
    const kind = KINDS.get(entry.at(-1) ?? "");
    if (kind === "folder") yield* below({ ...folder, ...inside, above: [...above, id] });
    else if (kind === "file") yield { kind: "file", ...inside, named: false };
    else if (kind !== undefined) yield { kind: "skipped", path: inside.path, what: kind };
  }
}

/** @throws FileError `ERR_LOCKED` */
async function requireUnlocked(path: string, entries: readonly string[]): Promise<void> {
  const lock = await heldLockIn(
    path,
    entries.filter(isHidden).map((entry) => entry.slice(0, -2)),
  );
  if (lock !== undefined) throw locked(lock);
}

const isHidden = (entry: string): boolean => entry.startsWith(".");

/**
 * Sorted names, each followed by a NUL and its kind's sign. As Latin-1, a string takes a byte for
 * each byte of a name, keeps bytes that are not UTF-8, and sorts by bytes.
 */
async function entriesOf(path: string): Promise<string[]> {
  const entries: string[] = [];
  // Without its types, Node knows folders that are read as bytes.
  const folder = (await opendir(path, {
    encoding: "buffer" as BufferEncoding,
    bufferSize: 256,
  })) as unknown as AsyncIterable<Dirent<Buffer>>;
  for await (const entry of folder) {
    entries.push(`${entry.name.toString("latin1")}\0${SIGNS.get(kindOf(entry)) ?? "?"}`);
  }
  return entries.sort((a, b) => (a < b ? -1 : 1));
}

/** A character for each kind, which makes an entry of a large folder one short string. */
const SIGNS: ReadonlyMap<FileKind | undefined, string> = new Map([
  ["file", "f"],
  ["folder", "d"],
  ["symbolic link", "l"],
  ["FIFO", "p"],
  ["socket", "s"],
  ["character device", "c"],
  ["block device", "b"],
]);

const KINDS = new Map([...SIGNS].map(([kind, sign]) => [sign, kind]));

// ── Lists of files ──

/** The paths of a list. A line that is not UTF-8 is a fault: its path would become another one. */
async function* linesOf(
  manifest: string,
  io: Io,
): AsyncGenerator<string | TreeEntry, void, undefined> {
  const input = await openInput(manifest, io);
  try {
    let line = 0;
    for await (const bytes of recordsOf(input)) {
      line++;
      const text = bytes.toString();
      if (!isUtf8(bytes)) {
        yield faultAt(text, notUtf8(`line ${line} of ${quoted(input.name)}`, text));
      } else if (text !== "") {
        yield text;
      }
    }
  } finally {
    await input.close();
  }
}

/** What ends in a NUL, if there is one among the first bytes, or else in a line feed. */
async function* recordsOf({ chunks, name }: Input): AsyncGenerator<Buffer, void, undefined> {
  let separator: string | undefined;
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = Buffer.concat([rest, chunk]);
    if (separator === undefined && rest.length < LONGEST_PATH && !rest.includes(NUL)) continue;
    separator ??= rest.includes(NUL) ? NUL : LF;
    const records = split(rest, separator);
    rest = records.pop() ?? rest;
    yield* records;
    if (rest.length > LONGEST_PATH) throw notAList(name);
  }
  // A list that is shorter than a path may be: all of it is left.
  yield* split(rest, separator ?? LF);
}

/** At least one part: what follows the last separator. */
function split(bytes: Buffer<ArrayBuffer>, separator: string): Buffer<ArrayBuffer>[] {
  const parts: Buffer<ArrayBuffer>[] = [];
  let start = 0;
  for (let end; (end = bytes.indexOf(separator, start)) >= 0; start = end + 1) {
    parts.push(bytes.subarray(start, end));
  }
  return [...parts, bytes.subarray(start)];
}

function notAList(name: string): UsageError {
  return new UsageError("ERR_USAGE", `${quoted(name)} is not a list of paths`, {
    hint: "a path a line; or a NUL after each, as find -print0 writes",
  });
}

const LF = "\n";
const NUL = "\0";

/** PATH_MAX of Linux is 4,096 bytes, and more than that of other systems. */
const LONGEST_PATH = 16_384;

// ── Details ──

function faultAt(path: string, error: P11SealError): TreeEntry {
  return { kind: "fault", path, error };
}

function notUtf8(what: string, text: string): UsageError {
  return new UsageError("ERR_NOT_UTF8", `${what} is not UTF-8: ${quoted(text)}`, {
    hint: "rename the file",
  });
}

async function* ofShard(
  entries: AsyncIterable<TreeEntry>,
  shard: Shard | undefined,
): AsyncGenerator<TreeEntry, void, undefined> {
  for await (const entry of entries) {
    const isOurs = shard === undefined || entry.kind !== "file" || isInShard(entry.place, shard);
    if (isOurs) yield entry;
  }
}
