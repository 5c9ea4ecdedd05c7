/**
 * The ledger's tables in SQLite, and the statements that read and write their rows. Reading is
 * strict: if a row can't have been written here, the database is damaged, and nothing is concluded
 * from it.
 */
import { defined } from "../../defined.js";
import { DatabaseFailure, type Database, type Row, type Schema } from "../../store/sqlite.js";
import type { Value } from "../../store/sqlite-binding.js";
import type { LedgerStatus, SignedMessage } from "./ledger.js";
import type {
  Forgetting,
  MessageInStream,
  MessageRow,
  MetaRow,
  PruningRows,
  Rows,
  StreamKey,
  StreamRow,
} from "./ledger-store.js";
import { TREE_TABLE } from "./sqlite-ledger-tree.js";

/**
 * The one row of `meta`. In version 1 it had no root, and began with `ledger_id`. So where one
 * version's row stands in the other's place, `ledger_id` has the wrong form. `changes` was
 * `counter` then: a process of version 1 that still has the file open reads it first in each
 * transaction, so it fails, and accepts nothing that the tree would not know of.
 */
export const META_TABLE = `
  CREATE TABLE meta (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    root       TEXT    NOT NULL CHECK (length(root) = 76),
    ledger_id  TEXT    NOT NULL CHECK (length(ledger_id) = 32),
    changes    INTEGER NOT NULL CHECK (changes >= 0),
    created_ms INTEGER NOT NULL,
    since_ms   INTEGER NOT NULL
  ) STRICT;
`;

/** `message_id` is unique for each sender, so that no sender can use up another's id. */
export const LEDGER_SCHEMA: Schema = {
  applicationId: 0x70313153, // "p11S"
  version: 2,
  sql: `
    ${META_TABLE}
    ${TREE_TABLE}
    CREATE TABLE streams (
      sender     TEXT    NOT NULL CHECK (length(sender) = 64),
      stream     TEXT    NOT NULL CHECK (length(stream) = 32),
      highest    INTEGER NOT NULL CHECK (highest >= 0),
      floor      INTEGER NOT NULL CHECK (floor BETWEEN -1 AND highest),
      PRIMARY KEY (sender, stream)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE messages (
      sender      TEXT    NOT NULL CHECK (length(sender) = 64),
      message_id  TEXT    NOT NULL CHECK (length(message_id) = 32),
      stream      TEXT    NOT NULL CHECK (length(stream) = 32),
      serial      INTEGER NOT NULL CHECK (serial >= 0),
      created_ms  INTEGER NOT NULL CHECK (created_ms >= 0),
      state       TEXT    NOT NULL CHECK (state IN ('reserved', 'accepted', 'delivered')),
      accepted_ms INTEGER CHECK ((accepted_ms IS NULL) = (state = 'reserved')),
      owner       TEXT,
      token       TEXT,
      lease_ms    INTEGER NOT NULL,
      temporary   TEXT,
      final       TEXT,
      mark        TEXT,
      PRIMARY KEY (sender, message_id),
      UNIQUE (sender, stream, serial)
    ) STRICT, WITHOUT ROWID;
  `,
};

/** The row of `meta`. `counter` is the counter's column, which had another name in version 1. */
export function readMeta(database: Database, counter = "changes"): MetaRow {
  const columns = ["ledger_id", counter, "created_ms", "since_ms"];
  const [row, ...more] = database.select(columns, "FROM meta");
  if (row === undefined || more.length > 0) throw damaged("meta");
  return {
    ledgerId: textOf(row, "ledger_id", HEX_16),
    counter: integerOf(row, counter),
    createdMs: integerOf(row, "created_ms"),
    sinceMs: integerOf(row, "since_ms"),
  };
}

/**
 * The rows around a message.
 *
 * Its own and its rival's are found through two trees of the database. If damage removes a message
 * from one, the other still has it: then the rows don't agree, or a new one can't be inserted
 * (UNIQUE).
 */
export function readRows(
  database: Database,
  { keyId, messageId, streamId, serial }: SignedMessage,
): Rows {
  const byId = (id: string): MessageRow | undefined =>
    readMessage(database, { sender: keyId, messageId: id });
  const bySerial = "FROM messages WHERE sender = ? AND stream = ? AND serial = ?";
  const [holder] = database.select(["message_id"], bySerial, keyId, streamId, serial);
  const holderId = holder === undefined ? messageId : textOf(holder, "message_id", HEX_16);
  return {
    meta: readMeta(database),
    stream: readStream(database, { sender: keyId, streamId }),
    own: byId(messageId),
    rival: holderId === messageId ? undefined : byId(holderId),
  };
}

export function readMessage(
  database: Database,
  { sender, messageId }: Pick<MessageRow, "sender" | "messageId">,
): MessageRow | undefined {
  const rest = "FROM messages WHERE sender = ? AND message_id = ?";
  const [row] = database.select(MESSAGE_COLUMNS, rest, sender, messageId);
  return row && messageRow(row);
}

