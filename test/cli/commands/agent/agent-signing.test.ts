/** `seal`, `reseal` and `rewrap` with a token's signing key, where an agent runs that has it. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { AgentClient } from "../../../../src/agent/client.js";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  USER_PIN,
  type TestToken,
} from "../../../support/softhsm.js";
import { startAgent, type TestAgent } from "../../support/agent.js";
import { temporaryFolder } from "../../support/folder.js";
import { p11seal, until, type Ended } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
let token: TestToken;
let agent: TestAgent;

beforeAll(async () => {
  token = await freshToken("signing");
  const publicUses = { ENCRYPT: false, WRAP: false, DERIVE: false };
  await importKey(token, TEST_KEYS.p384, {
    ...{ label: "sign", id: Uint8Array.of(1), privateHalf: { SIGN: true } },
    publicHalf: { VERIFY: true, ...publicUses },
  });
  await importKey(token, TEST_KEYS.p256, {
    ...{ label: "exchange", id: Uint8Array.of(2), privateHalf: { DERIVE: true } },
    publicHalf: { DERIVE: true, ENCRYPT: false, WRAP: false, VERIFY: false },
  });
  writeFileSync(at("sign.pem"), publicPem(TEST_KEYS.p384));
  writeFileSync(at("exchange.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(at("bob.key"), TEST_KEYS.ed25519, { mode: 0o600 });
  writeFileSync(at("x.pem"), publicPem(TEST_KEYS.x25519));
  writeFileSync(at("x.key"), TEST_KEYS.x25519, { mode: 0o600 });
  writeFileSync(at("message"), "the message\n");
  writeFileSync(at("pin"), USER_PIN, { mode: 0o600 });
  agent = await start("--allow", "sign");
}, 60_000);

afterAll(async () => {
  await agent.stop();
});

const start = (...options: readonly string[]): Promise<TestAgent> =>
  startAgent(folder, ["--module", SOFTHSM_MODULE, "-i", token.uri, ...options]);

/** Without any way to a module or a PIN of its own. */
function run(...argv: readonly string[]): Promise<Ended> {
  return p11seal(argv, { env: { ...agent.env, P11SEAL_MODULE: "/nonexistent/module.so" } });
}

const seal = (name: string, ...options: readonly string[]): Promise<Ended> => {
  const signer = ["--sign-with", `${token.uri};object=sign`];
  const argv = ["seal", "-r", at("x.pem"), ...signer, ...options, "--force", "-o", at(name)];
  return run(...argv, at("message"));
};

