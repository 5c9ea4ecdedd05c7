/** ssh(1), as `agent forward` runs it. It asks for passwords itself, at the terminal. */
import { spawn, type ChildProcess } from "node:child_process";
import { UsageError } from "../../../errors.js";
import { reason } from "../../../store/system-error.js";
import { withoutPins } from "../../../token/session/pin-variables.js";

export interface Ssh {
  /** As ssh takes it: `host`, `user@host`, a name in its configuration. */
  readonly host: string;
  readonly options: readonly string[];
  readonly env: Record<string, string | undefined>;
}

/**
 * Refuses a host that would be an option, and what ssh would take for another host.
 *
 * @throws UsageError `ERR_USAGE`
 */
export function requireHost(host: string, [first = "-"]: readonly string[]): void {
  const hint = "options of ssh's come after the host, and after --";
  if (host.startsWith("-")) throw new UsageError("ERR_USAGE", `"${host}" is no host`, { hint });
  if (first.startsWith("-")) return;
  throw new UsageError("ERR_USAGE", `"${first}" is no option of ssh's`, { hint });
}

/**
 * Forwards a socket: connections to `remote`, on the host, come to `local`, here. Another
 * connection of the user's to that host is not used, since it would hold the socket open.
 */
export function forwardSocket(ssh: Ssh, remote: string, local: string): ChildProcess {
  const fixed = ["-N", "-T", "-a", "-x", "-o", "ExitOnForwardFailure=yes"];
  return run(ssh, [...fixed, "-R", `${remote}:${local}`], [], "ignore");
}

/**
 * Makes the folder of the agent's socket on the host, as the agent does, and says where the socket
 * is to be. One of a dead agent's is removed, if p11seal there says that it is dead.
 *
 * @throws UsageError `ERR_AGENT_FORWARD`
 */
export async function remoteSocket(ssh: Ssh): Promise<string> {
  const child = run(ssh, ["-T", "-a", "-x"], [`exec sh -c '${PREPARATION}'`], "pipe");
  let said = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString("utf8")).slice(-MAX_SAID);
  });
  const status = await ended(child);
  if (status === SSH_FAILED) {
    throw forwardError(`ssh did not reach host "${ssh.host}"`, "its own message says why");
  }
  // Whatever the host's start-up files say comes before.
  const [, state, path] = /^p11seal-agent (free|taken) (\/[^\n:]+)$/m.exec(said) ?? [];
  if (path === undefined) {
    throw forwardError(`host "${ssh.host}" did not say where its socket can be`, SAY_WHERE);
  }
  if (state === "taken") {
    throw forwardError(`on host "${ssh.host}", "${path}" is there already`, TAKEN);
  }
  return path;
}

/** The exit status; null if a signal ended it. @throws UsageError `ERR_AGENT_FORWARD` */
export function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("error", (error) => {
      reject(forwardError(`ssh can't be run: ${reason(error)}`, "is it installed?"));
    });
    child.once("close", resolve);
  });
}

export function forwardError(fact: string, hint: string): UsageError {
  return new UsageError("ERR_AGENT_FORWARD", fact, { hint });
}

function run(
  { host, options, env }: Ssh,
  fixed: readonly string[],
  command: readonly string[],
  stdout: "pipe" | "ignore",
): ChildProcess {
  const argv = ["-S", "none", ...fixed, ...options, "--", host, ...command];
  return spawn("ssh", argv, { stdio: ["ignore", stdout, "inherit"], env: withoutPins(env) });
}

/**
 * Where an agent of the host's own would have its socket. Exit status 3 of `agent status`: nobody
 * listens there. Without single quotes, as it stands between some.
 */
const PREPARATION = `
umask 077
d="$XDG_RUNTIME_DIR"
if [ -n "$d" ]; then d="$d/p11seal"
else d="\${P11SEAL_HOME:-\${XDG_DATA_HOME:-$HOME/.local/share}/p11seal}/agent"; fi
mkdir -p "$d" || exit 1
s="$d/agent.sock"
state=free
if [ -e "$s" ] || [ -L "$s" ]; then state=taken; fi
if [ -S "$s" ] && [ ! -L "$s" ]; then
  P11SEAL_AGENT_SOCK="$s" p11seal agent status >/dev/null 2>&1
  if [ $? -eq 3 ]; then rm -f "$s" && state=free; fi
fi
echo "p11seal-agent $state $s"
`.trim();

/** What ssh(1) ends with when it failed itself. */
const SSH_FAILED = 255;

const SAY_WHERE = "name it with --remote-socket PATH";

const TAKEN =
  "end the agent that listens there, or remove what a dead one left; --remote-socket names another";

/** Of what a host says, the end. */
const MAX_SAID = 10_000;
