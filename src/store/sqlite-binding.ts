/**
 * Which SQLite to use: Node's own from Node 22.15 on, otherwise the package `libsql`.
 *
 * Node's own needs no installation and loads in 0.1 ms. `libsql` has 19 MB and takes 15 to 30 ms,
 * and only older versions of Node need it. No prebuilt binding is leaner: better-sqlite3 13 has 28
 * MB and needs Node 22; version 12 downloads its binary, or compiles it in some 80 seconds. Either
 * is loaded when a database is first used. Sealing unsigned messages, and opening without a policy,
 * use none.
 */
import { pathToFileURL } from "node:url";
import { UnsupportedError } from "../errors.js";
import { errno } from "./system-error.js";

export type Value = string | number | null;

/** What the two bindings do alike. Values come back as the binding likes: ask for text only. */
export interface Connection {
  exec(sql: string): void;
  all(sql: string, values: readonly Value[]): Readonly<Record<string, unknown>>[];
  /** How many rows were changed. */
  run(sql: string, values: readonly Value[]): number;
  close(): void;
}

/**
 * Opens the database at `path`, which must exist: it is never made.
 *
 * @throws UnsupportedError `ERR_NO_SQLITE`; whatever SQLite says (`resultCode`)
 */
export async function connect(path: string): Promise<Connection> {
  // As a URL, because plain paths make a file where there is none, and to libsql some mean a
  // server.
  const url = pathToFileURL(path);
  url.searchParams.set("mode", "rw");
  return connectNode(url) ?? (await connectLibsql(url));
}

/**
 * SQLite's extended result code (sqlite.org/rescode.html) behind an error that a connection threw;
 * undefined for every other error.
 */
export function resultCode(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { errcode, rawCode } = error as { errcode?: unknown; rawCode?: unknown };
  const code = errcode ?? rawCode;
  return typeof code === "number" ? code : undefined;
}

/**
 * Prepared statements by their text, of which there are few. Each holds memory outside the heap
 * until its garbage is collected: a statement prepared for each of 10⁶ rows took 10 GB.
 */
class Prepared<S> {
  readonly #prepare: (sql: string) => S;
  readonly #statements = new Map<string, S>();

  constructor(prepare: (sql: string) => S) {
    this.#prepare = prepare;
  }

  use<T>(sql: string, action: (statement: S) => T): T {
    const statement = this.#statements.get(sql) ?? this.#prepare(sql);
    // One that failed is not used again.
    this.#statements.delete(sql);
    const result = action(statement);
    this.#statements.set(sql, statement);
    return result;
  }
}

// ── node:sqlite ──

interface NodeSqlite {
  readonly DatabaseSync: new (url: URL) => {
    exec(sql: string): void;
    prepare(sql: string): {
      all(...values: readonly Value[]): Readonly<Record<string, unknown>>[];
      run(...values: readonly Value[]): { readonly changes: number };
    };
    close(): void;
  };
}

/**
 * Undefined where this Node has no SQLite, or one (before 22.15) that can't be told to make no
 * file.
 */
function connectNode(url: URL): Connection | undefined {
  const sqlite = nodeSqlite();
  if (sqlite === undefined) return undefined;
  let database: InstanceType<NodeSqlite["DatabaseSync"]>;
  try {
    database = new sqlite.DatabaseSync(url);
  } catch (error) {
    if (errno(error) === "ERR_INVALID_ARG_TYPE") return undefined;
    throw error;
  }
  const prepared = new Prepared((sql) => database.prepare(sql));
  return {
    exec: (sql) => {
      database.exec(sql);
    },
    all: (sql, values) => prepared.use(sql, (statement) => statement.all(...values)),
    run: (sql, values) => prepared.use(sql, (statement) => statement.run(...values).changes),
    close: () => {
      database.close();
    },
  };
}

/** Node 22 warns that SQLite is an experiment, once: not the user's concern, so it is not shown. */
function nodeSqlite(): NodeSqlite | undefined {
  const warnings: { emitWarning: unknown } = process;
  const { emitWarning } = warnings;
  warnings.emitWarning = () => undefined;
  try {
    // Not an import: whoever looks for modules in this file should not find one that Node 20 lacks.
    return process.getBuiltinModule("node:sqlite") as NodeSqlite | undefined;
  } finally {
    warnings.emitWarning = emitWarning;
  }
}

// ── libsql ──

/** What is used of `libsql`; its own types promise more than it does. */
type Libsql = new (url: string) => {
  exec(sql: string): void;
  prepare(sql: string): {
    all(values: readonly Value[]): Readonly<Record<string, unknown>>[];
    run(values: readonly Value[]): { readonly changes: number };
  };
  close(): void;
};

async function connectLibsql(url: URL): Promise<Connection> {
  const Binding = await loadLibsql();
  const database = new Binding(url.href);
  const prepared = new Prepared((sql) => database.prepare(sql));
  return {
    exec: (sql) => {
      database.exec(sql);
    },
    all: (sql, values) => prepared.use(sql, (statement) => statement.all(values)),
    run: (sql, values) => prepared.use(sql, (statement) => statement.run(values).changes),
    close: () => {
      database.close();
    },
  };
}

async function loadLibsql(): Promise<Libsql> {
  try {
    const loaded: unknown = await import("libsql");
    return (loaded as { default: Libsql }).default;
  } catch (error) {
    throw new UnsupportedError("ERR_NO_SQLITE", "there is no SQLite to keep records in", {
      cause: error,
      hint: "use Node 22.15 or newer, or install one where p11seal is: npm install libsql@0.5.29",
    });
  }
}
