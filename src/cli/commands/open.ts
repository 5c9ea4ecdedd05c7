/**
 * `p11seal open`: messages in, plaintext out. Each segment leaves only after its tag was checked, each
 * file appears only after its message was whole. Several files share one login; where one fails the
 * others are still opened, unless the failure was the PIN's.
 */
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { TokenError, UsageError } from "../../errors.js";
import type { Arguments } from "../arguments.js";
import { beginOpeningOf, threadsOf } from "../bulk.js";
import { prepareIdentities, type FindIdentities } from "../identities.js";
import { openInput, requireOneStdin, type Input } from "../inputs.js";
import { commit, fileOutput, requireDistinct, standardOutput, type Output } from "../outputs.js";
import { progress } from "../progress.js";
import { BrokenPipe, Cancelled, EXIT } from "../report.js";
import { TextOnly } from "../terminal-guard.js";
import { withTokens } from "../tokens.js";
import type { Context } from "../usage.js";

/** What `seal` is advised to call its files; taken off when an output's name is made. */
const EXTENSION = ".p11s";

interface Task {
  /** A path, or `-`. */
  readonly source: string;
  /** A path, or undefined for stdout. */
  readonly target: string | undefined;
}

export async function openCommand(args: Arguments, context: Context): Promise<number> {
  const files = args.operands.length === 0 ? ["-"] : args.operands;
  const keyBlob = args.text("key-blob");
  const several = files.length > 1;
  if (several && keyBlob !== undefined) {
    throw new UsageError("ERR_USAGE", "a key blob belongs to one message, and several were given");
  }
  requireOneStdin([
    ...files,
    ...args.texts("identity"),
    ...(keyBlob === undefined ? [] : [keyBlob]),
  ]);
  if (files[0] === "-" && !several && context.io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no file was given, and stdin is the terminal");
  }
  const threads = threadsOf(args.text("threads"));
  const tasks = await plan(files, args.text("output"));

  return withTokens(args, context, async (tokens) => {
    const identities = await prepareIdentities(args.texts("identity"), tokens, context);
    let status: number = EXIT.done;
    for (const [index, task] of tasks.entries()) {
      try {
        await openOne(task, { keyBlob, threads, identities }, args, context);
      } catch (error) {
        const failed = context.report.failure(error, several ? task.source : undefined);
        if (status === EXIT.done) status = failed;
        const left = tasks.length - index - 1;
        if (endsRun(error)) {
          if (left > 0) context.report.note(`${left} more not opened`);
          break;
        }
      }
    }
    return status;
  });
}

/** Where each file's plaintext goes, settled before anything is opened. */
async function plan(files: readonly string[], output: string | undefined): Promise<Task[]> {
  const folder = output !== undefined && output !== "-" && (await isFolder(output));
  const [only] = files;
  if (files.length === 1 && only !== undefined && !folder) {
    return [{ source: only, target: output === "-" ? undefined : output }];
  }
  if (!folder && output !== undefined) {
    throw new UsageError("ERR_USAGE", `"${output}" is not a folder, and there are several files`, {
      hint: "give a folder with -o, or no -o: each is then opened beside itself",
    });
  }
  const tasks = files.map((source) => ({
    source,
    target: join(output ?? dirname(source), openedName(source)),
  }));
  await requireDistinct(tasks.map(({ target }) => target));
  return tasks;
}

function openedName(source: string): string {
  const name = basename(source);
  if (!name.endsWith(EXTENSION) || name === EXTENSION) {
    throw new UsageError("ERR_USAGE", `"${source}" does not end in ${EXTENSION}`, {
      hint: `the opened file is named by taking ${EXTENSION} off; or open it alone with -o FILE`,
    });
  }
  return name.slice(0, -EXTENSION.length);
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

interface Means {
  readonly keyBlob: string | undefined;
  readonly threads: number | undefined;
  readonly identities: FindIdentities;
}

async function openOne(
  task: Task,
  { keyBlob, threads, identities }: Means,
  args: Arguments,
  context: Context,
): Promise<void> {
  const { io, report } = context;
  const closing: { close(): Promise<void> }[] = [];
  const closed = <T extends { close(): Promise<void> }>(opened: T): T => {
    closing.push(opened);
    return opened;
  };
  try {
    const input = closed(await openInput(task.source, io));
    const blob = keyBlob === undefined ? undefined : closed(await openInput(keyBlob, io));
    const inputs = [input, ...(blob === undefined ? [] : [blob])];
    const output = closed(await outputFor(task, inputs, args, context));
    const meter = progress(io, { size: input.size, quiet: report.quiet });
    try {
      const options = { identities, ...(blob === undefined ? {} : { header: blob.chunks }) };
      const opened = await beginOpeningOf(input, options, meter);
      report.trace(`${input.name}: opened with ${opened.identity.name}`);
      meter.start();
      if (!(await opened.intoFile(output, threads))) {
        await deliver(opened.segmentsFrom(), output, task, args, context);
      }
    } finally {
      meter.stop();
    }
    await commit(output);
  } finally {
    for (const opened of closing.reverse()) await opened.close();
  }
}

async function deliver(
  plaintext: AsyncIterable<Uint8Array>,
  output: Output,
  task: Task,
  args: Arguments,
  { io, report }: Context,
): Promise<void> {
  const toTerminal = task.target === undefined && io.stdout.isTTY === true;
  const guard = toTerminal && args.text("output") !== "-" ? new TextOnly() : undefined;
  let delivered = 0;
  try {
    for await (const segment of plaintext) {
      guard?.check(segment);
      await output.write(segment);
      delivered += segment.length;
    }
  } catch (error) {
    if (task.target === undefined && delivered > 0 && !(error instanceof BrokenPipe)) {
      report.note(`the ${delivered} bytes on stdout are not the whole message`);
    }
    throw error;
  }
}

function outputFor(
  { target }: Task,
  inputs: readonly Input[],
  args: Arguments,
  { io }: Context,
): Output | Promise<Output> {
  if (target === undefined) return standardOutput(io, inputs);
  return fileOutput(target, { force: args.flag("force"), mode: "private", inputs });
}

/** After these the next file would fail alike, or spend another try of the PIN. */
function endsRun(error: unknown): boolean {
  return (
    error instanceof Cancelled ||
    error instanceof BrokenPipe ||
    error instanceof TokenError ||
    error instanceof UsageError
  );
}
