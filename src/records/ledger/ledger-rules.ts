/**
 * The ledger's rules as pure functions: rows, facts and a request in, a decision out.
 *
 * A reservation names its process and carries a random token. The process determines when another
 * one may take over; the token determines who may accept. A reservation that was taken over can't
 * be accepted any more, so a wrong guess about the death of a process wastes work, but accepts
 * nothing twice.
 *
 * The caller removes files after the commit. A crash in between must not leave a file that no row
 * names. So a row whose file has to go is first claimed (`clean-up`) and keeps the path until the
 * next decision.
 */
import type { P11SealError } from "../../errors.js";
import type { Delivery } from "./delivery.js";
import type {
  LedgerWitness,
  OutputPaths,
  Redelivery,
  Reservation,
  SignedMessage,
} from "./ledger.js";
import {
  beforeLedger,
  inProgress,
  LEASE_MS,
  outOfOrder,
  prunedAway,
  replayed,
  reservationLost,
  rolledBack,
  serialReused,
} from "./ledger-refusals.js";
import {
  deliveryOf,
  type Change,
  type MessageRow,
  type PruningRows,
  type Rows,
  type StreamKey,
  type StreamRow,
  type Writes,
} from "./ledger-store.js";

/** Whether a process is running; `unknown` if that can't be seen from here. */
export type OwnerState = "running" | "ended" | "unknown";

/**
 * What became of a delivery: the plaintext has its final name (`placed`), its temporary one
 * (`waiting`) or neither (`gone`). An error if nobody can tell.
 */
export type DeliveryState = "placed" | "waiting" | "gone" | P11SealError;

/** What the caller found out about the rows. */
export interface Facts {
  /** For every owner in the rows. */
  readonly owners: ReadonlyMap<string, OwnerState>;
  /** For the message's own delivery; absent if none is recorded. */
  readonly delivery?: DeliveryState;
}

/** The process that asks. */
export interface Claimant {
  /** Names the process so that another one can see whether it is running (`thisProcess`). */
  readonly owner: string;
  /** Random text, new for each reservation. */
  readonly token: string;
  /** The clock, milliseconds since 1970-01-01T00:00Z. */
  readonly nowMs: number;
}

export interface ReservationRequest extends Claimant {
  readonly inOrder?: boolean | undefined;
  readonly output?: OutputPaths | undefined;
}

export interface Refusal extends Writes {
  readonly kind: "refuse";
  readonly error: P11SealError;
}

/** Rows were claimed: remove these files, then ask again. */
export interface CleanUp extends Writes {
  readonly kind: "clean-up";
  readonly files: readonly string[];
}

export type Place = Pick<Reservation, "place" | "gap">;

/**
 * The claimant may open the message; with `redelivery`, only to deliver what was accepted before.
 */
export interface Admission extends Writes, Place {
  readonly kind: "admit";
  readonly redelivery?: Redelivery;
}

/**
 * May the claimant open the message? If it may not, rows that were claimed for it are given up
 * again.
 */
export function decideReservation(
  state: Rows & Facts,
  message: SignedMessage,
  request: ReservationRequest,
): Refusal | CleanUp | Admission {
  const decision = judge(state, message, request);
  if (decision.kind !== "refuse" || decision.changes.length > 0) return decision;
  const claims = [state.own, state.rival].filter((row) => row?.token === request.token);
  return refuse(decision.error, claims.flatMap(givenUp));
}

function judge(
  state: Rows & Facts,
  message: SignedMessage,
  request: ReservationRequest,
): Refusal | CleanUp | Admission {
  const { meta, stream, own, rival } = state;
  if (rival !== undefined && (rival.state !== "reserved" || isHeld(rival, request, state))) {
    return refuse(serialReused(message, rival));
  }
  if (own === undefined) {
    if (isBefore(message.createdMs, meta.sinceMs)) {
      return refuse(beforeLedger(message, meta.sinceMs));
    }
    if (message.serial <= (stream?.floor ?? -1)) return refuse(prunedAway(message));
  } else {
    if (!isSame(own, message) || own.state === "delivered") return refuse(replayed(own));
    if (isHeld(own, request, state)) return refuse(inProgress(own));
    if (own.state === "accepted") return judgeDelivery(own, request, state);
  }
  const place = placeOf(message, stream, request.inOrder);
  if (place.kind === "refuse") return place;

  // Both are reservations that nobody holds any more.
  const abandoned = [own, rival].filter((row) => row !== undefined);
  const withFiles = abandoned.filter((row) => hasFile(row, request));
  if (withFiles.length > 0) return cleanUp(withFiles, request);
  const changes = abandoned.map((row): Change => ({ kind: "delete", message: row }));
  return { ...place, changes: [...changes, { kind: "insert", message: newRow(message, request) }] };
}

