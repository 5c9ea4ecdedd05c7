/** Command lines that can't be understood, and how to mend them. */
import { UsageError } from "../../errors.js";

/** What is wrong. `asUsageError` makes it one of ours, once the whole command line is known. */
export class Refusal extends Error {
  readonly meant: string | undefined;
  readonly hint: string | undefined;

  /** `meant`: what was probably meant. `hint`: other advice. */
  constructor(
    message: string,
    {
      meant,
      hint,
    }: { readonly meant?: string | undefined; readonly hint?: string | undefined } = {},
  ) {
    super(message);
    this.meant = meant;
    this.hint = hint;
  }
}

/** @param known - as many words of the command as were right: where help is. */
export function asUsageError(
  { message, meant, hint }: Refusal,
  argv: readonly string[],
  known: string,
): UsageError {
  if (argv.some((word) => /^--(?:[a-z]+-)*pin(?:=|$)/.test(word))) {
    return new UsageError("ERR_PIN_ON_COMMAND_LINE", "a PIN is not taken from the command line", {
      hint: "any user may see it there; use --pin-source env:VAR, file:PATH, fd:N, cmd:COMMAND or pinentry",
    });
  }
  const help = `see: ${["p11seal", known, "--help"].filter((word) => word !== "").join(" ")}`;
  const advice = meant === undefined ? help : `did you mean ${meant}? ${help}`;
  return new UsageError("ERR_USAGE", message, { hint: hint ?? advice });
}

/** The word that `word` is most likely a misspelling of, if any is likely. */
export function nearestOf(word: string, known: readonly string[]): string | undefined {
  const farthest = Math.min(2, Math.floor(word.length / 2));
  const [best] = known
    .map((one) => ({ one, distance: distanceOf(word, one) }))
    .filter(({ distance }) => distance <= farthest)
    .sort((a, b) => a.distance - b.distance);
  return best?.one;
}

/** Levenshtein's: how many letters to add, drop or change. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      const changed = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
