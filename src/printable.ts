/**
 * Text from outside (labels, names, paths, messages of other programs) made safe to show. A
 * terminal acts on control characters, also on the one-byte ones of ISO 6429 (C1), and reorders or
 * hides text at marks of direction ("Trojan Source") and characters of no width.
 */

/** The text with whatever could move the cursor, recolour, hide or reorder it as an escape. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const point = character.codePointAt(0) ?? 0;
    return SHORT_ESCAPES[character] ?? `\\u{${point.toString(16)}}`;
  });
}

/** The first few names, and how many more there are: a hint is read by a person. */
export function fewOf(names: readonly string[], most: number): string {
  const more = names.length - most;
  return names.slice(0, most).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** As part of a line that stays as it is, in files with one entry a line. */
export function oneLine(text: string): string {
  return text.replace(UNPRINTABLE, "?");
}

/** JSON that is safe to show: the same value, with such characters as JSON's own escapes. */
export function printableJson(value: unknown, indent?: number): string {
  // JSON escapes C0 itself; the line feeds and blanks that it has are its own.
  return JSON.stringify(value, undefined, indent).replace(UNPRINTABLE, (character) =>
    character === "\n" ? character : escapedUnits(character),
  );
}

/** Each UTF-16 code unit, as RFC 8259 §7 escapes characters beyond the first plane. */
function escapedUnits(character: string): string {
  return Array.from({ length: character.length }, (_, at) => {
    return `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }).join("");
}

/**
 * Control characters (C0, DEL, C1), line separators, marks and overrides of direction, characters
 * of no width, tags (U+E0000 and on), and halves of surrogate pairs.
 */
const UNPRINTABLE =
  /[\p{Cc}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Cs}]/gu;

const SHORT_ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
