/**
 * The token's process, started before anything is known to ask it: it takes as long to start as the
 * command itself, and may as well do so meanwhile. It waits for its first message and loads no module
 * before; one that nobody wanted ends with this process.
 */
import { type ChildProcess, fork } from "node:child_process";
import { childEnvironment } from "./environment.js";
import { CHILD_PROGRAM } from "./program.js";

type Environment = Readonly<Record<string, string | undefined>>;

let ahead: { readonly started: ChildProcess; readonly env: Environment } | undefined;

/** Starts the process for whoever is first to ask. PIN sources must be known by now. */
export function startAhead(env: Environment): void {
  const started = forkChild(env, CHILD_PROGRAM);
  // Whoever takes it hears of later faults; of one before, the next process tells.
  started.once("error", () => undefined);
  letGo(started);
  ahead = { started, env };
}

/** While nothing is asked of it, the process keeps nobody from ending. */
export function letGo(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
  // A pipe is a socket, whatever its type says.
  (child.stderr as { unref?: () => void } | null)?.unref?.();
}

/** The process that was started ahead with this environment, or a new one. */
export function childFor(env: Environment, program: string | undefined): ChildProcess {
  const taken = ahead;
  ahead = undefined;
  const { started } = taken ?? {};
  if (program === undefined && started?.connected === true && taken?.env === env) return started;
  started?.kill("SIGKILL");
  return forkChild(env, program ?? CHILD_PROGRAM);
}

function forkChild(env: Environment, program: string): ChildProcess {
  return fork(program, [], {
    env: childEnvironment(env),
    execArgv: [],
    serialization: "advanced",
    // Our stdin and stdout may be the message. Modules write to stderr what they like; a command that
    // asks for a PIN needs the real one, and finds it as COMMAND_STDERR.
    stdio: ["ignore", "ignore", "pipe", "ipc", 2],
  });
}
