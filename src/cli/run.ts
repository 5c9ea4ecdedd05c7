/**
 * One run of the program: arguments in, exit status out. `main` does everything and can be called
 * within a process. Only `runProgram` sets the exit status of the process and handles its signals.
 */
import type { Writable } from "node:stream";
import { handOn, restore } from "../terminal/interrupts.js";
import { requireExactText } from "./arguments/exact-text.js";
import { greetAgentAhead, mayUseAgent } from "./find/agent.js";
import { startTokenAhead } from "./token-ahead.js";
import { version } from "./version.js";
import { processIo, write, type Io } from "./io/io.js";
import { parse } from "./arguments/parse.js";
import type { CommandSet, Parsed } from "./command.js";
import { EXIT, Report } from "./io/report.js";
import { stdoutFault } from "./io/standard-streams.js";

/**
 * Runs one command line (without the program's name) and returns the exit status. With
 * `startsAhead`, if a token will be needed, its process starts, or an agent is greeted, while the
 * command's code is loaded.
 */
export async function main(
  argv: readonly string[],
  world: Io,
  commands: CommandSet,
  options: { readonly startsAhead?: boolean } = {},
): Promise<number> {
  const used = new Set<Writable>();
  const io = observed(world, (stream) => {
    if (used.has(stream)) return;
    used.add(stream);
    // When a stream breaks, the write that is waited for fails too. The error is handled there.
    stream.on("error", ignore);
  });
  let report = new Report(io, { quiet: false, verbose: false, json: argv.includes("--json") });
  try {
    requireExactText(argv, io.env);
    const about = () => ({ version: version(), columns: io.stdout.columns });
    const parsed = await parse(argv, commands, about, async (list) => {
      const { KnownNames } = await import("./find/known-names.js");
      return await new KnownNames({ io, report }).list(list);
    });
    if (typeof parsed === "string") {
      await write(io.stdout, parsed);
      return EXIT.done;
    }
    const { spec, args } = parsed;
    report = new Report(io, args.reporting);
    // Before anything is done or changed that nobody would then hear of.
    const isElsewhere = args.has("output") && (args.text("output") ?? "-") !== "-";
    const fault = isElsewhere ? undefined : stdoutFault(io.descriptors?.stdout, "text");
    if (fault !== undefined) throw fault;
    if (options.startsAhead === true && needsToken(parsed)) {
      if (mayUseAgent(args, io.env)) await greetAgentAhead(io);
      else startTokenAhead(args, io);
    }
    const run = await spec.load();
    return (await run(args, { io, report })) ?? EXIT.done;
  } catch (error) {
    return report.failure(error);
  } finally {
    for (const stream of used) stream.off("error", ignore);
  }
}

/**
 * The same `Io`, with a call of `use` before an output stream is used: Node takes ms to make one.
 */
function observed(io: Io, use: (stream: Writable) => void): Io {
  const seen = <T extends Writable>(stream: T): T => {
    use(stream);
    return stream;
  };
  return Object.create(io, {
    stdout: { get: () => seen(io.stdout) },
    stderr: { get: () => seen(io.stderr) },
  }) as Io;
}

/** `open` looks at tokens unless all its keys are in files. */
function needsToken({ spec, args }: Parsed): boolean {
  if (spec.name !== "open") return false;
  const identities = args.texts("identity");
  return identities.length === 0 || identities.some((text) => /^pkcs11:/i.test(text));
}

function ignore(): void {
  // The write that is waited for reports it.
}

/** Runs this process's command line. */
export async function runProgram(commands: CommandSet): Promise<void> {
  const io = processIo();
  const json = process.argv.includes("--json");
  const endWith = (error: unknown): void => {
    restore();
    process.exit(new Report(io, { quiet: false, verbose: false, json }).failure(error));
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const end = (): void => {
      if (handOn(signal)) return;
      process.off(signal, end);
      restore();
      // Now the default action, so that callers see what ended us.
      process.kill(process.pid, signal);
    };
    process.on(signal, end);
  }
  process.once("exit", restore);
  process.on("uncaughtException", endWith);
  // Node ends a process that has nothing to wait for, as if all were well.
  const unfinished = (): void => {
    endWith(new TypeError("the command waits for something that can no longer come"));
  };
  process.once("beforeExit", unfinished);
  process.exitCode = await main(process.argv.slice(2), io, commands, { startsAhead: true });
  process.off("beforeExit", unfinished);
}
