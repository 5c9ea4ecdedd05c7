/** `p11seal agent run`: is the agent, until it is told to stop. */
import { Agent } from "../../../agent/agent.js";
import { DEFAULT_LIMITS, type Limits } from "../../../agent/limits.js";
import {
  activatedDescriptor,
  listenAt,
  listenAtDescriptor,
  type Listening,
} from "../../../agent/listening.js";
import { ALLOWED } from "../../../agent/protocol.js";
import { agentSocketPath } from "../../../agent/socket-path.js";
import { defined } from "../../../defined.js";
import { UsageError } from "../../../errors.js";
import { parseDuration } from "../../../records/duration.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { withTokens } from "../../find/tokens.js";
import { uriArgument } from "../../find/uri-argument.js";
import { homeOf } from "../../io/home.js";
import { agentPins } from "./agent-pins.js";
import { knownPeers } from "./known-peers.js";
import { keyCount, whyNoKeys } from "./served-keys.js";

export async function agentRunCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  // For ps(1), in place of a command line with paths.
  process.title = "p11seal agent";
  const limits = limitsOf(args);
  const uris = args.texts("identity").map(uriArgument);
  const home = homeOf(io);
  const { findPin, atPad, confirm, asks } = await agentPins(args, uris, context);
  const peers = await knownPeers();
  await withTokens(args, context, async (tokens) => {
    const agent = new Agent({
      ...{ connect: await tokens.processes(), uris, limits, findPin, atPad, confirm, asks, home },
      nowMs: () => performance.now(),
      ...peers,
      allows: ALLOWED.filter((one) => args.texts("allow").includes(one)),
      say: (line) => {
        report.note(line);
      },
    });
    const listening = await listen(agent, context);
    const onSignal = signals(agent);
    try {
      const found = await agent.look();
      report.note(`${keyCount(found)}; PINs from ${asks}`);
      if (found === 0) report.note(await whyNoKeys(args, context));
      await agent.untilStopped();
    } finally {
      onSignal.off();
      agent.stop();
      listening.remove();
    }
  });
  return undefined;
}

async function listen(agent: Agent, { io, report }: Context): Promise<Listening> {
  const { server } = agent.server;
  const descriptor = activatedDescriptor(io.env);
  if (descriptor !== undefined) return listenAtDescriptor(descriptor, server);
  const path = agentSocketPath(io.env);
  const listening = await listenAt(path, server);
  report.note(`listening at ${path}`);
  return listening;
}

/**
 * SIGHUP locks, as it does for other agents; SIGTERM and SIGINT stop. Whoever started the program
 * handles them too, and sends them once more, to see them end it: with a listener they don't.
 */
function signals(agent: Agent): { readonly off: () => void } {
  const lock = (): void => {
    agent.lock("SIGHUP");
  };
  const stop = (): void => {
    agent.stop();
  };
  process.on("SIGHUP", lock).on("SIGTERM", stop).on("SIGINT", stop);
  return {
    off: () => {
      process.off("SIGHUP", lock).off("SIGTERM", stop).off("SIGINT", stop);
    },
  };
}

/** @throws UsageError */
export function limitsOf(args: Arguments): Limits {
  const idle = args.text("idle");
  const total = args.text("total");
  return {
    idleMs: idle === undefined ? DEFAULT_LIMITS.idleMs : parseDuration(idle),
    totalMs: total === undefined ? DEFAULT_LIMITS.totalMs : parseDuration(total),
    ...defined({ uses: usesOf(args.text("uses")) }),
  };
}

function usesOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError("ERR_USAGE", `--uses is a whole number from 1, not "${text}"`);
}
