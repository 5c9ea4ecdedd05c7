/** A reader with a PIN pad under an agent: who is told that it waits for a PIN, and how often. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import { Pad, RETURNS } from "../../../support/pad/module.js";
import { freshToken, importKey, type TestToken, USER_PIN } from "../../../support/softhsm.js";
import { startAgent, type TestAgent } from "../../support/agent.js";
import { atTerminal } from "../../support/at-terminal.js";
import { temporaryFolder } from "../../support/folder.js";
import { errorCode } from "../../support/run.js";
import { p11seal, PROGRAM, startProgram, until, type Ended } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const TYPES = `types ${USER_PIN}`;
let pad: Pad;
let token: TestToken;
let agent: TestAgent;

beforeAll(async () => {
  pad = await Pad.start();
  token = await freshToken("agent-pad");
  const id = Uint8Array.of(1);
  await importKey(token, TEST_KEYS.rsa2048, { label: "x", id, privateHalf: { UNWRAP: true } });
  writeFileSync(at("key.pem"), publicPem(TEST_KEYS.rsa2048));
  writeFileSync(at("message"), "meet at noon\n");
  const argv = ["seal", "-r", at("key.pem"), "--oaep", "sha1", "-o", at("m.p11s"), at("message")];
  expect(await p11seal(argv)).toMatchObject({ status: 0 });
}, 60_000);

afterEach(async () => {
  await agent.stop();
});

async function started(): Promise<void> {
  const env = { DISPLAY: "", WAYLAND_DISPLAY: "", P11SEAL_PIN_SOURCE: undefined };
  agent = await startAgent(folder, ["--module", pad.module, "-i", token.uri], env, false);
}

/** With no token of its own. */
const client = (): Record<string, string> => ({
  ...agent.env,
  P11SEAL_MODULE: "/nonexistent/module.so",
});

const open = (): Promise<Ended> => p11seal(["open", at("m.p11s")], { env: client() });

const toldIn = (text: string): number =>
  text.split(`type the PIN for token "${token.label}"`).length - 1;

describe("a reader with a PIN pad", () => {
  it("is told of at the client's terminal, and at the agent's, once", async () => {
    await started();
    // The question lasts longer than the agent's signs of life.
    pad.person([5_000, TYPES]);
    const argv = ["open", at("m.p11s")];
    const played = await atTerminal(argv, [], { cwd: folder, env: client() });
    expect(played).toMatchObject({ status: 0, modesKept: true });
    expect(toldIn(played.shown)).toBe(1);
    expect(played.shown).toMatch(/on the reader\r\n/);
    expect(played.shown).toContain("meet at noon");
    // The next message needs no PIN, so nobody is told anything.
    const next = await open();
    expect([next.status, next.stderr]).toEqual([0, ""]);
    expect(pad.calls()).toEqual(["C_Login user"]);
    const { stderr } = await agent.stop();
    expect(toldIn(stderr)).toBe(1);
    expect(stderr).toMatch(/wants to open message [0-9a-f]{16}; nobody signed it/);
  });

  it("that was cancelled is not asked again at once, whoever wants it", async () => {
    await started();
    pad.person([0, RETURNS.cancelled], [0, TYPES]);
    const [first, second] = [await open(), await open()];
    expect([first.status, toldIn(first.stderr)]).toEqual([5, 1]);
    expect(first.stderr).toContain("the PIN was cancelled");
    expect([second.status, toldIn(second.stderr)]).toEqual([6, 0]);
    expect(pad.calls()).toEqual(["C_Login user"]);
  });

  it("that got a wrong PIN is asked again for the next message", async () => {
    await started();
    pad.person([0, "types 0000"], [0, TYPES]);
    const [first, second] = [await open(), await open()];
    expect([first.status, second.status]).toEqual([5, 0]);
    expect(pad.calls()).toEqual(["C_Login user", "C_Login user"]);
  });

  it("is told of in JSON as well: a person has to do something", async () => {
    await started();
    pad.person([0, RETURNS.refused]);
    const ended = await p11seal(["open", "--json", at("m.p11s")], { env: client() });
    expect(toldIn(ended.stderr)).toBe(1);
    const error = ended.stderr.split("\n").find((line) => line.startsWith("{")) ?? "";
    expect(errorCode({ ...ended, stderr: error })).toBe("ERR_PIN_REFUSED");
  });

  it("is told of on another host, and where the agent is forwarded", async () => {
    await started();
    const [bin, session] = [at("bin"), at("there")];
    for (const one of [bin, session]) mkdirSync(one, { mode: 0o700 });
    const standIn = fileURLToPath(new URL("../../../support/ssh-stand-in.mjs", import.meta.url));
    for (const [name, path] of [
      ["ssh", standIn],
      ["p11seal", PROGRAM],
    ] as const) {
      writeFileSync(join(bin, name), `#!/bin/sh\nexec "${process.execPath}" "${path}" "$@"\n`);
      chmodSync(join(bin, name), 0o755);
    }
    const there = {
      XDG_RUNTIME_DIR: session,
      P11SEAL_HOME: join(session, "home"),
      P11SEAL_MODULE: "/nonexistent/module.so",
    };
    await agent.stop();
    const env = { DISPLAY: "", WAYLAND_DISPLAY: "", P11SEAL_PIN_SOURCE: undefined };
    const never = ["--confirm", "never", "--module", pad.module, "-i", token.uri];
    agent = await startAgent(folder, never, env, false);
    const argv = ["agent", "forward", "--key", `${token.uri};object=x`, "far"];
    const forward = startProgram("setsid", [process.execPath, PROGRAM, ...argv], {
      env: {
        ...agent.env,
        PATH: `${bin}:${process.env["PATH"] ?? ""}`,
        SSH_LOG: at("ssh.log"),
        SSH_HOST_ENV: JSON.stringify(there),
      },
    });
    await until(() => existsSync(join(session, "p11seal", "agent.sock")), "the host's socket");
    pad.person([0, TYPES]);
    const opened = await p11seal(["open", at("m.p11s")], { env: there });
    expect([opened.status, toldIn(opened.stderr)]).toEqual([0, 1]);
    forward.child.kill("SIGTERM");
    const { stderr } = await forward.ended;
    expect(stderr).toContain('host "far" opens a message');
    expect(toldIn(stderr)).toBe(1);
  });
});
