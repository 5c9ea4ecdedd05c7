/**
 * Stands in for ssh(1): "the host" is this machine, with SSH_HOST_ENV (JSON) added to the
 * environment. Runs a command there, or listens at the socket of `-R` and passes connections on.
 * Each call's arguments go to SSH_LOG, a line of JSON. SSH_FAILS: an exit status to end with, where
 * a socket is to be carried. SSH_HOST_LOST: the host can't be reached.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { connect, createServer } from "node:net";

const argv = process.argv.slice(2);
const { SSH_LOG = "", SSH_HOST_ENV = "{}", SSH_FAILS, SSH_HOST_LOST } = process.env;
appendFileSync(SSH_LOG, `${JSON.stringify(argv)}\n`);
if (SSH_HOST_LOST !== undefined) process.exit(255);
const [, ...command] = argv.slice(argv.indexOf("--") + 1);
const env = { ...process.env, ...JSON.parse(SSH_HOST_ENV) };
if (command.length > 0) {
  // As sshd does: the user's shell gets the words as one.
  const ended = spawnSync("/bin/sh", ["-c", command.join(" ")], { env, stdio: "inherit" });
  process.exit(ended.status ?? 255);
}
if (SSH_FAILS !== undefined) process.exit(Number(SSH_FAILS));
const [remote = "", local = ""] = argv[argv.indexOf("-R") + 1]?.split(":") ?? [];
process.umask(0o177);
const server = createServer((socket) => {
  const other = connect(local);
  for (const [one, two] of [
    [socket, other],
    [other, socket],
  ]) {
    one?.pipe(two ?? socket);
    one?.on("error", () => undefined);
    one?.on("close", () => two?.destroy());
  }
});
// ExitOnForwardFailure=yes
server.on("error", () => process.exit(255));
server.listen(remote);
