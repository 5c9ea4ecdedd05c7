/**
 * What befalls an agent while it is needed: it is killed, its card is pulled, the machine sleeps.
 * Each time there is one clear error and one more PIN, and then it works. And what is to be seen of
 * the PIN from outside: nothing.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { TICK_MS } from "../../../../src/agent/limits.js";
import type { Fault, Faults } from "../../../../src/testing/index.js";
import { softHsmBehind } from "../../../support/behind-shim.js";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  USER_PIN,
  withRawSession,
  type TestToken,
} from "../../../support/softhsm.js";
import { startAgent, type TestAgent } from "../../support/agent.js";
import { temporaryFolder } from "../../support/folder.js";
import { errorCode } from "../../support/run.js";
import { p11seal, start, startProgram, until, type Ended } from "../../support/spawn.js";
import { itOnLinux } from "../../../support/missing.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let token: TestToken;
let agent: TestAgent;

/** Longer than any other number here, so that it can be looked for in memory. */
const PIN = "4711081542007";

beforeAll(async () => {
  token = await freshToken("faults");
  const id = Uint8Array.of(1);
  await importKey(token, TEST_KEYS.rsa2048, { label: "x", id, privateHalf: { UNWRAP: true } });
  writeFileSync(at("key.pem"), publicPem(TEST_KEYS.rsa2048));
  writeFileSync(at("message"), "the message\n");
  const argv = ["seal", "-r", at("key.pem"), "--oaep", "sha1", "-o", at("m.p11s"), at("message")];
  expect(await p11seal(argv)).toMatchObject({ status: 0 });
}, 60_000);

afterEach(async () => {
  agent.child.kill("SIGCONT");
  await agent.stop();
});

/** Returns how often the function that fails was reached. */
async function begin(fault?: (faults: Faults) => Fault): Promise<() => number> {
  let set: Fault | undefined;
  const module =
    fault === undefined
      ? SOFTHSM_MODULE
      : (await softHsmBehind((faults) => (set = fault(faults)))).module;
  agent = await startAgent(folder, ["--module", module, "-i", token.uri], {});
  return () => set?.hits ?? 0;
}

/** Without a token of its own: only the agent can open it. */
function open(): Promise<Ended> {
  const env = { ...agent.env, P11SEAL_MODULE: "/nonexistent/module.so" };
  return p11seal(["open", "--json", at("m.p11s")], { env });
}

/** A client of another agent's, stopped for longer than it would wait while the PIN is fetched. */
async function stoppedClient(): Promise<Ended> {
  const source = `cmd:sleep 17; echo ${USER_PIN}`;
  const other = await startAgent(folder, [
    ...["--module", SOFTHSM_MODULE, "-i", token.uri, "--pin-source", source],
  ]);
  try {
    const env = { ...other.env, P11SEAL_MODULE: "/nonexistent/module.so" };
    const client = start(["open", "--json", at("m.p11s")], { env });
    // It has asked by then.
    await sleep(1_000);
    client.child.kill("SIGSTOP");
    await sleep(15_500);
    client.child.kill("SIGCONT");
    return await client.ended;
  } finally {
    await other.stop();
  }
}

/** With a token of its own, as everybody has. */
function openAnyhow(): Promise<Ended> {
  const pin = join(agent.socket, "..", "..", "pin");
  const env = { ...agent.env, P11SEAL_MODULE: SOFTHSM_MODULE, P11SEAL_PIN_SOURCE: `file:${pin}` };
  return p11seal(["open", "--json", "-i", token.uri, at("m.p11s")], { env });
}

describe("an agent", () => {
  it("that was killed leaves a dead socket: open works by itself, and a new agent takes its place", async () => {
    await begin();
    expect(await open()).toMatchObject({ status: 0 });
    agent.child.kill("SIGKILL");
    await agent.ended;
    expect(await openAnyhow()).toMatchObject({ status: 0, stderr: "" });
    const argv = ["agent", "run", "--module", SOFTHSM_MODULE, "--pin-source", "cmd:false"];
    const next = start(argv, { env: agent.env });
    let status: number | null = 3;
    for (let tries = 0; tries < 50 && status !== 0; tries++) {
      status = (await p11seal(["agent", "status"], { env: agent.env })).status;
    }
    expect(status).toBe(0);
    next.child.kill("SIGTERM");
    await next.ended;
  });

  itOnLinux(
    "that is killed while it opens a message is one error, and the next open works",
    async () => {
      const hits = await begin((faults) => faults.hang("C_UnwrapKey"));
      const opening = open();
      await until(() => hits() > 0, "the agent to use the key");
      agent.child.kill("SIGKILL");
      const ended = await opening;
      expect({ status: ended.status, code: errorCode(ended) }).toEqual({
        ...{ status: 5, code: "ERR_AGENT_LOST" },
      });
      expect(ended.stderr.trim().split("\n")).toHaveLength(1);
      expect(await openAnyhow()).toMatchObject({ status: 0 });
    },
  );

  itOnLinux("whose token is pulled gives one error, and after one more PIN it works", async () => {
    const rv = "CKR_DEVICE_REMOVED";
    await begin((faults) => faults.fail("C_UnwrapKey", { at: 2, times: 1, rv }));
    expect(await open()).toMatchObject({ status: 0 });
    const ended = await open();
    expect({ status: ended.status, code: errorCode(ended) }).toEqual({
      ...{ status: 5, code: "ERR_TOKEN_REMOVED" },
    });
    expect(agent.pinsFetched()).toBe(1);
    expect(await open()).toMatchObject({ status: 0 });
    expect(await open()).toMatchObject({ status: 0 });
    expect(agent.pinsFetched()).toBe(2);
  });

  itOnLinux("whose module crashes gives one error, and lives on", async () => {
    await begin((faults) => faults.crash("C_UnwrapKey", { at: 2, times: 1 }));
    expect(await open()).toMatchObject({ status: 0 });
    const ended = await open();
    expect({ status: ended.status, code: errorCode(ended) }).toEqual({
      ...{ status: 5, code: "ERR_TOKEN_CRASHED" },
    });
    expect(await open()).toMatchObject({ status: 0 });
    expect(agent.pinsFetched()).toBe(2);
  });

  itOnLinux(
    "that is stopped is one error within a time limit; once it goes on, it has forgotten the PIN",
    async () => {
      const waited = stoppedClient();
      await begin();
      expect(await open()).toMatchObject({ status: 0 });
      agent.child.kill("SIGSTOP");
      const ended = await open();
      expect({ status: ended.status, code: errorCode(ended) }).toEqual({
        ...{ status: 5, code: "ERR_AGENT_LOST" },
      });
      agent.child.kill("SIGCONT");
      // It notices at its next tick.
      await sleep(2 * TICK_MS);
      expect(agent.pinsFetched()).toBe(1);
      expect(await open()).toMatchObject({ status: 0 });
      expect(await open()).toMatchObject({ status: 0 });
      expect(agent.pinsFetched()).toBe(2);
      expect(await waited).toMatchObject({ status: 0 });
    },
    60_000,
  );
});

