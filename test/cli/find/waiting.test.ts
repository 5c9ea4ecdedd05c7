/**
 * A token that is not present yet: the command waits for it or not, and goes on once it appears.
 */
import { generateKeyPairSync } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "@jest/globals";
import { formatUri } from "../../../src/token/uri.js";
import { publicPem } from "../../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../support/softhsm.js";
import { atTerminal } from "../support/at-terminal.js";
import { temporaryFolder } from "../support/folder.js";
import { p11seal, start, until } from "../support/spawn.js";

const folder = temporaryFolder();
let token: TestToken;
/** SoftHSM's token folder for these tests, and the folder for tokens that are unplugged. */
const present = join(folder, "tokens");
const away = join(folder, "away");
const conf = join(folder, "softhsm2.conf");
const env = { SOFTHSM2_CONF: conf, PIN: USER_PIN, P11SEAL_HOME: join(folder, "home") };

function unplug(): void {
  renameSync(present, away);
  mkdirSync(present);
}

function plugIn(): void {
  cpSync(away, present, { recursive: true });
}

beforeAll(async () => {
  token = await freshToken("late");
  const key = { label: "exchange", id: Uint8Array.of(1), privateHalf: { UNWRAP: true } };
  // A label that no other test's token has, since they share SoftHSM's folder.
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await importKey(token, pem, key);
  const original = readFileSync(process.env["SOFTHSM2_CONF"] ?? "", "utf8");
  const tokens = /^directories\.tokendir *= *(.+)$/m.exec(original)?.[1] ?? "";
  cpSync(tokens, present, { recursive: true });
  writeFileSync(conf, original.replace(tokens, present));
  writeFileSync(join(folder, "alice.pem"), publicPem(pem));
  writeFileSync(join(folder, "note"), "worth waiting for\n");
  const argv = ["seal", "-r", "alice.pem", "--oaep", "sha1", "-o", "note.p11s", "note"];
  expect(await p11seal(argv, { cwd: folder })).toMatchObject({ status: 0 });
  unplug();
});

const open = (...more: string[]): string[] => [
  ...["open", "-i", token.uri, "--module", SOFTHSM_MODULE, "--pin-source", "env:PIN"],
  ...[...more, "note.p11s"],
];

it("without a terminal and --wait, a token that is not there is an error at once", async () => {
  const { status, stderr } = await p11seal(open(), { cwd: folder, env });
  expect(status).toBe(5);
  expect(stderr).not.toContain("waiting");
});

it("in vain, --wait ends with the error there is without it", async () => {
  const begun = Date.now();
  const { status, stderr } = await p11seal(open("--wait", "2", "--json"), { cwd: folder, env });
  expect(status).toBe(5);
  expect(Date.now() - begun).toBeGreaterThan(2000);
  expect(stderr).toContain(`insert token "${token.label}", waiting; up to 2 s`);
  expect(stderr).toContain("ERR_TOKEN_NOT_FOUND");
});

it("where no module works, nothing is waited for", async () => {
  const without = { ...env, SOFTHSM2_CONF: join(folder, "missing.conf") };
  const { status, stderr } = await p11seal(open("--wait", "60"), { cwd: folder, env: without });
  expect(status).toBe(5);
  expect(stderr).not.toContain("waiting");
});

it.each(["-1", "soon", "1.5", "9999999"])("--wait %s is a fault of usage", async (seconds) => {
  const { status } = await p11seal(open(`--wait=${seconds}`), { cwd: folder, env });
  expect(status).toBe(2);
});

it("with --wait, a token that comes is used, though the module saw none when it started", async () => {
  const running = start(open("--wait", "60"), { cwd: folder, env });
  let told = "";
  running.child.stderr?.on("data", (chunk: Buffer) => (told += chunk.toString()));
  await until(() => told.includes("waiting"), "the invitation");
  plugIn();
  const { status, stdout } = await running.ended;
  expect([status, stdout.toString()]).toEqual([0, "worth waiting for\n"]);
  unplugAgain();
});

it("without -i, any token will do", async () => {
  const argv = ["open", "--module", SOFTHSM_MODULE, "--pin-source", "env:PIN", "--wait", "60"];
  const running = start([...argv, "note.p11s"], { cwd: folder, env });
  let told = "";
  running.child.stderr?.on("data", (chunk: Buffer) => (told += chunk.toString()));
  await until(() => told.includes("insert a token, waiting"), "the invitation");
  plugIn();
  const { status, stdout } = await running.ended;
  expect([status, stdout.toString()]).toEqual([0, "worth waiting for\n"]);
  unplugAgain();
});

it("at a terminal it is waited for without being told to, until Ctrl-C", async () => {
  const key = formatUri({ token: token.label, object: "exchange" });
  const argv = ["keys", "export", key, "--module", SOFTHSM_MODULE];
  const played = await atTerminal(argv, [["waiting; Ctrl-C to stop", "\u0003"]], {
    cwd: folder,
    env,
  });
  expect(played).toMatchObject({ status: -2, modesKept: true });
});

it.each([["--quiet"], ["--wait=0"]])("at a terminal, %s waits for nothing", async (option) => {
  const argv = ["keys", "export", token.uri, "--module", SOFTHSM_MODULE, option];
  const { status, shown } = await atTerminal(argv, [], { cwd: folder, env });
  expect(status).toBe(5);
  expect(shown).not.toContain("waiting");
});

/** As `unplug`, for a token that was already kept. */
function unplugAgain(): void {
  renameSync(present, join(folder, `used-${(used++).toString()}`));
  mkdirSync(present);
}

let used = 0;
