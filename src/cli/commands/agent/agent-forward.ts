/** `p11seal agent forward`: lets another host use the agent, for named keys, while ssh runs. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { AgentClient } from "../../../agent/client.js";
import { forwardingServer } from "../../../agent/forwarding.js";
import { listenAt } from "../../../agent/listening.js";
import { agentFolder, agentSocketPath, requireUsable } from "../../../agent/socket-path.js";
import { UsageError } from "../../../errors.js";
import { terminalName } from "../../../terminal/named-terminal.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { readerTeller } from "../../find/agent.js";
import { uriArgument } from "../../find/uri-argument.js";
import { noAgent } from "./agent-control.js";
import { knownPeers } from "./known-peers.js";
import { ended, forwardError, forwardSocket, remoteSocket, requireHost, type Ssh } from "./ssh.js";

export async function agentForwardCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io, report } = context;
  const [host = "", ...options] = args.operands;
  requireHost(host, options);
  const keys = args.texts("key");
  for (const key of keys) uriArgument(key);
  const socket = agentSocketPath(io.env);
  await requireOwnAgent(socket);
  const ssh: Ssh = { host, options, env: io.env };
  const remote = remotePath(args.text("remote-socket")) ?? (await remoteSocket(ssh));
  const local = requireUsable(join(agentFolder(io.env), `forward-${process.pid}.sock`));
  const terminal = terminalName(io.env);
  const { peerOf } = await knownPeers();
  const tell = readerTeller(context);
  const { server, close } = forwardingServer({
    ...{ socket, host, keys, terminal, peerOf },
    atReader: (notice) => {
      report.note(`host "${host}" opens a message`);
      tell(notice);
    },
  });
  const listening = await listenAt(local, server);
  const child = forwardSocket(ssh, remote, local);
  const stopped = new AbortController();
  const stop = (): void => {
    stopped.abort();
    child.kill("SIGTERM");
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  const named = keys.length === 1 ? "the key that --key names" : "the keys that --key names";
  report.note(`once ssh has connected, ${host} can use ${named}, at ${remote}; Ctrl-C ends it`);
  try {
    const status = await ended(child);
    if (!stopped.signal.aborted) {
      const how = status === null ? "was ended" : `ended with status ${status}`;
      throw forwardError(`ssh ${how}`, "its own message, if any, says why; nothing is open now");
    }
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
    stop();
    close();
    listening.remove();
    // Nobody else uses a name with this process's number.
    rmSync(`${local}.lock`, { recursive: true, force: true });
  }
  return undefined;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** An agent of another host's, forwarded here, is not forwarded further. */
async function requireOwnAgent(socket: string): Promise<void> {
  const agent = await AgentClient.at(socket);
  if (agent === undefined) throw noAgent(socket);
  const { capabilities } = agent;
  agent.close();
  if (capabilities.includes("status")) return;
  throw forwardError(
    `the agent at "${socket}" is another host's`,
    "run the command on the host where the token is",
  );
}

/** @throws UsageError `ERR_USAGE` */
function remotePath(path: string | undefined): string | undefined {
  if (path === undefined || /^\/[^:\n]+$/.test(path)) return path;
  throw new UsageError("ERR_USAGE", "--remote-socket is an absolute path without a colon");
}
