/**
 * The terminal the user sits at: questions, answered without echo where they are secret, and the
 * progress of long work. It is opened by name, so that stdin and stdout stay free for the message.
 */
import { openSync } from "node:fs";
import { ReadStream, WriteStream } from "node:tty";
import { Cancelled, TokenError } from "../errors.js";
import { onInterrupt } from "./interrupts.js";

/** A person to ask. */
export interface Terminal {
  /** One line, without its line break. `silent` shows nothing of what is typed. */
  ask(prompt: string, options: { readonly silent: boolean }): Promise<string>;
  close(): void;
}

/**
 * The PIN that answers all the questions alike.
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

/** The controlling terminal, or undefined where the process has none: a service, a CI job. */
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
    return undefined; // ENXIO: no controlling terminal.
  }
}

async function ask(
  input: ReadStream,
  output: WriteStream,
  prompt: string,
  silent: boolean,
): Promise<string> {
  const { read } = await import("read");
  // While a line is read the terminal is raw: echo is off, and Ctrl-C is a character, not a signal.
  const done = onInterrupt(() => {
    input.setRawMode(false);
  });
  try {
    return await Promise.race([
      read({ input, output, prompt, silent, terminal: true }),
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
    // The line break the user typed was as silent as the rest.
    if (silent) output.write("\n");
  }
}

/** Ctrl-D: `read` would wait for ever. Its reader lets go of the terminal, which pauses. */
function endOfInput(input: ReadStream): Promise<string> {
  return new Promise((resolve) => {
    input.once("pause", () => {
      // A line that was typed is resolved with first.
      setImmediate(resolve, "");
    });
  });
}
