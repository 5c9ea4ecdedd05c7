/** Results as text: tables for people, JSON for programs. */
import { printable, printableJson } from "../../printable.js";

/**
 * Rows as lines, with foreign text made safe. Columns are aligned, two blanks apart.
 *
 * @param columns - the terminal's width, if there is one: columns that do not fit go on lines of
 *   their own, below their row
 */
export function table(rows: readonly (readonly string[])[], columns = Infinity): string {
  const safe = rows.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of safe) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const beside = columnsThatFit(widths, columns);
  return safe
    .flatMap((row) => [
      row
        .slice(0, beside)
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  "),
      ...row.slice(beside).flatMap((cell) => (cell === "" ? [] : [`    ${cell}`])),
    ])
    .map((line) => line.trimEnd() + "\n")
    .join("");
}

/** How many columns, from the left, stand beside each other: at least one. */
function columnsThatFit(widths: readonly number[], columns: number): number {
  let taken = 0;
  const first = widths.findIndex((width) => (taken += width + 2) - 2 > columns);
  return first < 0 ? widths.length : Math.max(1, first);
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
