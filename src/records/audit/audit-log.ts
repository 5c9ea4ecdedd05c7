/**
 * The audit log of openings. Lines are only ever added. Each carries the hash of the one before,
 * and a small file beside the log, the head, says which line is the last. Whoever removes, changes,
 * inserts or reorders lines leaves a break that `verifyAuditLog` finds.
 *
 * No key protects the chain: whoever can write both files can write another history. To guard
 * against that, note the head elsewhere from time to time (`verifyAuditLog` returns it), and pass
 * it to a later check.
 *
 * A line is on the disk before the head that counts it gets its name. So after a crash the log may
 * be whole lines ahead of its head, or end in half a line. Both are recognized; half a line stays,
 * and the next line explains it. A log that does not reach its head was cut. It continues from the
 * head, so that the gap stays visible for ever. Nobody waits until the head's new name is on the
 * disk: if the power fails before, the earlier head is there, which counts fewer lines.
 *
 * The head also says how far the ledger had come, so that an older copy of the ledger is recognized
 * when the log was rotated, emptied or damaged.
 */
import { closeSync, constants, fstatSync, openSync, readSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ascii } from "../../bytes.js";
import { defined } from "../../defined.js";
import { PolicyError } from "../../errors.js";
import {
  fileStateSync,
  makeFolderSync,
  readWholeSync,
  replacement,
  type Replacement,
  writeWhole,
} from "../../store/files.js";
import { flush, syncFolder } from "../../store/flush.js";
import { withLock, type HeldLock } from "../../store/lock.js";
import { quoted, reason } from "../../store/system-error.js";
import { NO_FOLLOW } from "../../store/open-flags.js";
import {
  CHAIN_START,
  follows,
  formatAuditLine,
  isAt,
  lineHash,
  MAX_LINE_BYTES,
  parseAuditLine,
  type AuditEvent,
  type AuditHead,
  type AuditLine,
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
    if (!isBehind(readHead(files)?.ledger)) return;
    await withLock(files.lock, async (lock) => {
      const head = readHead(files);
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
  const head = readHead(files);
  const log = openLog(files);
  if (log === undefined) return head?.ledger;
  try {
    return await witnessIn(log, readTail(log), head);
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
  const head = readHead(files);
  const log = openLog(files);
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
      makeFolderSync(dirname(files.log));
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
  const isNew = fileStateSync(files.log) === "absent";
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | NO_FOLLOW;
  const log = openSync(files.log, flags, 0o600);
  try {
    const { tip, repairs, text, ledger } = await connect(files, log);
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
    await place(replacement(files.head, head), log, isNew ? dirname(files.log) : undefined);
    for (const one of added) one.entry.resolve(one.head);
  } finally {
    closeSync(log);
  }
}

/**
 * Gives the head its name once the lines that it counts are on the disk, and so is what it says.
 * The disk is asked for both at once, and may do them together.
 *
 * @param folder - the log's, if the log is new in it
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

/**
 * The later of two witnesses. Two openings at once may be logged in another order than the ledger
 * accepted them in, and the counter must never fall.
 */
function later(
  known: LedgerWitness | undefined,
  seen: LedgerWitness | undefined,
): LedgerWitness | undefined {
  if (known === undefined || seen === undefined) return seen ?? known;
  return known.ledgerId === seen.ledgerId && known.counter > seen.counter ? known : seen;
}

interface Connection {
  /** The line that the next one follows. */
  readonly tip: AuditHead;
  readonly repairs: readonly AuditRepair[];
  /** A line feed where a crash left half a line. */
  readonly text: string;
  readonly ledger: LedgerWitness | undefined;
}

/** Finds where to continue. Reads the end of the log, and all of it only if that does not match. */
async function connect(files: AuditFiles, log: number): Promise<Connection> {
  const tail = readTail(log);
  const { whole, rest, size } = tail;
  let head: StoredHead | undefined = readHead(files);
  if (size === 0 && head === undefined) {
    // Before the first line: from now on, a log without a head has lost it.
    await writeWhole(files.head, headBytes(CHAIN_START));
    head = CHAIN_START;
  }
  const feed = rest === undefined ? "" : "\n";
  // A whole line that lacks its line feed only needs the line feed.
  const ended = rest !== undefined && follows(rest, whole.tip);
  const { tip } = ended ? rest : whole;
  const repairs: AuditRepair[] =
    rest === undefined || ended
      ? []
      : [{ event: "repair", outcome: "torn-line", torn: rest.tip.hash }];
  const ledger = await witnessIn(log, tail, head);

  if (head === undefined) {
    repairs.push({ event: "repair", outcome: "no-head" });
  } else if (!isAt(tip, head) && !(await reaches(log, head))) {
    repairs.push({ event: "repair", outcome: "not-at-head" });
    return { tip: head, repairs, text: feed, ledger };
  }
  return { tip, repairs, text: feed, ledger };
}

/**
 * How far the ledger had come, by the end of the log and its head. The one with the higher number
 * is the newer: a crash may leave the log ahead, whoever cuts it leaves it behind.
 */
async function witnessIn(
  log: number,
  { whole, rest }: Tail,
  head: StoredHead | undefined,
): Promise<LedgerWitness | undefined> {
  const last = rest !== undefined && follows(rest, whole.tip) ? rest : whole;
  let { line } = last;
  if (line === undefined) {
    // The log ends in something else. It may be whole up to there.
    await walkAuditLog(log, { seen: (found) => (line = found) });
  }
  const seen = line?.ledger;
  const isHeadNewer = head !== undefined && head.n >= (line?.n ?? 0);
  return isHeadNewer ? later(seen, head.ledger) : later(head?.ledger, seen);
}

/** True if the log is unbroken and goes on beyond the head. */
async function reaches(log: number, head: AuditHead): Promise<boolean> {
  return (await walkAuditLog(log, { head })).problems.length === 0;
}

// ── Reading ──

/** A line as found in the file; `line` is absent if we did not write it. */
interface FoundLine {
  readonly line: AuditLine | undefined;
  readonly tip: AuditHead;
}

interface Tail {
  /** The last line with its line feed; the start of the chain if there is none. */
  readonly whole: FoundLine;
  /** What follows it. */
  readonly rest: FoundLine | undefined;
  /** The log's, bytes. */
  readonly size: number;
}

/** The log's last lines, without reading those before. */
function readTail(log: number): Tail {
  const { size } = fstatSync(log);
  const length = Math.min(size, 4 * MAX_LINE_BYTES);
  const buffer = Buffer.alloc(length);
  const bytes = buffer.subarray(0, readSync(log, buffer, 0, length, size - length));
  const end = bytes.lastIndexOf(LINE_FEED);
  const start = end < 1 ? 0 : bytes.lastIndexOf(LINE_FEED, end - 1) + 1;
  const rest = bytes.subarray(end + 1);
  return {
    whole: end < 0 ? { line: undefined, tip: CHAIN_START } : found(bytes.subarray(start, end)),
    rest: rest.length === 0 ? undefined : found(rest),
    size,
  };
}

function found(bytes: Buffer): FoundLine {
  const line = parseAuditLine(bytes.toString("utf8"));
  return { line, tip: { n: line?.n ?? 0, hash: lineHash(bytes) } };
}

/** The head as its file has it. */
interface StoredHead extends AuditHead {
  /** How far the ledger had come. */
  readonly ledger?: LedgerWitness;
}

function readHead(files: AuditFiles): StoredHead | undefined {
  const bytes = readWholeSync(files.head, 512);
  const [, n, hash, id, counter] = HEAD.exec(new TextDecoder().decode(bytes)) ?? [];
  if (n === undefined || hash === undefined) return undefined;
  const ledger = id === undefined ? undefined : { ledgerId: id, counter: Number(counter) };
  return { n: Number(n), hash, ...defined({ ledger }) };
}

const HEAD = new RegExp(
  '^\\{"n":(0|[1-9][0-9]{0,15}),"hash":"([0-9a-f]{64})"' +
    '(?:,"ledger":\\{"ledgerId":"([0-9a-f]{32})","counter":(0|[1-9][0-9]{0,15})\\})?\\}\n$',
);

function headBytes({ n, hash, ledger }: StoredHead): Uint8Array {
  const ordered = { n, hash, ...(ledger && { ledger: { ...ledger } }) };
  return ascii(`${JSON.stringify(ordered)}\n`);
}

function openLog(files: AuditFiles): number | undefined {
  if (fileStateSync(files.log) === "absent") return undefined;
  try {
    return openSync(files.log, constants.O_RDONLY | NO_FOLLOW);
  } catch (error) {
    const fact = `cannot read ${quoted(files.log)}: ${reason(error)}`;
    throw new PolicyError("ERR_AUDIT_LOG_READ", fact, { cause: error });
  }
}

const LINE_FEED = 0x0a;
