/** Writes what the rules decided to the ledger's rows, and to the tree that ties them together. */
import { DatabaseFailure, type Database } from "../../store/sqlite.js";
import type { Change, MessageRow, StreamRow } from "./ledger-store.js";
import {
  deleteMessage,
  forgetDelivered,
  insertMessage,
  putStreams,
  readMessage,
  updateMessage,
} from "./sqlite-ledger-rows.js";
import { TreeChanges } from "./sqlite-ledger-tree.js";

/**
 * In their order, except that all streams come first and all that is forgotten next: pruning names
 * many, and each statement takes longer than what it does with a row.
 *
 * @throws DatabaseFailure
 */
export function writeChanges(database: Database, changes: readonly Change[]): void {
  const tree = new TreeChanges(database);
  const streams = changes.flatMap((change) => (change.kind === "stream" ? [change.stream] : []));
  if (streams.length > 0) writeStreams(database, streams, tree);
  const forgettings = changes.filter((change) => change.kind === "forget");
  if (forgettings.length > 0) {
    for (const row of forgetDelivered(database, forgettings)) tree.message(row, undefined);
  }
  for (const change of changes) write(database, change, tree);
  tree.write();
}

function writeStreams(database: Database, streams: readonly StreamRow[], tree: TreeChanges): void {
  const nameOf = ({ sender, streamId }: StreamRow): string => `${sender} ${streamId}`;
  const before = new Map(putStreams(database, streams).map((row) => [nameOf(row), row]));
  for (const row of streams) tree.stream(before.get(nameOf(row)), row);
}

function write(database: Database, change: Change, tree: TreeChanges): void {
  switch (change.kind) {
    case "insert":
      insertMessage(database, change.message);
      tree.message(undefined, change.message);
      break;
    case "update":
      tree.message(existing(database, change.message), change.message);
      updateMessage(database, change.message);
      break;
    case "delete":
      tree.message(existing(database, change.message), undefined);
      deleteMessage(database, change.message);
      break;
    case "count":
      database.run("UPDATE meta SET changes = changes + 1");
      break;
    case "stream":
    case "forget":
      break;
  }
}

function existing(database: Database, row: MessageRow): MessageRow {
  const found = readMessage(database, row);
  if (found === undefined) throw new DatabaseFailure("damaged", "a message has disappeared");
  return found;
}
