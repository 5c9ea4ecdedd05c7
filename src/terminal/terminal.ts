/**
 * The controlling terminal, for questions to the user; secret answers are not echoed. It is opened
 * by name, so that stdin and stdout stay free for the message.
 */
import { openSync } from "node:fs";
import { ReadStream, WriteStream } from "node:tty";
import { Cancelled, TokenError } from "../errors.js";
import { printable } from "../printable.js";
import { onInterrupt } from "./interrupts.js";

/** A terminal that can ask questions. */
export interface Terminal {
  /**
   * Asks for one line; returns it without its line break. `silent` turns off the echo. The prompt
   * may have text from outside in it, which is made safe to show.
   */
  ask(prompt: string, options: { readonly silent: boolean }): Promise<string>;
  close(): void;
}

/**
 * Asks each question, without echo; all answers must be the same PIN, which is returned.
 *
 * @throws TokenError `ERR_PIN_MISMATCH`; Cancelled
 */
export async function askAlike(terminal: Terminal, questions: readonly string[]): Promise<string> {
  const answers = new Set<string>();
  for (const question of questions) answers.add(await terminal.ask(question, { silent: true }));
  const [answer = ""] = answers;
  if (answers.size < 2) return answer;
  throw new TokenError("ERR_PIN_MISMATCH", "the two PINs differ", { hint: "nothing was done" });
}

/** The controlling terminal; undefined when the process has none, as in a service or a CI job. */
export function controllingTerminal(): Terminal | undefined {
  const [source, target] =
    process.platform === "win32" ? ["\\\\.\\CONIN$", "\\\\.\\CONOUT$"] : ["/dev/tty", "/dev/tty"];
  try {
    const input = new ReadStream(openSync(source, "r"));
    const output = new WriteStream(openSync(target, "w"));
    return {
      ask: (prompt, { silent }) => ask(input, output, prompt, silent),
      close() {
        input.destroy();
        output.destroy();
      },
    };
  } catch {
    // ENXIO: no controlling terminal.
    return undefined;
  }
}

async function ask(
  input: ReadStream,
  output: WriteStream,
  prompt: string,
  silent: boolean,
): Promise<string> {
  const { read } = await import("read");
  // While reading, the terminal is in raw mode: no echo, and Ctrl-C is a character, not a signal.
  const done = onInterrupt(() => {
    input.setRawMode(false);
  });
  try {
    return await Promise.race([
      read({ input, output, prompt: printable(prompt), silent, terminal: true }),
      endOfInput(input),
    ]);
  } catch (error) {
    if (!silent) output.write("\n");
    if (typeof error === "object" && error !== null && "message" in error) {
      if (error.message === "canceled") throw new Cancelled();
    }
    throw error;
  } finally {
    done();
    // The line break that the user typed was not echoed either.
    if (silent) output.write("\n");
  }
}

/** Resolves at Ctrl-D, where `read` would wait forever: its reader closes, which pauses `input`. */
function endOfInput(input: ReadStream): Promise<string> {
  return new Promise((resolve) => {
    input.once("pause", () => {
      // A line that was typed resolves first.
      setImmediate(resolve, "");
    });
  });
}