export function readStream(
  database: Database,
  { sender, streamId }: StreamKey,
): StreamRow | undefined {
  const rest = "FROM streams WHERE sender = ? AND stream = ?";
  const [row] = database.select(STREAM_COLUMNS, rest, sender, streamId);
  return row && streamRow(row);
}

/** What a step of pruning is about. Only the first one looks for reservations, in every row. */
export function readPruning(
  database: Database,
  { horizonMs, from }: { readonly horizonMs: number; readonly from?: StreamKey | undefined },
): PruningRows {
  const old = database.select(
    [...STREAM_COLUMNS, "old", "latest"],
    `FROM (SELECT sender, stream, count(*) AS old, max(serial) AS latest
         FROM (SELECT sender, stream, serial
             FROM messages INDEXED BY sqlite_autoindex_messages_2
             WHERE (sender, stream) >= (?, ?) AND state = 'delivered' AND created_ms < ?
             ORDER BY sender, stream, serial LIMIT ${PRUNED_AT_ONCE})
         GROUP BY sender, stream ORDER BY sender, stream)
       LEFT JOIN streams USING (sender, stream)`,
    from?.sender ?? "",
    from?.streamId ?? "",
    horizonMs,
  );
  const isReserved = "FROM messages WHERE state = 'reserved'";
  const reserved = from === undefined ? database.select(MESSAGE_COLUMNS, isReserved) : [];
  return {
    reserved: reserved.map(messageRow),
    // A stream without its row has no highest serial, and is damage.
    old: old.map((row) => ({
      stream: streamRow(row),
      messages: integerOf(row, "old"),
      highestSerial: integerOf(row, "latest"),
    })),
  };
}

/** The next streams, by sender and stream id. */
export function readStreams(database: Database, after: StreamKey | undefined): StreamRow[] {
  const rows = database.select(
    STREAM_COLUMNS,
    `FROM streams WHERE (sender, stream) > (?, ?)
       ORDER BY streams.sender, streams.stream LIMIT ${ROWS_AT_ONCE}`,
    after?.sender ?? "",
    after?.streamId ?? "",
  );
  return rows.map(streamRow);
}

/** The next messages, by sender, stream id and serial. */
export function readMessages(database: Database, after: MessageRow | undefined): MessageInStream[] {
  // The columns' names in ORDER BY would mean the results, which no index has.
  const rows = database.select(
    [...MESSAGE_COLUMNS, "highest"],
    `FROM (SELECT * FROM messages WHERE (sender, stream, serial) > (?, ?, ?)
         ORDER BY messages.sender, messages.stream, messages.serial LIMIT ${ROWS_AT_ONCE})
       LEFT JOIN streams USING (sender, stream)`,
    after?.sender ?? "",
    after?.streamId ?? "",
    after?.serial ?? -1,
  );
  return rows.map((row) => ({
    message: messageRow(row),
    highest: row["highest"] === undefined ? undefined : integerOf(row, "highest"),
  }));
}

export function readStatus(database: Database): LedgerStatus {
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
  const { reserved, accepted, delivered, oldest } = messages;
  return {
    ...readMeta(database),
    // A sum over no rows is NULL.
    reserved: Number(reserved ?? 0),
    accepted: Number(accepted ?? 0),
    delivered: Number(delivered ?? 0),
    senders: Number(known["senders"]),
    streams: Number(known["streams"]),
    ...defined({ oldestMs: oldest === undefined ? undefined : Number(oldest) }),
  };
}

// ── Writing ──

export function insertMessage(database: Database, row: MessageRow): void {
  const places = MESSAGE_COLUMNS.map(() => "?").join(", ");
  const sql = `INSERT INTO messages (${MESSAGE_COLUMNS.join(", ")}) VALUES (${places})`;
  database.run(sql, ...keyOf(row), ...claimsOf(row), ...stateOf(row));
}

export function updateMessage(database: Database, row: MessageRow): void {
  const columns = STATE_COLUMNS.map((name) => `${name} = ?`).join(", ");
  const sql = `UPDATE messages SET ${columns} WHERE sender = ? AND message_id = ?`;
  if (database.run(sql, ...stateOf(row), ...keyOf(row)) !== 1) throw damaged("messages");
}

export function deleteMessage(database: Database, row: MessageRow): void {
  const sql = "DELETE FROM messages WHERE sender = ? AND message_id = ?";
  if (database.run(sql, ...keyOf(row)) !== 1) throw damaged("messages");
}

/**
 * Deletes the delivered messages of some streams that were sealed before, up to a serial.
 *
 * @returns them
 */
