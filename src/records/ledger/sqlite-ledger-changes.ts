/** Writes what the rules decided to the ledger's rows, and to the tree that ties them together. */
import { DatabaseFailure, type Database } from "../../store/sqlite.js";
import type { Change, MessageRow } from "./ledger-store.js";
import {
  deleteMessage,
  forgetDelivered,
  insertMessage,
  putStream,
  readMessage,
  readStream,
  updateMessage,
} from "./sqlite-ledger-rows.js";
import { TreeChanges } from "./sqlite-ledger-tree.js";

/** In their order, in the transaction that is open. @throws DatabaseFailure */
export function writeChanges(database: Database, changes: readonly Change[]): void {
  const tree = new TreeChanges(database);
  for (const change of changes) write(database, change, tree);
  tree.write();
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
    case "stream":
      tree.stream(readStream(database, change.stream), change.stream);
      putStream(database, change.stream);
      break;
    case "forget":
      for (const row of forgetDelivered(database, change)) tree.message(row, undefined);
      break;
    case "count":
      database.run("UPDATE meta SET counter = counter + 1");
      break;
  }
}

function existing(database: Database, row: MessageRow): MessageRow {
  const found = readMessage(database, row);
  if (found === undefined) throw new DatabaseFailure("damaged", "a message has disappeared");
  return found;
}
