/** A reservation in an SQLite ledger: what its holder may still do with the message, and when. */
import { PolicyError } from "../../errors.js";
import type { Database } from "../../store/sqlite.js";
import { describeDelivery, removeTemporary } from "./delivery.js";
import type {
  Acceptance,
  OutputPaths,
  Redelivery,
  Reservation,
  ReserveOptions,
  SignedMessage,
} from "./ledger.js";
import { outOfOrder, reservationLost, transaction } from "./ledger-refusals.js";
import { readMeta, readStream, type StreamRow } from "./ledger-rows.js";

/** Where a serial stands in its stream. */
export interface Order {
  readonly place: Reservation["place"];
  readonly gap: number;
}

/** What the ledger's rules say of a message that passes. */
export interface Decision extends Order {
  /** It was accepted before, and is to be delivered only. */
  readonly accepted: boolean;
  readonly redelivery?: Redelivery;
}

export class SqliteReservation implements Reservation {
  readonly place: Reservation["place"];
  readonly gap: number;
  readonly redelivery?: Redelivery;
  readonly #path: string;
  readonly #database: Database;
  readonly #message: SignedMessage;
  readonly #options: ReserveOptions;
  readonly #token: string;
  #accepted: boolean;

  constructor(
    path: string,
    database: Database,
    message: SignedMessage,
    options: ReserveOptions,
    token: string,
    decision: Decision,
  ) {
    this.#path = path;
    this.#database = database;
    this.#message = message;
    this.#options = options;
    this.#token = token;
    this.#accepted = decision.accepted;
    this.place = decision.place;
    this.gap = decision.gap;
    if (decision.redelivery !== undefined) this.redelivery = decision.redelivery;
  }

  async commit(output?: OutputPaths): Promise<Acceptance> {
    const delivery = output === undefined ? undefined : describeDelivery(output);
    const earlier = this.redelivery?.kind === "waiting" ? this.redelivery.output : undefined;
    const witness = await transaction(this.#path, this.#database, () => {
      const changed = this.#database.run(
        `UPDATE messages SET state = 'accepted', accepted_ms = coalesce(accepted_ms, ?),
           temporary = ?, final = ?, mark = ?
           WHERE sender = ? AND message_id = ? AND token = ? AND state <> 'delivered'`,
        this.#options.nowMs,
        delivery?.temporary ?? null,
        delivery?.final ?? null,
        delivery?.mark ?? null,
        ...this.#key(),
      );
      if (changed !== 1) throw reservationLost();
      if (!this.#accepted) this.#advance();
      const { ledgerId, counter } = readMeta(this.#database);
      return { ledgerId, counter };
    });
    this.#accepted = true;
    if (earlier?.temporary !== output?.temporary) removeTemporary(earlier?.temporary);
    return { witness, delivered: () => this.#delivered() };
  }

  async release(): Promise<void> {
    try {
      await transaction(this.#path, this.#database, () => {
        const own = "WHERE sender = ? AND message_id = ? AND token = ?";
        const key = this.#key();
        this.#database.run(`DELETE FROM messages ${own} AND state = 'reserved'`, ...key);
        this.#database.run(`UPDATE messages SET owner = NULL, token = NULL ${own}`, ...key);
      });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      // Whatever stands there is taken over once this process has ended.
    }
  }

  async #delivered(): Promise<void> {
    await transaction(this.#path, this.#database, () => {
      const changed = this.#database.run(`${DELIVERED_SQL} AND token = ?`, ...this.#key());
      if (changed !== 1) throw reservationLost();
    });
  }

  /** Moves the stream on. Another message of the stream may have been accepted in the meantime. */
  #advance(): void {
    const { keyId, streamId, serial } = this.#message;
    requireOrder(this.#message, readStream(this.#database, this.#message), this.#options.inOrder);
    this.#database.run(
      `INSERT INTO streams VALUES (?, ?, ?, -1)
         ON CONFLICT DO UPDATE SET highest = max(highest, excluded.highest)`,
      keyId,
      streamId,
      serial,
    );
    this.#database.run("UPDATE meta SET counter = counter + 1");
  }

  #key(): [string, string, string] {
    return [this.#message.keyId, this.#message.messageId, this.#token];
  }
}

/** @throws PolicyError `ERR_OUT_OF_ORDER` where the next serial is demanded, and this is not it */
export function requireOrder(
  { serial }: SignedMessage,
  stream: StreamRow | undefined,
  inOrder: boolean | undefined,
): Order {
  if (stream === undefined) return { place: "first", gap: 0 };
  const { highest } = stream;
  if (serial === highest + 1) return { place: "next", gap: 0 };
  if (inOrder === true) throw outOfOrder(serial, highest);
  return serial > highest ? { place: "gap", gap: serial - highest - 1 } : { place: "late", gap: 0 };
}

/** Parameters: sender and message id. */
export const DELIVERED_SQL = `UPDATE messages SET state = 'delivered', owner = NULL, temporary = NULL,
  final = NULL, mark = NULL WHERE sender = ? AND message_id = ?`;
