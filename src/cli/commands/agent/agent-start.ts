/** `p11seal agent start`: an agent in the background, once it answers. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentClient } from "../../../agent/client.js";
import { agentSocketPath } from "../../../agent/socket-path.js";
import { TokenError, UsageError } from "../../../errors.js";
import { parseUri } from "../../../token/uri.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { agentPins } from "./agent-pins.js";
import { limitsOf } from "./agent-run.js";

export async function agentStartCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const path = agentSocketPath(io.env);
  // What is wrong with the command line is reported here, and not by a process that nobody sees.
  limitsOf(args);
  await agentPins(args, args.texts("identity").map(parseUri), context);
  const running = await AgentClient.at(path);
  if (running !== undefined) {
    running.close();
    throw new UsageError("ERR_AGENT_RUNS", `an agent listens at "${path}" already`, {
      hint: "see it with: p11seal agent status; end it with: p11seal agent stop",
    });
  }
  const { pid, asks } = await started(path, context);
  report.note(`agent ${pid} listens at ${path}; PINs from ${asks}`);
  return undefined;
}

/** The same command line with `run`, in a session of its own: it outlives the terminal. */
async function started(
  path: string,
  { io }: Context,
): Promise<{ readonly pid: number; readonly asks: string }> {
  const [program = "", ...words] = process.argv.slice(1);
  const rest = words.slice(words.indexOf("start") + 1);
  const child = spawn(process.execPath, [...process.execArgv, program, "agent", "run", ...rest], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
    // Of here, as the command line's paths may be.
    cwd: process.cwd(),
    env: io.env,
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString("utf8")).slice(-MAX_SAID);
  });
  for (let waited = 0; waited < START_MS && child.exitCode === null; waited += POLL_MS) {
    const agent = await AgentClient.at(path);
    if (agent !== undefined) {
      const status = await agent.status();
      agent.close();
      child.stderr.destroy();
      child.unref();
      return status;
    }
    await sleep(POLL_MS);
  }
  child.kill();
  throw new TokenError(
    "ERR_AGENT_START",
    `the agent did not start: ${said.trim() || "no reason given"}`,
    {
      hint: "run it in a terminal to see why: p11seal agent run",
    },
  );
}

const START_MS = 20_000;
const POLL_MS = 50;
/** Of what it says, the end. */
const MAX_SAID = 1000;
