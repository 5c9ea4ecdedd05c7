/**
 * Ties the ledger's rows together, so that rows of different times don't pass for one ledger: as in
 * a file of which some pages, or some tables, were put back from an older copy. All that was
 * accepted, and each stream, is an entry of a hash tree, and its root stands in the row of `meta`
 * that also has the counter. A witness tells an older counter, and the root every older row.
 *
 * A reservation is no entry: it decides nothing for good. A message's entry goes by its serial, so
 * one look tells whether the message, or any other of its serial, was accepted.
 */
import { hash } from "node:crypto";
import { DatabaseFailure, type Database } from "../../store/sqlite.js";
import {
  countIn,
  replaced,
  TreeMismatch,
  valuesIn,
  type Replacement,
  type Root,
  type TreeNodes,
} from "./hash-tree.js";
import type { SignedMessage } from "./ledger.js";
import type { MessageRow, Rows, StreamKey, StreamRow } from "./ledger-store.js";

/** Nodes by their paths, read as a hexadecimal number with a 1 before it. */
export const TREE_TABLE = `
  CREATE TABLE tree (
    path INTEGER PRIMARY KEY CHECK (path >= 1),
    node TEXT    NOT NULL
  ) STRICT;
`;

/**
 * Makes sure that the rows around a message are what was last written, and that absent ones are
 * rightly absent.
 *
 * @throws DatabaseFailure "damaged"
 */
export function requireCurrent(
  database: Database,
  { keyId: sender, streamId, serial }: SignedMessage,
  { own, rival, stream }: Rows,
): void {
  const place = { sender, streamId, serial };
  const isOwnPlace = own?.streamId === streamId && own.serial === serial;
  const holder = isOwnPlace ? own : rival;
  requireEntries(
    database,
    new Map([
      [messageKey(place), messageValue(holder)],
      [streamKey({ sender, streamId }), streamValue(stream)],
    ]),
  );
}

/** Which of the rows are not what was last written. */
export function outdated<T extends MessageRow | StreamRow>(
  database: Database,
  rows: readonly T[],
): T[] {
  const values = guarded(() => valuesIn(nodesOf(database), rootOf(database), rows.map(keyOf)));
  return rows.filter((row) => values.get(keyOf(row)) !== valueOf(row));
}

/** How many entries there have to be, for messages and streams together. */
export function entriesIn(database: Database): number {
  return countIn(rootOf(database));
}

/** Changes of rows, gathered until they are written to the tree in one go. */
export class TreeChanges {
  readonly #database: Database;
  readonly #changes = new Map<string, Replacement>();

  constructor(database: Database) {
    this.#database = database;
  }

  message(before: MessageRow | undefined, after: MessageRow | undefined): void {
    const row = before ?? after;
    if (row !== undefined) this.#add(messageKey(row), messageValue(before), messageValue(after));
  }

  stream(before: StreamRow | undefined, after: StreamRow): void {
    this.#add(streamKey(after), streamValue(before), streamValue(after));
  }

  /** @throws DatabaseFailure "damaged": a row was not what the tree says it was */
  write(): void {
    if (this.#changes.size > 0) replaceIn(this.#database, [...this.#changes.values()]);
  }

  #add(key: string, from: string | undefined, to: string | undefined): void {
    const earlier = this.#changes.get(key);
    this.#changes.set(key, { key, from: earlier === undefined ? from : earlier.from, to });
  }
}

/** The entry of a row, its key and its value; undefined for a reservation. */
export function entryOf(row: MessageRow | StreamRow): string | undefined {
  const value = valueOf(row);
  return value === undefined ? undefined : keyOf(row) + value;
}

/** @throws DatabaseFailure "damaged": one is there already */
export function addEntries(database: Database, entries: readonly string[]): void {
  const replacements = entries.map((entry) => {
    return { key: entry.slice(0, DIGEST_DIGITS), from: undefined, to: entry.slice(DIGEST_DIGITS) };
  });
  replaceIn(database, replacements);
}

// ── Entries ──

