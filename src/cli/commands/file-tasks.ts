/**
 * What `seal` and `open` have in common where they take several files: which file each result goes
 * to, decided before any work is done, and which errors end the run.
 */
import { statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Cancelled, P11SealError, TokenError, UsageError } from "../../errors.js";
import { BrokenPipe } from "../io/io.js";
import { requireDistinct } from "../io/outputs.js";
import { EXIT } from "../io/report.js";
import type { Context } from "../command.js";

/** What sealed files are meant to end in, by format; an opened file's name goes without it. */
export const EXTENSIONS = { p11seal: ".p11s", age: ".age", cms: ".p7m", mail: ".eml" } as const;

/** What sealed files are: of a format by its name on the command line, or a mail in CMS. */
export type SealedKind = keyof typeof EXTENSIONS;

/** All that is taken off an opened file's name: also what other programs' messages end in. */
const SEALED_ENDINGS = [...Object.values(EXTENSIONS), ".cms"];

/** True if the file's name is one of a sealed file. */
export function endsAsSealed(source: string): boolean {
  return extensionOf(basename(source)) !== undefined;
}

function extensionOf(name: string): string | undefined {
  return SEALED_ENDINGS.find((one) => name.endsWith(one) && name !== one);
}

/** One file to seal or open. */
export interface Task {
  /** A path, or `-`. */
  readonly source: string;
  /** A path, or undefined for stdout. */
  readonly target: string | undefined;
}

/**
 * Where each file's result goes. One file goes to stdout, or where `output` says. Several, or one
 * with a folder, get names of their own: in that folder, or else beside each source.
 *
 * @param output - the value of `-o`
 * @param rename - the result's base name, from its source. @throws UsageError
 */
export async function planTasks(
  files: readonly string[],
  output: string | undefined,
  rename: (source: string) => string,
): Promise<Task[]> {
  const folder = output !== undefined && output !== "-" && isFolder(output);
  const [only] = files;
  if (files.length === 1 && only !== undefined && !folder) {
    return [{ source: only, target: output === "-" ? undefined : output }];
  }
  if (!folder && output !== undefined) {
    throw new UsageError("ERR_USAGE", `"${output}" is not a folder, and there are several files`, {
      hint: "give a folder with -o, or no -o: each result then goes beside its file",
    });
  }
  const tasks = files.map((source) => ({
    source,
    target: join(output ?? dirname(source), rename(source)),
  }));
  await requireDistinct(targetsOf(tasks));
  return tasks;
}

export function targetsOf(tasks: readonly Task[]): string[] {
  return tasks.flatMap(({ target }) => (target === undefined ? [] : [target]));
}

/** A sealed file's base name. @throws UsageError for stdin */
export function sealedName(source: string, kind: SealedKind): string {
  if (source !== "-") return basename(source) + EXTENSIONS[kind];
  throw new UsageError("ERR_USAGE", "stdin has no name that a sealed file could be named after", {
    hint: "seal it alone, with -o FILE",
  });
}

/** An opened file's base name. @throws UsageError */
export function openedName(source: string): string {
  const name = basename(source);
  const extension = extensionOf(name);
  if (extension !== undefined) return name.slice(0, -extension.length);
  const known = SEALED_ENDINGS.join(", ");
  throw new UsageError("ERR_USAGE", `"${source}" ends in none of ${known}`, {
    hint: "the opened file is named by taking that off; or open it alone with -o FILE",
  });
}

/** Refuses results that would replace a file that is still to be read, even with `--force`. */
export function requireNoSourceReplaced(tasks: readonly Task[]): void {
  const sources = new Set(tasks.map(({ source }) => identityOf(source)));
  for (const { source, target } of tasks) {
    const identity = target === undefined ? undefined : identityOf(target);
    if (identity === undefined || !sources.has(identity)) continue;
    throw new UsageError("ERR_SAME_FILE", `"${source}" would replace "${target}", another input`, {
      hint: "give a folder with -o, or leave one of the two out",
    });
  }
}

/** Which regular file a path leads to; undefined if it leads to none. */
function identityOf(path: string): string | undefined {
  try {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stats?.isFile() === true ? `${stats.dev}:${stats.ino}` : undefined;
  } catch {
    return undefined;
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch {
    return false;
  }
}

/**
 * Makes what all tasks ask for, one after the other. If one fails, the others are still done,
 * unless the token was the reason: its fault would be the next file's as well.
 *
 * @param done - what is done to a file, as in `sealed`
 * @returns the exit status of the first failure
 */
export async function inTurn(
  tasks: readonly Task[],
  make: (task: Task) => Promise<void>,
  done: string,
  { report }: Context,
): Promise<number> {
  let status: number = EXIT.done;
  for (const [index, task] of tasks.entries()) {
    try {
      await make(task);
    } catch (error) {
      const exit = report.failure(error, tasks.length > 1 ? task.source : undefined);
      if (status === EXIT.done) status = exit;
      if (!(error instanceof TokenError) && !endsRun(error)) continue;
      const left = tasks.length - index - 1;
      if (left > 0) report.note(`${left} more not ${done}`);
      break;
    }
  }
  return status;
}

/** After such an error the next file would fail too, or use up another try of the PIN. */
export function endsRun(error: unknown): boolean {
  return (
    error instanceof Cancelled ||
    error instanceof BrokenPipe ||
    (error instanceof TokenError && !mayPass(error)) ||
    (error instanceof P11SealError && error.code === "ERR_TOO_MANY_FAILURES") ||
    // Who would be left with one file says nothing of the next one's recipients.
    (error instanceof UsageError && error.code !== "ERR_NO_RECIPIENTS")
  );
}

/** The token or its module failed at one message, and may succeed at the next. */
export function mayPass(error: unknown): boolean {
  return error instanceof TokenError && MAY_PASS.has(error.code);
}

const MAY_PASS: ReadonlySet<string> = new Set([
  "ERR_TOKEN_CRASHED",
  "ERR_TOKEN_REMOVED",
  "ERR_TOKEN_TIMEOUT",
]);
