/**
 * Lengths of time as people write them (`90s`, `15m`, `12h`, `7d`, `2w`), and moments as they read
 * them.
 */
import { UsageError } from "../errors.js";

/** Milliseconds. */
export const DAY_MS = 86_400_000;

/** The longest window or expiry, milliseconds: 100 years. */
export const MAX_DURATION_MS = 36_525 * DAY_MS;

/**
 * A whole number and one unit, nothing else: `s`, `m` (minutes), `h`, `d`, `w`.
 *
 * @returns milliseconds
 * @throws UsageError `ERR_DURATION`
 */
export function parseDuration(text: string): number {
  const [, digits, unit] = /^(0|[1-9][0-9]{0,9})([smhdw])$/.exec(text) ?? [];
  const unitMs = UNITS.find(([name]) => name === unit)?.[1];
  const ms = unitMs === undefined ? NaN : Number(digits) * unitMs;
  if (!(ms <= MAX_DURATION_MS)) {
    throw new UsageError("ERR_DURATION", `not a length of time: "${text}"`, {
      hint: "write a whole number and a unit (s, m, h, d or w), such as 90s or 7d; at most 100 years",
    });
  }
  return ms;
}

/** For messages: the largest unit that fits at least twice, rounded down: `8 d`, `90 s`. */
export function formatDuration(ms: number): string {
  const [name, unitMs] = UNITS.find(([unit, size]) => unit !== "w" && ms >= 2 * size) ?? [
    "s",
    1000,
  ];
  return `${Math.floor(ms / unitMs)} ${name === "m" ? "min" : name}`;
}

/** For messages: `2026-11-23T10:20:30Z`. A sender may have signed a number that is no date. */
export function moment(ms: number): string {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return `${ms} ms after 1970`;
  return date.toISOString().replace(/\.[0-9]{3}Z$/, "Z");
}

const UNITS: readonly (readonly [string, number])[] = [
  ["w", 7 * DAY_MS],
  ["d", DAY_MS],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
];
