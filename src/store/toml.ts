/** TOML text to its table. What the parser says of an error quotes the text, so only the line is kept. */
import { parse } from "smol-toml";
import type { FormatError } from "../errors.js";

/**
 * @param where - how messages call the file.
 * @param malformed - makes the error, of a place and a fact.
 */
export function tomlTable(
  text: string,
  where: string,
  malformed: (where: string, fact: string) => FormatError,
): Readonly<Record<string, unknown>> {
  try {
    return parse(text);
  } catch (error) {
    const { line } = error as { line?: unknown };
    throw malformed(typeof line === "number" ? `${where}:${line}` : where, "not TOML");
  }
}
