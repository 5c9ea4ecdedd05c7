/**
 * Ledgers of version 1 of the tables, which had no hash tree. Opening one makes the tree from its
 * rows, once. Whether they are of one time can't be seen any more, but what contradicts itself is
 * refused.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { DatabaseFailure, type Database } from "../../store/sqlite.js";
import { EMPTY_ROOT } from "./hash-tree.js";
import type { LedgerWitness } from "./ledger.js";
import { requireNotOlder } from "./ledger-rules.js";
import type { MessageRow, StreamRow } from "./ledger-store.js";
import { META_TABLE, readMessages, readMeta, readStreams } from "./sqlite-ledger-rows.js";
import { addEntries, entryOf, TREE_TABLE } from "./sqlite-ledger-tree.js";

/**
 * In the transaction that is open. The event loop turns meanwhile, which frees what the garbage of
 * libsql holds.
 *
 * @throws DatabaseFailure "damaged"; PolicyError `ERR_LEDGER_ROLLED_BACK`
 */
export async function upgradeLedger(
  database: Database,
  witness: LedgerWitness | undefined,
): Promise<void> {
  const { ledgerId, counter, createdMs, sinceMs } = readMeta(database, "counter");
  requireNotOlder({ ledgerId, counter }, witness);
  const [problem] = database.check();
  if (problem !== undefined) throw new DatabaseFailure("damaged", problem);
  database.execute(`DROP TABLE meta; ${META_TABLE} ${TREE_TABLE}`);
  database.run(
    "INSERT INTO meta VALUES (1, ?, ?, ?, ?, ?)",
    ...[EMPTY_ROOT, ledgerId, counter, createdMs, sinceMs],
  );
  database.execute("CREATE TEMPORARY TABLE found (entry TEXT)");
  await findStreams(database);
  if ((await findMessages(database)) > counter) throw contradiction("its counter");
  await addSorted(database);
}

async function findStreams(database: Database): Promise<void> {
  let after: StreamRow | undefined;
  for (;;) {
    const page = readStreams(database, after);
    after = page.at(-1);
    if (after === undefined) return;
    await keep(database, page);
  }
}

/** How many were accepted. */
async function findMessages(database: Database): Promise<number> {
  let accepted = 0;
  let after: MessageRow | undefined;
  for (;;) {
    const page = readMessages(database, after);
    after = page.at(-1)?.message;
    if (after === undefined) return accepted;
    const known = page.filter(({ message }) => message.state !== "reserved");
    if (known.some(({ message, highest = -1 }) => message.serial > highest)) {
      throw contradiction("its stream");
    }
    accepted += known.length;
    await keep(
      database,
      known.map(({ message }) => message),
    );
  }
}

function contradiction(what: string): DatabaseFailure {
  return new DatabaseFailure("damaged", `a message was accepted, but ${what} says otherwise`);
}

async function keep(database: Database, rows: readonly (MessageRow | StreamRow)[]): Promise<void> {
  const entries = JSON.stringify(rows.map(entryOf));
  database.run("INSERT INTO found SELECT value FROM json_each(?)", entries);
  await nextTurn();
}

/** In the order of their keys, so that no node of the tree is written often. */
async function addSorted(database: Database): Promise<void> {
  database.execute(`
    CREATE TEMPORARY TABLE sorted AS SELECT entry FROM found ORDER BY entry;
    DROP TABLE found;
  `);
  for (let done = 0; ; done += ENTRIES_AT_ONCE) {
    const some = "FROM sorted WHERE rowid > ? AND rowid <= ?";
    const rows = database.select(["entry"], some, done, done + ENTRIES_AT_ONCE);
    if (rows.length === 0) break;
    addEntries(
      database,
      rows.map(({ entry = "" }) => entry),
    );
    await nextTurn();
  }
  database.execute("DROP TABLE sorted");
}

const ENTRIES_AT_ONCE = 20_000;
