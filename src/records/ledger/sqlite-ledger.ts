/**
 * A ledger in an SQLite file, safe for several processes at once and across crashes (see
 * `store/sqlite.ts`). It holds no rule: those are in `ledger-rules.ts`.
 */
import { randomBytes } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { PolicyError, UnsupportedError, type P11SealError } from "../../errors.js";
import { Database, DatabaseFailure } from "../../store/sqlite.js";
import type { Ledger, LedgerStatus, LedgerWitness, SignedMessage } from "./ledger.js";
import { BEGIN_ANEW, ledgerExists, NEW_LEDGER } from "./ledger-refusals.js";
import { requireNotOlder } from "./ledger-rules.js";
import type {
  LedgerStore,
  MessageInStream,
  MessageRow,
  MetaRow,
  PruningRows,
  Rows,
  StreamKey,
  StreamRow,
  Writes,
} from "./ledger-store.js";
import { EMPTY_ROOT } from "./hash-tree.js";
import { writeChanges } from "./sqlite-ledger-changes.js";
import {
  LEDGER_SCHEMA,
  readMessages,
  readMeta,
  readPruning,
  readRows,
  readStatus,
  readStreams,
} from "./sqlite-ledger-rows.js";
import { differencesIn } from "./sqlite-ledger-check.js";
import { requireCurrent } from "./sqlite-ledger-tree.js";
import { upgradeLedger } from "./sqlite-ledger-upgrade.js";
import { StoredLedger } from "./stored-ledger.js";

/**
 * Makes an empty ledger. It does not know what was opened before, so it would accept messages
 * sealed within the window again, unless `sinceMs` refuses what was sealed earlier.
 *
 * @throws PolicyError `ERR_LEDGER_EXISTS`, `ERR_LEDGER_WRITE`; UnsupportedError `ERR_NO_SQLITE`
 */
export async function initLedger(
  path: string,
  options: { readonly nowMs: number; readonly sinceMs?: number },
): Promise<LedgerWitness> {
  const ledgerId = randomBytes(16).toString("hex");
  const { nowMs, sinceMs = 0 } = options;
  const made = await guarded(path, () =>
    Database.create(path, LEDGER_SCHEMA, (database) => {
      const values = [EMPTY_ROOT, ledgerId, nowMs, sinceMs];
      database.run("INSERT INTO meta VALUES (1, ?, ?, 0, ?, ?)", ...values);
    }),
  );
  if (!made) throw ledgerExists(path);
  return { ledgerId, counter: 0 };
}

/**
 * Opens the ledger at `path`. With a `witness`, such as the audit log keeps, an older copy put in
 * its place is recognized. `waitMs` is how long other processes may keep it locked, 10 seconds by
 * default.
 *
 * @throws PolicyError `ERR_LEDGER_MISSING`, `ERR_LEDGER_DAMAGED`, `ERR_LEDGER_WRITE`,
 *   `ERR_LEDGER_BUSY`, `ERR_LEDGER_ROLLED_BACK`, `ERR_UNSAFE_FILE`; UnsupportedError
 *   `ERR_NO_SQLITE`, `ERR_LEDGER_VERSION`
 */
export async function openLedger(
  path: string,
  options: { readonly witness?: LedgerWitness | undefined; readonly waitMs?: number } = {},
): Promise<Ledger> {
  const { witness } = options;
  const upgrade = (database: Database): Promise<void> => upgradeLedger(database, witness);
  return guarded(path, async () => {
    const database = await Database.open(path, { ...LEDGER_SCHEMA, upgrade }, options);
    try {
      const meta = readMeta(database);
      requireNotOlder(meta, witness);
      return new StoredLedger(new SqliteStore(path, database, meta));
    } catch (error) {
      database.close();
      throw error;
    }
  });
}

class SqliteStore implements LedgerStore {
  readonly #path: string;
  readonly #database: Database;
  /** How far the ledger has come, as far as this process saw. */
  #witness: LedgerWitness;

  constructor(path: string, database: Database, witness: LedgerWitness) {
    this.#path = path;
    this.#database = database;
    this.#witness = witness;
  }

  transact<D extends Writes>(message: SignedMessage, decide: (rows: Rows) => D): Promise<D> {
    return this.#decided(() => {
      const rows = readRows(this.#database, message);
      requireCurrent(this.#database, message, rows);
      return decide(rows);
    });
  }

  async prune<D extends Writes>(
    step: Parameters<LedgerStore["prune"]>[0],
    decide: (rows: PruningRows) => D,
  ): Promise<D> {
    await nextTurn();
    return this.#decided(() => decide(readPruning(this.#database, step)));
  }

  compact(): Promise<boolean> {
    return guarded(this.#path, () => Promise.resolve(this.#database.compact()));
  }

  status(): Promise<LedgerStatus> {
    return this.#transaction(() => readStatus(this.#database));
  }

  meta(): Promise<MetaRow> {
    return this.#transaction(() => readMeta(this.#database));
  }

  streamsAfter(key: StreamKey | undefined): Promise<StreamRow[]> {
    return this.#step(() => readStreams(this.#database, key));
  }

  messagesAfter(key: MessageRow | undefined): Promise<MessageInStream[]> {
    return this.#step(() => readMessages(this.#database, key));
  }

  async check(): Promise<string[]> {
    const problems = await this.#transaction(() => this.#database.check());
    if (problems.length > 0) return problems;
    return differencesIn(this.#database, (action) => this.#step(action));
  }

  close(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
  }

  #decided<D extends Writes>(decide: () => D): Promise<D> {
    return this.#transaction(() => {
      const meta = readMeta(this.#database);
      // The file may have been overwritten while it was open.
      requireNotOlder(meta, this.#witness);
      this.#witness = meta;
      const decision = decide();
      writeChanges(this.#database, decision.changes);
      return decision;
    });
  }

  #transaction<T>(action: () => T): Promise<T> {
    return guarded(this.#path, () => Promise.resolve(this.#database.transaction(action)));
  }

  /** One of many. What libsql's garbage holds is freed in between, when the event loop turns. */
  async #step<T>(action: () => T): Promise<T> {
    await nextTurn();
    return this.#transaction(action);
  }
}

// ── Failures ──

/** What the database's failures mean for a ledger: nothing is opened. */
async function guarded<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof DatabaseFailure)) throw error;
    throw ledgerFailure(path, error);
  }
}

function ledgerFailure(path: string, { kind, message, cause }: DatabaseFailure): P11SealError {
  const options = (hint: string): { hint: string; cause?: unknown } => ({ hint, cause });
  switch (kind) {
    case "absent":
      return new PolicyError("ERR_LEDGER_MISSING", `there is no ledger "${path}"`, {
        hint: `make one with \`p11seal ledger init\`; ${NEW_LEDGER}`,
      });
    case "damaged":
      return new PolicyError(
        "ERR_LEDGER_DAMAGED",
        `the ledger "${path}" is damaged: ${message}`,
        options(`move it away, or put a copy back; ${BEGIN_ANEW}`),
      );
    case "version":
      return new UnsupportedError("ERR_LEDGER_VERSION", `the ledger "${path}" has ${message}`, {
        hint: "a newer p11seal made it; use that one",
      });
    case "write":
      return new PolicyError(
        "ERR_LEDGER_WRITE",
        `the ledger "${path}" can't be written: ${message}`,
        options("nothing was accepted; make room on the disk, or make it and its folder writable"),
      );
    case "busy":
      return new PolicyError(
        "ERR_LEDGER_BUSY",
        `other processes keep the ledger "${path}" locked`,
        options("nothing was accepted; try again"),
      );
  }
}
