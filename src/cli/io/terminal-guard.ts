/** Keeps binary data off a terminal, which would interpret some of it as commands. */
import { UsageError } from "../../errors.js";

/** The refusal, for output that is always binary. */
export function binaryToTerminal(what: string): UsageError {
  return new UsageError("ERR_BINARY_TO_TERMINAL", `${what} would go to the terminal`, {
    hint: "name a file with -o, redirect stdout, or insist with -o -",
  });
}

/**
 * Accepts text and refuses the rest: bytes that are not UTF-8, and control characters other than
 * white space, and overrides of direction. Call `check` before the bytes are shown.
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
    // Right-to-left text needs marks and embeddings. An override makes it read as something else.
    if (/[\u202d\u202e]/.test(text)) throw binaryToTerminal("text that overrides its direction");
  }
}
