/**
 * The ledger: which signed messages were accepted, so that none is accepted twice.
 *
 * A message goes through three states. It is *reserved* while one process opens it, before the
 * token is asked for anything. A reservation that comes to nothing (a forged body, no PIN, a crash)
 * leaves no trace, so nobody can use up a message by sending a copy filled with garbage. The
 * message is *accepted* once all of it was verified and its plaintext is on the disk. It is
 * *delivered* once the plaintext has its name. If a crash comes between acceptance and delivery,
 * the next process may open the message again to finish the delivery. So a power cut neither loses
 * a message nor lets it in twice.
 *
 * `ledger-rules.ts` decides, `ledger-store.ts` says what a store has to do, `sqlite-ledger.ts` is
 * one.
 */

/** What the ledger needs to know about a message: claims under a signature that holds. */
export interface SignedMessage {
  /** SHA-256 of the sender's SPKI, hexadecimal. */
  readonly keyId: string;
  /** 16 bytes, hexadecimal. */
  readonly messageId: string;
  /** 16 bytes, hexadecimal: the sender's counter that `serial` comes from. */
  readonly streamId: string;
  readonly serial: number;
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly createdMs: number;
  readonly expiresMs?: number;
  /** True if the wrapped keys are the ones the sender signed. */
  readonly recipientsIntact: boolean;
  /**
   * The custodian who re-wrapped it for these recipients, under a signature that holds: SHA-256 of
   * the SPKI, hexadecimal.
   */
  readonly passedOn?: { readonly keyId: string };
}

export interface ReserveOptions {
  /** The receiver's clock, milliseconds since 1970-01-01T00:00Z. */
  readonly nowMs: number;
  /** Refuse every serial except the next of its stream. */
  readonly inOrder?: boolean | undefined;
  /** Where the plaintext will be written: what a crash leaves of it, the next run removes. */
  readonly output?: OutputPaths | undefined;
}

/** Absolute paths. */
export interface OutputPaths {
  /** Where the plaintext is until the message is verified: `….part`, used by nobody else. */
  readonly temporary: string;
  readonly final: string;
}

export interface Ledger {
  /**
   * Reserves a message for this process alone.
   *
   * @throws PolicyError `ERR_REPLAYED`: it was accepted before, or may have been and was pruned;
   *   `ERR_SERIAL_REUSED`: its sender gave its serial to another message; `ERR_IN_PROGRESS`:
   *   another process is opening it; `ERR_OUT_OF_ORDER`: `inOrder`, and not the next; `ERR_STALE`:
   *   sealed before the ledger accepts messages; `ERR_LEDGER_…`: the ledger can't be relied on
   */
  reserve(message: SignedMessage, options: ReserveOptions): Promise<Reservation>;
  /** True if the message was accepted, and a crash then prevented its delivery. */
  isUndelivered(message: SignedMessage): Promise<boolean>;
  /** How far it has come by now. */
  witness(): Promise<LedgerWitness>;
  status(): Promise<LedgerStatus>;
  /** What is wrong with the stored data, one line for each problem; empty if nothing is. */
  verify(): Promise<string[]>;
  /** Forgets delivered messages older than the window, and remembers up to which serial. */
  prune(options: { readonly nowMs: number; readonly windowMs: number }): Promise<Pruned>;
  export(): Promise<LedgerExport>;
  close(): Promise<void>;
}

/** The right to open one message. */
export interface Reservation {
  /** Where the serial stands in its stream, as far as this ledger knows. */
  readonly place: "first" | "next" | "gap" | "late";
  /** How many serials are missing between the highest accepted and this one; 0 without a gap. */
  readonly gap: number;
  /** Present if the message was accepted before a crash and only has to be delivered. */
  readonly redelivery?: Redelivery;
  /**
   * Accepts the message, for good. Call it when all of it is verified, and the plaintext, if it
   * goes to a file, is written and synced under its temporary name, before it gets its final one.
   *
   * @throws PolicyError `ERR_RESERVATION_LOST`: another process took it over; `ERR_OUT_OF_ORDER`:
   *   another message came first; `ERR_LEDGER_WRITE`
   */
  commit(output?: OutputPaths): Promise<Acceptance>;
  /**
   * Lets others open the message, unless it is delivered. Call it whether opening succeeded or
   * failed. It never throws: a reservation that it can't undo ends with this process.
   */
  release(): Promise<void>;
}

/**
 * What became of the plaintext: it is `waiting`, whole, under its temporary name and only has to be
 * renamed; or it is `gone` (it went to a pipe, or somebody removed it) and has to be decrypted
 * again.
 */
export type Redelivery =
  { readonly kind: "waiting"; readonly output: OutputPaths } | { readonly kind: "gone" };

/** A message that was accepted. */
export interface Acceptance {
  readonly witness: LedgerWitness;
  /**
   * Notes that the plaintext has its name, or went to the pipe.
   *
   * @throws PolicyError `ERR_LEDGER_WRITE`
   */
  delivered(): Promise<void>;
}

/**
 * How far a ledger had come. Kept elsewhere, it exposes an older copy put in the ledger's place.
 */
export interface LedgerWitness {
  /** 16 random bytes made with the ledger, hexadecimal. */
  readonly ledgerId: string;
  /** Grows with every acceptance, delivery and pruning. */
  readonly counter: number;
}

export interface LedgerStatus extends LedgerWitness {
  readonly createdMs: number;
  /** Messages sealed earlier are refused; 0: there is no such limit. */
  readonly sinceMs: number;
  readonly reserved: number;
  readonly accepted: number;
  readonly delivered: number;
  readonly senders: number;
  readonly streams: number;
  /** When the oldest message in the ledger was sealed. */
  readonly oldestMs?: number;
}

export interface Pruned {
  /** How many messages were forgotten. */
  readonly removed: number;
  /** How many are left. */
  readonly kept: number;
  /** Present if the file keeps the space that they took. */
  readonly spaceKept?: true;
}

/**
 * Everything, for people and other programs. The lists can be read once, and are read bit by bit:
 * of what is accepted or pruned meanwhile, some may be in them and some not.
 */
export interface LedgerExport extends LedgerWitness {
  readonly type: "p11seal ledger v1";
  readonly createdMs: number;
  readonly sinceMs: number;
  readonly streams: AsyncIterable<ExportedStream>;
  readonly messages: AsyncIterable<ExportedMessage>;
}

export interface ExportedStream {
  readonly sender: string;
  readonly streamId: string;
  /** Highest serial accepted. */
  readonly highest: number;
  /** Highest serial that was pruned; -1: none. */
  readonly floor: number;
}

export interface ExportedMessage {
  readonly sender: string;
  readonly messageId: string;
  readonly streamId: string;
  readonly serial: number;
  readonly createdMs: number;
  readonly state: "reserved" | "accepted" | "delivered";
  readonly acceptedMs?: number;
  readonly final?: string;
}
