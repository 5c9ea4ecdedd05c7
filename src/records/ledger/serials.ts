/**
 * The sender's counters: each serial of a stream is given out once, whatever crashes.
 *
 * A serial is on the disk as used before its message is signed, so a crash in between skips it. A
 * stream's id is random and made with its row: a sender whose counters are lost begins a new
 * stream, and repeats no serial. No local store can notice that it is a restored copy. Then serials
 * repeat, and receivers refuse them (`ERR_SERIAL_REUSED`).
 */
import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { fromHex } from "../../bytes.js";
import { FileError, UnsupportedError, UsageError, type P11SealError } from "../../errors.js";
import { makeFolder } from "../../store/make-folder.js";
import { Database, DatabaseFailure, type Schema } from "../../store/sqlite.js";

export interface NextSerial {
  /** 16 bytes. */
  readonly streamId: Uint8Array;
  /** From 1 on. */
  readonly serial: number;
}

/** The stream of a sender who names none. */
const DEFAULT_STREAM = "default";

/**
 * A serial that was never given out before, from the counters in the file at `path`. The file is
 * made when it is first needed.
 *
 * @param senderKeyId - SHA-256 of the sender's SPKI, hexadecimal
 * @param options - `waitMs`: how long to wait for other processes that keep the file locked
 * @throws UsageError `ERR_STREAM_NAME`; FileError `ERR_SERIALS_DAMAGED`, `ERR_SERIALS_WRITE`,
 *   `ERR_SERIALS_BUSY`; PolicyError `ERR_UNSAFE_FILE`; UnsupportedError `ERR_NO_SQLITE`,
 *   `ERR_SERIALS_VERSION`
 */
export async function nextSerial(
  path: string,
  senderKeyId: string,
  streamName: string = DEFAULT_STREAM,
  options: { readonly waitMs?: number } = {},
): Promise<NextSerial> {
  if (!/^[0-9a-f]{64}$/.test(senderKeyId)) throw new TypeError("senderKeyId: 64 hex digits");
  if (!/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$/.test(streamName)) {
    throw new UsageError("ERR_STREAM_NAME", `not a name for a stream: "${streamName}"`, {
      hint: "use 1 to 64 letters, digits and . _ @ + -, and start with a letter or digit",
    });
  }
  await makeFolder(dirname(path));
  try {
    const database = await openOrMake(path, options);
    try {
      return database.transaction(() => advance(database, senderKeyId, streamName));
    } finally {
      database.close();
    }
  } catch (error) {
    throw error instanceof DatabaseFailure ? serialsFailure(path, error) : error;
  }
}

function advance(database: Database, sender: string, name: string): NextSerial {
  database.run(
    `INSERT INTO streams VALUES (?, ?, ?, 1)
       ON CONFLICT (sender, name) DO UPDATE SET serial = serial + 1`,
    sender,
    name,
    randomBytes(16).toString("hex"),
  );
  const rest = "FROM streams WHERE sender = ? AND name = ?";
  const [{ stream = "", serial = "" } = {}] = database.select(
    ["stream", "serial"],
    rest,
    sender,
    name,
  );
  if (!/^[0-9a-f]{32}$/.test(stream) || !/^[1-9][0-9]{0,15}$/.test(serial)) {
    throw new DatabaseFailure("damaged", "streams holds a value that was never written there");
  }
  return { streamId: fromHex(stream), serial: Number(serial) };
}

async function openOrMake(path: string, options: { waitMs?: number }): Promise<Database> {
  // If another process makes the file first, that one is opened.
  await Database.create(path, SCHEMA, () => undefined);
  return Database.open(path, SCHEMA, options);
}

const SCHEMA: Schema = {
  applicationId: 0x70313163, // "p11c"
  version: 1,
  sql: `
    CREATE TABLE streams (
      sender TEXT    NOT NULL CHECK (length(sender) = 64),
      name   TEXT    NOT NULL,
      stream TEXT    NOT NULL UNIQUE CHECK (length(stream) = 32),
      serial INTEGER NOT NULL CHECK (serial >= 1),
      PRIMARY KEY (sender, name)
    ) STRICT, WITHOUT ROWID;
  `,
};

function serialsFailure(path: string, { kind, message, cause }: DatabaseFailure): P11SealError {
  switch (kind) {
    case "absent":
    case "damaged":
      return new FileError(
        "ERR_SERIALS_DAMAGED",
        `the counters "${path}" are damaged: ${message}`,
        {
          cause,
          hint: "move the file away; a new one begins new streams and repeats no serial",
        },
      );
    case "version":
      return new UnsupportedError("ERR_SERIALS_VERSION", `the counters "${path}" have ${message}`, {
        hint: "a newer p11seal made the file; use that one",
      });
    case "write":
      return new FileError(
        "ERR_SERIALS_WRITE",
        `the counters "${path}" can't be written: ${message}`,
        {
          cause,
          hint: "nothing was signed; make room on the disk, or make it and its folder writable",
        },
      );
    case "busy":
      return new FileError(
        "ERR_SERIALS_BUSY",
        `other processes keep the counters "${path}" locked`,
        { cause, hint: "nothing was signed; try again" },
      );
  }
}
