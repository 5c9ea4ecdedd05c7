/**
 * The ledger's tables, and its rows as values. Reading is strict: a row that this file could not have
 * written means that the database is damaged, and nothing is concluded from it.
 */
import { DatabaseFailure, type Database, type Row, type Schema } from "../../store/sqlite.js";
import type { Delivery } from "./delivery.js";
import type { SignedMessage } from "./ledger.js";

/** `message_id` is unique per sender, so that no sender can use up an id that another one chose. */
export const LEDGER_SCHEMA: Schema = {
  applicationId: 0x70313153, // "p11S"
  version: 1,
  sql: `
    CREATE TABLE meta (
      one        INTEGER PRIMARY KEY CHECK (one = 1),
      ledger_id  TEXT    NOT NULL CHECK (length(ledger_id) = 32),
      counter    INTEGER NOT NULL CHECK (counter >= 0),
      created_ms INTEGER NOT NULL,
      since_ms   INTEGER NOT NULL
    ) STRICT;
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

export interface MetaRow {
  readonly ledgerId: string;
  readonly counter: number;
  readonly createdMs: number;
  readonly sinceMs: number;
}

export interface StreamRow {
  readonly sender: string;
  readonly streamId: string;
  readonly highest: number;
  readonly floor: number;
}

export type State = "reserved" | "accepted" | "delivered";

export interface MessageRow {
  readonly sender: string;
  readonly messageId: string;
  readonly streamId: string;
  readonly serial: number;
  readonly createdMs: number;
  readonly state: State;
  readonly acceptedMs: number | undefined;
  /** The process that opens it (`thisProcess`), while one does. */
  readonly owner: string | undefined;
  /** Until when that owner is believed to live where nobody can tell. */
  readonly leaseMs: number;
  readonly temporary: string | undefined;
  readonly final: string | undefined;
  /** See `Delivery`; set from the acceptance of a message whose plaintext goes to a file. */
  readonly mark: string | undefined;
}

export function readMeta(database: Database): MetaRow {
  const columns = ["ledger_id", "counter", "created_ms", "since_ms"];
  const [row, ...more] = database.select(columns, "FROM meta");
  if (row === undefined || more.length > 0) throw damaged("meta");
  return {
    ledgerId: textOf(row, "ledger_id", HEX_16),
    counter: integerOf(row, "counter"),
    createdMs: integerOf(row, "created_ms"),
    sinceMs: integerOf(row, "since_ms"),
  };
}

export function readStream(database: Database, message: SignedMessage): StreamRow | undefined {
  const rest = "FROM streams WHERE sender = ? AND stream = ?";
  const [row] = database.select(STREAM_COLUMNS, rest, message.keyId, message.streamId);
  return row === undefined ? undefined : streamRow(row);
}

/**
 * The row of this message, and that of another one with its serial.
 *
 * They are found through two trees of the database. Where damage has taken a message from one of them,
 * the other still knows it: the rows then don't agree, or a new one can't be put in (UNIQUE).
 */
export function readMessage(
  database: Database,
  { keyId, messageId, streamId, serial }: SignedMessage,
): { own: MessageRow | undefined; rival: MessageRow | undefined } {
  const byId = (id: string): MessageRow | undefined => {
    const rest = "FROM messages WHERE sender = ? AND message_id = ?";
    const [row] = database.select(MESSAGE_COLUMNS, rest, keyId, id);
    return row === undefined ? undefined : messageRow(row);
  };
  const bySerial = "FROM messages WHERE sender = ? AND stream = ? AND serial = ?";
  const [holder] = database.select(["message_id"], bySerial, keyId, streamId, serial);
  const holderId = holder === undefined ? messageId : textOf(holder, "message_id", HEX_16);
  return {
    own: byId(messageId),
    rival: holderId === messageId ? undefined : byId(holderId),
  };
}

export function allStreams(database: Database): StreamRow[] {
  const rows = database.select(STREAM_COLUMNS, "FROM streams ORDER BY sender, stream");
  return rows.map(streamRow);
}

export function allMessages(database: Database): MessageRow[] {
  const rest = "FROM messages ORDER BY sender, stream, messages.serial";
  return database.select(MESSAGE_COLUMNS, rest).map(messageRow);
}

export function reservedMessages(database: Database): MessageRow[] {
  return database.select(MESSAGE_COLUMNS, "FROM messages WHERE state = 'reserved'").map(messageRow);
}

/** What was recorded of a plaintext file; none where the plaintext went to a pipe. */
export function deliveryOf({ temporary, final, mark }: MessageRow): Delivery | undefined {
  if (temporary === undefined || final === undefined || mark === undefined) return undefined;
  return { temporary, final, mark };
}

// ── Details ─────────────────────────────────────────────────────────────────────────────────────

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
    state: textOf(row, "state", /^(?:reserved|accepted|delivered)$/) as State,
    acceptedMs: row["accepted_ms"] === undefined ? undefined : integerOf(row, "accepted_ms"),
    owner: row["owner"],
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
  return new DatabaseFailure("damaged", `${what} holds what was never written there`);
}

const STREAM_COLUMNS = ["sender", "stream", "highest", "floor"];
const MESSAGE_COLUMNS = [
  ...["sender", "message_id", "stream", "serial", "created_ms", "state", "accepted_ms"],
  ...["owner", "lease_ms", "temporary", "final", "mark"],
];

const HEX_16 = /^[0-9a-f]{32}$/;
const HEX_32 = /^[0-9a-f]{64}$/;
