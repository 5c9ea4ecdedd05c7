/**
 * The ledger as an SQLite file, safe for several processes at once and across crashes (`store/sqlite.ts`
 * says which binding and why). Read `reserve` top-down: it is the whole of the rules.
 *
 * A reservation names its process and carries a random token. The process decides when another one may
 * take over; the token decides who may accept: whatever was taken over can't be committed any more, so
 * a wrong guess about somebody's death wastes work and accepts nothing twice.
 */
import { randomBytes } from "node:crypto";
import { PolicyError } from "../../errors.js";
import { isRunning, thisProcess } from "../../store/owner.js";
import { Database } from "../../store/sqlite.js";
import { deliveryFate, removeTemporary, requirePaths } from "./delivery.js";
import type {
  Ledger,
  LedgerExport,
  LedgerStatus,
  LedgerWitness,
  Pruned,
  Redelivery,
  Reservation,
  ReserveOptions,
  SignedMessage,
} from "./ledger.js";
import { exportLedger, ledgerProblems, ledgerStatus, pruneLedger } from "./ledger-care.js";
import {
  beforeLedger,
  guarded,
  inProgress,
  LEASE_MS,
  ledgerExists,
  prunedAway,
  replayed,
  rolledBack,
  serialReused,
  transaction,
} from "./ledger-refusals.js";
import {
  DELIVERED_SQL,
  requireOrder,
  SqliteReservation,
  type Decision,
} from "./ledger-reservation.js";
import {
  deliveryOf,
  LEDGER_SCHEMA,
  readMessage,
  readMeta,
  readStream,
  type MessageRow,
} from "./ledger-rows.js";

/**
 * Makes an empty ledger. It knows nothing of what was opened before: messages sealed within the window
 * would be accepted again, unless `sinceMs` says that what was sealed earlier is refused.
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
      database.run("INSERT INTO meta VALUES (1, ?, 0, ?, ?)", ledgerId, nowMs, sinceMs);
    }),
  );
  if (!made) throw ledgerExists(path);
  return { ledgerId, counter: 0 };
}

/**
 * Opens the ledger at `path`. With a `witness`, as the audit log keeps one, an older copy put in its
 * place is recognized. `waitMs` is how long other processes may keep it locked, by default 10 seconds.
 *
 * @throws PolicyError `ERR_LEDGER_MISSING`, `ERR_LEDGER_DAMAGED`, `ERR_LEDGER_WRITE`, `ERR_LEDGER_BUSY`,
 *   `ERR_LEDGER_ROLLED_BACK`, `ERR_UNSAFE_FILE`; UnsupportedError `ERR_NO_SQLITE`, `ERR_LEDGER_VERSION`
 */
export async function openLedger(
  path: string,
  options: { readonly witness?: LedgerWitness | undefined; readonly waitMs?: number } = {},
): Promise<Ledger> {
  return guarded(path, async () => {
    const database = await Database.open(path, LEDGER_SCHEMA, options);
    try {
      requireNotOlder(readMeta(database), options.witness);
    } catch (error) {
      database.close();
      throw error;
    }
    return new SqliteLedger(path, database);
  });
}

class SqliteLedger implements Ledger {
  readonly #path: string;
  readonly #database: Database;

  constructor(path: string, database: Database) {
    this.#path = path;
    this.#database = database;
  }

