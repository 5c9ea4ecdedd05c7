/** What is done with a whole ledger: counted, checked, pruned, written out. Each inside a transaction. */
import { DatabaseFailure, type Database } from "../../store/sqlite.js";
import { removeTemporary } from "./delivery.js";
import type { LedgerExport, LedgerStatus, Pruned } from "./ledger.js";
import {
  allMessages,
  allStreams,
  readMeta,
  reservedMessages,
  type MessageRow,
} from "./ledger-rows.js";

export function ledgerStatus(database: Database): LedgerStatus {
  const states = ["reserved", "accepted", "delivered"] as const;
  const counts = states.map((state) => `sum(state = '${state}') AS ${state}`).join(", ");
  const [messages = {}] = database.select(
    [...states, "oldest"],
    `FROM (SELECT ${counts}, min(created_ms) AS oldest FROM messages)`,
  );
  const [known = {}] = database.select(
    ["senders", "streams"],
    "FROM (SELECT count(DISTINCT sender) AS senders, count(*) AS streams FROM streams)",
  );
  const { oldest } = messages;
  return {
    ...readMeta(database),
    // A sum over no rows is NULL.
    reserved: Number(messages["reserved"] ?? 0),
    accepted: Number(messages["accepted"] ?? 0),
    delivered: Number(messages["delivered"] ?? 0),
    senders: Number(known["senders"]),
    streams: Number(known["streams"]),
    ...(oldest === undefined ? {} : { oldestMs: Number(oldest) }),
  };
}

/** SQLite's own check of the file, and then ours: what the rules never let happen. */
export function ledgerProblems(database: Database): string[] {
  const problems = database.check();
  if (problems.length > 0) return problems;
  try {
    return impossible(database);
  } catch (error) {
    if (error instanceof DatabaseFailure && error.kind === "damaged") return [error.message];
    throw error;
  }
}

function impossible(database: Database): string[] {
  const { counter } = readMeta(database);
  const streams = new Map(
    allStreams(database).map((stream) => [`${stream.sender} ${stream.streamId}`, stream]),
  );
  const accepted = allMessages(database).filter(({ state }) => state !== "reserved");
  const problems = accepted
    .filter(({ sender, streamId, serial }) => {
      const stream = streams.get(`${sender} ${streamId}`);
      return stream === undefined || serial > stream.highest;
    })
    .map(({ messageId }) => `message ${messageId} was accepted, and its stream does not know it`);
  if (accepted.length > counter) {
    problems.push(`${accepted.length} messages were accepted, and ${counter} counted`);
  }
  return problems;
}

/**
 * Forgets delivered messages sealed before `horizonMs`, and reservations that nobody holds. The highest
 * serial forgotten becomes the stream's floor: from there down everything counts as seen, so that a
 * longer window, later on, lets nothing in again. Messages not delivered yet are kept.
 */
export function pruneLedger(
  database: Database,
  horizonMs: number,
  isAbandoned: (row: MessageRow) => boolean,
): Pruned {
  const old = "FROM messages WHERE state = 'delivered' AND created_ms < ?";
  const ofStream = "AND messages.sender = streams.sender AND messages.stream = streams.stream";
  database.run(
    `UPDATE streams SET floor = max(floor, coalesce((SELECT max(serial) ${old} ${ofStream}), -1))`,
    horizonMs,
  );
  const removed = database.run(`DELETE ${old}`, horizonMs);
  if (removed > 0) database.run("UPDATE meta SET counter = counter + 1");
  for (const { sender, messageId, temporary } of reservedMessages(database).filter(isAbandoned)) {
    removeTemporary(temporary);
    database.run("DELETE FROM messages WHERE sender = ? AND message_id = ?", sender, messageId);
  }
  const [{ kept } = {}] = database.select(["kept"], "FROM (SELECT count(*) AS kept FROM messages)");
  return { removed, kept: Number(kept) };
}

export function exportLedger(database: Database): LedgerExport {
  return {
    type: "p11seal ledger v1",
    ...readMeta(database),
    streams: allStreams(database),
    messages: allMessages(database).map((row) => ({
      sender: row.sender,
      messageId: row.messageId,
      streamId: row.streamId,
      serial: row.serial,
      createdMs: row.createdMs,
      state: row.state,
      ...(row.acceptedMs === undefined ? {} : { acceptedMs: row.acceptedMs }),
      ...(row.final === undefined ? {} : { final: row.final }),
    })),
  };
}
