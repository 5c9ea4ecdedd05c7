/** Keeps binary data off a terminal, which would take some of it for commands. */
import { UsageError } from "../../errors.js";

/** The refusal, where it is plain from the start that the output is binary. */
export function binaryToTerminal(what: string): UsageError {
  return new UsageError("ERR_BINARY_TO_TERMINAL", `${what} would go to the terminal`, {
    hint: "name a file with -o, redirect stdout, or insist with -o -",
  });
}

/**
 * Passes text on and refuses the rest: bytes that are not UTF-8, and control characters that are not
 * white space. `check` throws before any byte of its argument is shown.
 */
export class TextOnly {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  check(bytes: Uint8Array): void {
    let text: string;
    try {
      text = this.#decoder.decode(bytes, { stream: true });
    } catch {
      throw binaryToTerminal("binary content");
    }
    if (/[^\P{Cc}\t\n\r]/u.test(text)) throw binaryToTerminal("binary content");
  }
}
