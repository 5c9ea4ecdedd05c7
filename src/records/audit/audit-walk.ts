/**
 * Reads an audit log from its first line to its last and finds every break in the chain. It reports
 * a break where it shows, and goes on after it, so that it finds a second one too.
 */
import { read } from "node:fs";
import { promisify } from "node:util";
import {
  CHAIN_START,
  follows,
  isAt,
  lineHash,
  MAX_LINE_BYTES,
  parseAuditLine,
  type AuditHead,
  type AuditLine,
} from "./audit-line.js";

export interface AuditReport {
  /** How many whole lines the file has. */
  readonly lines: number;
  /** The last line, to be noted elsewhere; absent in an empty log. */
  readonly head?: AuditHead;
  /** Evidence of tampering, in the order of the file, at most 100; empty if there is none. */
  readonly problems: readonly AuditProblem[];
  /** Of the messages that were opened, those that custodians had passed on; by custodian. */
  readonly passedOn: readonly PassedOnCount[];
  /** Lines, by their number in the file, that a crash cut short; a later line explains each. */
  readonly tornLines: readonly number[];
}

export interface PassedOnCount {
  /** SHA-256 of the custodian's SPKI, hexadecimal. */
  readonly custodian: string;
  /** How many of their messages were opened. */
  readonly opened: number;
}

export interface AuditProblem {
  readonly code:
    | "ERR_AUDIT_MISSING"
    | "ERR_AUDIT_CHANGED"
    | "ERR_AUDIT_ORDER"
    | "ERR_AUDIT_FORM"
    | "ERR_AUDIT_HEAD";
  /** The line of the file where it shows, from 1. */
  readonly line: number;
  readonly message: string;
}

export interface WalkOptions {
  /** The head beside the log. */
  readonly head?: AuditHead;
  /** A head that was noted elsewhere. */
  readonly expected?: AuditHead;
  /** Gets each line that p11seal wrote. */
  readonly seen?: (line: AuditLine) => void;
}

/**
 * @param log - its descriptor; absent if there is no file.
 */
