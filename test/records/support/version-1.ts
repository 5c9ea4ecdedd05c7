/** Ledgers as they were before their rows were tied together by a hash tree. */
import { writeFileSync } from "node:fs";
import { hex, NOW } from "./messages.js";
import { rawDatabase, type RawDatabase } from "./raw-database.js";

/** Makes a ledger of version 1 of the tables, with the rows that `fill` writes. */
export function makeVersion1(
  file: string,
  counter: number,
  fill: (database: RawDatabase) => void,
): void {
  writeFileSync(file, "", { mode: 0o600 });
  const database = rawDatabase(file);
  try {
    database.exec(`BEGIN; ${VERSION_1}`);
    database.exec(`INSERT INTO meta VALUES (1, '${hex("ledger", 32)}', ${counter}, ${NOW}, 0)`);
    fill(database);
    database.exec("COMMIT");
  } finally {
    database.close();
  }
}

/** Written out: files of that version stay as they are, whatever becomes of today's tables. */
const VERSION_1 = `
  PRAGMA application_id = 0x70313153;
  PRAGMA user_version = 1;
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
`;
