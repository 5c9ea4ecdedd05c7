/** Parses TOML. The parser's messages quote the text, so only the line of an error is kept. */
import { parse } from "smol-toml";
import type { FormatError } from "../errors.js";

/**
 * @param where - the file's name in messages.
 * @param malformed - makes the error from a place and a fact.
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