function keyOf(row: MessageRow | StreamRow): string {
  return "serial" in row ? messageKey(row) : streamKey(row);
}

function valueOf(row: MessageRow | StreamRow): string | undefined {
  return "serial" in row ? messageValue(row) : streamValue(row);
}

function messageKey({ sender, streamId, serial }: StreamKey & { readonly serial: number }): string {
  return keyIn(streamId, `serial ${sender} ${streamId} ${serial}`);
}

function messageValue(row: MessageRow | undefined): string | undefined {
  const { state = "reserved", messageId = "", createdMs = 0 } = row ?? {};
  return state === "reserved" ? undefined : digest(`${state} ${messageId} ${createdMs}`);
}

function streamKey({ sender, streamId }: StreamKey): string {
  return keyIn(streamId, `stream ${sender} ${streamId}`);
}

/**
 * Begins as the stream's id does, which is random. So a stream shares its path with its messages,
 * and with the streams beside it, which pruning comes to in the same step. Only a few digits: a
 * sender who chooses ids that begin alike makes paths longer by as many.
 */
function keyIn(streamId: string, text: string): string {
  return streamId.slice(0, STREAM_DIGITS) + digest(text).slice(STREAM_DIGITS);
}

const STREAM_DIGITS = 4;

function streamValue(row: StreamRow | undefined): string | undefined {
  return row && digest(`${row.highest} ${row.floor}`);
}

function digest(text: string): string {
  return hash("sha256", text).slice(0, DIGEST_DIGITS);
}

const DIGEST_DIGITS = 32;

// ── The tree in the database ──

function requireEntries(
  database: Database,
  expected: ReadonlyMap<string, string | undefined>,
): void {
  const keys = [...expected.keys()];
  const values = guarded(() => valuesIn(nodesOf(database), rootOf(database), keys));
  if (keys.some((key) => values.get(key) !== expected.get(key))) throw spliced();
}

function replaceIn(database: Database, replacements: readonly Replacement[]): void {
  const before = rootOf(database);
  const after = guarded(() => replaced(nodesOf(database), before, replacements));
  if (after !== before) database.run("UPDATE meta SET root = ?", after);
}

function rootOf(database: Database): Root {
  const [{ root = "" } = {}] = database.select(["root"], "FROM meta");
  if (!ROOT.test(root)) throw new DatabaseFailure("damaged", "meta holds no root");
  return root;
}

const ROOT = /^[0-9a-f]{76}$/;

/** A statement for all nodes of a call: each statement takes longer than what it does with one. */
function nodesOf(database: Database): TreeNodes {
  return {
    read: (paths) => {
      const wanted = new Map(paths.map((path) => [String(numberOf(path)), path]));
      const numbers = JSON.stringify([...wanted.keys()].map(Number));
      const isWanted = "FROM tree WHERE path IN (SELECT value FROM json_each(?))";
      const rows = paths.length === 0 ? [] : database.select(["path", "node"], isWanted, numbers);
      return new Map(rows.map(({ path = "", node = "" }) => [wanted.get(path) ?? "", node]));
    },
    write: (nodes) => {
      const all = [...nodes].map(([path, node]) => [numberOf(path), node] as const);
      const kept = all.filter(([, node]) => node !== "");
      if (kept.length > 0) database.run(PUT_NODES, JSON.stringify(kept));
      if (kept.length === all.length) return;
      const gone = all.filter(([, node]) => node === "").map(([number]) => number);
      const isGone = "WHERE path IN (SELECT value FROM json_each(?))";
      database.run(`DELETE FROM tree ${isGone}`, JSON.stringify(gone));
    },
  };
}

const PUT_NODES = `
  INSERT OR REPLACE INTO tree
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)`;

/** At most 2⁴⁹, as no path has more than 12 digits. */
function numberOf(path: string): number {
  return Number.parseInt(`1${path}`, 16);
}

function guarded<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof TreeMismatch ? spliced(error) : error;
  }
}

function spliced(cause?: unknown): DatabaseFailure {
  return new DatabaseFailure(
    "damaged",
    "its parts do not belong together: some are older, or were changed",
    cause,
  );
}