  async reserve(message: SignedMessage, options: ReserveOptions): Promise<Reservation> {
    if (options.output !== undefined) requirePaths(options.output);
    const token = randomBytes(16).toString("hex");
    const decision = await this.#transaction(() => this.#decide(message, options, token));
    if (decision instanceof PolicyError) throw decision;
    return new SqliteReservation(this.#path, this.#database, message, options, token, decision);
  }

  async isUndelivered(message: SignedMessage): Promise<boolean> {
    return guarded(this.#path, () => {
      const { own } = readMessage(this.#database, message);
      return Promise.resolve(own?.state === "accepted" && isSame(own, message));
    });
  }

  async status(): Promise<LedgerStatus> {
    return this.#transaction(() => ledgerStatus(this.#database));
  }

  async verify(): Promise<string[]> {
    return this.#transaction(() => ledgerProblems(this.#database));
  }

  async prune({ nowMs, windowMs }: { nowMs: number; windowMs: number }): Promise<Pruned> {
    const horizonMs = nowMs - windowMs;
    const isAbandoned = (row: MessageRow): boolean => !isHeld(row, nowMs);
    return this.#transaction(() => pruneLedger(this.#database, horizonMs, isAbandoned));
  }

  async export(): Promise<LedgerExport> {
    return this.#transaction(() => exportLedger(this.#database));
  }

  close(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
  }

  /** The rules. A refusal that changes something (a delivery found done) is returned, not thrown. */
  #decide(message: SignedMessage, options: ReserveOptions, token: string): Decision | PolicyError {
    const { nowMs } = options;
    const meta = readMeta(this.#database);
    const stream = readStream(this.#database, message);
    const { own, rival } = readMessage(this.#database, message);

    if (rival !== undefined) {
      if (rival.state !== "reserved" || isHeld(rival, nowMs)) throw serialReused(message, rival);
      this.#remove(rival);
    }
    if (own === undefined) {
      if (message.createdMs < meta.sinceMs) throw beforeLedger(message, meta.sinceMs);
      if (message.serial <= (stream?.floor ?? -1)) throw prunedAway(message);
      const order = requireOrder(message, stream, options.inOrder);
      this.#insert(message, options, token);
      return { ...order, accepted: false };
    }
    if (!isSame(own, message) || own.state === "delivered") throw replayed(own);
    if (isHeld(own, nowMs)) throw inProgress(own);
    if (own.state === "reserved") {
      const order = requireOrder(message, stream, options.inOrder);
      this.#takeOver(own, options, token);
      return { ...order, accepted: false };
    }
    const redelivery = redeliveryOf(own);
    if (redelivery === "delivered") {
      removeTemporary(own.temporary);
      this.#database.run(DELIVERED_SQL, own.sender, own.messageId);
      return replayed(own);
    }
    this.#takeOver(own, options, token);
    return { place: "next", gap: 0, accepted: true, redelivery };
  }

  #insert(message: SignedMessage, options: ReserveOptions, token: string): void {
    this.#database.run(
      `INSERT INTO messages (sender, message_id, stream, serial, created_ms, state, owner, token,
         lease_ms, temporary, final) VALUES (?, ?, ?, ?, ?, 'reserved', ?, ?, ?, ?, ?)`,
      message.keyId,
      message.messageId,
      message.streamId,
      message.serial,
      message.createdMs,
      thisProcess(),
      token,
      options.nowMs + LEASE_MS,
      options.output?.temporary ?? null,
      options.output?.final ?? null,
    );
  }

  /** The paths of an accepted message stay: they say where its plaintext is. */
  #takeOver(row: MessageRow, { nowMs, output }: ReserveOptions, token: string): void {
    const kept = row.state === "accepted";
    if (!kept) removeTemporary(row.temporary);
    this.#database.run(
      `UPDATE messages SET owner = ?, token = ?, lease_ms = ?, temporary = ?, final = ?
         WHERE sender = ? AND message_id = ?`,
      thisProcess(),
      token,
      nowMs + LEASE_MS,
      (kept ? row.temporary : output?.temporary) ?? null,
      (kept ? row.final : output?.final) ?? null,
      row.sender,
      row.messageId,
    );
  }

  #remove({ sender, messageId, temporary }: MessageRow): void {
    removeTemporary(temporary);
    const sql = "DELETE FROM messages WHERE sender = ? AND message_id = ?";
    this.#database.run(sql, sender, messageId);
  }

  #transaction<T>(action: () => T): Promise<T> {
    return transaction(this.#path, this.#database, action);
  }
}

// ── Rules ───────────────────────────────────────────────────────────────────────────────────────

function requireNotOlder(found: LedgerWitness, witness: LedgerWitness | undefined): void {
  if (witness === undefined) return;
  const same = found.ledgerId === witness.ledgerId;
  if (!same || found.counter < witness.counter) throw rolledBack(found, witness);
}

/** True while the process that reserved the message is, or must be believed to be, at work. */
function isHeld(row: MessageRow, nowMs: number): boolean {
  if (row.owner === undefined) return false;
  // A clock that was set back must not stretch a lease for ever.
  const leased = nowMs < row.leaseMs && row.leaseMs - nowMs <= LEASE_MS;
  return isRunning(row.owner) ?? leased;
}

function isSame(row: MessageRow, message: SignedMessage): boolean {
  return (
    row.streamId === message.streamId &&
    row.serial === message.serial &&
    row.createdMs === message.createdMs
  );
}

function redeliveryOf(row: MessageRow): Redelivery | "delivered" {
  const delivery = deliveryOf(row);
  if (delivery === undefined) return { kind: "gone" };
  const { temporary, final } = delivery;
  switch (deliveryFate(delivery)) {
    case "placed":
      return "delivered";
    case "waiting":
      return { kind: "waiting", output: { temporary, final } };
    case "gone":
      return { kind: "gone" };
  }
}
