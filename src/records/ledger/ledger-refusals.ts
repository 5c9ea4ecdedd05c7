/** Why a ledger refuses a message: what each rule says, and what to do then. */
import { PolicyError } from "../../errors.js";
import { formatDuration, moment } from "../duration.js";
import type { LedgerWitness, SignedMessage } from "./ledger.js";
import type { MessageRow } from "./ledger-store.js";

/**
 * How long a reservation is respected whose process can't be looked at (another machine or container,
 * a system without /proc), milliseconds: 15 minutes.
 */
export const LEASE_MS = 15 * 60_000;

export function replayed(row: MessageRow): PolicyError {
  const when = row.acceptedMs === undefined ? "before" : `on ${moment(row.acceptedMs)}`;
  return new PolicyError("ERR_REPLAYED", `message ${row.messageId} was opened ${when}`, {
    hint: "somebody sent it again; nothing was opened now",
  });
}

export function prunedAway({ serial }: SignedMessage): PolicyError {
  return new PolicyError(
    "ERR_REPLAYED",
    `serial ${serial} lies in the part of its stream that the ledger no longer remembers`,
    { hint: "a message this old may have been opened before; ask the sender to seal it again" },
  );
}

export function serialReused({ serial, messageId }: SignedMessage, rival: MessageRow): PolicyError {
  return new PolicyError(
    "ERR_SERIAL_REUSED",
    `serial ${serial} of message ${messageId} belongs to message ${rival.messageId}`,
    {
      hint: "tell the sender: their counter went back (a restored backup, a copied machine)",
    },
  );
}

export function outOfOrder(serial: number, highest: number): PolicyError {
  return new PolicyError("ERR_OUT_OF_ORDER", `serial ${serial} does not follow ${highest}`, {
    hint:
      serial > highest
        ? `open the messages from serial ${highest + 1} on first, or without --in-order`
        : "later messages were opened before this one; open it without --in-order",
  });
}

export function rolledBack(found: LedgerWitness, witness: LedgerWitness): PolicyError {
  const fact =
    found.ledgerId === witness.ledgerId
      ? `the ledger stands at ${found.counter}, the audit log saw it at ${witness.counter}`
      : "the ledger is not the one that the audit log saw last";
  return new PolicyError("ERR_LEDGER_ROLLED_BACK", fact, {
    hint: `an older copy has forgotten what was opened since; ${BEGIN_ANEW}`,
  });
}

export function inProgress({ messageId }: MessageRow): PolicyError {
  const lease = formatDuration(LEASE_MS);
  return new PolicyError("ERR_IN_PROGRESS", `message ${messageId} is being opened already`, {
    hint: `wait for the other run; one on another machine is believed to live for ${lease}`,
  });
}

export function beforeLedger({ createdMs }: SignedMessage, sinceMs: number): PolicyError {
  return new PolicyError(
    "ERR_STALE",
    `the message was sealed ${moment(createdMs)}, the ledger begins ${moment(sinceMs)}`,
    { hint: "whether it was opened before is not known any more; ask the sender to seal it again" },
  );
}

export function ledgerExists(path: string): PolicyError {
  return new PolicyError("ERR_LEDGER_EXISTS", `there is a ledger already: "${path}"`, {
    hint: "to begin a new one, move it away first; a new one knows nothing of what was opened",
  });
}

export function reservationLost(): PolicyError {
  return new PolicyError("ERR_RESERVATION_LOST", "another process took this message over", {
    hint: "it was believed that this one had ended; nothing was delivered here",
  });
}

/** What a new ledger means. */
export const NEW_LEDGER =
  "it knows nothing of what was opened before, so old messages may pass once more";
/** What to do with one that is lost. */
export const BEGIN_ANEW =
  "`p11seal ledger init` begins anew, and --since says from when messages count";
