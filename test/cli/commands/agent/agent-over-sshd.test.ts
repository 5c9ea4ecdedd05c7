/**
 * `p11seal agent forward` over OpenSSH itself: the host is an sshd on this machine. What the agent
 * lets a host do is tested with a stand-in for ssh (agent-forward.test.ts).
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import { describeIf } from "../../../support/missing.js";
import { fakePinentry, type FakePinentry } from "../../../support/pinentry.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../../support/softhsm.js";
import { startAgent, type TestAgent } from "../../support/agent.js";
import { temporaryFolder } from "../../support/folder.js";
import {
  p11seal,
  PROGRAM,
  startProgram,
  until,
  type Ended,
  type Running,
} from "../../support/spawn.js";
import { noSshd, SshHost } from "../../support/sshd.js";

const HOST = "127.0.0.1";

describeIf(noSshd === undefined, noSshd ?? "")("over OpenSSH, another host", () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  let token: TestToken;
  let agent: TestAgent;
  let pinentry: FakePinentry;
  let host: SshHost;
  let forward: Running | undefined;
  let session: string;
  let count = 0;

  beforeAll(async () => {
    token = await freshToken("sshd");
    const privateHalf = { DERIVE: true, SIGN: false };
    await importKey(token, TEST_KEYS.p256, { label: "one", id: Uint8Array.of(1), privateHalf });
    writeFileSync(at("one.pem"), publicPem(TEST_KEYS.p256));
    writeFileSync(at("message"), "meet at noon\n");
    const argv = ["seal", "-r", at("one.pem"), "-o", at("one.p11s"), at("message")];
    expect(await p11seal(argv)).toMatchObject({ status: 0 });
    mkdirSync(at("bin"));
    writeFileSync(at("bin/p11seal"), `#!/bin/sh\nexec "${process.execPath}" "${PROGRAM}" "$@"\n`);
    chmodSync(at("bin/p11seal"), 0o755);
  }, 60_000);

  afterEach(async () => {
    forward?.child.kill("SIGTERM");
    await forward?.ended;
    forward = undefined;
    await host.stop();
    await agent.stop();
  });

  async function started(...settings: readonly string[]): Promise<void> {
    count += 1;
    session = at(`h${count}`);
    mkdirSync(session, { mode: 0o700 });
    const there = {
      PATH: `${at("bin")}:${process.env["PATH"] ?? ""}`,
      XDG_RUNTIME_DIR: session,
      P11SEAL_HOME: join(session, "home"),
      P11SEAL_MODULE: "/nonexistent/module.so",
    };
    host = await SshHost.start(at(`sshd${count}`), there, settings);
    pinentry = fakePinentry(folder, `pinentry-${count}`, {
      ...{ GETPIN: `D ${USER_PIN}\nOK\n`, CONFIRM: "OK\n" },
    });
    const options = ["--pin-source", `pinentry:${pinentry.program}`, "--module", SOFTHSM_MODULE];
    const env = { DISPLAY: "", WAYLAND_DISPLAY: "", P11SEAL_PIN_SOURCE: undefined };
    agent = await startAgent(folder, [...options, "-i", token.uri], env);
  }

  const socket = (): string => join(session, "p11seal", "agent.sock");

  function forwarding(): Running {
    const argv = ["agent", "forward", "--json", "--key", `${token.uri};object=one`, HOST];
    const words = [process.execPath, PROGRAM, ...argv, "--", ...host.options];
    return startProgram("setsid", words, { env: agent.env });
  }

  async function forwarded(): Promise<void> {
    forward = forwarding();
    const { child } = forward;
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await until(() => said.includes("once ssh has connected") || child.exitCode !== null, "ssh");
    await until(() => existsSync(socket()) || child.exitCode !== null, "the host's socket");
  }

  /** On the host, through a connection of its own. */
  function openThere(): Promise<Ended> {
    const words = [...host.options, HOST, "p11seal", "open", "--json", at("one.p11s")];
    return startProgram("ssh", words).ended;
  }

  it("opens messages with the named key, and the question has its name", async () => {
    await started();
    await forwarded();
    expect(lstatSync(socket()).mode & 0o777).toBe(0o600);
    const { status, stdout, stderr } = await openThere();
    expect([status, stdout.toString(), stderr]).toEqual([0, "meet at noon\n", ""]);
    const asked = pinentry.told().filter((line) => line.startsWith("SETDESC"));
    expect(asked[0]).toContain(`host "${HOST}", by way of`);
    expect(asked[0]).toContain('Use key "one"');
  }, 60_000);

  it("can't any more once the command has ended, and can again after the next one", async () => {
    await started();
    await forwarded();
    expect(await openThere()).toMatchObject({ status: 0 });
    forward?.child.kill("SIGTERM");
    await forward?.ended;
    const without = await openThere();
    expect([without.status, without.stdout.length]).toEqual([5, 0]);
    // OpenSSH leaves the socket's name behind, which the next one replaces.
    await forwarded();
    await until(() => existsSync(socket()), "the host's socket");
    expect(await openThere()).toMatchObject({ status: 0 });
  }, 90_000);

  it("whose sshd allows no such sockets is an error, and nothing is open", async () => {
    await started("AllowStreamLocalForwarding no");
    const { status, stderr } = await forwarding().ended;
    expect(status).toBe(2);
    expect(stderr).toContain("ERR_AGENT_FORWARD");
    expect(stderr).toMatch(/ssh ended with status 255/);
    expect(await openThere()).toMatchObject({ status: 5 });
  }, 60_000);

  it("that goes away ends the command with an error", async () => {
    await started();
    await forwarded();
    // Its connections are processes of their own, which end with what they serve.
    const connections = startProgram("pkill", ["-TERM", "-P", String(host.pid)]);
    await connections.ended;
    const { status, stderr } = (await forward?.ended) ?? {};
    expect([status, stderr]).toEqual([2, expect.stringContaining("ERR_AGENT_FORWARD")]);
  }, 60_000);
});
