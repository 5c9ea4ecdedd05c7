/** Why a ledger refuses a message: what each rule says, and what to do then. */
import { PolicyError } from "../../errors.js";
import { formatDuration, moment } from "../duration.js";
import type { LedgerWitness, SignedMessage } from "./ledger.js";
import type { MessageRow } from "./ledger-store.js";

/**
 * How long a reservation is respected if its process can't be seen (on another machine, in another
 * container, or on a system without /proc), milliseconds: 15 minutes.
 */
export const LEASE_MS = 15 * 60_000;

export function replayed(row: MessageRow): PolicyError {
  const when = row.acceptedMs === undefined ? "before" : `on ${moment(row.acceptedMs)}`;
  return new PolicyError("ERR_REPLAYED", `message ${row.messageId} was opened ${when}`, {
    hint: "you opened it before, or it was sent again; to read it once more, open it without --from",
  });
}

export function prunedAway({ serial }: SignedMessage): PolicyError {
  return new PolicyError(
    "ERR_REPLAYED",
    `serial ${serial} is in the part of its stream that was pruned from the ledger`,
    { hint: "a message this old may have been opened before; ask the sender to seal it again" },
  );
}

export function serialReused({ serial, messageId }: SignedMessage, rival: MessageRow): PolicyError {
  return new PolicyError(
    "ERR_SERIAL_REUSED",
    `serial ${serial} of message ${messageId} belongs to message ${rival.messageId}`,
    {
      hint: "tell the sender that their counter went back (a restored backup, a copied machine)",
    },
  );
}

export function outOfOrder(serial: number, highest: number): PolicyError {
  return new PolicyError("ERR_OUT_OF_ORDER", `serial ${serial} does not follow ${highest}`, {
    hint:
      serial > highest
        ? `open the messages from serial ${highest + 1} on first, or leave out --in-order`
        : "later messages were opened before this one; to open it, leave out --in-order",
  });
}

export function rolledBack(found: LedgerWitness, witness: LedgerWitness): PolicyError {
  const fact =
    found.ledgerId === witness.ledgerId
      ? `the ledger is at ${found.counter}, but the audit log saw it at ${witness.counter}`
      : "the ledger is not the one that the audit log saw last";
  return new PolicyError("ERR_LEDGER_ROLLED_BACK", fact, {
    hint: `an older copy does not know what was opened since; ${BEGIN_ANEW}`,
  });
}

export function inProgress({ messageId }: MessageRow): PolicyError {
  const lease = formatDuration(LEASE_MS);
  return new PolicyError("ERR_IN_PROGRESS", `message ${messageId} is being opened already`, {
    hint: `wait for the other run; one on another machine keeps the message for up to ${lease}`,
  });
}

export function beforeLedger({ createdMs }: SignedMessage, sinceMs: number): PolicyError {
  return new PolicyError(
    "ERR_STALE",
    `the message was sealed ${moment(createdMs)}, the ledger begins ${moment(sinceMs)}`,
    { hint: "nobody knows whether it was opened before; ask the sender to seal it again" },
  );
}

export function ledgerExists(path: string): PolicyError {
  return new PolicyError("ERR_LEDGER_EXISTS", `there is a ledger already: "${path}"`, {
    hint: "to begin a new one, move it away first; the new one won't know what was opened",
  });
}

export function reservationLost(): PolicyError {
  return new PolicyError("ERR_RESERVATION_LOST", "another process took this message over", {
    hint: "it assumed that this one had ended; nothing was delivered here",
  });
}

/** What a new ledger means. */
export const NEW_LEDGER =
  "it knows nothing of what was opened before, so old messages may pass once more";
/** What to do with one that is lost. */
export const BEGIN_ANEW =
  "`p11seal ledger init` begins anew, and --since says from when messages count";
