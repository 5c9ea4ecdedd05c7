/**
 * One line of the audit log: JSON with its fields in one order, so that a line is one string of bytes,
 * and that string's SHA-256 is what the next line carries. Never a secret: ids, fingerprints, names of
 * tokens and of errors.
 */
import { createHash } from "node:crypto";
import type { LedgerWitness } from "../ledger/ledger.js";
import { count, HEX_16, HEX_32, text, type Check } from "../fields.js";

/** What is told of an opening, whether it came about or was refused. */
export interface AuditEvent {
  /** `capi`: a use of an exchange key for a CryptoAPI peer. */
  readonly event: "open" | "capi" | "ledger-init";
  /** `opened`, `done`, or the code of the error. */
  readonly outcome: string;
  /** 16 bytes, hexadecimal; of a CryptoAPI message the start of its blob's SHA-256. */
  readonly messageId?: string;
  /** SHA-256 of the sender's SPKI, hexadecimal; only where the signature holds. */
  readonly sender?: string;
  /** SHA-256 of the SPKI that opened it, hexadecimal. */
  readonly recipient?: string;
  readonly tokenSerial?: string;
  /** How the session key was reached, as in `C_UnwrapKey`. */
  readonly path?: string;
  /** How far the ledger has come. */
  readonly ledger?: LedgerWitness;
}

/** What the log tells of itself: a crash or a change that was met when the next line was written. */
export interface AuditRepair {
  readonly event: "repair";
  /** `torn-line`: a crash cut the line above; `no-head`, `not-at-head`: the log was tampered with. */
  readonly outcome: "torn-line" | "no-head" | "not-at-head";
  /** SHA-256 of what the crash left of a line, hexadecimal. */
  readonly torn?: string;
  readonly ledger?: LedgerWitness;
}

export type AuditLine = (AuditEvent | AuditRepair) & {
  /** 1, 2, 3, … */
  readonly n: number;
  /** When it was written, UTC, as in `2026-11-23T10:20:30.123Z`. */
  readonly time: string;
  /** SHA-256 of the line before, without its line feed, hexadecimal; zeros in the first line. */
  readonly prev: string;
};

/** A place in the chain: a line's number and hash. */
export interface AuditHead {
  readonly n: number;
  /** SHA-256 of the line, hexadecimal. */
  readonly hash: string;
}

/** Where every chain begins. */
export const CHAIN_START: AuditHead = { n: 0, hash: "0".repeat(64) };

/** No line is longer, bytes. */
export const MAX_LINE_BYTES = 4096;

/** The line, without its line feed. */
export function formatAuditLine(line: AuditLine): string {
  const known: Readonly<Record<string, unknown>> = { ...line };
  const ordered = FIELDS.filter(([name]) => known[name] !== undefined);
  return JSON.stringify(Object.fromEntries(ordered.map(([name]) => [name, known[name]])));
}

/** The line's value; `undefined` for anything that `formatAuditLine` does not write. */
export function parseAuditLine(text: string): AuditLine | undefined {
  if (text.length > MAX_LINE_BYTES) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const valid = FIELDS.every(([name, holds, needed]) => {
    const field = value[name];
    return field === undefined ? !needed : holds(field);
  });
  if (!valid || (value["event"] === "repair") !== REPAIRS.has(value["outcome"])) return undefined;
  const line = value as unknown as AuditLine;
  // The order of fields, unknown ones, blanks, escapes: whatever is not our own writing differs here.
  return formatAuditLine(line) === text ? line : undefined;
}

export function lineHash(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex");
}

/** True when the line is the one that comes after that place. */
export function follows(
  { line }: { readonly line: AuditLine | undefined },
  tip: AuditHead,
): boolean {
  return line?.n === tip.n + 1 && line.prev === tip.hash;
}

export function isAt(tip: AuditHead, head: AuditHead | undefined): boolean {
  return head?.n === tip.n && head.hash === tip.hash;
}

// ── Details ─────────────────────────────────────────────────────────────────────────────────────

const witness: Check = (value) => {
  if (!isRecord(value) || Object.keys(value).join() !== "ledgerId,counter") return false;
  return HEX_16(value["ledgerId"]) && count(value["counter"]);
};

/** Each field: what it holds, and whether every line has it. In the order of writing. */
const FIELDS: readonly (readonly [name: string, holds: Check, needed: boolean])[] = [
  ["n", (value) => count(value) && value !== 0, true],
  ["time", text(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/), true],
  ["event", text(/^(?:open|capi|ledger-init|repair)$/), true],
  ["outcome", text(/^[A-Za-z0-9_-]{1,64}$/), true],
  ["messageId", HEX_16, false],
  ["sender", HEX_32, false],
  ["recipient", HEX_32, false],
  ["tokenSerial", text(/^.{0,64}$/su), false],
  ["path", text(/^.{0,128}$/su), false],
  ["torn", HEX_32, false],
  ["ledger", witness, false],
  ["prev", HEX_32, true],
];

const REPAIRS: ReadonlySet<unknown> = new Set(["torn-line", "no-head", "not-at-head"]);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
