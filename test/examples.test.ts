/** The programs in examples/, run as their first comments say, against the built package. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { rewrapMessage } from "../src/envelope/rewrap-message.js";
import { softwareIdentity } from "../src/software/software-identity.js";
import { temporaryFolder, writeKeys } from "./cli/support/folder.js";
import { p11seal, startProgram, until, type Ended } from "./cli/support/spawn.js";
import { recipientOf } from "./support/identities.js";
import { publicPem, TEST_KEYS } from "./support/keys.js";
import { custodianOf } from "./support/rewrapped.js";
import { freshToken, importKey, SOFTHSM_MODULE, USER_PIN } from "./support/softhsm.js";

const examples = join(import.meta.dirname, "..", "examples");
const root = temporaryFolder();
const content = randomBytes(700_000);
let cases = 0;
let folder: string;
const there = (name: string): string => join(folder, name);

const run = (name: string, args: readonly string[], env: Record<string, string> = {}) =>
  startProgram(process.execPath, [join(examples, name), ...args], { cwd: folder, env });

async function cli(...argv: string[]): Promise<void> {
  const env = { P11SEAL_HOME: there("home") };
  expect(await p11seal(argv, { cwd: folder, env })).toMatchObject({ status: 0 });
}

beforeAll(() => {
  writeKeys(root);
});

beforeEach(() => {
  folder = join(root, `case-${cases++}`);
  mkdirSync(folder);
  writeKeys(folder);
  writeFileSync(there("report.txt"), content);
});

it("each is tested here", () => {
  expect(readdirSync(examples).sort()).toEqual([
    // test/testing/fresh-projects.test.ts
    "ci",
    "development-token.mjs",
    "open-with-a-token.mjs",
    "receive-once.mjs",
    "receive-with-a-policy.mjs",
    "seal-in-a-service.mjs",
  ]);
});

describe("the service that seals", () => {
  it("gives back a message for its recipient, and goes on after a request that broke off", async () => {
    const service = run("seal-in-a-service.mjs", ["alice.pem", "0"]);
    let said = "";
    service.child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await until(() => said.includes("\n"), "the service listens");
    const url = said.replace("listening on ", "").trim();

    const broken = request(url, { method: "POST", headers: { "content-length": 700_000 } });
    broken.on("error", () => undefined);
    broken.write(content.subarray(0, 300_000));
    const answer = (await once(broken, "response")) as [IncomingMessage];
    answer[0].on("error", () => undefined).resume();
    broken.destroy();

    const response = await fetch(url, { method: "POST", body: content });
    expect(response.status).toBe(200);
    writeFileSync(there("m.p11s"), Buffer.from(await response.arrayBuffer()));
    service.child.kill();
    await service.ended;
    await cli("open", "-i", "alice.key", "-o", "out", "m.p11s");
    expect(readFileSync(there("out")).equals(content)).toBe(true);
  });
});

describe("the program that opens with a token", () => {
  async function openWithPin(pin: string): Promise<Ended> {
    const token = await freshToken("example");
    const key = { label: "exchange", id: Uint8Array.of(1), privateHalf: { UNWRAP: true } };
    await importKey(token, TEST_KEYS.rsa2048, key);
    writeFileSync(there("token.pin"), `${pin}\n`, { mode: 0o600 });
    await cli("seal", "-r", "alice.pem", "--oaep", "sha1", "-o", "m.p11s", "report.txt");
    const args = [`${token.uri};object=exchange`, "file:token.pin", "m.p11s", "out"];
    const env = { P11SEAL_MODULE: SOFTHSM_MODULE, P11SEAL_HOME: there("home") };
    return run("open-with-a-token.mjs", args, env).ended;
  }

  it("writes the plaintext", async () => {
    expect(await openWithPin(USER_PIN)).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(there("out")).equals(content)).toBe(true);
  });

  it("says with which code it failed, and leaves nothing", async () => {
    const { status, stderr } = await openWithPin("9999");
    expect(status).toBe(1);
    expect(stderr).toMatch(/^ERR_PIN_REFUSED: /);
    expect(readdirSync(folder).filter((name) => name.startsWith("out"))).toEqual([]);
  });
});

describe("the program that makes a development token", () => {
  const make = (pinFile: string): Promise<Ended> => {
    const uri = `pkcs11:token=dev?pin-source=file:${pinFile}`;
    return run("development-token.mjs", [uri, "dev", SOFTHSM_MODULE]).ended;
  };

  it("makes it, and opens with it", async () => {
    writeFileSync(there("dev.pin"), "246810\n", { mode: 0o600 });
    const { status, stdout, stderr } = await make(there("dev.pin"));
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.toString()).toMatch(/^made pkcs11:token=dev;.*;object=exchange;.*\na trial\n$/);
  });

  it("says with which code it failed", async () => {
    const { status, stderr } = await make(there("no.pin"));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^ERR_PIN_SOURCE_FAILED: /);
  });
});

describe("the receiver with a policy", () => {
  const receive = (message: string): Promise<Ended> =>
    run("receive-with-a-policy.mjs", ["alice.key", "zoe.pem", "seen", message, "out"]).ended;

  beforeEach(async () => {
    writeFileSync(there("zoe.key"), TEST_KEYS.p384, { mode: 0o600 });
    writeFileSync(there("zoe.pem"), publicPem(TEST_KEYS.p384));
    const seal = ["seal", "-r", "alice.pem", "report.txt"];
    await cli(...seal, "--sign-with", "zoe.key", "-o", "zoe.p11s");
    await cli(...seal, "--sign-with", "bob.key", "-o", "bob.p11s");
    await cli(...seal, "-o", "unsigned.p11s");
    const message = readFileSync(there("zoe.p11s"));
    writeFileSync(there("cut.p11s"), message.subarray(0, -1));
  });

  it("accepts a message once, also after it was cut", async () => {
    expect(await receive("cut.p11s")).toMatchObject({ status: 1 });
    expect(await receive("zoe.p11s")).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(there("out")).equals(content)).toBe(true);
    const again = await receive("zoe.p11s");
    expect(again).toMatchObject({ status: 1 });
    expect(again.stderr).toMatch(/^REPLAYED: /);
  });

  it.each([
    ["unsigned.p11s", "UNSIGNED"],
    ["bob.p11s", "STRANGER"],
    ["cut.p11s", "ERR_"],
  ])("refuses %s: %s, and leaves nothing", async (message, code) => {
    const { status, stderr } = await receive(message);
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toMatch(new RegExp(`^${code}`));
    expect(readdirSync(folder).filter((name) => name.startsWith("out"))).toEqual([]);
    expect(existsSync(there("seen")) ? readdirSync(there("seen")) : []).toEqual([]);
  });
});

describe("the receiver that does as open --from", () => {
  const receive = (message: string, output = "out"): Promise<Ended> =>
    run("receive-once.mjs", [there("home"), "alice.key", message, output]).ended;

  beforeEach(async () => {
    writeFileSync(there("zoe.key"), TEST_KEYS.p384, { mode: 0o600 });
    writeFileSync(there("zoe.pem"), publicPem(TEST_KEYS.p384));
    const seal = ["seal", "-r", "alice.pem", "report.txt"];
    await cli(...seal, "--sign-with", "zoe.key", "-o", "zoe.p11s");
    await cli(...seal, "--sign-with", "bob.key", "-o", "bob.p11s");
    await cli(...seal, "-o", "unsigned.p11s");
    writeFileSync(there("cut.p11s"), readFileSync(there("zoe.p11s")).subarray(0, -1));
    await cli("senders", "add", "zoe", "zoe.pem");
  });

  it("delivers, without a key, what a killed run had accepted", async () => {
    const crash = `import fs from "node:fs";
      import { syncBuiltinESMExports } from "node:module";
      fs.linkSync = () => process.kill(process.pid, "SIGKILL");
      syncBuiltinESMExports();`;
    writeFileSync(there("crash.mjs"), crash);
    const args = [there("home"), "alice.key", "zoe.p11s", "out"];
    const env = { NODE_OPTIONS: `--import ${there("crash.mjs")}` };
    expect((await run("receive-once.mjs", args, env).ended).status).not.toBe(0);
    expect(existsSync(there("out"))).toBe(false);
    args[1] = "no.key";
    const { status, stdout } = await run("receive-once.mjs", args).ended;
    expect(status).toBe(0);
    expect(stdout.toString()).toMatch(/^delivered message /);
    expect(readFileSync(there("out")).equals(content)).toBe(true);
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("accepts a message once, also for the command line, and after it was cut", async () => {
    expect(await receive("cut.p11s")).toMatchObject({ status: 1 });
    expect(await receive("zoe.p11s")).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(there("out")).equals(content)).toBe(true);
    const again = await receive("zoe.p11s", "twice");
    expect(again).toMatchObject({ status: 1 });
    expect(again.stderr).toMatch(/^ERR_REPLAYED: /);
    const args = ["open", "-i", "alice.key", "--from", "zoe", "-o", "twice", "zoe.p11s"];
    const env = { P11SEAL_HOME: there("home") };
    expect(await p11seal(args, { cwd: folder, env })).toMatchObject({ status: 6 });
    expect(await p11seal(["ledger", "status"], { cwd: folder, env })).toMatchObject({ status: 0 });
    expect(await p11seal(["audit-log", "verify"], { cwd: folder, env })).toMatchObject({
      status: 0,
    });
    expect(existsSync(there("twice"))).toBe(false);
  });

  it("takes what a custodian passed on once config.toml names the custodian", async () => {
    const bytes = readFileSync(there("zoe.p11s"));
    const { header, oldHeaderBytes } = await rewrapMessage(bytes, {
      identities: [softwareIdentity(readFileSync(there("alice.key")), "alice.key")],
      custodian: custodianOf("ed25519"),
      ...{ add: [recipientOf("p521")], remove: [], nowMs: Date.now() },
    });
    writeFileSync(there("passed.p11s"), Buffer.concat([header, bytes.subarray(oldHeaderBytes)]));
    writeFileSync(there("vault.pem"), publicPem(TEST_KEYS.ed25519));
    await cli("custodians", "add", "vault", "vault.pem");
    const refused = await receive("passed.p11s");
    expect(refused).toMatchObject({ status: 1 });
    expect(refused.stderr).toMatch(/^ERR_REWRAPPED: .*custodian "vault"/);
    const config = join(there("home"), "config.toml");
    writeFileSync(config, 'custodians = ["vault"]\n', { mode: 0o600 });
    expect(await receive("passed.p11s")).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(there("out")).equals(content)).toBe(true);
    const log = readFileSync(join(there("home"), "audit.jsonl"), "utf8");
    expect(log).toContain('"passedOn":{"custodian":');
    expect((await receive("zoe.p11s", "twice")).stderr).toMatch(/^ERR_REPLAYED: /);
  });

  it.each([
    ["unsigned.p11s", "ERR_UNSIGNED"],
    ["bob.p11s", "ERR_SENDER_UNKNOWN"],
    ["cut.p11s", "ERR_"],
  ])("refuses %s: %s, and leaves nothing", async (message, code) => {
    const { status, stderr } = await receive(message);
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toMatch(new RegExp(`^${code}`));
    expect(readdirSync(folder).filter((name) => /out|part/.test(name))).toEqual([]);
  });
});
