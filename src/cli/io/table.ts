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

/** A list within `jsonParts`, read as it is written. */
export type JsonList = AsyncIterable<unknown>;

/** An object as `json` prints it, with lists at its end that may be longer than memory allows. */
export async function* jsonParts(
  fields: Readonly<Record<string, unknown>>,
  lists: Readonly<Record<string, JsonList>>,
): AsyncGenerator<string, void, undefined> {
  yield json(fields).slice(0, -"\n}\n".length);
  for (const [name, list] of Object.entries(lists)) {
    let before = `,\n  ${printableJson(name)}: [`;
    let isEmpty = true;
    for await (const item of list) {
      const text = printableJson(item, 2).replaceAll("\n", "\n    ");
      yield `${before}\n    ${text}`;
      before = ",";
      isEmpty = false;
    }
    yield isEmpty ? `${before}]` : "\n  ]";
  }
  yield "\n}\n";
}
