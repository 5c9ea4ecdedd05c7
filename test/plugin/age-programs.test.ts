/**
 * The plugin driven by age and rage themselves: files are sealed and opened with keys on SoftHSM,
 * the PIN is asked for at a terminal, in a window, or found without either.
 */
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { delimiter, join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { formatAgeRecipient } from "../../src/keys/formats/age-keys.js";
import { formatIdentityFile } from "../../src/plugin/plugin-identity.js";
import type { KeyInfo } from "../../src/token/values.js";
import { commandAtTerminal } from "../cli/support/at-terminal.js";
import { temporaryFolder } from "../cli/support/folder.js";
import { type Ended, startProgram } from "../cli/support/spawn.js";
import { AGE_PEERS, type AgeProgram } from "../support/ages.js";
import { skipped } from "../support/missing.js";
import { freshToken, SOFTHSM_MODULE, softHsmAccess, USER_PIN } from "../support/softhsm.js";
import { PLUGIN } from "./support/plugin-process.js";

const folder = temporaryFolder();
const bin = join(folder, "bin");
const at = (name: string): string => join(folder, name);
const plaintext = randomBytes(70_000);
const env = {
  P11SEAL_HOME: at("home"),
  P11SEAL_MODULE: SOFTHSM_MODULE,
  P11SEAL_PIN_SOURCE: undefined,
  PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}`,
};
const withPin = { ...env, P11SEAL_PIN_SOURCE: `file:${at("pin")}` };

let ec: KeyInfo;

/** A key's identity file, by type. */
const KEYS = { p256tag: "ec", X25519: "x25519", "ssh-rsa": "rsa" } as const;

beforeAll(async () => {
  mkdirSync(bin);
  // The name by which clients of before age 1.3 look for who can address a hardware key.
  for (const name of ["age-plugin-p11", "age-plugin-tag"]) symlinkSync(PLUGIN, join(bin, name));
  writeFileSync(at("plain"), plaintext);
  writeFileSync(at("pin"), USER_PIN, { mode: 0o600 });
  const access = softHsmAccess();
  const token = await freshToken("age-peer");
  const info = await access.findToken({ token: token.label });
  for (const type of ["ec:p256", "x25519", "rsa:2048"] as const) {
    const [label = ""] = type.split(":");
    const request = { type, label, use: "exchange", allowDecrypt: label === "rsa" } as const;
    const { key } = await access.generate(info, request);
    if (key.publicKey === undefined) throw new Error("no public half");
    if (label === "ec") ec = key;
    writeFileSync(at(`${label}.id`), formatIdentityFile(key, key.publicKey));
    writeFileSync(at(`${label}.pub`), `${formatAgeRecipient(key.publicKey)}\n`);
  }
  await access.close();
});

for (const peer of AGE_PEERS) {
  if ("reason" in peer) skipped("age is driven", peer.reason);
  else {
    describe(peer.name, () => {
      suite(peer);
    });
  }
}
if (AGE_PEERS.length === 0) throw new Error("P11SEAL_TEST_AGES is not set: run npm test");

function suite(peer: AgeProgram): void {
  const isRage = peer.name.startsWith("rage");

  /** In a session of its own, so that there is no terminal to ask at. */
  function run(args: readonly string[], environment: Environment): Promise<Ended> {
    return startProgram("setsid", ["--wait", ...peer.command, ...args], {
      ...{ cwd: folder, env: environment },
    }).ended;
  }

  async function seal(name: string, ...to: string[]): Promise<void> {
    const { status, stderr } = await run(["-e", ...to, "-o", name, "plain"], env);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  }

  async function opens(args: readonly string[], environment: Environment = withPin) {
    const { status, stdout, stderr } = await run(["-d", ...args], environment);
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.equals(plaintext)).toBe(true);
  }

  it.each(Object.entries(KEYS))("seals to an identity and opens, %s", async (type, key) => {
    await seal(`${key}.age`, "-i", `${key}.id`);
    expect(readFileSync(at(`${key}.age`)).toString("latin1")).toContain(`\n-> ${type} `);
    await opens(["-i", `${key}.id`, `${key}.age`]);
  });

  it("seals to the recipient of a P-256 key, and opens", async () => {
    await seal("tag.age", "-r", readFileSync(at("ec.pub"), "utf8").trim());
    await opens(["-i", "ec.id", "tag.age"]);
  });

  it("opens with any token, without an identity file", async () => {
    await seal("any.age", "-i", "ec.id");
    await opens(["-j", "p11", "any.age"]);
  });

  it("goes on to another identity if the first is not one of the file's", async () => {
    await seal("second.age", "-i", "rsa.id");
    await opens(["-i", "ec.id", "-i", "rsa.id", "second.age"]);
    const gone = { ...ec, uri: ec.uri.replace("age-peer", "gone") };
    if (ec.publicKey === undefined) throw new Error("no public half");
    writeFileSync(at("gone.id"), formatIdentityFile(gone, ec.publicKey));
    await opens(["-i", "gone.id", "-i", "rsa.id", "second.age"]);
    const { status, stderr } = await run(["-d", "-i", "gone.id", "second.age"], withPin);
    expect(status).toBe(1);
    expect(stderr).toMatch(/no token matches pkcs11:token=gone/);
  });

  it("says that nobody could be asked for the PIN", async () => {
    await seal("ask.age", "-i", "ec.id");
    const { status, stderr } = await run(["-d", "-i", "ec.id", "ask.age"], {
      ...env,
      PINENTRY_PROGRAM: "/nonexistent",
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/no PIN for token "age-peer-.*P11SEAL_PIN_SOURCE/);
  });

  it("says that a stanza for the key was altered", async () => {
    await seal("altered.age", "-i", "ec.id");
    const bytes = readFileSync(at("altered.age"));
    const line = bytes.indexOf("\n", bytes.indexOf("-> p256tag")) + 1;
    bytes[line] = bytes[line] === 0x41 ? 0x42 : 0x41;
    writeFileSync(at("altered.age"), bytes);
    const { status, stdout, stderr } = await run(["-d", "-i", "ec.id", "altered.age"], withPin);
    expect([status, stdout.length]).toEqual([1, 0]);
    expect(stderr).toContain("p256tag stanza was altered");
  });

  if (isRage) opensWithWindow();
  else opensAtTerminal();

  function opensAtTerminal(): void {
    it("asks for the PIN at the terminal, and tells of a wrong one", async () => {
      await seal("terminal.age", "-i", "ec.id");
      const command = [...peer.command, "-d", "-i", "ec.id", "-o", "opened", "terminal.age"];
      const options = { cwd: folder, env: { ...env, P11SEAL_PIN_SOURCE: null } };
      const wrong = await commandAtTerminal(command, [["PIN for token", "9999\r"]], options);
      expect(wrong.shown).toMatch(/token "age-peer-.*" refuses the PIN/s);
      expect(wrong.status).toBe(1);
      const right = await commandAtTerminal(command, [["PIN for token", `${USER_PIN}\r`]], options);
      expect(right.status).toBe(0);
      expect(right.shown).not.toContain(USER_PIN);
      expect(readFileSync(at("opened")).equals(plaintext)).toBe(true);
    });
  }

  function opensWithWindow(): void {
    it("asks for the PIN in a window, once for several identities", async () => {
      await seal("window.age", "-i", "ec.id", "-i", "rsa.id");
      const log = at("pinentry.log");
      const program = pinentry(log);
      const args = ["-i", "ec.id", "-i", "rsa.id", "-i", "x25519.id", "window.age"];
      await opens(args, { ...env, PINENTRY_PROGRAM: program });
      const questions = readFileSync(log, "utf8").match(/^SETDESC .*$/gm);
      expect(questions).toEqual([expect.stringMatching(/PIN for token "age-peer-/)]);
    });
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A window in which somebody types the PIN at once: the Assuan protocol, as far as rage needs. */
function pinentry(log: string): string {
  const program = at("pinentry");
  const lines = [
    "#!/bin/sh",
    "echo 'OK ready'",
    "while read -r command rest; do",
    `  echo "$command $rest" >> '${log}'`,
    `  if [ "$command" = GETPIN ]; then echo 'D ${USER_PIN}'; fi`,
    "  echo OK",
    '  if [ "$command" = BYE ]; then exit; fi',
    "done",
    "",
  ];
  writeFileSync(program, lines.join("\n"));
  chmodSync(program, 0o755);
  return program;
}
