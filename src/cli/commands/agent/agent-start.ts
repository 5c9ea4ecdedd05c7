/** `p11seal agent start`: an agent in the background, once it answers. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentClient } from "../../../agent/client.js";
import type { AnswerOf } from "../../../agent/protocol.js";
import { agentSocketPath, SOCKET_VARIABLE } from "../../../agent/socket-path.js";
import { TokenError, UsageError } from "../../../errors.js";
import { withoutPins } from "../../../token/session/pin-variables.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { uriArgument } from "../../find/uri-argument.js";
import { reportedError } from "../../io/report.js";
import { agentPins } from "./agent-pins.js";
import { limitsOf } from "./agent-run.js";
import { keyCount, whyNoKeys } from "./served-keys.js";

export async function agentStartCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const path = agentSocketPath(io.env);
  // What is wrong with the command line is reported here, and not by a process that nobody sees.
  limitsOf(args);
  const { hasWay, canConsent } = await agentPins(
    args,
    args.texts("identity").map(uriArgument),
    context,
  );
  const running = await AgentClient.at(path);
  if (running !== undefined) {
    const isOwn = running.capabilities.includes("stop");
    running.close();
    throw new UsageError("ERR_AGENT_RUNS", `an agent listens at "${path}" already`, {
      hint: isOwn
        ? "see it with: p11seal agent status; end it with: p11seal agent stop"
        : `it is another host's; ${SOCKET_VARIABLE} gives one of this host's another path`,
    });
  }
  const { pid, asks, tokens } = await started(path, context);
  const keys = tokens.flatMap((token) => token.keys);
  report.note(`agent ${pid} listens at ${path}; ${keyCount(keys.length)}; PINs from ${asks}`);
  if (keys.length === 0) report.note(await whyNoKeys(args, context));
  if (!hasWay && !tokens.some(({ pinPad }) => pinPad)) report.note(NO_WAY);
  if (!canConsent) report.note(NO_CONSENT);
  return undefined;
}

/** Who opens messages may have a terminal all the same: so the agent runs. */
const NO_WAY =
  "nobody but a command at a terminal can be asked for a PIN: there is no terminal here, and no " +
  "display with a pinentry; --pin-source names a file, a command or a pinentry";

const NO_CONSENT =
  "nobody but a command at a terminal can be asked before a key is used: there is no terminal " +
  "here, and no display with a pinentry; others are refused";

/**
 * The same command line with `run`, in a session of its own: it outlives the terminal. A variable
 * that holds a PIN would stay in its environment for hours, and no agent reads one.
 */
async function started(path: string, { io }: Context): Promise<AnswerOf<"status">> {
  const [program = "", ...words] = process.argv.slice(1);
  const rest = words.slice(words.indexOf("start") + 1).filter((word) => word !== "--json");
  const argv = [...process.execArgv, program, "agent", "run", "--json", ...rest];
  const child = spawn(process.execPath, argv, {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
    // Of here, as the command line's paths may be.
    cwd: process.cwd(),
    env: withoutPins(io.env),
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString("utf8")).slice(-MAX_SAID);
  });
  const ended = new AbortController();
  for (const event of ["error", "close"]) {
    child.once(event, () => {
      ended.abort();
    });
  }
  for (let waited = 0; waited < START_MS && !ended.signal.aborted; waited += POLL_MS) {
    const status = await statusAt(path);
    // Another start may have been quicker: this one's agent then says so.
    if (status !== undefined && status.pid === child.pid) {
      child.stderr.destroy();
      child.unref();
      return status;
    }
    await sleep(POLL_MS);
  }
  child.kill();
  throw reportedError(said) ?? notStarted();
}

/** Undefined: nobody answers there, or not any more. */
async function statusAt(path: string): Promise<AnswerOf<"status"> | undefined> {
  const agent = await AgentClient.at(path);
  try {
    return await agent?.status();
  } catch (error) {
    if (error instanceof TokenError && error.code === "ERR_AGENT_LOST") return undefined;
    throw error;
  } finally {
    agent?.close();
  }
}

function notStarted(): TokenError {
  return new TokenError("ERR_AGENT_START", "the agent did not start, and said no reason", {
    hint: "run it in a terminal to see why: p11seal agent run",
  });
}

const START_MS = 20_000;
const POLL_MS = 50;
/** Of what it says, the end: its error is the last line. */
const MAX_SAID = 16_384;
