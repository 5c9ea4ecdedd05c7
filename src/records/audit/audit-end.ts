/**
 * Where an audit log ends: its last lines, its head, and from both what the next line follows. The
 * whole log is read only if the two don't fit together.
 */
import { fstatSync, readSync } from "node:fs";
import { ascii } from "../../bytes.js";
import { defined } from "../../defined.js";
import { readWhole } from "../../store/files.js";
import {
  CHAIN_START,
  follows,
  isAt,
  lineHash,
  MAX_LINE_BYTES,
  parseAuditLine,
  type AuditHead,
  type AuditLine,
  type AuditRepair,
} from "./audit-line.js";
import { walkAuditLog } from "./audit-walk.js";
import type { LedgerWitness } from "../ledger/ledger.js";

/** The head as its file has it. */
export interface StoredHead extends AuditHead {
  /** How far the ledger had come. */
  readonly ledger?: LedgerWitness;
}

/** Undefined if there is none, or not one that p11seal wrote. @throws as `readWhole` */
export async function readHead(path: string): Promise<StoredHead | undefined> {
  const bytes = await readWhole(path, 512);
  const [, n, hash, id, counter] = HEAD.exec(new TextDecoder().decode(bytes)) ?? [];
  if (n === undefined || hash === undefined) return undefined;
  const ledger = id === undefined ? undefined : { ledgerId: id, counter: Number(counter) };
  return { n: Number(n), hash, ...defined({ ledger }) };
}

const HEAD = new RegExp(
  '^\\{"n":(0|[1-9][0-9]{0,15}),"hash":"([0-9a-f]{64})"' +
    '(?:,"ledger":\\{"ledgerId":"([0-9a-f]{32})","counter":(0|[1-9][0-9]{0,15})\\})?\\}\n$',
);

export function headBytes({ n, hash, ledger }: StoredHead): Uint8Array {
  const ordered = { n, hash, ...(ledger && { ledger: { ...ledger } }) };
  return ascii(`${JSON.stringify(ordered)}\n`);
}

export interface LogEnd {
  /** The line that the next one follows. */
  readonly tip: AuditHead;
  readonly repairs: readonly AuditRepair[];
  /** A line feed where a crash left half a line. */
  readonly text: string;
  readonly ledger: LedgerWitness | undefined;
  /**
   * Whether the log's name is known to be on the disk. A head that counts a line got its own name
   * only after that; where it does not count the last one, the run that made the log, or put
   * another in its place, may have been killed before.
   */
  readonly isNamed: boolean;
}

/** Finds where to continue. @param log - its descriptor */
export async function findEnd(log: number, head: StoredHead | undefined): Promise<LogEnd> {
  const tail = readTail(log);
  const { whole, rest } = tail;
  const text = rest === undefined ? "" : "\n";
  // A whole line that lacks its line feed only needs the line feed.
  const ended = rest !== undefined && follows(rest, whole.tip);
  const { tip } = ended ? rest : whole;
  const repairs: AuditRepair[] =
    rest === undefined || ended
      ? []
      : [{ event: "repair", outcome: "torn-line", torn: rest.tip.hash }];
  const end = { tip, repairs, text, ledger: await witnessIn(log, tail, head), isNamed: false };

  if (head === undefined) {
    repairs.push({ event: "repair", outcome: "no-head" });
    return end;
  }
  if (isAt(tip, head)) return { ...end, isNamed: head.n > 0 };
  if (await reaches(log, head)) return end;
  repairs.push({ event: "repair", outcome: "not-at-head" });
  return { ...end, tip: head };
}

/** How far the ledger had come, by the end of the log and its head. @param log - its descriptor */
export function witnessAtEnd(
  log: number,
  head: StoredHead | undefined,
): Promise<LedgerWitness | undefined> {
  return witnessIn(log, readTail(log), head);
}

/**
 * The later of two witnesses. Two openings at once may be logged in another order than the ledger
 * accepted them in, and the counter must never fall.
 */
export function later(
  known: LedgerWitness | undefined,
  seen: LedgerWitness | undefined,
): LedgerWitness | undefined {
  if (known === undefined || seen === undefined) return seen ?? known;
  return known.ledgerId === seen.ledgerId && known.counter > seen.counter ? known : seen;
}

// ── Details ──

/**
 * The witness with the higher number is the newer: a crash may leave the log ahead, whoever cuts it
 * leaves it behind.
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
  };
}

function found(bytes: Buffer): FoundLine {
  const line = parseAuditLine(bytes.toString("utf8"));
  return { line, tip: { n: line?.n ?? 0, hash: lineHash(bytes) } };
}

const LINE_FEED = 0x0a;