export async function walkAuditLog(
  log: number | undefined,
  options: WalkOptions,
): Promise<AuditReport> {
  const walk = new Walk(options);
  let rest = Buffer.alloc(0);
  for (let offset = 0; log !== undefined;) {
    const chunk = Buffer.alloc(CHUNK);
    const { buffer, bytesRead } = await promisify(read)(log, chunk, 0, CHUNK, offset);
    if (bytesRead === 0) break;
    offset += bytesRead;
    rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
      walk.line(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
    // We write no line this long, and must not keep one in memory.
    if (rest.length > MAX_LINE_BYTES) rest = rest.subarray(0, MAX_LINE_BYTES + 1);
  }
  return walk.end(rest);
}

class Walk {
  readonly #head: AuditHead | undefined;
  readonly #expected: AuditHead | undefined;
  #tip = CHAIN_START;
  #lines = 0;
  readonly #seen: (line: AuditLine) => void;
  #seenHead: boolean;
  #seenExpected: boolean;
  /** The line before, if we did not write it: half of one, if this line says so. */
  #odd: { hash: string; line: number } | undefined;
  readonly #problems: AuditProblem[] = [];
  readonly #tornLines: number[] = [];
  /** By custodian: only those that the user accepted, so they are few. */
  readonly #passedOn = new Map<string, number>();

  constructor(options: WalkOptions) {
    this.#seen = options.seen ?? (() => undefined);
    this.#head = options.head;
    this.#expected = options.expected;
    this.#seenHead = isAt(CHAIN_START, options.head);
    this.#seenExpected = isAt(CHAIN_START, options.expected);
  }

  line(bytes: Uint8Array): void {
    this.#lines++;
    const line = parseAuditLine(Buffer.from(bytes).toString("utf8"));
    const explained = this.#explain(line);
    if (line === undefined) {
      this.#odd = { hash: lineHash(bytes), line: this.#lines };
      return;
    }
    if (!explained) this.#tellOdd();
    this.#odd = undefined;
    this.#seen(line);
    this.#count(line);
    this.#follow(line);
    if (line.event === "repair" && line.outcome === "no-head") {
      this.#tell("ERR_AUDIT_HEAD", "the head was missing when this line was written");
    }
    this.#tip = { n: line.n, hash: lineHash(bytes) };
    this.#seenHead ||= isAt(this.#tip, this.#head);
    this.#seenExpected ||= isAt(this.#tip, this.#expected);
  }

  /** `rest`: what follows the last line feed. */
  end(rest: Uint8Array): AuditReport {
    const line = parseAuditLine(Buffer.from(rest).toString("utf8"));
    if (follows({ line }, this.#tip)) {
      this.line(rest);
    } else if (rest.length > 0) {
      // The next line that is written will explain it.
      this.#tornLines.push(this.#lines + 1);
    }
    this.#tellOdd();
    if (this.#head === undefined && this.#lines > 0) {
      this.#tell("ERR_AUDIT_HEAD", "the head is missing, so lines may be missing at the end");
    }
    if (this.#head !== undefined && !this.#seenHead) this.#tellUnreached(this.#head, "the head");
    if (this.#expected !== undefined && !this.#seenExpected) {
      this.#tellUnreached(this.#expected, "the head noted elsewhere");
    }
    return {
      lines: this.#lines,
      ...(this.#lines > 0 && { head: this.#tip }),
      problems: this.#problems,
      passedOn: [...this.#passedOn].map(([custodian, opened]) => ({ custodian, opened })),
      tornLines: this.#tornLines,
    };
  }

  #count(line: AuditLine): void {
    if (line.event !== "open" || line.outcome !== "opened" || line.passedOn === undefined) return;
    const { custodian } = line.passedOn;
    this.#passedOn.set(custodian, (this.#passedOn.get(custodian) ?? 0) + 1);
  }

  /** True if the line before was ours, or this line says that a crash cut it short. */
  #explain(line: AuditLine | undefined): boolean {
    const odd = this.#odd;
    if (odd === undefined) return true;
    if (line?.event !== "repair" || line.outcome !== "torn-line" || line.torn !== odd.hash) {
      if (line === undefined) this.#tellOdd();
      return false;
    }
    this.#tornLines.push(odd.line);
    return true;
  }

  #tellOdd(): void {
    if (this.#odd === undefined) return;
    const { line } = this.#odd;
    this.#odd = undefined;
    this.#tell("ERR_AUDIT_FORM", "not a line that p11seal writes", line);
  }

  #follow({ n, prev }: AuditLine): void {
    const { n: before, hash } = this.#tip;
    if (n > before + 1) {
      const missing = n === before + 2 ? `${n - 1} is` : `${before + 1} to ${n - 1} are`;
      this.#tell("ERR_AUDIT_MISSING", `number ${n} follows ${before}: ${missing} missing`);
    } else if (n <= before) {
      this.#tell("ERR_AUDIT_ORDER", `number ${n} follows ${before}`);
    } else if (prev !== hash) {
      this.#tell("ERR_AUDIT_CHANGED", `number ${before} is not what it was when ${n} was written`);
    }
  }

  #tellUnreached(head: AuditHead, what: string): void {
    if (head.n > this.#tip.n) {
      const fact = `numbers ${this.#tip.n + 1} to ${head.n} are missing at the end`;
      this.#tell("ERR_AUDIT_MISSING", `${what} is at ${head.n}: ${fact}`);
    } else {
      this.#tell("ERR_AUDIT_CHANGED", `number ${head.n} is not the one that ${what} names`);
    }
  }

  #tell(code: AuditProblem["code"], message: string, line = this.#lines): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push({ code, line, message });
  }
}

const LINE_FEED = 0x0a;
const CHUNK = 65_536;
const MAX_PROBLEMS = 100;
