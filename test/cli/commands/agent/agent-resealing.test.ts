/** `reseal`, where an agent runs: it opens the old message by way of the agent, as `open` does. */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import { freshToken, importKey, SOFTHSM_MODULE, type TestToken } from "../../../support/softhsm.js";
import { startAgent, type TestAgent } from "../../support/agent.js";
import { temporaryFolder } from "../../support/folder.js";
import { errorCode } from "../../support/run.js";
import { p11seal, until, type Ended } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let token: TestToken;
let agent: TestAgent;

beforeAll(async () => {
  token = await freshToken("resealing");
  const privateHalf = { DERIVE: true, UNWRAP: true, DECRYPT: true, SIGN: false };
  await importKey(token, TEST_KEYS.p256, { label: "ec", id: Uint8Array.of(1), privateHalf });
  await importKey(token, TEST_KEYS.rsa2048, { label: "rsa", id: Uint8Array.of(2), privateHalf });
  for (const [name, key] of [
    ["ec", TEST_KEYS.p256],
    ["rsa", TEST_KEYS.rsa2048],
    ["bob", TEST_KEYS.rsa3072],
    ["x", TEST_KEYS.x25519],
    ["signer", TEST_KEYS.ed25519],
  ] as const) {
    writeFileSync(at(`${name}.pem`), publicPem(key));
    writeFileSync(at(`${name}.key`), key, { mode: 0o600 });
  }
  writeFileSync(at("message"), "the message\n");
  const argv = ["seal", "-r", at("ec.pem"), "-r", at("bob.pem"), "-o"];
  expect(await p11seal([...argv, at("ec.p11s"), at("message")])).toMatchObject({ status: 0 });
  const age = [...argv, at("ec.age"), "--format", "age", at("message")];
  expect(await p11seal(age)).toMatchObject({ status: 0 });
}, 60_000);

beforeEach(async () => {
  agent = await startAgent(folder, ["--module", SOFTHSM_MODULE, "-i", token.uri]);
});

afterEach(async () => {
  await agent.stop();
});

interface Way {
  /** The command's own; by default it has no way to a token. */
  readonly module?: string;
}

/** The command asks for no PIN: it has no way to one. */
function reseal(options: readonly string[], files: readonly string[], way: Way = {}) {
  const { module = "/nonexistent/module.so" } = way;
  const env = { ...agent.env, P11SEAL_MODULE: module, P11SEAL_SYSTEM_MODULES: "0" };
  return p11seal(["reseal", "--json", ...options, ...files.map(at)], { env });
}

/** Without the agent: with a key in a file. */
function opened(file: string, key: string): Promise<Ended> {
  return p11seal(["open", "-q", "-i", at(key), at(file)], { env: agent.env });
}

function uses(): readonly Readonly<Record<string, unknown>>[] {
  const path = join(String(agent.env["P11SEAL_HOME"]), "audit.jsonl");
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    .filter(({ event }) => event === "agent");
}

/** A message for these, at `name`. */
async function sealed(name: string, recipients: readonly string[], ...more: readonly string[]) {
  const to = recipients.flatMap((one) => ["-r", at(`${one}.pem`)]);
  const argv = ["seal", ...to, "--force", ...more, "-o", at(name), at("message")];
  expect(await p11seal(argv)).toMatchObject({ status: 0 });
}

/** It is refused with this code, and the agent had nothing to do. */
async function refused(options: readonly string[], code: string, way?: Way): Promise<void> {
  const before = readFileSync(at("m.p11s"));
  const ended = await reseal(options, ["m.p11s"], way);
  const { status, signal } = ended;
  expect({ status, signal, code: errorCode(ended) }).toMatchObject({ signal: null, code });
  expect(readFileSync(at("m.p11s")).equals(before)).toBe(true);
  expect([uses().length, agent.pinsFetched()]).toEqual([0, 0]);
}

