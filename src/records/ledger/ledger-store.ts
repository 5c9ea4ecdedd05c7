/**
 * The store beneath the ledger's rules. It holds plain rows: it reads the rows that the rules
 * (`ledger-rules.ts`) look at, writes the changes they decide on, and knows no rule itself. So a
 * ledger can be kept elsewhere without copying any.
 */
import type { Delivery } from "./delivery.js";
import type { ExportedMessage, ExportedStream, LedgerStatus, SignedMessage } from "./ledger.js";

/**
 * All rows and transactions of one ledger. Every method is one transaction: alone among all
 * processes, all or nothing, and on the disk when it resolves.
 *
 * @throws PolicyError `ERR_LEDGER_DAMAGED`, `ERR_LEDGER_WRITE`, `ERR_LEDGER_BUSY`
 */
export interface LedgerStore {
  /**
   * Shows `decide` the rows around a message and writes the changes that it decides on. `decide`
   * may run more than once where a store has to start a transaction again; only its last decision
   * counts.
   */
  transact<D extends Writes>(message: SignedMessage, decide: (rows: Rows) => D): Promise<D>;
  /**
   * The same for pruning, with the rows that the next step of it is about. `from`: the stream that
   * the step before ended in; absent in the first.
   */
  prune<D extends Writes>(
    step: { readonly horizonMs: number; readonly from?: StreamKey | undefined },
    decide: (rows: PruningRows) => D,
  ): Promise<D>;
  /** Gives the space of what was pruned back. False: it could not, and nothing else is wrong. */
  compact(): Promise<boolean>;
  status(): Promise<LedgerStatus>;
  meta(): Promise<MetaRow>;
  /** The next streams, by sender and stream id; none are left if it is empty. */
  streamsAfter(key: StreamKey | undefined): Promise<readonly StreamRow[]>;
  /** The next messages, by sender, stream id and serial; none are left if it is empty. */
  messagesAfter(key: MessageRow | undefined): Promise<readonly MessageInStream[]>;
  /** What the store itself finds wrong with its data, as in a damaged file; empty: nothing. */
  check(): Promise<string[]>;
  close(): Promise<void>;
}

/** Changes to write, in their order. */
export interface Writes {
  readonly changes: readonly Change[];
}

export type Change =
  /** A new row. A row of its message, or of its serial, that was not shown before means damage. */
  | { readonly kind: "insert"; readonly message: MessageRow }
  /** The row of the same sender and message id becomes this one. */
  | { readonly kind: "update"; readonly message: MessageRow }
  | { readonly kind: "delete"; readonly message: MessageRow }
  /** The stream's row becomes this one, whether or not it has one already. */
  | { readonly kind: "stream"; readonly stream: StreamRow }
  | Forgetting
  /** Adds one to the ledger's counter. */
  | { readonly kind: "count" };

/** Deletes the delivered messages of the stream that were sealed before, up to that serial. */
export interface Forgetting {
  readonly kind: "forget";
  readonly stream: StreamKey;
  readonly sealedBeforeMs: number;
  readonly upToSerial: number;
}

/** What a ledger knows around one message. */
export interface Rows {
  readonly meta: MetaRow;
  /** Of the message's sender and stream; absent until a message of it is accepted. */
  readonly stream: StreamRow | undefined;
  readonly own: MessageRow | undefined;
  /** Another message of the same sender, stream and serial. */
  readonly rival: MessageRow | undefined;
}

/**
 * What a step of pruning is about: the next delivered messages sealed before the horizon, by
 * sender, stream id and serial, and reservations.
 */
export interface PruningRows {
  /** All of them in the first step, none in the others. */
  readonly reserved: readonly MessageRow[];
  /** By sender and stream id; empty after the last step. */
  readonly old: readonly {
    readonly stream: StreamRow;
    /** How many of the stream's messages this step is about, and the last one's serial. */
    readonly messages: number;
    readonly highestSerial: number;
  }[];
}

/** A message, and what its stream's row says. */
export interface MessageInStream {
  readonly message: MessageRow;
  /** Absent if there is no row of its stream. */
  readonly highest: number | undefined;
}

export interface MetaRow {
  /** 16 bytes, hexadecimal. */
  readonly ledgerId: string;
  readonly counter: number;
  readonly createdMs: number;
  readonly sinceMs: number;
}

export interface StreamKey {
  readonly sender: string;
  readonly streamId: string;
}

export type StreamRow = ExportedStream;

/** Unique by sender and message id, and by sender, stream and serial. */
export interface MessageRow extends Omit<ExportedMessage, "acceptedMs" | "final"> {
  /** Absent exactly while the message is reserved. */
  readonly acceptedMs: number | undefined;
  /** The process that opens it, while one does. */
  readonly owner: string | undefined;
  /** Random text that tells this reservation from every other. */
  readonly token: string | undefined;
  /** Until when the owner is believed to be at work where nobody can tell. */
  readonly leaseMs: number;
  readonly temporary: string | undefined;
  readonly final: string | undefined;
  /** See `Delivery`; set from the acceptance of a message whose plaintext goes to a file. */
  readonly mark: string | undefined;
}

/** What was recorded of a plaintext file; none where the plaintext went to a pipe. */
export function deliveryOf({ temporary, final, mark }: MessageRow): Delivery | undefined {
  if (temporary === undefined || final === undefined || mark === undefined) return undefined;
  return { temporary, final, mark };
}