export function forgetDelivered(
  database: Database,
  forgettings: readonly Forgetting[],
): MessageRow[] {
  const limits = forgettings.map(({ stream: { sender, streamId }, upToSerial, sealedBeforeMs }) => {
    return [sender, streamId, upToSerial, sealedBeforeMs];
  });
  const rows = database.select(
    MESSAGE_COLUMNS,
    `FROM json_each(?) AS limits
       CROSS JOIN messages INDEXED BY sqlite_autoindex_messages_2
       ON sender = json_extract(limits.value, '$[0]')
         AND stream = json_extract(limits.value, '$[1]')
         AND serial <= json_extract(limits.value, '$[2]')
         AND created_ms < json_extract(limits.value, '$[3]') AND state = 'delivered'`,
    JSON.stringify(limits),
  );
  const forgotten = rows.map(messageRow);
  const deleted = database.run(
    `DELETE FROM messages WHERE (sender, message_id) IN
       (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))`,
    JSON.stringify(forgotten.map(keyOf)),
  );
  if (deleted !== forgotten.length) throw damaged("messages");
  return forgotten;
}

/** Writes rows of streams. @returns the rows that were there before */
export function putStreams(database: Database, rows: readonly StreamRow[]): StreamRow[] {
  const values = rows.map((row) => [row.sender, row.streamId, row.highest, row.floor]);
  const json = JSON.stringify(values);
  const before = database.select(
    STREAM_COLUMNS,
    `FROM json_each(?) AS wanted
       CROSS JOIN streams ON sender = json_extract(wanted.value, '$[0]')
         AND stream = json_extract(wanted.value, '$[1]')`,
    json,
  );
  database.run(
    `INSERT INTO streams
       SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
           json_extract(value, '$[2]'), json_extract(value, '$[3]')
         FROM json_each(?) WHERE true
       ON CONFLICT DO UPDATE SET highest = excluded.highest, floor = excluded.floor`,
    json,
  );
  return before.map(streamRow);
}

// ── Details ──

function streamRow(row: Row): StreamRow {
  return {
    sender: textOf(row, "sender", HEX_32),
    streamId: textOf(row, "stream", HEX_16),
    highest: integerOf(row, "highest"),
    floor: integerOf(row, "floor"),
  };
}

function messageRow(row: Row): MessageRow {
  return {
    sender: textOf(row, "sender", HEX_32),
    messageId: textOf(row, "message_id", HEX_16),
    streamId: textOf(row, "stream", HEX_16),
    serial: integerOf(row, "serial"),
    createdMs: integerOf(row, "created_ms"),
    state: textOf(row, "state", /^(?:reserved|accepted|delivered)$/) as MessageRow["state"],
    acceptedMs: row["accepted_ms"] === undefined ? undefined : integerOf(row, "accepted_ms"),
    owner: row["owner"],
    token: row["token"],
    leaseMs: integerOf(row, "lease_ms"),
    temporary: row["temporary"],
    final: row["final"],
    mark: row["mark"],
  };
}

function textOf(row: Row, name: string, form: RegExp): string {
  const value = row[name];
  if (value === undefined || !form.test(value)) throw damaged(name);
  return value;
}

function integerOf(row: Row, name: string): number {
  const value = Number(textOf(row, name, /^-?(?:0|[1-9][0-9]{0,15})$/));
  if (!Number.isSafeInteger(value)) throw damaged(name);
  return value;
}

function damaged(what: string): DatabaseFailure {
  return new DatabaseFailure("damaged", `${what} holds a value that was never written there`);
}

/** So many rows are in memory at a time, and other processes wait for so many. */
const ROWS_AT_ONCE = 1000;
const PRUNED_AT_ONCE = 1000;

const STREAM_COLUMNS = ["sender", "stream", "highest", "floor"];
/** Which message it is, what its sender says about it, and what the ledger knows. */
const KEY_COLUMNS = ["sender", "message_id"];
const CLAIM_COLUMNS = ["stream", "serial", "created_ms"];
const STATE_COLUMNS = [
  ...["state", "accepted_ms", "owner", "token", "lease_ms", "temporary", "final", "mark"],
];
const MESSAGE_COLUMNS = [...KEY_COLUMNS, ...CLAIM_COLUMNS, ...STATE_COLUMNS];

function keyOf(row: MessageRow): Value[] {
  return [row.sender, row.messageId];
}

function claimsOf(row: MessageRow): Value[] {
  return [row.streamId, row.serial, row.createdMs];
}

function stateOf(row: MessageRow): Value[] {
  const { state, acceptedMs, owner, token, leaseMs, temporary, final, mark } = row;
  return [
    ...[state, acceptedMs ?? null, owner ?? null, token ?? null],
    ...[leaseMs, temporary ?? null, final ?? null, mark ?? null],
  ];
}

const HEX_16 = /^[0-9a-f]{32}$/;
const HEX_32 = /^[0-9a-f]{64}$/;
