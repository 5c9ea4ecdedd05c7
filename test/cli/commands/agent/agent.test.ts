/** `p11seal agent`, and `open` beside it, as their users run them. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import { itOnLinux } from "../../../support/missing.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  USER_PIN,
  type TestToken,
} from "../../../support/softhsm.js";
import { startAgent, type TestAgent } from "../../support/agent.js";
import { temporaryFolder } from "../../support/folder.js";
import { errorCode } from "../../support/run.js";
import { p11seal, PROGRAM, startProgram, until, type Ended } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let token: TestToken;
let agent: TestAgent;

beforeAll(async () => {
  token = await freshToken("agent");
  const key = (label: string, id: number): Parameters<typeof importKey>[2] => ({
    ...{ label, id: Uint8Array.of(id) },
    privateHalf: { UNWRAP: true, DERIVE: true, DECRYPT: true },
  });
  await importKey(token, TEST_KEYS.rsa2048, key("rsa", 1));
  await importKey(token, TEST_KEYS.p256, key("ec", 2));
  writeFileSync(at("rsa.pem"), publicPem(TEST_KEYS.rsa2048));
  writeFileSync(at("ec.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(at("x.pem"), publicPem(TEST_KEYS.x25519));
  writeFileSync(at("x.key"), TEST_KEYS.x25519, { mode: 0o600 });
  writeFileSync(at("message"), "the message\n");
  for (const [name, ...options] of [
    ["rsa.p11s", "-r", at("rsa.pem"), "--oaep", "sha1"],
    ["ec.p11s", "-r", at("ec.pem")],
    ["ec.age", "-r", at("ec.pem"), "--format", "age"],
    ["ec.p7m", "-r", at("ec.pem"), "--format", "cms"],
  ] as const) {
    const argv = ["seal", ...options, "-o", at(name), at("message")];
    expect(await p11seal(argv)).toMatchObject({ status: 0 });
  }
  agent = await startAgent(folder, ["--module", SOFTHSM_MODULE, "-i", token.uri]);
}, 60_000);

afterAll(async () => {
  await agent.stop();
});

/** Opens without any way to a PIN of its own. */
function open(name: string, ...options: readonly string[]): Promise<Ended> {
  const env = { ...agent.env, P11SEAL_MODULE: "/nonexistent/module.so" };
  return p11seal(["open", "--json", ...options, at(name)], { env });
}

