/**
 * The controlling terminal, for questions to the user; secret answers are not echoed. It is opened
 * by name, so that stdin and stdout stay free for the message.
 */
import { closeSync, openSync } from "node:fs";
import { ReadStream, WriteStream } from "node:tty";
import { Cancelled, TokenError } from "../errors.js";
import { printable } from "../printable.js";
import { onInterrupt } from "./interrupts.js";

export interface AskingOptions {
  /** Turns off the echo. */
  readonly silent: boolean;
  /** Lines that come before the question. */
  readonly about?: string | undefined;
}

/** A terminal that can ask questions. */
export interface Terminal {
  /**
   * Asks for one line; returns it without its line break. The text may come from outside: it is
   * made safe to show.
   */
  ask(prompt: string, options: AskingOptions): Promise<string>;
  /** A question that is still open fails, and the terminal's echo is on again. */
  close(): void;
}

/**
 * Asks each question; all answers must be the same PIN, which is returned.
 *
 * @throws TokenError `ERR_PIN_MISMATCH`; what `ask` throws
 */
export async function askAlike(
  ask: (question: string) => Promise<string>,
  questions: readonly string[],
): Promise<string> {
  const answers = new Set<string>();
  for (const question of questions) answers.add(await ask(question));
  const [answer = ""] = answers;
  if (answers.size < 2) return answer;
  throw new TokenError("ERR_PIN_MISMATCH", "the two PINs differ", { hint: "nothing was done" });
}

/** The controlling terminal; undefined when the process has none, as in a service or a CI job. */
export function controllingTerminal(): Terminal | undefined {
  const [source, target] =
    process.platform === "win32" ? ["\\\\.\\CONIN$", "\\\\.\\CONOUT$"] : ["/dev/tty", "/dev/tty"];
  try {
    return askingAt(openSync(source, "r"), () => openSync(target, "w"));
  } catch {
    // ENXIO: no controlling terminal.
    return undefined;
  }
}

/** Whether this process has a controlling terminal. */
export function hasControllingTerminal(): boolean {
  const terminal = controllingTerminal();
  terminal?.close();
  return terminal !== undefined;
}

/**
 * Asks at a terminal that was opened for reading, and is opened for writing. Both are closed in the
 * end, or at once if this throws.
 */
export function askingAt(source: number, openTarget: () => number): Terminal {
  const input = streamOf(ReadStream, source);
  try {
    return asking(input, streamOf(WriteStream, openTarget()));
  } catch (error) {
    input.destroy();
    throw error;
  }
}

/**
 * libuv opens a terminal anew for a stream, and leaves the descriptor that it was given open: that
 * may be stdin's. An agent that kept one for each question would run out of them, and a terminal is
 * not hung up as long as somebody has it open.
 */
function streamOf<Stream extends ReadStream | WriteStream>(
  Kind: new (fd: number) => Stream,
  fd: number,
): Stream {
  let stream: Stream;
  try {
    stream = new Kind(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const own = (stream as { _handle?: { fd?: unknown } | null })._handle?.fd;
  if (typeof own === "number" && own !== fd) closeSync(fd);
  return stream;
}

/** Asks at these ends of one terminal, which it closes in the end. */
function asking(input: ReadStream, output: WriteStream): Terminal {
  let abandon: (() => void) | undefined;
  return {
    async ask(prompt, { silent, about }) {
      for (const line of about?.split("\n") ?? []) output.write(`${printable(line)}\n`);
      const closed = new Promise<never>((_resolve, reject) => {
        abandon = () => {
          reject(new TokenError("ERR_PIN_MISSING", "the terminal was closed during the question"));
        };
      });
      try {
        return await Promise.race([ask(input, output, prompt, silent), closed]);
      } finally {
        abandon = undefined;
      }
    },
    close() {
      if (abandon !== undefined) {
        abandon();
        // Whoever uses the terminal next finds its echo on, and an empty line.
        input.setRawMode(false);
        output.write("\n");
      }
      input.destroy();
      output.destroy();
    },
  };
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
  input.once("close", done);
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
    input.off("close", done);
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
