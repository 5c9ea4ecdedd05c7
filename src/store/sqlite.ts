/**
 * The embedded database under the ledger and the serial counters: few statements, each transaction on
 * the disk before it counts as done.
 *
 * The binding is `libsql`, because npm delivers it compiled: better-sqlite3 12 compiles for some 80
 * seconds where its prebuilt binary can't be fetched, its version 13 and `node:sqlite` want Node 22. It
 * is an optional package, loaded when a database is first used: sealing unsigned messages, and opening
 * without a policy, do without. Loading takes about 25 ms.
 *
 * Journal and durability: the rollback journal with `synchronous=EXTRA`, five calls of fsync and some
 * 1.5 ms a transaction on a virtual disk. WAL takes one call and 0.6 ms, but needs memory shared by all
 * processes, which a home folder on a network does not give, and spreads the database over three files,
 * of which people copy one; and this binding closes a database only when its garbage is collected, so
 * the second file would stay. With a rollback journal `FULL` would not do: the journal's removal is not
 * on the disk when the transaction returns, and a power cut may then undo it (sqlite.org/pragma.html,
 * "synchronous").
 */
import { link, open as openFile, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { UnsupportedError } from "../errors.js";
import { errno, fileState, syncFolder, temporaryBeside } from "./files.js";

export type Value = string | number | null;
/** A row's columns by name, numbers in decimal; `undefined` for NULL and for an empty text. */
export type Row = Readonly<Record<string, string | undefined>>;

/** What kind of database a file is: SQLite keeps both numbers in its header. */
export interface Schema {
  readonly applicationId: number;
  readonly version: number;
  /** Statements that make the tables of a new database. */
  readonly sql: string;
}

/** A database that can't be used. Whoever uses it says what that means. */
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
   * Opens what is there; never makes a file.
   *
   * @param options - `waitMs`: how long a transaction waits for those of other processes.
   * @throws DatabaseFailure; PolicyError `ERR_UNSAFE_FILE`; UnsupportedError `ERR_NO_SQLITE`
   */
  static async open(
    path: string,
    schema: Schema,
    options: { readonly waitMs?: number | undefined } = {},
  ): Promise<Database> {
    if ((await fileState(path)) === "absent") throw new DatabaseFailure("absent", "no such file");
    const database = new Database(await connect(path));
    try {
      database.#prepare(options.waitMs ?? WAIT_MS);
      database.#requireSchema(schema);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /**
   * Makes a new one, whole or not at all; `fill` writes its first rows.
   *
   * @returns false where there is a file already, which stays as it is
   * @throws as `open`
   */
  static async create(
    path: string,
    schema: Schema,
    fill: (database: Database) => void,
  ): Promise<boolean> {
    if ((await fileState(path)) === "present") return false;
    const temporary = temporaryBeside(path);
    try {
      await (await openFile(temporary, "wx", 0o600)).close();
      const database = new Database(await connect(temporary));
      try {
        database.#prepare(WAIT_MS);
        database.transaction(() => {
          database.#execute(`PRAGMA application_id = ${schema.applicationId}`);
          database.#execute(`PRAGMA user_version = ${schema.version}`);
          database.#execute(schema.sql);
          fill(database);
        });
      } finally {
        database.close();
      }
      await giveName(temporary, path);
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
   * Everything is asked for as `hex(…)`, because the binding ends the process when a text it gets is not
   * UTF-8, and in a damaged file any value may be one.
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
      return this.#connection.prepare(sql).run(parameters).changes;
    } catch (error) {
      throw failure(error);
    }
  }

  /**
   * Runs `action` alone among all processes. When this returns, what it changed is on the disk; when it
   * throws, nothing was changed.
   */
  transaction<T>(action: () => T): T {
    this.#execute("BEGIN IMMEDIATE");
    try {
      const result = action();
      this.#execute("COMMIT");
      return result;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  /** What SQLite's own check finds wrong with the file. */
  check(): string[] {
    const rows = this.select(["integrity_check"], "FROM pragma_integrity_check(100)");
    return rows
      .map((row) => row["integrity_check"] ?? "an empty answer")
      .filter((text) => text !== "ok");
  }

  close(): void {
    this.#connection.close();
  }

  #prepare(waitMs: number): void {
    this.#execute(`PRAGMA busy_timeout = ${waitMs}`);
    this.#execute("PRAGMA journal_mode = DELETE");
    this.#execute("PRAGMA synchronous = EXTRA");
    this.#execute("PRAGMA foreign_keys = ON");
    this.#execute("PRAGMA trusted_schema = OFF");
    this.#execute("PRAGMA cell_size_check = ON");
  }

  #requireSchema({ applicationId, version }: Schema): void {
    if (this.#number("application_id") !== applicationId) {
      throw new DatabaseFailure("damaged", "not a database of this kind");
    }
    const found = this.#number("user_version");
    if (found !== version) throw new DatabaseFailure("version", `version ${found} of its tables`);
  }

  #number(pragma: string): number {
    const [row] = this.select([pragma], `FROM pragma_${pragma}`);
    return Number(row?.[pragma]);
  }

  #all(sql: string, parameters: readonly Value[]): Readonly<Record<string, unknown>>[] {
    try {
      return this.#connection.prepare(sql).all(parameters);
    } catch (error) {
      throw failure(error);
    }
  }

  #execute(sql: string): void {
    try {
      this.#connection.exec(sql);
    } catch (error) {
      throw failure(error);
    }
  }

  #rollBack(): void {
    try {
      this.#connection.exec("ROLLBACK");
    } catch {
      // After a full disk or a failed write SQLite has rolled back by itself.
    }
  }
}

