/** `p11seal agent forward`: what another host can do with the agent, and what it can't. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import { fakePinentry, type FakePinentry, type Replies } from "../../../support/pinentry.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../../support/softhsm.js";
import { startAgent, type TestAgent } from "../../support/agent.js";
import { atTerminal } from "../../support/at-terminal.js";
import { temporaryFolder } from "../../support/folder.js";
import {
  p11seal,
  PROGRAM,
  startProgram,
  until,
  type Ended,
  type Running,
} from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const standIn = fileURLToPath(new URL("../../../support/ssh-stand-in.mjs", import.meta.url));
/** A folder with programs named `ssh` and `p11seal`. */
const bin = at("bin");
const sshLog = at("ssh.log");
let token: TestToken;
let agent: TestAgent;
let pinentry: FakePinentry;
let hosts = 0;
/** The environment on the other host. */
let there: Record<string, string>;
let forward: Running | undefined;

beforeAll(async () => {
  token = await freshToken("forward");
  const privateHalf = { DERIVE: true, SIGN: false };
  await importKey(token, TEST_KEYS.p256, { label: "one", id: Uint8Array.of(1), privateHalf });
  await importKey(token, TEST_KEYS.p384, { label: "two", id: Uint8Array.of(2), privateHalf });
  writeFileSync(at("one.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(at("two.pem"), publicPem(TEST_KEYS.p384));
  writeFileSync(at("message"), "meet at noon\n");
  for (const name of ["one", "two"]) {
    const argv = ["seal", "-r", at(`${name}.pem`), "-o", at(`${name}.p11s`), at("message")];
    expect(await p11seal(argv)).toMatchObject({ status: 0 });
  }
  mkdirSync(bin);
  const program = (name: string, path: string): void => {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec "${process.execPath}" "${path}" "$@"\n`);
    chmodSync(join(bin, name), 0o755);
  };
  program("ssh", standIn);
  program("p11seal", PROGRAM);
}, 60_000);

beforeEach(() => {
  hosts += 1;
  const session = at(`h${hosts}`);
  mkdirSync(session, { mode: 0o700 });
  there = {
    XDG_RUNTIME_DIR: session,
    P11SEAL_HOME: join(session, "home"),
    P11SEAL_MODULE: "/nonexistent/module.so",
  };
  writeFileSync(sshLog, "");
});

afterEach(async () => {
  forward?.child.kill("SIGTERM");
  await forward?.ended;
  forward = undefined;
  await agent.stop();
});

const remoteSocket = (): string => join(String(there["XDG_RUNTIME_DIR"]), "p11seal", "agent.sock");

async function started(replies?: Replies, ...options: readonly string[]): Promise<void> {
  pinentry = fakePinentry(folder, `pinentry-${hosts}`, {
    GETPIN: `D ${USER_PIN}\nOK\n`,
    ...replies,
  });
  const asks = replies === undefined ? [] : ["--pin-source", `pinentry:${pinentry.program}`];
  const serves = ["--module", SOFTHSM_MODULE, "-i", token.uri, ...options];
  const env = { DISPLAY: "", WAYLAND_DISPLAY: "", P11SEAL_PIN_SOURCE: undefined };
  agent = await startAgent(folder, [...asks, ...serves], env, replies !== undefined);
}

const forwardEnv = (): Record<string, string> => ({
  ...agent.env,
  PATH: `${bin}:${process.env["PATH"] ?? ""}`,
  SSH_LOG: sshLog,
  SSH_HOST_ENV: JSON.stringify(there),
});

function forwarding(
  key = `${token.uri};object=one`,
  words: readonly string[] = ["far"],
  env: Record<string, string> = {},
): Running {
  const argv = ["agent", "forward", "--json", "--key", key, ...words];
  return startProgram("setsid", [process.execPath, PROGRAM, ...argv], {
    env: { ...forwardEnv(), ...env },
  });
}

async function forwarded(key?: string, words?: readonly string[]): Promise<void> {
  forward = forwarding(key, words);
  const { child } = forward;
  await until(() => existsSync(remoteSocket()) || child.exitCode !== null, "the host's socket");
}

/** On the other host. */
const open = (name: string, ...options: readonly string[]): Promise<Ended> =>
  p11seal(["open", "--json", ...options, at(name)], { env: there });

const localSockets = (): string[] =>
  readdirSync(dirname(agent.socket)).filter((name) => name.startsWith("forward-"));

const confirms = (): string[] => {
  const told = pinentry.told();
  return told.filter(
    (_, n) =>
      told.slice(n).find((line) => /^[CG]/.test(line)) === "CONFIRM" &&
      told[n]?.startsWith("SETDESC"),
  );
};

describe("another host", () => {
  it("opens messages with a named key, each after a question with the host's name", async () => {
    await started({});
    await forwarded();
    for (let n = 0; n < 2; n += 1) {
      const { status, stdout, stderr } = await open("one.p11s");
      expect([status, stdout.toString(), stderr]).toEqual([0, "meet at noon\n", ""]);
    }
    expect(confirms()).toHaveLength(2);
    for (const said of confirms()) {
      expect(said).toMatch(/host "far", by way of .* agent forward .*wants to open message/);
      expect(said).toContain('Use key "one"');
    }
    const log = readFileSync(join(String(agent.env["P11SEAL_HOME"]), "audit.jsonl"), "utf8");
    expect(log.match(/"outcome":"opened".*"remote":"far"/g)).toHaveLength(2);
  });

  it("gets no other key, whatever it asks for", async () => {
    await started({});
    await forwarded();
    for (const options of [[], ["-i", token.uri], ["-i", `${token.uri};object=two`]]) {
      expect(await open("two.p11s", ...options)).toMatchObject({ status: 5, stdout: Buffer.of() });
    }
    expect(pinentry.told()).toEqual([]);
    // The same question here is answered: the agent has that key.
    const env = { ...agent.env, P11SEAL_MODULE: "/nonexistent/module.so" };
    expect(await p11seal(["open", at("two.p11s")], { env })).toMatchObject({ status: 0 });
  });

  it.each(["status", "lock", "stop"])("can't use it for %s", async (what) => {
    await started({});
    await forwarded();
    const { status, stderr } = await p11seal(["agent", what, "--json"], { env: there });
    expect([status, stderr]).toEqual([6, expect.stringContaining("ERR_AGENT_REFUSED")]);
    expect(stderr).toContain("it is for: open;");
    expect(agent.child.exitCode).toBeNull();
  });

  it("leaves no place for another agent, and says whose it is", async () => {
    await started({});
    await forwarded();
    const { status, stderr } = await p11seal(["agent", "start"], { env: there });
    expect([status, stderr]).toEqual([2, expect.stringContaining("it is another host's")]);
  });

  it("gets nothing where the question is refused", async () => {
    await started({ CONFIRM: "ERR 83886194 Not confirmed\n" });
    await forwarded();
    for (let n = 0; n < 2; n += 1) {
      const { status, stderr } = await open("one.p11s");
      expect([status, stderr]).toEqual([6, expect.stringContaining("ERR_AGENT_CANCELLED")]);
    }
    expect(confirms()).toHaveLength(1);
  });

  it("has no terminal here: its own is not asked at", async () => {
    await started();
    await forwarded();
    const played = await atTerminal(["open", "--json", at("one.p11s")], [], {
      cwd: folder,
      env: there,
    });
    expect(played.status).toBe(5);
    expect(played.shown).toContain("ERR_PIN_MISSING");
    expect(played.shown).not.toContain("PIN for token");
  });

  it("is asked about at the terminal of agent forward", async () => {
    await started();
    const argv = ["agent", "forward", "--key", `${token.uri};object=one`, "far"];
    const steps = [
      ['Use key "one"', "yes\r"],
      ["PIN for token", `${USER_PIN}\r`],
      ['Use key "one"', "no\r"],
      ["no\r", "SIGTERM"],
    ] as const;
    const played = atTerminal(argv, steps, { cwd: folder, env: forwardEnv() });
    await until(() => existsSync(remoteSocket()), "the host's socket");
    expect(await open("one.p11s")).toMatchObject({ status: 0 });
    expect(await open("one.p11s")).toMatchObject({ status: 6 });
    const { shown, modesKept } = await played;
    expect(modesKept).toBe(true);
    expect(shown).toContain('host "far"');
    expect(shown).not.toContain(USER_PIN);
  });

  it("can't pass it on to a third", async () => {
    await started({});
    await forwarded();
    const env = { ...forwardEnv(), ...there };
    const argv = ["agent", "forward", "--json", "--key", token.uri, "farther"];
    const { status, stderr } = await p11seal(argv, { env });
    expect([status, stderr]).toEqual([2, expect.stringContaining("ERR_AGENT_FORWARD")]);
  });
});

describe("agent forward", () => {
  it("leaves no socket when it is stopped", async () => {
    await started({});
    await forwarded();
    const [name = ""] = localSockets().filter((one) => one.endsWith(".sock"));
    const path = join(dirname(agent.socket), name);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    forward?.child.kill("SIGTERM");
    expect(await forward?.ended).toMatchObject({ stdout: Buffer.of() });
    expect(localSockets()).toEqual([]);
  });

  it("ends with an error where ssh ends", async () => {
    await started({});
    const { status, stderr } = await forwarding(undefined, ["far"], { SSH_FAILS: "255" }).ended;
    expect([status, stderr]).toEqual([2, expect.stringContaining("ssh ended with status 255")]);
    expect(localSockets()).toEqual([]);
    const lost = await forwarding(undefined, ["far"], { SSH_HOST_LOST: "1" }).ended;
    expect([lost.status, lost.stderr]).toEqual([2, expect.stringContaining("ssh did not reach")]);
  });

  it("gives ssh its options and the socket's path, and runs it once then", async () => {
    await started({});
    const path = join(String(there["XDG_RUNTIME_DIR"]), "mine.sock");
    const words = ["--remote-socket", path, "far", "--", "-p", "2222"];
    forward = forwarding(undefined, words);
    await until(() => existsSync(path), "the host's socket");
    expect(
      await p11seal(["open", at("one.p11s")], { env: { ...there, P11SEAL_AGENT_SOCK: path } }),
    ).toMatchObject({ status: 0 });
    const calls = readFileSync(sshLog, "utf8").trim().split("\n");
    expect(calls).toHaveLength(1);
    const argv = JSON.parse(calls[0] ?? "") as string[];
    expect(argv.slice(-4)).toEqual(["-p", "2222", "--", "far"]);
  });

  it.each([
    [["--", "-oProxyCommand=touch pwned"], "ERR_USAGE"],
    [["--remote-socket", "relative.sock", "far"], "ERR_USAGE"],
    [["--remote-socket", "/tmp/a:b", "far"], "ERR_USAGE"],
  ])("refuses %j before ssh runs", async (words, code) => {
    await started({});
    const { status, stderr } = await forwarding(undefined, words).ended;
    expect([status, stderr]).toEqual([2, expect.stringContaining(code)]);
    expect(readFileSync(sshLog, "utf8")).toBe("");
  });

  it("says that no agent runs, before ssh runs", async () => {
    await started({});
    await agent.stop();
    expect(await forwarding().ended).toMatchObject({ status: 3 });
    expect(readFileSync(sshLog, "utf8")).toBe("");
  });

  it("replaces what a dead agent left on the host, and nothing else", async () => {
    await started({});
    mkdirSync(dirname(remoteSocket()), { mode: 0o700 });
    writeFileSync(remoteSocket(), "a file");
    const refused = await forwarding().ended;
    expect([refused.status, refused.stderr]).toEqual([
      2,
      expect.stringContaining("is there already"),
    ]);
    expect(readFileSync(remoteSocket(), "utf8")).toBe("a file");
    unlinkSync(remoteSocket());
    // Somebody is there, who is no agent.
    const other = createServer((socket) => socket.destroy()).listen(remoteSocket());
    await once(other, "listening");
    const taken = await forwarding().ended;
    expect([taken.status, taken.stderr]).toEqual([2, expect.stringContaining("is there already")]);
    other.close();
    await once(other, "close");
    // A process that is killed leaves its socket.
    const dead = `require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, 9))`;
    await startProgram(process.execPath, ["-e", dead, remoteSocket()]).ended;
    expect(existsSync(remoteSocket())).toBe(true);
    forward = forwarding();
    await until(() => localSockets().length > 0, "the local socket");
    await until(
      () => lstatSync(remoteSocket(), { throwIfNoEntry: false })?.isSocket() === true,
      "the socket",
    );
    expect(await open("one.p11s")).toMatchObject({ status: 0 });
  });
});
