/**
 * Compares all rows with the tree that ties them together. It reads them page by page, each in a
 * transaction of its own, so other processes accept messages meanwhile.
 */
import type { Database } from "../../store/sqlite.js";
import type { MessageRow, StreamRow } from "./ledger-store.js";
import { readMessages, readStatus, readStreams } from "./sqlite-ledger-rows.js";
import { entriesIn, outdated } from "./sqlite-ledger-tree.js";

/**
 * One line for each row that is not what was last written there, at most 100; if there is none,
 * one if rows are missing.
 *
 * @param transaction - runs a transaction on the database
 * @throws as `transaction`
 */
export async function differencesIn(
  database: Database,
  transaction: <T>(action: () => T) => Promise<T>,
): Promise<string[]> {
  const problems: string[] = [];
  let stream: StreamRow | undefined;
  do {
    const after = stream;
    const { last, old } = await transaction(() => streamsAfter(database, after));
    problems.push(
      ...old.map(({ streamId }) => `stream ${streamId} is not as it was last recorded`),
    );
    stream = last;
  } while (stream !== undefined && problems.length < MAX_PROBLEMS);
  let message: MessageRow | undefined;
  do {
    const after = message;
    const { last, old } = await transaction(() => messagesAfter(database, after));
    problems.push(
      ...old.map(({ messageId }) => `message ${messageId} is not as it was last recorded`),
    );
    message = last;
  } while (message !== undefined && problems.length < MAX_PROBLEMS);
  if (problems.length > 0) return problems.slice(0, MAX_PROBLEMS);

  const missing = await transaction(() => missingIn(database));
  return missing === 0 ? [] : [`${missing} messages or streams are missing`];
}

// ── Details ──

/** A page of rows: its last one, and those that are not what the tree says. */
interface Page<T> {
  readonly last: T | undefined;
  readonly old: readonly T[];
}

function streamsAfter(database: Database, after: StreamRow | undefined): Page<StreamRow> {
  const rows = readStreams(database, after);
  return { last: rows.at(-1), old: outdated(database, rows) };
}

function messagesAfter(database: Database, after: MessageRow | undefined): Page<MessageRow> {
  const rows = readMessages(database, after).map(({ message }) => message);
  return { last: rows.at(-1), old: outdated(database, rows) };
}

/** All rows that are there have their entry; how many entries are left? */
function missingIn(database: Database): number {
  const { accepted, delivered, streams } = readStatus(database);
  return entriesIn(database) - accepted - delivered - streams;
}

const MAX_PROBLEMS = 100;