describe("the PIN", () => {
  itOnLinux(
    "is in no environment, command line or memory of the agent and its client",
    async () => {
      // A token with a PIN that is nowhere else.
      const { stdout } = await startProgram("sh", [
        "-c",
        `umask 077; printf %s "$1" > "$2"`,
        "sh",
        PIN,
        at("long-pin"),
      ]).ended;
      expect(stdout).toHaveLength(0);
      const special = await freshToken("long-pin");
      const id = Uint8Array.of(1);
      await importKey(special, TEST_KEYS.rsa2048, {
        label: "x",
        id,
        privateHalf: { UNWRAP: true },
      });
      await withRawSession(special, (native, session) => {
        native.C_SetPIN(session, USER_PIN, PIN);
      });
      const options = [
        "--module",
        SOFTHSM_MODULE,
        "-i",
        special.uri,
        "--pin-source",
        `file:${at("long-pin")}`,
      ];
      agent = await startAgent(folder, options);
      const { pid = 0 } = agent.child;
      // This client has the token logged in, gets its key, and waits for the end of the message.
      const env = { ...agent.env, P11SEAL_MODULE: "/nonexistent/module.so" };
      const client = start(["open", "--json", "-o", at("out"), "-"], { env, stdin: null });
      const message = readFileSync(at("m.p11s"));
      client.child.stdin?.write(message.subarray(0, -1));
      await untilUsed();
      const { pid: clientPid = 0 } = client.child;
      expect(memoryHas(clientPid, PIN)).toBe(false);
      expect(readFileSync(`/proc/${clientPid}/environ`, "latin1")).not.toContain(PIN);
      // It is at work: what it was given is there to be found.
      expect(memoryHas(clientPid, at("out"))).toBe(true);
      client.child.stdin?.end(message.subarray(-1));
      expect(await client.ended).toMatchObject({ status: 0 });
      for (const name of ["environ", "cmdline"]) {
        for (const one of [pid, ...childrenOf(pid)]) {
          expect(readFileSync(`/proc/${one}/${name}`, "latin1")).not.toContain(PIN);
        }
      }
      const { stdout: shown } = await startProgram("ps", ["-o", "args=", "-p", String(pid)]).ended;
      expect(shown.toString()).toBe("p11seal agent\n");
      expect(memoryHas(pid, PIN)).toBe(false);
      // The test can find it: where the module is, it must be.
      expect(childrenOf(pid).some((child) => memoryHas(child, PIN))).toBe(true);
      expect(await p11seal(["agent", "lock"], { env: agent.env })).toMatchObject({ status: 0 });
      await until(() => childrenOf(pid).length === 0, "the token's process to end");
    },
  );
});

/** Waits until the agent has given a key away. */
async function untilUsed(): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { stdout } = await p11seal(["agent", "status", "--json"], { env: agent.env });
    if (/"uses": ?[1-9]/.test(stdout.toString())) return;
  }
  throw new Error("no key was used");
}

function childrenOf(pid: number): number[] {
  return readdirSync("/proc").flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 4).split(" ")[0]);
      return /^\d+$/.test(name) && parent === pid ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

/** Whether a process has the text in memory that it can write to, in either of V8's encodings. */
function memoryHas(pid: number, text: string): boolean {
  const wanted = [Buffer.from(text, "latin1"), Buffer.from(text, "utf16le")];
  const memory = openSync(`/proc/${pid}/mem`, "r");
  try {
    return readFileSync(`/proc/${pid}/maps`, "latin1")
      .split("\n")
      .some((line) => {
        const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
        if (from === undefined || to === undefined) return false;
        return regionHas(memory, Number(`0x${from}`), Number(`0x${to}`), wanted);
      });
  } finally {
    closeSync(memory);
  }
}

function regionHas(memory: number, from: number, to: number, wanted: readonly Buffer[]): boolean {
  const OVERLAP = 64;
  const chunk = Buffer.alloc(1024 * 1024);
  for (let at = from; at < to; at += chunk.length - OVERLAP) {
    try {
      const read = readSync(memory, chunk, 0, Math.min(chunk.length, to - at), at);
      if (wanted.some((one) => chunk.subarray(0, read).includes(one))) return true;
    } catch {
      return false;
    }
  }
  return false;
}