describe("reseal, where an agent runs", () => {
  it("seals native and age messages anew with the agent's one PIN, and needs no module", async () => {
    for (const [from, to] of [
      ["ec.p11s", "m.p11s"],
      ["ec.age", "m.age"],
    ] as const) {
      copyFileSync(at(from), at(to));
    }
    const change = ["-r", at("x.pem"), "--remove", at("bob.pem")];
    const { status, stderr } = await reseal(change, ["m.p11s", "m.age"]);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(agent.pinsFetched()).toBe(1);
    await until(() => uses().length === 2, "the last line");
    expect(uses()).toMatchObject([{ outcome: "opened" }, { outcome: "opened" }]);
    for (const name of ["m.p11s", "m.age"]) {
      // Whose key opened it is a recipient as before, though nobody listed it.
      for (const key of ["ec.key", "x.key"]) {
        expect((await opened(name, key)).stdout.toString()).toBe("the message\n");
      }
      expect(await opened(name, "bob.key")).toMatchObject({ status: 3 });
    }
  });

  it("uses the token itself with --no-agent, --module and --pin-source", async () => {
    for (const options of [
      ["--no-agent"],
      ["--module", "/nonexistent/module.so"],
      ["--pin-source", "file:/nonexistent"],
    ]) {
      await sealed("m.p11s", ["ec"]);
      expect(await reseal(options, ["m.p11s"])).toMatchObject({ status: 5 });
    }
    expect([uses().length, agent.pinsFetched()]).toEqual([0, 0]);
  });

  it("does not trouble the agent for what the policy about senders refuses", async () => {
    await sealed("m.p11s", ["ec"], "--sign-with", at("signer.key"));
    await refused([], "ERR_SIGNER");
    await refused(["--from", "any", "--leave-unsigned"], "ERR_SENDER_UNKNOWN");
    const { status, stderr } = await reseal(["--leave-unsigned"], ["m.p11s"]);
    expect({ status, stderr }).toMatchObject({ status: 0 });
  });

  it("does not have a PIN asked for in vain where somebody's key is not known", async () => {
    await sealed("m.p11s", ["ec", "bob", "x"]);
    await refused([], "ERR_UNKNOWN_RECIPIENTS");
    // The token shows which key is the user's own, so one that is not known is somebody's.
    await sealed("m.p11s", ["ec", "bob"]);
    await refused([], "ERR_UNKNOWN_RECIPIENTS", { module: SOFTHSM_MODULE });
    await refused(["--remove", at("ec.pem"), "--remove", at("bob.pem")], "ERR_NO_RECIPIENTS");
  });

  it("leaves out an unknown key only if told so, whichever key the agent has", async () => {
    await sealed("m.p11s", ["ec", "bob"]);
    expect((await reseal(["--drop-unknown"], ["m.p11s"])).status).toBe(0);
    expect((await opened("m.p11s", "ec.key")).stdout.toString()).toBe("the message\n");
    expect(await opened("m.p11s", "bob.key")).toMatchObject({ status: 3 });
    // Of two, the agent's may be the one that is not known; the other one is nobody's here.
    await sealed("m.p11s", ["ec", "bob"]);
    const args = ["-r", at("ec.pem")];
    expect(errorCode(await reseal(args, ["m.p11s"]))).toBe("ERR_UNKNOWN_RECIPIENTS");
    expect(await opened("m.p11s", "bob.key")).toMatchObject({ status: 0 });
  });

  it("keeps all keys that the user's tokens show, not only the one that opened it", async () => {
    await sealed("m.p11s", ["ec", "rsa"], "--oaep", "sha1");
    const { status, stderr } = await reseal([], ["m.p11s"], { module: SOFTHSM_MODULE });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(agent.pinsFetched()).toBe(1);
    for (const key of ["ec.key", "rsa.key"]) {
      expect((await opened("m.p11s", key)).stdout.toString()).toBe("the message\n");
    }
  });

  it("does not use the agent for a key in a file, or another key than -i names", async () => {
    await sealed("m.p11s", ["ec"]);
    expect((await reseal(["-i", at("ec.key")], ["m.p11s"])).status).toBe(0);
    await refused(["-i", `${token.uri};object=rsa`], "ERR_MODULE_NOT_FOUND");
  });

  it("stops when many are forged: someone may be guessing at the agent's key", async () => {
    const files = Array.from({ length: 7 }, (_, n) => `forged-${n}.p11s`);
    for (const name of files) {
      const bytes = readFileSync(at("ec.p11s"));
      // Within the wrapped key.
      const place = 130;
      bytes[place] = (bytes[place] ?? 0) ^ 1;
      writeFileSync(at(name), bytes);
    }
    const { status, stderr } = await reseal(["-r", at("bob.pem")], files);
    expect(status).toBe(4);
    expect(stderr.split("ERR_NOT_AUTHENTIC").length - 1).toBe(5);
    expect(stderr).toContain("ERR_TOO_MANY_FAILURES");
    expect(stderr).toContain("1 more not sealed anew");
  });
});