function log(): readonly Readonly<Record<string, unknown>>[] {
  const text = readFileSync(join(String(agent.env["P11SEAL_HOME"]), "audit.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}

describe("open, where an agent runs", () => {
  it("opens native and age messages with one PIN between them, and starts no module itself", async () => {
    for (const name of ["rsa.p11s", "ec.p11s", "ec.age", "rsa.p11s"]) {
      const { status, stdout, stderr } = await open(name);
      expect({ name, status, stdout: stdout.toString(), stderr }).toEqual({
        ...{ name, status: 0, stdout: "the message\n", stderr: "" },
      });
    }
    expect(agent.pinsFetched()).toBe(1);
  });

  it("has a line in the audit log about each use, besides the client's own", async () => {
    const usesOf = (all: ReturnType<typeof log>): ReturnType<typeof log> =>
      all.filter(({ event }) => event === "agent");
    await until(() => usesOf(log()).length === 4, "the last line");
    const lines = log();
    const uses = usesOf(lines);
    for (const use of uses) {
      expect(use).toMatchObject({ outcome: "opened", path: expect.stringMatching(/^C_/) });
      const { messageId } = use;
      expect(lines).toContainEqual(expect.objectContaining({ event: "open", messageId }));
    }
  });

  it("uses the token itself with --no-agent, --module and --pin-source, or the setting", async () => {
    for (const options of [
      ["--no-agent"],
      ["--module", "/nonexistent/module.so"],
      ["--pin-source", "file:/nonexistent"],
    ]) {
      expect(await open("ec.p11s", ...options)).toMatchObject({ status: 5 });
    }
    const config = join(String(agent.env["P11SEAL_HOME"]), "config.toml");
    writeFileSync(config, "agent = false\n", { mode: 0o600 });
    expect(await open("ec.p11s")).toMatchObject({ status: 5 });
    writeFileSync(config, "agent = true\n");
    expect(await open("ec.p11s")).toMatchObject({ status: 0 });
  });

  it("takes an empty variable for one that is not set, as CI systems make them", async () => {
    const empty = { P11SEAL_AGENT_SOCK: "", P11SEAL_PIN_SOURCE: "", P11SEAL_SO_PIN_SOURCE: "" };
    const open = ["open", "--json", at("ec.p11s")];
    const module = "/nonexistent/module.so";
    expect(
      await p11seal(open, { env: { ...agent.env, ...empty, P11SEAL_MODULE: module } }),
    ).toMatchObject({ status: 0 });
    // In a session of its own: there is no terminal to ask at.
    const argv = ["-w", process.execPath, PROGRAM, ...open, "--no-agent"];
    const env = { ...agent.env, ...empty, P11SEAL_MODULE: SOFTHSM_MODULE };
    const alone = await startProgram("setsid", argv, { env }).ended;
    expect({ ...alone, code: errorCode(alone) }).toMatchObject({ code: "ERR_PIN_MISSING" });
  });

  it("gets no key for a URI that names another, and none for CMS", async () => {
    expect(await open("ec.p11s", "-i", `${token.uri};object=ec`)).toMatchObject({ status: 0 });
    expect(await open("ec.p11s", "-i", `${token.uri};object=rsa`)).toMatchObject({ status: 5 });
    expect(await open("ec.p7m")).toMatchObject({ status: 5 });
  });

  it("uses no agent for a key in a file", async () => {
    writeFileSync(at("ec.key"), TEST_KEYS.p256, { mode: 0o600 });
    const before = log().filter(({ event }) => event === "agent").length;
    expect(await open("ec.p11s", "-i", at("ec.key"))).toMatchObject({ status: 0 });
    expect(log().filter(({ event }) => event === "agent")).toHaveLength(before);
  });
});

describe("rewrap, where an agent runs", () => {
  const change = (): Promise<Ended> => {
    const env = { ...agent.env, P11SEAL_MODULE: "/nonexistent/module.so" };
    const words = ["rewrap", "-r", at("x.pem"), "--remove", at("ec.pem")];
    return p11seal([...words, "--json", at("moved.p11s"), at("moved.age")], { env });
  };

  it("changes recipients by way of one that may, without a PIN of its own", async () => {
    for (const [from, to] of [
      ["ec.p11s", "moved.p11s"],
      ["ec.age", "moved.age"],
    ] as const) {
      copyFileSync(at(from), at(to));
    }
    expect((await change()).status).not.toBe(0);
    await agent.stop();
    const options = ["--module", SOFTHSM_MODULE, "-i", token.uri, "--allow", "rewrap"];
    agent = await startAgent(folder, options);
    const { status, stderr } = await change();
    expect({ status, stderr }).toMatchObject({ status: 0 });
    for (const name of ["moved.p11s", "moved.age"]) {
      expect(await open(name, "-i", at("x.key"))).toMatchObject({ status: 0 });
    }
    expect(agent.pinsFetched()).toBe(1);
    expect(log().map(({ outcome }) => outcome)).toContain("rewrapped");
  });
});

describe("agent start", () => {
  const begin = (source: string, more: Readonly<Record<string, string>> = {}): Promise<Ended> => {
    const env = { XDG_RUNTIME_DIR: at("started"), P11SEAL_HOME: at("home"), ...more };
    const keys = ["--module", more["MODULE"] ?? SOFTHSM_MODULE, "-i", token.uri];
    const argv = ["agent", "start", "--json", ...keys, "--pin-source", source];
    return p11seal(argv, { cwd: folder, env });
  };
  const stop = (): Promise<Ended> =>
    p11seal(["agent", "stop"], { env: { XDG_RUNTIME_DIR: at("started") } });

  beforeAll(() => {
    mkdirSync(at("started"), { mode: 0o700 });
  });

  it("keeps an agent in the background, whose PIN's file was named from where it was started", async () => {
    writeFileSync(at("pin"), USER_PIN, { mode: 0o600 });
    expect(await begin("file:pin")).toMatchObject({ status: 0 });
    const env = {
      ...{ XDG_RUNTIME_DIR: at("started"), P11SEAL_HOME: at("home") },
      P11SEAL_MODULE: "/nonexistent/module.so",
    };
    try {
      expect(await p11seal(["open", at("ec.p11s")], { env })).toMatchObject({ status: 0 });
      expect(await begin("file:pin")).toMatchObject({ status: 2 });
    } finally {
      expect(await p11seal(["agent", "stop"], { env })).toMatchObject({ status: 0 });
    }
  });

  it("says that nobody can be asked where nobody can, and starts all the same", async () => {
    const env = { XDG_RUNTIME_DIR: at("started"), P11SEAL_HOME: at("home") };
    const none = { ...env, DISPLAY: "", WAYLAND_DISPLAY: "", P11SEAL_PIN_SOURCE: undefined };
    const argv = ["agent", "start", "--module", SOFTHSM_MODULE, "-i", token.uri];
    const started = (more: readonly string[] = []): Promise<Ended> =>
      startProgram("setsid", [process.execPath, PROGRAM, ...argv, ...more], { env: none }).ended;
    const NOBODY = "nobody but a command at a terminal can be asked for a PIN";
    try {
      expect(await started()).toMatchObject({
        ...{ status: 0, stderr: expect.stringContaining(NOBODY) },
      });
    } finally {
      await stop();
    }
    try {
      const { status, stderr } = await started(["--pin-source", "cmd:false"]);
      expect([status, stderr.includes("nobody")]).toEqual([0, false]);
    } finally {
      await stop();
    }
    try {
      const asking = ["--pin-source", "cmd:false", "--confirm", "always"];
      expect(await started(asking)).toMatchObject({
        ...{ status: 0, stderr: expect.stringContaining("can be asked before a key is used") },
      });
    } finally {
      await stop();
    }
  });

  it.each([
    ["ERR_PIN_SOURCE_FAILED", 5, "a folder", folder],
    ["ERR_PIN_SOURCE_FAILED", 5, "a folder that is open to others", "/tmp"],
    ["ERR_PIN_FILE_MODE", 5, "open to others", at("message")],
    ["ERR_PIN_SOURCE", 2, "a command in a URI", "|/bin/true"],
  ] as const)("fails at once with %s, status %i, where the PIN's file is %s", async (...row) => {
    const [code, expected, , source] = row;
    const uri = `${token.uri}?pin-source=${encodeURIComponent(source)}`;
    const ended = await p11seal(["agent", "start", "--json", "-i", uri], {
      env: { XDG_RUNTIME_DIR: folder },
    });
    expect({ status: ended.status, code: errorCode(ended) }).toEqual({ status: expected, code });
  });

  it("fails at once where that file is missing", async () => {
    const ended = await begin("file:absent");
    expect({ status: ended.status, code: errorCode(ended) }).toEqual({
      ...{ status: 5, code: "ERR_PIN_SOURCE_FAILED" },
    });
  });

  itOnLinux("leaves no variable that holds a PIN in the agent's environment", async () => {
    const ended = await begin("file:pin", { P11SEAL_PIN_SOURCE: "env:MY_PIN", MY_PIN: "81726354" });
    try {
      const [, pid = ""] = /agent (\d+) listens/.exec(ended.stderr) ?? [];
      const environment = readFileSync(`/proc/${pid}/environ`, "latin1");
      expect(environment).toContain("P11SEAL_HOME=");
      expect(environment).not.toContain("81726354");
    } finally {
      await stop();
    }
  });

  it("is refused where another one was quicker", async () => {
    try {
      const both = await Promise.all([begin("file:pin"), begin("file:pin")]);
      expect(both.map(({ status }) => status).sort()).toEqual([0, 2]);
    } finally {
      await stop();
    }
  });

  it("fails as the agent did, with its error and its status", async () => {
    mkdirSync(at("open"), { mode: 0o777 });
    chmodSync(at("open"), 0o777);
    const ended = await begin("file:pin", { P11SEAL_AGENT_SOCK: at("open/a.sock") });
    expect({ status: ended.status, code: errorCode(ended) }).toEqual({
      ...{ status: 6, code: "ERR_UNSAFE_FILE" },
    });
  });

  it("says how many keys there are, and of none, why", async () => {
    try {
      expect((await begin("file:pin", { MODULE: at("absent.so") })).stderr).toMatch(
        /; 0 keys; .*\n.*absent\.so" does not exist/,
      );
    } finally {
      await stop();
    }
  });
});

describe("agent status, lock and stop", () => {
  const control = (...words: readonly string[]): Promise<Ended> =>
    p11seal(["agent", ...words], { env: agent.env });
  const isUnlocked = async (): Promise<unknown> => {
    const { stdout } = await control("status", "--json");
    const { tokens } = JSON.parse(stdout.toString()) as { tokens: { unlocked: boolean }[] };
    return tokens.map(({ unlocked }) => unlocked);
  };

  it("lock, after which the next message fetches the PIN anew", async () => {
    const before = agent.pinsFetched();
    expect(await open("ec.p11s")).toMatchObject({ status: 0 });
    expect(await isUnlocked()).toEqual([true]);
    expect(await control("lock")).toMatchObject({ status: 0 });
    expect(await isUnlocked()).toEqual([false]);
    expect(await open("ec.p11s")).toMatchObject({ status: 0 });
    expect(agent.pinsFetched()).toBe(before + 1);
    agent.child.kill("SIGHUP");
    expect(await isUnlocked()).toEqual([false]);
  });

  it("refuse a malformed URI as a fault of the command line", async () => {
    const { status, stderr } = await control("run", "-i", "nonsense");
    expect(stderr).toContain("the URI does not begin with pkcs11:");
    expect(status).toBe(2);
  });

  it("refuse a second agent at the same socket, which is the user's alone", async () => {
    expect(await control("run", "--json", "--pin-source", "cmd:false")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("ERR_AGENT_RUNS"),
    });
    expect(lstatSync(agent.socket).mode & 0o777).toBe(0o600);
    expect(lstatSync(join(agent.socket, "..")).mode & 0o777).toBe(0o700);
  });

  it("stop: the socket is gone, and open works by itself", async () => {
    expect(await control("stop")).toMatchObject({ status: 0 });
    expect(await agent.ended).toMatchObject({ status: 0 });
    expect(existsSync(agent.socket)).toBe(false);
    expect(await control("status")).toMatchObject({ status: 3 });
    const pin = ["--pin-source", `file:${join(agent.socket, "..", "..", "pin")}`];
    const argv = ["open", "--module", SOFTHSM_MODULE, ...pin, "-i", token.uri, at("ec.p11s")];
    expect(await p11seal(argv, { env: agent.env })).toMatchObject({ status: 0 });
  });
});