// ── Details ─────────────────────────────────────────────────────────────────────────────────────

/** What is used of `libsql`; its own types promise more than it does. */
interface Connection {
  exec(sql: string): void;
  prepare(sql: string): {
    all(parameters: readonly Value[]): Readonly<Record<string, unknown>>[];
    run(parameters: readonly Value[]): { readonly changes: number };
  };
  close(): void;
}

/** The text behind `hex(…)`. */
function decoded(hex: unknown): string | undefined {
  if (typeof hex !== "string") throw new TypeError("hex() gives text");
  if (hex === "") return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(hex, "hex"));
  } catch {
    throw new DatabaseFailure("damaged", "a text that is none");
  }
}

/** Others' transactions take milliseconds; a process blocks while it waits for them. */
const WAIT_MS = 10_000;

/** Unlike rename, link does not replace what another process made in the meantime. */
async function giveName(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (!NO_HARD_LINKS.has(errno(error) ?? "")) throw error;
    await rename(temporary, path);
  }
}

/** FAT and some network file systems. */
const NO_HARD_LINKS: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

async function connect(path: string): Promise<Connection> {
  const Binding = await binding();
  try {
    // As a URI, because plain paths make a file where there is none, and some mean a server.
    return new Binding(`${pathToFileURL(path).href}?mode=rw`);
  } catch (error) {
    throw new DatabaseFailure("write", "cannot be opened", error);
  }
}

async function binding(): Promise<new (path: string) => Connection> {
  try {
    const loaded: unknown = await import("libsql");
    return (loaded as { default: new (path: string) => Connection }).default;
  } catch (error) {
    throw new UnsupportedError("ERR_NO_SQLITE", "the package libsql can't be loaded", {
      cause: error,
      hint: "the ledger and the serial counters need it: npm install libsql@0.5.29",
    });
  }
}

/** SQLite's primary result codes (sqlite.org/rescode.html), the low byte of what is reported. */
const KINDS: ReadonlyMap<number, DatabaseFailure["kind"]> = new Map([
  [3, "write"], // SQLITE_PERM
  [5, "busy"], // SQLITE_BUSY
  [6, "busy"], // SQLITE_LOCKED
  [8, "write"], // SQLITE_READONLY
  [10, "write"], // SQLITE_IOERR
  [13, "write"], // SQLITE_FULL
  [14, "write"], // SQLITE_CANTOPEN
  [15, "busy"], // SQLITE_PROTOCOL
]);

/** Whatever else SQLite says of fixed statements, such as "no such table", comes from the file. */
function failure(error: unknown): unknown {
  if (typeof error !== "object" || error === null || !("rawCode" in error)) return error;
  const { rawCode } = error;
  if (typeof rawCode !== "number") return error;
  const kind = KINDS.get(rawCode & 0xff) ?? "damaged";
  return new DatabaseFailure(kind, nameOf(error) ?? `SQLite says ${rawCode}`, error);
}

function nameOf(error: object): string | undefined {
  const code = errno(error);
  return code?.startsWith("SQLITE_") === true ? code : undefined;
}
