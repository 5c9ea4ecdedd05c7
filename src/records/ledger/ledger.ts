/**
 * The ledger: which signed messages were accepted, so that none is accepted twice.
 *
 * A message goes through three states. It is *reserved* while somebody opens it: before the token is
 * asked for anything, and for one process at a time; a reservation that comes to nothing (a forged body,
 * a PIN not given, a crash) leaves no trace, so that nobody can burn a message by sending a copy with
 * garbage in it. It is *accepted* once the whole message was verified and its plaintext is on the disk.
 * It is *delivered* once the plaintext has its name. Only between the last two may the same message be
 * opened again, by whoever comes after the crash, and then to finish the delivery; so a power cut
 * neither loses a message nor lets it in twice.
 *
 * Everything is asynchronous and in plain values, so that a store shared by several receivers can stand
 * behind the same interface.
 */

/** What the ledger needs to know of a message: claims under a signature that holds. */
export interface SignedMessage {
  /** SHA-256 of the sender's SPKI, hexadecimal. */
  readonly keyId: string;
  /** 16 bytes, hexadecimal. */
  readonly messageId: string;
  /** 16 bytes, hexadecimal: which of the sender's counters `serial` is from. */
  readonly streamId: string;
  readonly serial: number;
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly createdMs: number;
  readonly expiresMs?: number;
  /** True when the wrapped keys are the ones the sender signed. */
  readonly recipientsIntact: boolean;
}

export interface ReserveOptions {
  /** The receiver's clock, milliseconds since 1970-01-01T00:00Z. */
  readonly nowMs: number;
  /** Refuse any serial but the next of its stream. */
  readonly inOrder?: boolean;
  /** Where the plaintext is going to be: what a crash leaves of it is removed by the next run. */
  readonly output?: OutputPaths;
}

/** Absolute paths. */
export interface OutputPaths {
  /** Where the plaintext is written until the message is verified: `….part`, used by nobody else. */
  readonly temporary: string;
  readonly final: string;
}

export interface Ledger {
  /**
   * Makes room for a message, for this process alone.
   *
   * @throws PolicyError `ERR_REPLAYED`: it was accepted before, or lies in what was pruned;
   *   `ERR_SERIAL_REUSED`: its sender gave its serial to another message; `ERR_IN_PROGRESS`: another
   *   process is opening it; `ERR_OUT_OF_ORDER`: `inOrder` and not the next; `ERR_STALE`: older than
   *   the ledger is to accept; `ERR_LEDGER_…`: the ledger itself can't be relied on
   */
  reserve(message: SignedMessage, options: ReserveOptions): Promise<Reservation>;
  /** True when the message was accepted, and then a crash came before its delivery. */
  isUndelivered(message: SignedMessage): Promise<boolean>;
  status(): Promise<LedgerStatus>;
  /** What is wrong with the stored data; empty: nothing was found. */
  verify(): Promise<string[]>;
  /** Forgets messages that are delivered and older than the window, and remembers up to which serial. */
  prune(options: { readonly nowMs: number; readonly windowMs: number }): Promise<Pruned>;
  export(): Promise<LedgerExport>;
  close(): Promise<void>;
}

/** The right to open one message. */
export interface Reservation {
  /** Where the serial stands in its stream, so far as this ledger has seen it. */
  readonly place: "first" | "next" | "gap" | "late";
  /** How many serials between the highest seen and this one are missing; 0 unless `place` is `gap`. */
  readonly gap: number;
  /** Set when the message was accepted before a crash, and is to be delivered now. */
  readonly redelivery?: Redelivery;
  /**
   * Accepts the message, for good. To be called when all of it is verified and its plaintext, where it
   * goes to a file, is written and synced under its temporary name; before it gets its final one.
   *
   * @throws PolicyError `ERR_RESERVATION_LOST`: another process took it over; `ERR_OUT_OF_ORDER`: another
   *   message came first; `ERR_LEDGER_WRITE`
   */
  commit(output?: OutputPaths): Promise<Acceptance>;
  /**
   * Gives the message up for others to open, unless it is delivered: after every end, good or bad.
   * Never throws: what it can't undo ends with this process.
   */
  release(): Promise<void>;
}

/**
 * What became of the plaintext: `waiting` under its temporary name, whole, to be renamed; or `gone`, to
 * be decrypted again (it was for a pipe, or somebody removed it).
 */
export type Redelivery =
  { readonly kind: "waiting"; readonly output: OutputPaths } | { readonly kind: "gone" };

/** A message that was accepted. */
export interface Acceptance {
  readonly witness: LedgerWitness;
  /** The plaintext has its name, or has left through the pipe. @throws PolicyError `ERR_LEDGER_WRITE` */
  delivered(): Promise<void>;
}

/** How far a ledger had come: kept elsewhere, it shows when an older copy is put in its place. */
export interface LedgerWitness {
  /** 16 random bytes made with the ledger, hexadecimal. */
  readonly ledgerId: string;
  /** Grows with every acceptance and every pruning. */
  readonly counter: number;
}

export interface LedgerStatus extends LedgerWitness {
  readonly createdMs: number;
  /** Messages sealed before are refused; 0: none for that reason. */
  readonly sinceMs: number;
  readonly reserved: number;
  readonly accepted: number;
  readonly delivered: number;
  readonly senders: number;
  readonly streams: number;
  /** When the oldest message that is remembered was sealed. */
  readonly oldestMs?: number;
}

export interface Pruned {
  /** How many messages were forgotten. */
  readonly removed: number;
  /** How many are still remembered. */
  readonly kept: number;
}

/** Everything, for people and other programs. */
export interface LedgerExport extends LedgerWitness {
  readonly type: "p11seal ledger v1";
  readonly createdMs: number;
  readonly sinceMs: number;
  readonly streams: readonly {
    readonly sender: string;
    readonly streamId: string;
    /** Highest serial accepted. */
    readonly highest: number;
    /** Highest serial that was pruned; -1: none. */
    readonly floor: number;
  }[];
  readonly messages: readonly {
    readonly sender: string;
    readonly messageId: string;
    readonly streamId: string;
    readonly serial: number;
    readonly createdMs: number;
    readonly state: "reserved" | "accepted" | "delivered";
    readonly acceptedMs?: number;
    readonly final?: string;
  }[];
}
