/** Results as text: tables for people, JSON for programs. */
import { printable, printableJson } from "../../printable.js";

/** Rows as lines, with foreign text made safe. Columns are aligned, two blanks apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const safe = rows.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of safe) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  return safe
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
    .map((line) => line.trimEnd() + "\n")
    .join("");
}

/** JSON as every command prints it. */
export function json(value: unknown): string {
  return printableJson(value, 2) + "\n";
}
