/** Who reaches an agent's socket: its user, by way of systemd too, and no other user. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "@jest/globals";
import { USER_PIN } from "../../../support/softhsm.js";
import { startAgent, type TestAgent } from "../../support/agent.js";
import { itAsRoot } from "../../../support/missing.js";
import { temporaryFolder } from "../../support/folder.js";
import { p11seal, PROGRAM, startProgram, until, type Running } from "../../support/spawn.js";

const folder = temporaryFolder();
let agent: TestAgent | undefined;

afterEach(async () => {
  await agent?.stop();
  agent = undefined;
});

describe("another user", () => {
  const NOBODY = 65534;

  /** What a program of another user's gets from the socket. */
  async function foreign(path: string): Promise<string> {
    const program = `
      process.setgroups([]); process.setgid(${NOBODY}); process.setuid(${NOBODY});
      const socket = require("node:net").connect(${JSON.stringify(path)});
      socket.on("connect", () => { console.log("connected"); socket.end(); });
      socket.on("error", (error) => console.log(error.code));`;
    const { stdout } = await startProgram(process.execPath, ["-e", program]).ended;
    return stdout.toString("utf8").trim();
  }

  // Only root can become somebody else.
  itAsRoot("reaches neither the folder nor the socket in it", async () => {
    agent = await startAgent(folder);
    const session = join(agent.socket, "..", "..");
    chmodSync(folder, 0o755);
    chmodSync(session, 0o755);
    expect(await foreign(agent.socket)).toBe("EACCES");
    // Each of the two alone keeps them out.
    chmodSync(join(session, "p11seal"), 0o755);
    expect(await foreign(agent.socket)).toBe("EACCES");
    chmodSync(folder, 0o700);
  });

  itAsRoot("is believed by no client: a socket of theirs counts as none", async () => {
    const path = join(folder, "theirs.sock");
    chmodSync(folder, 0o777);
    const program = `
      process.setgroups([]); process.setgid(${NOBODY}); process.setuid(${NOBODY});
      const server = require("node:net").createServer((socket) => socket.write("x"));
      server.listen(${JSON.stringify(path)}, () => console.log("listening"));`;
    const { child, ended } = startProgram(process.execPath, ["-e", program]);
    try {
      while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 20));
      const env = { P11SEAL_AGENT_SOCK: path };
      expect(await p11seal(["agent", "status", "--json"], { env })).toMatchObject({
        status: 3,
        stderr: expect.stringContaining("ERR_NO_AGENT"),
      });
    } finally {
      chmodSync(folder, 0o700);
      child.kill();
      await ended;
    }
  });
});

describe("a folder for the socket", () => {
  it.each([
    ["that others can enter", 0o755, "ERR_UNSAFE_FILE"],
    ["that others can write to", 0o777, "ERR_UNSAFE_FILE"],
  ])("%s is refused", async (_what, mode, code) => {
    const session = join(folder, `mode-${mode}`);
    mkdirSync(join(session, "p11seal"), { recursive: true });
    chmodSync(join(session, "p11seal"), mode);
    const argv = ["agent", "run", "--json", "--pin-source", "cmd:false"];
    const ended = await p11seal(argv, { env: { XDG_RUNTIME_DIR: session } });
    expect(ended).toMatchObject({ status: 6, stderr: expect.stringContaining(code) });
  });

  it("with a path that is too long for a socket is refused, in words", async () => {
    const env = { XDG_RUNTIME_DIR: `/tmp/${"x".repeat(100)}` };
    expect(await p11seal(["agent", "status", "--json"], { env })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("ERR_AGENT_SOCKET"),
    });
  });
});

describe("systemd's socket", () => {
  it("is taken over, and left where it is", async () => {
    const session = join(folder, "systemd");
    mkdirSync(join(session, "p11seal"), { recursive: true, mode: 0o700 });
    writeFileSync(join(session, "pin"), USER_PIN, { mode: 0o600 });
    const path = join(session, "p11seal", "agent.sock");
    const env = { XDG_RUNTIME_DIR: session, P11SEAL_HOME: join(session, "home") };
    const running = activated(path, env, join(session, "pin"));
    await until(() => existsSync(path), "the socket");
    try {
      expect(await p11seal(["agent", "status"], { env })).toMatchObject({ status: 0 });
      expect(await p11seal(["agent", "stop"], { env })).toMatchObject({ status: 0 });
      expect(await running.ended).toMatchObject({ status: 0 });
      expect(existsSync(path)).toBe(true);
    } finally {
      running.child.kill();
    }
  });

  /** As systemd starts it: with the socket as descriptor 3, and its own PID in a variable. */
  function activated(path: string, env: Readonly<Record<string, string>>, pin: string): Running {
    const program = `
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1] + ".new")
listening.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1])
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])`;
    const argv = [process.execPath, PROGRAM, "agent", "run", "--pin-source", `file:${pin}`];
    return startProgram("python3", ["-c", program, path, ...argv], { env });
  }

  it("and its service are files of the package", () => {
    const unit = (name: string): string =>
      readFileSync(new URL(`../../../../dist/systemd/${name}`, import.meta.url), "utf8");
    expect(unit("p11seal-agent.socket")).toContain("SocketMode=0600");
    expect(unit("p11seal-agent.service")).toContain("p11seal agent run");
  });
});
