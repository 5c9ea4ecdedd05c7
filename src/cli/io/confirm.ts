/** Questions before something that can't be undone. The answer is a whole word, not a letter. */
import { UsageError } from "../../errors.js";
import type { Io } from "./io.js";
import { printable } from "../../printable.js";

export interface Confirmation {
  /** What is to be confirmed, as in "deleting a key". */
  readonly act: string;
  /** Ends by saying what to type. */
  readonly question: string;
  /** The word to type. Foreign text may also be typed as it is shown. */
  readonly word: string;
  /** How to confirm without a terminal, as in "--yes confirms". */
  readonly otherwise: string;
  /** What a refusal means, as in "nothing was deleted". */
  readonly refused: string;
}

/**
 * Returns once a person at the terminal has typed the word.
 *
 * @throws UsageError `ERR_NOT_CONFIRMED`
 */
export async function confirm(io: Io, confirmation: Confirmation): Promise<void> {
  const { act, question, word, otherwise, refused } = confirmation;
  const terminal = await io.terminal();
  if (terminal === undefined) {
    throw new UsageError("ERR_NOT_CONFIRMED", `${act} needs a confirmation`, {
      hint: `there is no terminal to ask at; ${otherwise}`,
    });
  }
  try {
    const answer = await terminal.ask(question, { silent: false });
    if (answer === word || answer === printable(word)) return;
  } finally {
    terminal.close();
  }
  throw new UsageError("ERR_NOT_CONFIRMED", `not confirmed: ${refused}`);
}