function uses(): readonly Readonly<Record<string, unknown>>[] {
  const text = readFileSync(join(String(agent.env["P11SEAL_HOME"]), "audit.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    .filter(({ event }) => event === "agent");
}

async function sender(name: string): Promise<unknown> {
  const { status, stdout } = await run("inspect", "--json", at(name));
  expect(status).toBe(0);
  return (JSON.parse(stdout.toString()) as { sender?: unknown }).sender;
}

describe("seal --sign-with, where an agent runs that may sign", () => {
  it("signs messages with one PIN between them, and starts no module itself", async () => {
    for (const name of ["a.p11s", "b.p11s"]) {
      const { status, stderr } = await seal(name);
      expect({ name, status, stderr }).toEqual({ name, status: 0, stderr: "" });
      const opened = await run("open", "-q", "-i", at("x.key"), at(name));
      expect(opened.stdout.toString()).toBe("the message\n");
    }
    expect(await sender("a.p11s")).toMatchObject({ serial: 1 });
    expect(await sender("b.p11s")).toMatchObject({ serial: 2 });
    expect(agent.pinsFetched()).toBe(1);
    await until(() => uses().length === 2, "the last line");
    expect(uses()).toMatchObject([{ outcome: "signed" }, { outcome: "signed" }]);
  });

  it("is trusted by name, as a message that the token signed", async () => {
    expect(await run("senders", "add", "me", at("sign.pem"))).toMatchObject({ status: 0 });
    expect(await seal("c.p11s")).toMatchObject({ status: 0 });
    const opened = await run("open", "--from", "me", "-i", at("x.key"), at("c.p11s"));
    expect({ status: opened.status, text: opened.stdout.toString() }).toEqual({
      ...{ status: 0, text: "the message\n" },
    });
  });

  it("uses the token itself with --no-agent, --module and --pin-source", async () => {
    for (const options of [
      ["--no-agent"],
      ["--module", "/nonexistent/module.so"],
      ["--pin-source", `file:${at("pin")}`],
    ]) {
      expect(await seal("d.p11s", ...options)).toMatchObject({ status: 5 });
    }
    const own = ["--module", SOFTHSM_MODULE, "--pin-source", `file:${at("pin")}`];
    const before = uses().length;
    expect(await seal("d.p11s", ...own)).toMatchObject({ status: 0 });
    expect(uses()).toHaveLength(before);
  });

  it("signs with no other key, and nothing in CMS", async () => {
    const before = uses().length;
    const other = ["--sign-with", `${token.uri};object=exchange`];
    const argv = ["seal", "-r", at("x.pem"), ...other, "-o", at("e.p11s"), at("message")];
    expect(await run(...argv)).toMatchObject({ status: 5 });
    const cms = ["--format", "cms", "--allow-untrusted-cert"];
    expect((await seal("e.p7m", ...cms)).status).not.toBe(0);
    expect(uses()).toHaveLength(before);
  });

  it("signs what reseal makes anew", async () => {
    copyFileSync(at("c.p11s"), at("anew.p11s"));
    const { status, stderr } = await run(
      ...["reseal", "-i", at("x.key"), "--sign-with", `${token.uri};object=sign`],
      at("anew.p11s"),
    );
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(await sender("anew.p11s")).toMatchObject({ serial: 5 });
    await until(() => uses().length === 4, "the last line");
    expect(uses().at(-1)).toMatchObject({ outcome: "signed" });
  });

  it("does not take a serial number where the agent gets no PIN", async () => {
    await run("agent", "lock");
    writeFileSync(join(agent.socket, "..", "..", "pin"), "9999");
    expect(await seal("f.p11s")).toMatchObject({ status: 5 });
    writeFileSync(join(agent.socket, "..", "..", "pin"), USER_PIN);
    await run("agent", "lock");
    expect(await seal("f.p11s")).toMatchObject({ status: 0 });
    expect(await sender("f.p11s")).toMatchObject({ serial: 6 });
  });
});

describe("an agent that was started without --allow sign", () => {
  it("says so, and is not asked", async () => {
    expect(await capabilities()).toContain("sign");
    await agent.stop();
    agent = await start("--allow", "rewrap");
    const other = await capabilities();
    expect([other.includes("rewrap"), other.includes("sign")]).toEqual([true, false]);
    const { stdout } = await run("agent", "status", "--json");
    expect(JSON.parse(stdout.toString())).toMatchObject({ allows: ["rewrap"] });
    expect(await seal("g.p11s")).toMatchObject({ status: 5 });
    expect(agent.pinsFetched()).toBe(0);
  });

  it("makes a custodian's record for rewrap, which starts no module itself", async () => {
    for (const name of ["h.p11s", "i.p11s"]) {
      const argv = ["seal", "-r", at("exchange.pem"), "--sign-with", at("bob.key"), "-o", at(name)];
      expect(await run(...argv, at("message"))).toMatchObject({ status: 0 });
    }
    const change = (uri: string, ...options: readonly string[]): Promise<Ended> =>
      run("rewrap", "-r", at("x.pem"), "--custodian-key", uri, ...options);
    const uri = `${token.uri};object=sign`;
    for (const options of [["--no-agent"], ["--module", "/nonexistent/module.so"]]) {
      expect(await change(uri, ...options, at("h.p11s"))).toMatchObject({ status: 5 });
    }
    const { status, stderr } = await change(uri, at("h.p11s"), at("i.p11s"));
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(agent.pinsFetched()).toBe(1);
    await until(() => uses().length === 2, "the last line");
    expect(uses()).toMatchObject([{ outcome: "rewrapped" }, { outcome: "rewrapped" }]);
    expect(await run("custodians", "add", "office", at("sign.pem"))).toMatchObject({ status: 0 });
    const opened = await run("open", "--custodian", "office", "-i", at("x.key"), at("i.p11s"));
    expect({ status: opened.status, text: opened.stdout.toString() }).toEqual({
      ...{ status: 0, text: "the message\n" },
    });
  });

  async function capabilities(): Promise<readonly string[]> {
    let client: AgentClient | undefined;
    // Its socket may be there just before it answers.
    for (let tried = 0; tried < 100 && client === undefined; tried++) {
      client = await AgentClient.at(agent.socket);
      if (client === undefined) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    client?.close();
    return client?.capabilities ?? [];
  }
});