/**
 * A time in whole seconds, which is all that some signatures have, is before another one only if
 * the whole second is.
 */
function isBefore(ms: number, otherMs: number): boolean {
  return ms < (ms % 1000 === 0 ? otherMs - (otherMs % 1000) : otherMs);
}

/** The message was accepted before a crash: was its plaintext delivered? */
function judgeDelivery(
  own: MessageRow,
  request: ReservationRequest,
  { delivery: found = "gone" }: Facts,
): Refusal | CleanUp | Admission {
  if (typeof found !== "string") return refuse(found);
  const delivery = deliveryOf(own);
  const admission = { kind: "admit", place: "next", gap: 0 } as const;
  if (found === "waiting" && delivery !== undefined) {
    // The row keeps its paths: they say where the plaintext is.
    const { temporary, final } = delivery;
    const changes: Change[] = [{ kind: "update", message: claimed(own, request) }];
    return { ...admission, redelivery: { kind: "waiting", output: { temporary, final } }, changes };
  }
  if (hasFile(own, request)) return cleanUp([own], request);
  if (found === "placed") {
    return refuse(replayed(own), noteDelivered(own));
  }
  const row = { ...claimed(own, request), ...pathsOf(request.output), mark: undefined };
  const changes: Change[] = [{ kind: "update", message: row }];
  return { ...admission, redelivery: { kind: "gone" }, changes };
}

/** True if the message was accepted, and its delivery was not noted. */
export function isUndelivered({ own }: Rows, message: SignedMessage): boolean {
  return own?.state === "accepted" && isSame(own, message);
}

export interface AcceptanceRequest {
  readonly token: string;
  readonly nowMs: number;
  readonly inOrder?: boolean | undefined;
  /** The plaintext's file, if it goes to one. */
  readonly delivery?: Delivery;
}

export interface Accepted extends Writes {
  readonly kind: "accept";
  readonly witness: LedgerWitness;
}

/**
 * May the message, now verified, be accepted? Since it was reserved, another process may have taken
 * it over, or another message of the stream may have been accepted.
 */
export function decideAcceptance(
  { meta, stream, own }: Rows,
  message: SignedMessage,
  { token, nowMs, inOrder, delivery }: AcceptanceRequest,
): Refusal | Accepted {
  if (own?.token !== token || own.state === "delivered") return refuse(reservationLost());
  const { ledgerId, counter } = meta;
  const update: Change = {
    kind: "update",
    message: {
      ...own,
      state: "accepted",
      acceptedMs: own.acceptedMs ?? nowMs,
      ...pathsOf(delivery),
      mark: delivery?.mark,
    },
  };
  if (own.state === "accepted") {
    return { kind: "accept", witness: { ledgerId, counter }, changes: [update] };
  }
  const place = placeOf(message, stream, inOrder);
  if (place.kind === "refuse") return place;
  const { keyId: sender, streamId, serial } = message;
  const { highest, floor } = stream ?? { highest: serial, floor: -1 };
  const moved: StreamRow = { sender, streamId, highest: Math.max(highest, serial), floor };
  return {
    kind: "accept",
    witness: { ledgerId, counter: counter + 1 },
    changes: [update, { kind: "stream", stream: moved }, { kind: "count" }],
  };
}

export interface Noted extends Writes {
  readonly kind: "note";
}

/** The plaintext has its name, or went to the pipe. */
export function decideDelivery({ own }: Rows, token: string): Refusal | Noted {
  if (own?.token !== token || own.state === "reserved") return refuse(reservationLost());
  return { kind: "note", changes: noteDelivered(own) };
}

/** The holder gives the message up. */
export function decideRelease({ own }: Rows, token: string): Noted {
  return { kind: "note", changes: own?.token === token ? givenUp(own) : [] };
}

export interface Pruning extends Writes {
  readonly kind: "prune";
  /** How many messages it forgets. */
  readonly removed: number;
  /** The stream that the step ended in; absent once nothing is left. */
  readonly last: StreamKey | undefined;
}

/**
 * One step of pruning: forgets some delivered messages sealed before `horizonMs`, and reservations
 * that nobody holds. The highest forgotten serial becomes the stream's floor. Everything up to the
 * floor counts as accepted, so a longer window, later on, lets nothing in again. Messages that are
 * not delivered yet are kept.
 */
