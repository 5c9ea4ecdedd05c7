/**
 * The token's process, started before anything is known to need it: it takes as long to start as
 * the command itself, and may as well do so meanwhile. It waits for its first message and loads no
 * module before. One that nobody wanted ends with this process.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { childEnvironment } from "./environment.js";
import { letGo } from "./ipc.js";
import { commandOf } from "./no-core.js";
import { childProgram } from "./program.js";

type Environment = Readonly<Record<string, string | undefined>>;

let ahead: { readonly started: ChildProcess; readonly env: Environment } | undefined;

/** Starts the process for whoever is first to need it. PIN sources must be known by now. */
export function startAhead(env: Environment): void {
  const started = forkChild(env, childProgram());
  // If it can't be started, neither can the next one, which reports it.
  started.once("error", () => undefined);
  letGo(started);
  ahead = { started, env };
}

/** The process that was started ahead with this environment, or a new one. */
export function childFor(env: Environment, program: string | undefined): ChildProcess {
  const taken = ahead;
  ahead = undefined;
  const { started } = taken ?? {};
  if (program === undefined && started?.connected === true && taken?.env === env) return started;
  started?.kill("SIGKILL");
  return forkChild(env, program ?? childProgram());
}

function forkChild(env: Environment, program: string): ChildProcess {
  const [command, ...args] = commandOf(program);
  return spawn(command, args, {
    env: childEnvironment(env),
    serialization: "advanced",
    // Our stdin and stdout may be the message. Modules write to stderr what they like. A command
    // that asks for a PIN needs the real stderr, and finds it as COMMAND_STDERR.
    stdio: ["ignore", "ignore", "pipe", "ipc", 2],
  });
}
