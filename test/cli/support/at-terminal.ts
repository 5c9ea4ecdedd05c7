/** Runs the built program at a pseudo-terminal, with somebody at the keyboard. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { PROGRAM } from "./spawn.js";

export interface Played {
  /** Everything that the terminal showed, including echoed input. */
  readonly shown: string;
  /** The exit status, or minus the signal's number. */
  readonly status: number;
  /** Echo and line editing are as they were. */
  readonly modesKept: boolean;
}

/**
 * Each waits for a text and then types another, or sends the signal with that name, or makes a file
 * that tells the test how far the program is.
 */
export type Steps = readonly (readonly [
  waitFor: string,
  act: string | { readonly makes: string },
])[];

export interface TerminalOptions {
  cwd: string;
  /** Added to our environment; null removes a variable. */
  env?: Record<string, string | null | undefined>;
  /** A file to use instead of the terminal. */
  stdin?: string;
  stdout?: string;
}

/** Runs p11seal with these arguments. */
export function atTerminal(
  argv: readonly string[],
  steps: Steps,
  options: TerminalOptions,
): Promise<Played> {
  return commandAtTerminal([process.execPath, PROGRAM, ...argv], steps, options);
}

/** Runs any program. */
export async function commandAtTerminal(
  argv: readonly string[],
  steps: Steps,
  options: TerminalOptions,
): Promise<Played> {
  const script = fileURLToPath(new URL("./at-terminal.py", import.meta.url));
  const { cwd, env = {}, stdin = null, stdout = null } = options;
  const play = { argv, cwd, env, stdin, stdout, steps };
  const ended = await promisify(execFile)("python3", [script, JSON.stringify(play)]);
  return JSON.parse(ended.stdout) as Played;
}
