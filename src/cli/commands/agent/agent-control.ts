/** `p11seal agent status`, `lock` and `stop`: what is said to an agent that runs. */
import { ALLOWED } from "../../../agent/protocol.js";
import { AgentClient } from "../../../agent/client.js";
import type { ServedTokenStatus } from "../../../agent/protocol.js";
import { agentSocketPath } from "../../../agent/socket-path.js";
import { NoMatchError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";
import { keyCount } from "./served-keys.js";

export async function agentStatusCommand(args: Arguments, context: Context): Promise<undefined> {
  const { stdout, env } = context.io;
  const path = agentSocketPath(env);
  const { allows, ...status } = await withAgent(context, async (agent) => ({
    allows: ALLOWED.filter((one) => agent.capabilities.includes(one)),
    ...(await agent.status()),
  }));
  const { pid, asks, peers, tokens } = status;
  if (args.flag("json")) {
    await write(stdout, json({ socket: path, pid, asks, peers, allows, tokens }));
    return undefined;
  }
  const about = [
    ["agent", `process ${pid}`, path],
    ["PINs", `from ${asks}`, ""],
    ["clients", `known by ${peers}`, ""],
    ...(allows.length === 0 ? [] : [["allows", allows.join(", "), ""]]),
  ];
  const rows = tokens.map((token) => [
    "token",
    token.label,
    `serial ${token.serial || "none"}`,
    stateOf(token),
    keyCount(token.keys.length),
    token.pinPad ? "PIN typed on the reader" : "",
  ]);
  const parts = [table(about, stdout.columns), table(rows, stdout.columns)];
  await write(stdout, parts.filter((part) => part !== "").join("\n"));
  return undefined;
}

export async function agentLockCommand(_args: Arguments, context: Context): Promise<undefined> {
  await withAgent(context, (agent) => agent.lock());
  context.report.note("the agent has forgotten every PIN");
  return undefined;
}

export async function agentStopCommand(_args: Arguments, context: Context): Promise<undefined> {
  await withAgent(context, (agent) => agent.stop());
  context.report.note("the agent has ended");
  return undefined;
}

function stateOf({
  unlocked,
  uses,
  secondsLeft,
  idleSecondsLeft,
  usesLeft,
}: ServedTokenStatus): string {
  if (!unlocked) return "locked";
  const left = [
    `${idleSecondsLeft ?? 0} s if unused`,
    `${secondsLeft ?? 0} s at most`,
    ...(usesLeft === undefined ? [] : [`${usesLeft} more ${usesLeft === 1 ? "use" : "uses"}`]),
  ];
  return `unlocked for ${left.join(", ")}; used ${uses === 1 ? "once" : `${uses ?? 0} times`}`;
}

export function noAgent(path: string): NoMatchError {
  return new NoMatchError("ERR_NO_AGENT", `no agent listens at "${path}"`, {
    hint: "start one: p11seal agent start",
  });
}

/** @throws NoMatchError `ERR_NO_AGENT` */
async function withAgent<T>({ io }: Context, use: (agent: AgentClient) => Promise<T>): Promise<T> {
  const path = agentSocketPath(io.env);
  const agent = await AgentClient.at(path);
  if (agent === undefined) {
    throw noAgent(path);
  }
  try {
    return await use(agent);
  } finally {
    agent.close();
  }
}
