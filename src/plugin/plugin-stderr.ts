/** What the plugin says when it can't tell the client. age shows it only with `AGEDEBUG=plugin`. */
import { writeSync } from "node:fs";
import { printable } from "../printable.js";

/** Writes a line. Where stderr is closed, nobody is there to read it. */
export function tell(text: string): void {
  try {
    writeSync(2, `age-plugin-p11: ${printable(text)}\n`);
  } catch {
    // Nor can anybody be told of that.
  }
}
