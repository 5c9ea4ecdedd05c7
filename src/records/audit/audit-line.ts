/**
 * One line of the audit log: JSON with its fields in a fixed order, so that a line has one
 * encoding. The next line carries its SHA-256. A line holds ids, fingerprints, serial numbers of
 * tokens and codes of errors, and never a secret.
 */
import { createHash } from "node:crypto";
import { printableJson } from "../../printable.js";
import type { LedgerWitness } from "../ledger/ledger.js";
import { count, HEX_16, HEX_32, text, type Check } from "../fields.js";
import { isPassedOnBy, type PassedOnBy } from "./passed-on.js";

/** What is recorded of an opening, successful or refused. */
export interface AuditEvent {
  /**
   * `capi`: a use of an exchange key for a CryptoAPI peer. `agent`: a use of a key by an agent, on
   * behalf of a program that opens, re-wraps or signs a message.
   */
  readonly event: "open" | "agent" | "capi" | "ledger-init";
  /**
   * `opened`, `rewrapped`, `signed`, `done`, or what failed: the code of an error, `cancelled` or
   * `interrupted`.
   */
  readonly outcome: string;
  /** 16 bytes, hexadecimal; for a CryptoAPI message, the start of its blob's SHA-256. */
  readonly messageId?: string;
  /** SHA-256 of the sender's SPKI, hexadecimal; only if the signature holds. */
  readonly sender?: string;
  /** Who re-wrapped it for its recipients; only if that signature holds. */
  readonly passedOn?: PassedOnBy;
  /** SHA-256 of the SPKI that opened it, hexadecimal. */
  readonly recipient?: string;
  readonly tokenSerial?: string;
  /** How the session key was obtained, such as `C_UnwrapKey`. */
  readonly path?: string;
  /** The program that an agent used the key for, and its process, as the kernel says. */
  readonly program?: string;
  readonly pid?: number;
  /** The host that the program passed the request on for, as it said. */
  readonly remote?: string;
  /** How far the ledger had come. */
  readonly ledger?: LedgerWitness;
}

/**
 * What the log says of itself: a crash or a change that was found when the next line was written.
 */
export interface AuditRepair {
  readonly event: "repair";
  /** `torn-line`: a crash cut the line above short. `no-head`, `not-at-head`: tampering. */
  readonly outcome: "torn-line" | "no-head" | "not-at-head";
  /** SHA-256 of what the crash left of the line, hexadecimal. */
  readonly torn?: string;
  readonly ledger?: LedgerWitness;
}

export type AuditLine = (AuditEvent | AuditRepair) & {
  /** 1, 2, 3, … */
  readonly n: number;
  /** When it was written, UTC: `2026-11-23T10:20:30.123Z`. */
  readonly time: string;
  /** SHA-256 of the line before, without its line feed, hexadecimal; zeros in the first line. */
  readonly prev: string;
};

/** A position in the chain: a line's number and hash. */
export interface AuditHead {
  readonly n: number;
  /** SHA-256 of the line, hexadecimal. */
  readonly hash: string;
}

/** Where every chain begins. */
export const CHAIN_START: AuditHead = { n: 0, hash: "0".repeat(64) };

/** The longest line, bytes. */
export const MAX_LINE_BYTES = 4096;

/** The line, without its line feed. */
export function formatAuditLine(line: AuditLine): string {
  const known: Readonly<Record<string, unknown>> = { ...line };
  const ordered = FIELDS.filter(([name]) => known[name] !== undefined);
  return printableJson(Object.fromEntries(ordered.map(([name]) => [name, known[name]])));
}

/** The line's value; `undefined` for anything that `formatAuditLine` would not write. */
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
  // A different order, unknown fields, blanks or escapes: none of them survives our own writing.
  return formatAuditLine(line) === text ? line : undefined;
}

export function lineHash(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex");
}

/** True if the line is the one that comes next in the chain. */
export function follows(
  { line }: { readonly line: AuditLine | undefined },
  tip: AuditHead,
): boolean {
  return line?.n === tip.n + 1 && line.prev === tip.hash;
}

export function isAt(tip: AuditHead, head: AuditHead | undefined): boolean {
  return head?.n === tip.n && head.hash === tip.hash;
}

// ── Details ──

const witness: Check = (value) => {
  if (!isRecord(value) || Object.keys(value).join() !== "ledgerId,counter") return false;
  return HEX_16(value["ledgerId"]) && count(value["counter"]);
};

/** Each field, in the order of writing: what it holds, and whether every line has it. */
const FIELDS: readonly (readonly [name: string, holds: Check, needed: boolean])[] = [
  ["n", (value) => count(value) && value !== 0, true],
  ["time", text(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/), true],
  ["event", text(/^(?:open|agent|capi|ledger-init|repair)$/), true],
  ["outcome", text(/^[A-Za-z0-9_-]{1,64}$/), true],
  ["messageId", HEX_16, false],
  ["sender", HEX_32, false],
  ["passedOn", isPassedOnBy, false],
  ["recipient", HEX_32, false],
  ["tokenSerial", text(/^.{0,64}$/su), false],
  ["path", text(/^.{0,128}$/su), false],
  ["program", text(/^.{0,256}$/su), false],
  ["pid", count, false],
  ["remote", text(/^.{0,256}$/su), false],
  ["torn", HEX_32, false],
  ["ledger", witness, false],
  ["prev", HEX_32, true],
];

const REPAIRS: ReadonlySet<unknown> = new Set(["torn-line", "no-head", "not-at-head"]);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
