/**
 * The audit log of openings. Lines are only ever added. Each carries the hash of the one before,
 * and a small file beside the log, the head, says which line is the last. Whoever removes, changes,
 * inserts or reorders lines leaves a break that `verifyAuditLog` finds.
 *
 * No key protects the chain: whoever can write both files can write another history. To guard
 * against that, note the head elsewhere from time to time (`verifyAuditLog` returns it), and pass
 * it to a later check.
 *
 * A line, and the log's name, are on the disk before the head that counts the line gets its own
 * name. So after a crash the log may be whole lines ahead of its head, or end in half a line. Both
 * are recognized; half a line stays, and the next line explains it. A log that does not reach its
 * head was cut. It continues from the head, so that the gap stays visible for ever. Nobody waits
 * until the head's new name is on the disk: if the power fails before, the earlier head is there,
 * which counts fewer lines.
 *
 * The head also says how far the ledger had come, so that an older copy of the ledger is recognized
 * when the log was rotated, emptied or damaged.
 */
import { closeSync, constants, fstatSync, openSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { defined } from "../../defined.js";
import { PolicyError } from "../../errors.js";
import { fileState, replacement, type Replacement, writeWhole } from "../../store/files.js";
import { flush, syncFolder } from "../../store/flush.js";
import { withLock, type HeldLock } from "../../store/lock.js";
import { makeFolder } from "../../store/make-folder.js";
import { quoted, reason } from "../../store/system-error.js";
import { NO_FOLLOW } from "../../store/open-flags.js";
import { findEnd, headBytes, later, readHead, witnessAtEnd, type StoredHead } from "./audit-end.js";
import {
  CHAIN_START,
  formatAuditLine,
  lineHash,
  MAX_LINE_BYTES,
  parseAuditLine,
  type AuditEvent,
  type AuditHead,
  type AuditRepair,
} from "./audit-line.js";
import { AT_ONCE, LineQueue, type Entry } from "./line-queue.js";
import { walkAuditLog, type AuditReport } from "./audit-walk.js";
import type { LedgerWitness } from "../ledger/ledger.js";

export type { AuditEvent, AuditHead } from "./audit-line.js";
export type { AuditProblem, AuditReport, PassedOnCount } from "./audit-walk.js";

/** The files of an audit log, all in one folder. */
export interface AuditFiles {
  readonly log: string;
  readonly head: string;
  readonly lock: string;
}

export function auditFiles(folder: string): AuditFiles {
  return {
    log: join(folder, "audit.jsonl"),
    head: join(folder, "audit.head"),
    lock: join(folder, "audit.lock"),
  };
}

/**
 * Adds a line, and resolves when it is on the disk. Lines that are added while others are being
 * written, or while another process has the lock, wait, and then go together: all of them take the
 * lock, and wait for the disk, once.
 *
 * @param nowMs - milliseconds since 1970-01-01T00:00Z
 * @returns the new head
 * @throws PolicyError `ERR_AUDIT_LOG_WRITE`, `ERR_UNSAFE_FILE`
 */
export function appendAudit(
  files: AuditFiles,
  event: AuditEvent,
  nowMs: number,
): Promise<AuditHead> {
  return queued(files, event, nowMs, { moreFollow: false });
}

/** As `appendAudit`, but the line may wait some ms for others that are about to be added. */
export function appendAuditWithOthers(
  files: AuditFiles,
  event: AuditEvent,
  nowMs: number,
): Promise<AuditHead> {
  return queued(files, event, nowMs, { moreFollow: true });
}

/**
 * Notes in the head, without a line, how far the log's ledger has come.
 *
 * @throws PolicyError `ERR_AUDIT_LOG_WRITE`, `ERR_UNSAFE_FILE`
 */
export async function noteLedger(files: AuditFiles, ledger: LedgerWitness): Promise<void> {
  const isBehind = (known: LedgerWitness | undefined): boolean =>
    known?.ledgerId === ledger.ledgerId && known.counter < ledger.counter;
  try {
    if (!isBehind((await readHead(files.head))?.ledger)) return;
    await withLock(files.lock, async (lock) => {
      const head = await readHead(files.head);
      if (head === undefined || !isBehind(head.ledger)) return;
      await lock.confirm();
      await writeWhole(files.head, headBytes({ ...head, ledger }));
    });
  } catch (error) {
    throw writeFailure(files, error);
  }
}

/**
 * How far the ledger had come by the log's last line and its head: the witness that `openLedger`
 * takes. `undefined` if neither says so.
 *
 * @throws PolicyError `ERR_AUDIT_LOG_READ`, `ERR_UNSAFE_FILE`
 */
export async function auditWitness(files: AuditFiles): Promise<LedgerWitness | undefined> {
  const head = await readHead(files.head);
  const log = await openLog(files);
  if (log === undefined) return head?.ledger;
  try {
    return await witnessAtEnd(log, head);
  } finally {
    closeSync(log);
  }
}

/**
 * Reads the whole log and reports every break. Changes nothing and needs no lock.
 *
 * @param options - `expected`: a head that was noted elsewhere earlier.
 * @throws PolicyError `ERR_AUDIT_LOG_READ`, `ERR_UNSAFE_FILE`
 */
export async function verifyAuditLog(
  files: AuditFiles,
  options: { readonly expected?: AuditHead } = {},
): Promise<AuditReport> {
  // The head first: lines that are added meanwhile then follow it, as they may.
  const head = await readHead(files.head);
  const log = await openLog(files);
  try {
    return await walkAuditLog(log, { ...options, ...defined({ head }) });
  } finally {
    if (log !== undefined) closeSync(log);
  }
}

// ── Writing ──

function queued(
  files: AuditFiles,
  event: AuditEvent,
  nowMs: number,
  options: { readonly moreFollow: boolean },
): Promise<AuditHead> {
  return new Promise((resolve, reject) => {
    const known = waiting.get(files.log);
    const queue = known ?? new LineQueue();
    queue.add({ event, time: new Date(nowMs).toISOString(), resolve, reject }, options);
    if (known !== undefined) return;
    waiting.set(files.log, queue);
    void writeAll(files, queue);
  });
}

/** By log: the lines that came while others were being written. */
const waiting = new Map<string, LineQueue>();

/** Writes what is in the queue, and what is added meanwhile, until the queue is empty. */
async function writeAll(files: AuditFiles, queue: LineQueue): Promise<void> {
  while (queue.length > 0) {
    await queue.gather();
    const known = Math.min(queue.length, AT_ONCE);
    let entries: readonly Entry[] | undefined;
    try {
      await makeFolder(dirname(files.log));
      await withLock(files.lock, (lock) => {
        // Others may have come while it was waited for.
        entries = queue.take(AT_ONCE);
        return append(files, entries, lock);
      });
    } catch (error) {
      const told = writeFailure(files, error);
      for (const { reject } of entries ?? queue.take(known)) reject(told);
    }
  }
  waiting.delete(files.log);
}

function writeFailure(files: AuditFiles, error: unknown): unknown {
  if (error instanceof PolicyError || error instanceof TypeError) return error;
  const fact = `cannot write ${quoted(files.log)}: ${reason(error)}`;
  return new PolicyError("ERR_AUDIT_LOG_WRITE", fact, {
    cause: error,
    hint: "make room on its disk, or make it and its folder writable",
  });
}

async function append(files: AuditFiles, entries: readonly Entry[], lock: HeldLock): Promise<void> {
  // Refuses one that others can write to.
  await fileState(files.log);
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | NO_FOLLOW;
  const log = openSync(files.log, flags, 0o600);
  try {
    const found = await headFor(files, log);
    const { tip, repairs, text, ledger, isNamed } = await findEnd(log, found);
    const chain = new Chain(tip, text, ledger);
    const [first] = entries;
    for (const repair of repairs) chain.add(repair, first?.time ?? "");
    const added = entries.flatMap((entry) => {
      try {
        return [{ entry, head: chain.add(entry.event, entry.time) }];
      } catch (error) {
        // A line that can't be written does not hold up the others.
        entry.reject(error);
        return [];
      }
    });
    if (added.length === 0) return;
    const head = headBytes({ ...chain.tip, ...defined({ ledger: chain.ledger }) });
    await lock.confirm();
    writeFileSync(log, chain.text);
    await place(replacement(files.head, head), log, isNamed ? undefined : dirname(files.log));
    for (const one of added) one.entry.resolve(one.head);
  } finally {
    closeSync(log);
  }
}

/** The head that the log has; for an empty log, also one that was made just now. */
async function headFor(files: AuditFiles, log: number): Promise<StoredHead | undefined> {
  const head = await readHead(files.head);
  if (head !== undefined || fstatSync(log).size > 0) return head;
  // Before the first line: from now on, a log without a head has lost it.
  await writeWhole(files.head, headBytes(CHAIN_START));
  return CHAIN_START;
}

/**
 * Gives the head its name once the lines that it counts are on the disk, and so is what it says.
 * The disk is asked for both at once, and may do them together.
 *
 * @param folder - the log's, unless the log's name in it is known to be on the disk
 */
async function place(head: Replacement, log: number, folder: string | undefined): Promise<void> {
  const done = await Promise.allSettled([flush(log), head.flush()]);
  try {
    for (const one of done) if (one.status === "rejected") throw one.reason;
    if (folder !== undefined) await syncFolder(folder);
  } catch (error) {
    head.discard();
    throw error;
  }
  head.place();
}

/** Lines that will be added, each with the hash of the one before. */
class Chain {
  tip: AuditHead;
  text: string;
  ledger: LedgerWitness | undefined;

  constructor(tip: AuditHead, text: string, ledger: LedgerWitness | undefined) {
    this.tip = tip;
    this.text = text;
    this.ledger = ledger;
  }

  /** @throws TypeError if a field has the wrong form; then nothing was added */
  add(event: AuditEvent | AuditRepair, time: string): AuditHead {
    const ledger = later(this.ledger, event.ledger);
    const { n, hash } = this.tip;
    const fields = { ...event, ...defined({ ledger }) };
    const line = formatAuditLine({ ...fields, n: n + 1, time, prev: hash });
    if (Buffer.byteLength(line) > MAX_LINE_BYTES || parseAuditLine(line) === undefined) {
      throw new TypeError("a field of the audit event has the wrong form");
    }
    this.ledger = ledger;
    this.tip = { n: n + 1, hash: lineHash(line) };
    this.text += `${line}\n`;
    return this.tip;
  }
}

async function openLog(files: AuditFiles): Promise<number | undefined> {
  if ((await fileState(files.log)) === "absent") return undefined;
  try {
    return openSync(files.log, constants.O_RDONLY | NO_FOLLOW);
  } catch (error) {
    const fact = `cannot read ${quoted(files.log)}: ${reason(error)}`;
    throw new PolicyError("ERR_AUDIT_LOG_READ", fact, { cause: error });
  }
}
