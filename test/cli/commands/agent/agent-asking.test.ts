/** Whom an agent asks, through a pinentry or at the client's terminal; and whom it lets in. */
import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import { fakePinentry } from "../../../support/pinentry.js";
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
import { receiverHome, signedMessage } from "../../support/signed.js";
import { p11seal, PROGRAM, startProgram, type Ended } from "../../support/spawn.js";
import { itIf } from "../../../support/missing.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const QUESTION = "PIN for token";
let token: TestToken;
let agent: TestAgent;

beforeAll(async () => {
  token = await freshToken("asking");
  const privateHalf = { DERIVE: true, SIGN: false };
  await importKey(token, TEST_KEYS.p256, { label: "ec", id: Uint8Array.of(1), privateHalf });
  writeFileSync(at("ec.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(at("message"), "meet at noon\n");
  const argv = ["seal", "-r", at("ec.pem"), "-o", at("m.p11s"), at("message")];
  expect(await p11seal(argv)).toMatchObject({ status: 0 });
}, 60_000);

afterEach(async () => {
  await agent.stop();
});

/** @param source - by default it asks a person */
async function started(source: string | undefined, ...options: string[]): Promise<void> {
  const serves = ["--module", SOFTHSM_MODULE, "-i", token.uri, ...options];
  const env = { DISPLAY: "", WAYLAND_DISPLAY: "", P11SEAL_PIN_SOURCE: undefined };
  const asks = source === undefined ? [] : ["--pin-source", source];
  agent = await startAgent(folder, [...asks, ...serves], env, source !== undefined);
}

/** Opens without any way to a PIN of its own. */
const opening = (): { argv: string[]; env: Record<string, string> } => ({
  argv: ["open", "--json", at("m.p11s")],
  env: { ...agent.env, P11SEAL_MODULE: "/nonexistent/module.so" },
});

function open(): Promise<Ended> {
  const { argv, env } = opening();
  return p11seal(argv, { env });
}

describe("an agent with a pinentry", () => {
  it("asks for a PIN once, and says for whom", async () => {
    const { program, told } = fakePinentry(folder, "good", { GETPIN: `D ${USER_PIN}\nOK\n` });
    await started(`pinentry:${program}`);
    for (let n = 0; n < 3; n += 1) expect(await open()).toMatchObject({ status: 0, stderr: "" });
    expect(told().filter((line) => line === "GETPIN")).toHaveLength(1);
    expect(told().filter((line) => line === "CONFIRM")).toHaveLength(0);
    const said = told().find((line) => line.startsWith("SETDESC")) ?? "";
    expect(said).toMatch(
      /open --json .*m\.p11s \(process \d+\) wants to open message [0-9a-f]{16}/,
    );
  });

  it("names who signed: by the directory, or by the key", async () => {
    const { program, told } = fakePinentry(folder, "signed", {
      GETPIN: `D ${USER_PIN}\nOK\n`,
      CONFIRM: "OK\n",
    });
    await started(`pinentry:${program}`, "--confirm", "always");
    writeFileSync(at("signed.p11s"), await signedMessage("from zoe"));
    const { env } = opening();
    const openSigned = (): Promise<Ended> => p11seal(["open", at("signed.p11s")], { env });
    const questions = (): string[] => told().filter((line) => line.startsWith("SETDESC"));
    expect(await openSigned()).toMatchObject({ status: 0 });
    const [confirm = "", pin = ""] = questions();
    const unknown = /%0Asigned by an unknown key,( [0-9a-f]{4}){16}%0A/;
    expect([confirm, pin]).toEqual([
      expect.stringMatching(unknown),
      expect.stringMatching(unknown),
    ]);
    await receiverHome(String(agent.env["P11SEAL_HOME"]));
    expect(await openSigned()).toMatchObject({ status: 0 });
    expect(questions().at(-1)).toContain('signed by "zoe"%0A');
    expect(await open()).toMatchObject({ status: 0 });
    expect(questions().at(-1)).toContain("nobody signed it%0A");
  });

  it("that is cancelled asks nobody again at once, and gives no key", async () => {
    const { program, told } = fakePinentry(folder, "cancelled", {
      GETPIN: "ERR 83886179 Operation cancelled\n",
    });
    await started(`pinentry:${program}`);
    for (let n = 0; n < 3; n += 1) {
      const { status, stderr } = await open();
      expect([status, stderr]).toEqual([6, expect.stringContaining("ERR_AGENT_CANCELLED")]);
    }
    expect(told().filter((line) => line === "GETPIN")).toHaveLength(1);
  });

  it("that gave a wrong PIN asks again for the next message", async () => {
    const { program } = fakePinentry(folder, "wrong", {
      GETPIN: ["D 0000\nOK\n", `D ${USER_PIN}\nOK\n`],
    });
    await started(`pinentry:${program}`);
    expect((await open()).stderr).toContain("ERR_PIN_REFUSED");
    expect(await open()).toMatchObject({ status: 0 });
  });

  it.each([
    ["always", [0, 6, 6], 2],
    ["never", [0, 0, 0], 0],
    ["remote", [0, 0, 0], 0],
  ])("asks for consent: --confirm %s", async (when, statuses, questions) => {
    const { program, told } = fakePinentry(folder, `confirm-${when}`, {
      GETPIN: `D ${USER_PIN}\nOK\n`,
      CONFIRM: ["OK\n", "ERR 83886194 Not confirmed\n"],
    });
    await started(`pinentry:${program}`, "--confirm", when);
    const found = [await open(), await open(), await open()].map(({ status }) => status);
    expect(found).toEqual(statuses);
    expect(told().filter((line) => line === "CONFIRM")).toHaveLength(questions);
  });
});

describe("an agent without a terminal", () => {
  it("asks for the PIN at the client's, and not again", async () => {
    await started(undefined);
    const { argv, env } = opening();
    const steps = [[QUESTION, `${USER_PIN}\r`]] as const;
    const played = await atTerminal(argv, steps, { cwd: folder, env });
    expect(played).toMatchObject({ status: 0, modesKept: true });
    expect(played.shown).toMatch(/wants to open message [0-9a-f]{16}\r\n/);
    expect(played.shown).toContain("meet at noon");
    expect(played.shown).not.toContain(USER_PIN);
    const again = await atTerminal(argv, [], { cwd: folder, env });
    expect(again).toMatchObject({ status: 0, modesKept: true });
    expect(again.shown).not.toContain(QUESTION);
  });

  it("gives up at Ctrl-C, and when the client is gone, and leaves the echo on", async () => {
    await started(undefined);
    const { argv, env } = opening();
    const cancelled = await atTerminal(argv, [[QUESTION, "\u0003"]], { cwd: folder, env });
    expect(cancelled).toMatchObject({ status: 6, modesKept: true });
    await agent.stop();
    await started(undefined);
    const other = { ...opening(), steps: [[QUESTION, "SIGTERM"]] as const };
    const ended = await atTerminal(other.argv, other.steps, { cwd: folder, env: other.env });
    expect(ended).toMatchObject({ status: -15, modesKept: true });
  });

  it("says that it can ask nobody where the client has none either", async () => {
    await started(undefined);
    const { status, stderr } = await open();
    expect([status, stderr]).toEqual([5, expect.stringContaining("ERR_PIN_MISSING")]);
  });
});

describe("who connects", () => {
  const canBecomeAnother = process.getuid?.() === 0 && spawnSync("setpriv", ["-V"]).status === 0;
  itIf(canBecomeAnother, "needs root and setpriv")(
    "as another user gets no byte, whatever the modes",
    async () => {
      const { program, told } = fakePinentry(folder, "unused", {});
      await started(`pinentry:${program}`);
      const status = await p11seal(["agent", "status"], { env: agent.env });
      expect(status.stdout.toString()).toContain("known by the kernel");
      // As if somebody had opened everything to everybody.
      chmodSync(agent.socket, 0o777);
      for (let up = join(agent.socket, ".."); up.length > "/tmp".length; up = join(up, "..")) {
        chmodSync(up, 0o755);
      }
      const client = `const socket = require("node:net").connect(process.argv[1]);
      let bytes = 0;
      socket.on("connect", () => socket.write("hello?"));
      socket.on("data", (data) => (bytes += data.length));
      socket.on("error", () => undefined);
      socket.on("close", () => console.log("closed after", bytes));`;
      const as = ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath];
      const refused = await startProgram("setpriv", [...as, "-e", client, agent.socket], {
        cwd: "/",
      }).ended;
      expect(refused.stdout.toString()).toBe("closed after 0\n");
      chmodSync(join(agent.socket, ".."), 0o700);
      expect(told()).toEqual([]);
    },
  );

  it("is in the audit log by process and program", async () => {
    const { program } = fakePinentry(folder, "logged", { GETPIN: `D ${USER_PIN}\nOK\n` });
    await started(`pinentry:${program}`);
    const { argv, env } = opening();
    const { child, ended } = startProgram(process.execPath, [PROGRAM, ...argv], { env });
    expect(await ended).toMatchObject({ status: 0 });
    // By then it has written what it had to.
    await agent.stop();
    const log = readFileSync(join(String(agent.env["P11SEAL_HOME"]), "audit.jsonl"), "utf8");
    expect(log).toContain(`"program":${JSON.stringify(process.execPath)},"pid":${child.pid},`);
    rmSync(join(String(agent.env["P11SEAL_HOME"]), "audit.jsonl"));
  });
});
