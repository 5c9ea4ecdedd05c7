/** An agent for a test: a process with a socket and a data folder of its own. */
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { USER_PIN } from "../../support/softhsm.js";
import { PROGRAM, startProgram, until, type Ended } from "./spawn.js";

export interface TestAgent {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** What its clients need in their environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly socket: string;
  /** How often its PIN was fetched. */
  pinsFetched(): number;
  stop(): Promise<Ended>;
}

/**
 * Starts an agent and waits until it listens.
 *
 * @param folder - a new one within it is the user's session folder; its path must be short
 * @param env - of the agent, besides what its clients have
 * @param hasSource - of its PIN; false: it asks a person, and has no terminal
 */
export async function startAgent(
  folder: string,
  options: readonly string[] = [],
  env: Readonly<Record<string, string | undefined>> = {},
  hasSource = true,
): Promise<TestAgent> {
  const session = join(folder, `s${++count}`);
  mkdirSync(session, { mode: 0o700 });
  const [pin, fetched] = [join(session, "pin"), join(session, "fetched")];
  writeFileSync(pin, USER_PIN, { mode: 0o600 });
  const source = `cmd:echo x >> '${fetched}'; cat '${pin}'`;
  const own = { XDG_RUNTIME_DIR: session, P11SEAL_HOME: join(session, "home") };
  const ownSource = options.includes("--pin-source") || !hasSource ? [] : ["--pin-source", source];
  const argv = ["agent", "run", ...ownSource, ...options];
  // In a session of its own, so that it does not ask at the terminal that runs the tests.
  const program = [process.execPath, PROGRAM, ...argv];
  const { child, ended } = startProgram("setsid", program, { env: { ...own, ...env } });
  const socket = join(session, "p11seal", "agent.sock");
  await until(() => existsSync(socket) || child.exitCode !== null, "the agent's socket");
  return {
    ...{ child, ended, env: own, socket },
    pinsFetched: () =>
      existsSync(fetched) ? readFileSync(fetched, "utf8").split("\n").length - 1 : 0,
    stop: async () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

let count = 0;
