/**
 * The embedded database under the ledger and the serial counters: few statements, each transaction
 * on the disk before it counts as done. `sqlite-binding.ts` says which SQLite it is.
 *
 * Journal and durability: the rollback journal with `synchronous=EXTRA`, five calls of fsync and
 * some 1.5 ms a transaction on a virtual disk. WAL takes one call and 0.6 ms, but it needs memory
 * shared by all processes, which a home folder on a network does not give, and it spreads the
 * database over three files, of which people copy one; and libsql closes a database only when its
 * garbage is collected, so the second file would stay. With a rollback journal `FULL` is not
 * enough: the journal's removal is not on the disk when the transaction returns, and a power cut
 * may then undo it (sqlite.org/pragma.html, "synchronous").
 */
import { open as openFile, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { UnsupportedError } from "../errors.js";
import { fileState } from "./files.js";
import { syncFolder } from "./flush.js";
import { connect, resultCode, type Connection, type Value } from "./sqlite-binding.js";
import { errno } from "./system-error.js";
import { removeLeftovers } from "./leftovers.js";
import { CREATE, ownTemporaryBeside, placeNew } from "./temporary.js";

/** A row's columns by name, numbers in decimal; `undefined` for NULL and for empty text. */
export type Row = Readonly<Record<string, string | undefined>>;

/** What kind of database a file is. SQLite keeps both numbers in its header. */
export interface Schema {
  readonly applicationId: number;
  readonly version: number;
  /** Statements that make the tables of a new database. */
  readonly sql: string;
  /** Changes the tables of an older version into those of this one; absent: there is none. */
  readonly upgrade?: (database: Database, version: number) => Promise<void>;
}

/** A database that can't be used. Its user says what that means. */
export class DatabaseFailure extends Error {
  readonly kind: "absent" | "damaged" | "version" | "write" | "busy";

  constructor(kind: DatabaseFailure["kind"], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

export class Database {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Opens a database; never makes a file.
   *
   * @param options - `waitMs`: how long a transaction waits for those of other processes, 10 s by
   *   default.
   * @throws DatabaseFailure; PolicyError `ERR_UNSAFE_FILE`; UnsupportedError `ERR_NO_SQLITE`
   */
  static async open(
    path: string,
    schema: Schema,
    options: { readonly waitMs?: number | undefined } = {},
  ): Promise<Database> {
    // One at a time: who waits for another's upgrade in SQLite would block this process, and so it.
    const opening = Database.#opening.then(() => Database.#open(path, schema, options));
    Database.#opening = opening.catch(() => undefined);
    return opening;
  }

  static #opening: Promise<unknown> = Promise.resolve();

  static async #open(
    path: string,
    schema: Schema,
    options: { readonly waitMs?: number | undefined },
  ): Promise<Database> {
    if ((await fileState(path)) === "absent") throw new DatabaseFailure("absent", "no such file");
    const database = new Database(await opened(path));
    try {
      database.#prepare(options.waitMs ?? WAIT_MS);
      database.#requireSchema(schema);
      await database.#upgrade(schema);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /**
   * Makes a database, whole or not at all; `fill` writes its first rows.
   *
   * @returns false if there is a file already; it stays as it is
   * @throws as `open`
   */
  static async create(
    path: string,
    schema: Schema,
    fill: (database: Database) => void,
  ): Promise<boolean> {
    if ((await fileState(path)) === "present") return false;
    removeLeftovers(dirname(path));
    const temporary = ownTemporaryBeside(path);
    try {
      await (await openFile(temporary, CREATE, 0o600)).close();
      const database = new Database(await opened(temporary));
      try {
        database.#prepare(WAIT_MS);
        database.transaction(() => {
          database.execute(`PRAGMA application_id = ${schema.applicationId}`);
          database.execute(`PRAGMA user_version = ${schema.version}`);
          database.execute(schema.sql);
          fill(database);
        });
      } finally {
        database.close();
      }
      placeNew(temporary, path);
      await syncFolder(dirname(path));
      return true;
    } catch (error) {
      if (errno(error) === "EEXIST") return false;
      throw failure(error);
    } finally {
      await unlink(temporary).catch(() => undefined);
    }
  }

  /**
   * The named columns of all rows; `rest` is what follows them in the statement, from FROM on.
   *
   * Everything is asked for as `hex(…)`: in a damaged file any value may be a text that is not
   * UTF-8, and there libsql ends the process.
   */
  select(columns: readonly string[], rest: string, ...parameters: readonly Value[]): Row[] {
    const list = columns.map((name) => `hex(${name}) AS ${name}`).join(", ");
    const rows = this.#all(`SELECT ${list} ${rest}`, parameters);
    return rows.map((row) =>
      Object.fromEntries(columns.map((name) => [name, decoded(row[name])] as const)),
    );
  }

  /** How many rows a statement changed. */
  run(sql: string, ...parameters: readonly Value[]): number {
    try {
      return this.#connection.run(sql, parameters);
    } catch (error) {
      throw failure(error);
    }
  }

  /** Statements without values. */
  execute(sql: string): void {
    try {
      this.#connection.exec(sql);
    } catch (error) {
      throw failure(error);
    }
  }

  /**
   * Runs `action` while no other process uses the database. If this returns, its changes are on the
   * disk; if it throws, nothing was changed.
   */
  transaction<T>(action: () => T): T {
    this.execute("BEGIN IMMEDIATE");
    try {
      const result = action();
      this.execute("COMMIT");
      return result;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  /**
   * Makes the file smaller if much of it is unused. False: it could not be, as on a full disk or
   * while others use it; the database is as before.
   *
   * @throws DatabaseFailure "damaged"
   */
  compact(): boolean {
    const [unused, pages] = [this.#number("freelist_count"), this.#number("page_count")];
    if (4 * unused < pages) return true;
    try {
      this.execute("VACUUM");
      return true;
    } catch (error) {
      if (error instanceof DatabaseFailure && error.kind !== "damaged") return false;
      throw error;
    }
  }

  /** What SQLite itself finds wrong with the file. */
  check(): string[] {
    const rows = this.select(["integrity_check"], "FROM pragma_integrity_check");
    return rows
      .map((row) => row["integrity_check"] ?? "an empty answer")
      .filter((text) => text !== "ok");
  }

  close(): void {
    this.#connection.close();
  }

  #prepare(waitMs: number): void {
    this.execute(`PRAGMA busy_timeout = ${waitMs}`);
    this.execute("PRAGMA journal_mode = DELETE");
    this.execute("PRAGMA synchronous = EXTRA");
    this.execute("PRAGMA foreign_keys = ON");
    // libsql's default is memory, where VACUUM would copy the whole database to.
    this.execute("PRAGMA temp_store = FILE");
    this.execute("PRAGMA trusted_schema = OFF");
    this.execute("PRAGMA cell_size_check = ON");
  }

  #requireSchema({ applicationId, version, upgrade }: Schema): void {
    if (this.#number("application_id") !== applicationId) {
      throw new DatabaseFailure("damaged", "not a database of this kind");
    }
    const found = this.#number("user_version");
    if (found < 1) throw new DatabaseFailure("damaged", "its tables have no version");
    if (found > version || (found < version && upgrade === undefined)) {
      throw new DatabaseFailure("version", `version ${found} of its tables`);
    }
  }

  /** In one transaction: until it is done, others see the older version, or wait. */
  async #upgrade({ version, upgrade }: Schema): Promise<void> {
    if (upgrade === undefined || this.#number("user_version") === version) return;
    this.execute("BEGIN IMMEDIATE");
    try {
      const found = this.#number("user_version");
      // Another process may have been faster.
      if (found !== version) await upgrade(this, found);
      this.execute(`PRAGMA user_version = ${version}`);
      this.execute("COMMIT");
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  #number(pragma: string): number {
    const [row] = this.select([pragma], `FROM pragma_${pragma}`);
    return Number(row?.[pragma]);
  }

  #all(sql: string, parameters: readonly Value[]): Readonly<Record<string, unknown>>[] {
    try {
      return this.#connection.all(sql, parameters);
    } catch (error) {
      throw failure(error);
    }
  }

  #rollBack(): void {
    try {
      this.#connection.exec("ROLLBACK");
    } catch {
      // After a failed write, SQLite has already rolled back.
    }
  }
}

// ── Details ──

/** The text behind `hex(…)`. */
function decoded(hex: unknown): string | undefined {
  if (typeof hex !== "string") throw new TypeError("hex() gives text");
  if (hex === "") return undefined;
  try {
    return UTF8.decode(Buffer.from(hex, "hex"));
  } catch {
    throw new DatabaseFailure("damaged", "a text that is not UTF-8");
  }
}

/** One for all values: each holds memory outside the heap. */
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Other processes' transactions take milliseconds. This process blocks while it waits. */
const WAIT_MS = 10_000;

async function opened(path: string): Promise<Connection> {
  try {
    return await connect(path);
  } catch (error) {
    if (error instanceof UnsupportedError) throw error;
    throw new DatabaseFailure("write", "cannot be opened", error);
  }
}

/** SQLite's primary result codes (sqlite.org/rescode.html), the low byte of what is reported. */
const KINDS: ReadonlyMap<number, readonly [DatabaseFailure["kind"], string]> = new Map([
  [3, ["write", "SQLITE_PERM"]],
  [5, ["busy", "SQLITE_BUSY"]],
  [6, ["busy", "SQLITE_LOCKED"]],
  [8, ["write", "SQLITE_READONLY"]],
  [10, ["write", "SQLITE_IOERR"]],
  [11, ["damaged", "SQLITE_CORRUPT"]],
  [13, ["write", "SQLITE_FULL"]],
  [14, ["write", "SQLITE_CANTOPEN"]],
  [15, ["busy", "SQLITE_PROTOCOL"]],
  [19, ["damaged", "SQLITE_CONSTRAINT"]],
  [26, ["damaged", "SQLITE_NOTADB"]],
]);

/** Whatever else SQLite says of fixed statements, such as "no such table", comes from the file. */
function failure(error: unknown): unknown {
  const code = resultCode(error);
  if (code === undefined) return error;
  const [kind, name] = KINDS.get(code & 0xff) ?? ["damaged", `SQLite says ${code}`];
  return new DatabaseFailure(kind, name, error);
}