export function decidePruning(
  { old, reserved, owners }: PruningRows & Facts,
  horizonMs: number,
  claimant: Claimant,
): CleanUp | Pruning {
  const abandoned = reserved.filter((row) => !isHeld(row, claimant, { owners }));
  const withFiles = abandoned.filter((row) => hasFile(row, claimant));
  if (withFiles.length > 0) return cleanUp(withFiles, claimant);

  const floors = old.map(({ stream, highestSerial }): Change => {
    const floor = Math.max(stream.floor, highestSerial);
    return { kind: "stream", stream: { ...stream, floor } };
  });
  const removed = old.reduce((sum, stream) => sum + stream.messages, 0);
  const forget = old.map(({ stream, highestSerial }): Change => ({
    kind: "forget",
    stream,
    sealedBeforeMs: horizonMs,
    upToSerial: highestSerial,
  }));
  if (removed > 0) forget.push({ kind: "count" });
  return {
    kind: "prune",
    last: old.at(-1)?.stream,
    removed,
    changes: [
      ...floors,
      ...forget,
      ...abandoned.map((message): Change => ({ kind: "delete", message })),
    ],
  };
}

/** Refuses a ledger older than its witness. @throws PolicyError `ERR_LEDGER_ROLLED_BACK` */
export function requireNotOlder(found: LedgerWitness, witness: LedgerWitness | undefined): void {
  if (witness === undefined) return;
  const same = found.ledgerId === witness.ledgerId;
  if (!same || found.counter < witness.counter) throw rolledBack(found, witness);
}

// ── Details ──

function refuse(error: P11SealError, changes: readonly Change[] = []): Refusal {
  return { kind: "refuse", error, changes };
}

/** True while another process holds the row: it is running, or must be assumed to be. */
function isHeld(row: MessageRow, { token, nowMs }: Claimant, { owners }: Facts): boolean {
  if (row.owner === undefined || row.token === token) return false;
  const state = owners.get(row.owner) ?? "unknown";
  // A clock that was set back must not extend a lease for ever.
  const leased = nowMs < row.leaseMs && row.leaseMs - nowMs <= LEASE_MS;
  return state === "running" || (state === "unknown" && leased);
}

/**
 * True if the row's temporary file may exist; the claimant has removed those of rows it claimed.
 */
function hasFile(row: MessageRow, { token }: Claimant): boolean {
  return row.temporary !== undefined && row.token !== token;
}

function cleanUp(rows: readonly MessageRow[], claimant: Claimant): CleanUp {
  return {
    kind: "clean-up",
    changes: rows.map((row) => ({ kind: "update", message: claimed(row, claimant) })),
    files: rows.flatMap(({ temporary }) => temporary ?? []),
  };
}

/**
 * A reservation leaves no trace. An acceptance stays, for the process that finishes the delivery.
 */
function givenUp(row: MessageRow | undefined): Change[] {
  if (row === undefined || row.state === "delivered") return [];
  if (row.state === "reserved") return [{ kind: "delete", message: row }];
  return [{ kind: "update", message: { ...row, owner: undefined, token: undefined } }];
}

function claimed(row: MessageRow, { owner, token, nowMs }: Claimant): MessageRow {
  return { ...row, owner, token, leaseMs: nowMs + LEASE_MS };
}

function newRow(message: SignedMessage, request: ReservationRequest): MessageRow {
  return {
    sender: message.keyId,
    messageId: message.messageId,
    streamId: message.streamId,
    serial: message.serial,
    createdMs: message.createdMs,
    state: "reserved",
    acceptedMs: undefined,
    owner: request.owner,
    token: request.token,
    leaseMs: request.nowMs + LEASE_MS,
    ...pathsOf(request.output),
    mark: undefined,
  };
}

/**
 * The token stays, so that its holder may note the delivery twice. It counts, because a ledger that
 * has forgotten it could deliver the message once more.
 */
function noteDelivered(row: MessageRow): Change[] {
  if (row.state === "delivered") return [];
  const delivered = { state: "delivered", owner: undefined, mark: undefined } as const;
  const message = { ...row, ...delivered, ...pathsOf(undefined) };
  return [{ kind: "update", message }, { kind: "count" }];
}

function pathsOf(output: OutputPaths | undefined): Pick<MessageRow, "temporary" | "final"> {
  return { temporary: output?.temporary, final: output?.final };
}

function isSame(row: MessageRow, message: SignedMessage): boolean {
  return (
    row.streamId === message.streamId &&
    row.serial === message.serial &&
    row.createdMs === message.createdMs
  );
}

/** Where the serial stands in its stream; a refusal if `inOrder`, and it is not the next. */
function placeOf(
  { serial }: SignedMessage,
  stream: StreamRow | undefined,
  inOrder = false,
): (Place & { readonly kind: "admit" }) | Refusal {
  if (stream === undefined) return { kind: "admit", place: "first", gap: 0 };
  const { highest } = stream;
  if (serial === highest + 1) return { kind: "admit", place: "next", gap: 0 };
  if (inOrder) return refuse(outOfOrder(serial, highest));
  if (serial < highest) return { kind: "admit", place: "late", gap: 0 };
  return { kind: "admit", place: "gap", gap: serial - highest - 1 };
}
