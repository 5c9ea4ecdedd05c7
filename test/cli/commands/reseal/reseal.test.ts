/** `p11seal reseal`: who can open a file afterwards, and what failures leave. */
import {
  chmodSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createHash, createPublicKey, randomBytes } from "node:crypto";
import { join } from "node:path";
import { Encrypter } from "../../../support/typage.js";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { inspectMessage } from "../../../../src/envelope/messages.js";
import { faultShim, NO_SHIM } from "../../../support/file-faults/shim.js";
import { TEST_KEYS } from "../../../support/keys.js";
import { freshToken, importKey, SOFTHSM_MODULE, USER_PIN } from "../../../support/softhsm.js";
import { ALL_KINDS, temporaryFolder, wordsIn, writeKeys } from "../../support/folder.js";
import { errorCode, run, type Outcome } from "../../support/run.js";
import { p11seal as spawned } from "../../support/spawn.js";
import { itIf } from "../../../support/missing.js";

const root = temporaryFolder();
const shim = faultShim(root);
let folder: string;
let env: Record<string, string>;
const at = (name: string): string => join(folder, name);

// Several segments, the last of them short.
const plain = randomBytes(600_000);

beforeEach(() => {
  folder = mkdtempSync(join(root, "run-"));
  env = { P11SEAL_HOME: at("home") };
  writeKeys(folder, ALL_KINDS);
  writeFileSync(at("plan.bin"), plain);
});

/** Names of people's files stand for their paths. */
function p11seal(line: string): Promise<Outcome> {
  return run(wordsIn(folder, line), { env });
}

async function done(line: string): Promise<string> {
  const { status, stderr } = await p11seal(line);
  expect([status, stderr]).toEqual([0, expect.any(String)]);
  return stderr;
}

async function opensFor(file: string, name: string, more = ""): Promise<boolean> {
  const { status, stdout } = await p11seal(`open -i ${name}.key${more} -o - ${file}`);
  expect(status === 0 || status === 3).toBe(true);
  return status === 0 && plain.equals(stdout);
}

const infoOf = (file: string) => inspectMessage(readFileSync(at(file)));

/** The file is as it was, and nothing lies beside it. */
async function fails(line: string, code: string, status?: number): Promise<void> {
  const [before, names] = [readFileSync(at("m.p11s")), readdirSync(folder).sort()];
  const ended = await p11seal(`reseal --json ${line} m.p11s`);
  expect(errorCode(ended)).toBe(code);
  if (status !== undefined) expect(ended.status).toBe(status);
  expect(readFileSync(at("m.p11s")).equals(before)).toBe(true);
  expect(
    readdirSync(folder)
      .sort()
      .filter((name) => name !== "home"),
  ).toEqual(names.filter((name) => name !== "home"));
}

describe("reseal", () => {
  it.each(["p11seal", "age"])("makes a new message, in %s", async (format) => {
    await done(`seal --format ${format} -r alice.pem -r carol.pem -o m.p11s plan.bin`);
    const before = readFileSync(at("m.p11s"));
    chmodSync(at("m.p11s"), 0o640);
    const said = await done("reseal -r dave.pem --remove alice.pem -i carol.key m.p11s");
    expect(said).toContain("m.p11s: sealed anew for 2 recipients, 1 removed\n");
    expect(said).toContain("copies of the old files, as in backups, still open");
    expect(statSync(at("m.p11s")).mode & 0o777).toBe(0o640);
    expect((await infoOf("m.p11s")).format).toBe(format);
    // New bulk under a new key.
    const after = readFileSync(at("m.p11s"));
    expect(after.includes(before.subarray(-64, -32))).toBe(false);
    for (const [name, opens] of Object.entries({ dave: true, carol: true, alice: false })) {
      expect([name, await opensFor("m.p11s", name)]).toEqual([name, opens]);
    }
  });

  it("keeps text as text", async () => {
    await done("seal -a -r alice.pem -o m.p11s plan.bin");
    await done("reseal -r bob.pem -i alice.key m.p11s");
    expect(readFileSync(at("m.p11s"), "utf8")).toMatch(/^-----BEGIN P11SEAL MESSAGE-----\n/);
    expect(await opensFor("m.p11s", "bob")).toBe(true);
  });

  it("leaves nobody out, and keeps nobody, without a word", async () => {
    await done("seal -r alice.pem -r bob.pem -o m.p11s plan.bin");
    await fails("-i alice.key", "ERR_UNKNOWN_RECIPIENTS", 6);
    // Known by name, bob stays.
    await done("recipients add bob bob.pem");
    await done("reseal -i alice.key m.p11s");
    expect(await opensFor("m.p11s", "bob")).toBe(true);
    await done("reseal --remove bob -i alice.key m.p11s");
    expect(await opensFor("m.p11s", "bob")).toBe(false);
    await done("seal --force -r alice.pem -r dave.pem -o m.p11s plan.bin");
    await done("reseal --drop-unknown -i alice.key m.p11s");
    expect((await infoOf("m.p11s")).recipients).toHaveLength(1);
    await fails("--remove alice.pem -i alice.key", "ERR_NO_RECIPIENTS", 2);
    await fails("-r alice.pem --remove alice.pem -i alice.key", "ERR_USAGE", 2);
  });

  it("goes on after a file that nobody would be left to open", async () => {
    await done("seal -r alice.pem -o m.p11s plan.bin");
    await done("seal -r alice.pem -r dave.pem -o n.p11s plan.bin");
    await done("recipients add dave dave.pem");
    const before = readFileSync(at("m.p11s"));
    const ended = await p11seal("reseal --json --remove alice.pem -i alice.key m.p11s n.p11s");
    expect([ended.status, errorCode(ended)]).toEqual([2, "ERR_NO_RECIPIENTS"]);
    expect(readFileSync(at("m.p11s")).equals(before)).toBe(true);
    expect(await opensFor("n.p11s", "dave")).toBe(true);
    expect(await opensFor("n.p11s", "alice")).toBe(false);
  });

  it("refuses to keep a key that has expired", async () => {
    await done("seal -r alice.pem -r bob.pem -o m.p11s plan.bin");
    await done("recipients add bob bob.pem --not-after 2001-01-01");
    await fails("-i alice.key", "ERR_RECIPIENT_EXPIRED", 6);
    await done("reseal --remove bob -i alice.key m.p11s");
  });

  it("keeps, of age's recipients that no file names, the one that opens it", async () => {
    await done("seal --format age -r xenia.pem -r alice.pem -o m.p11s plan.bin");
    await fails("-r alice.pem -i alice.key", "ERR_UNKNOWN_RECIPIENTS", 6);
    await done("reseal -r alice.pem -i xenia.key m.p11s");
    expect(await opensFor("m.p11s", "xenia")).toBe(true);
    await done("reseal --remove xenia.pem -r alice.pem -i xenia.key m.p11s");
    expect(await opensFor("m.p11s", "xenia")).toBe(false);
    expect(await opensFor("m.p11s", "alice")).toBe(true);
  });

  it("makes a signed message its new signer's, and leaves the ledger alone", async () => {
    await done("seal --sign-with signer.key -r alice.pem -r bob.pem -o m.p11s plan.bin");
    const change = "--remove bob.pem -i alice.key";
    await fails(change, "ERR_SIGNER", 6);
    await fails(`--from any ${change} --sign-with vault.key`, "ERR_SENDER_UNKNOWN", 6);
    await done("senders add signer signer.pem");
    await done(`reseal --from signer ${change} --sign-with vault.key m.p11s`);
    await fails(`--from signer ${change} --sign-with vault.key`, "ERR_SENDER_UNKNOWN", 6);
    await done("senders add vault vault.pem");
    expect(await opensFor("m.p11s", "alice", " --from vault")).toBe(true);
    // What was opened once can be sealed anew all the same.
    await done("reseal --from vault -i alice.key --leave-unsigned m.p11s");
    expect((await infoOf("m.p11s")).signed).toBe(false);
  });

  it("takes what a custodian passed on only from one who is accepted by name", async () => {
    await done("seal --sign-with signer.key -r alice.pem -o m.p11s plan.bin");
    await done("rewrap -r carol.pem -i alice.key --custodian-key vault.key m.p11s");
    const change = "-i carol.key --leave-unsigned";
    await fails(change, "ERR_REWRAPPED", 6);
    await done("custodians add vault vault.pem");
    await fails(change, "ERR_REWRAPPED", 6);
    await done(`reseal --custodian vault ${change} -r bob.pem --drop-unknown m.p11s`);
    expect(await infoOf("m.p11s")).toMatchObject({ signed: false });
    expect((await infoOf("m.p11s")).passedOn).toBeUndefined();
    expect(await opensFor("m.p11s", "bob")).toBe(true);
  });

  it("does not remove whom the rules for its place demand, and adds them again", async () => {
    await done("seal -r alice.pem -r bob.pem -o m.p11s plan.bin");
    const spki = createPublicKey(readFileSync(at("bob.pem"))).export({
      format: "der",
      type: "spki",
    });
    const fingerprint = createHash("sha256").update(spki).digest("hex");
    writeFileSync(
      at("p11seal-rules.toml"),
      `root = true\n[[recipient]]\nname = "escrow"\nfingerprint = "SHA256:${fingerprint}"\n` +
        `key = "${spki.toString("base64")}"\n[[rule]]\npaths = ["**"]\nalways = ["escrow"]\n`,
      { mode: 0o600 },
    );
    await fails("--remove bob.pem -r carol.pem -i alice.key --drop-unknown", "ERR_RULES", 6);
    const said = await done(
      "reseal -r carol.pem --drop-unknown --remove alice.pem -i alice.key m.p11s",
    );
    expect(said).toContain('sealed to "escrow" as well');
    expect(await opensFor("m.p11s", "bob")).toBe(true);
    expect(await opensFor("m.p11s", "alice")).toBe(false);
  });

  it("does not give a message a longer life than its sender did", async () => {
    await done("seal --sign-with signer.key --expires 2h -r alice.pem -o m.p11s plan.bin");
    const { sender } = await infoOf("m.p11s");
    await done("reseal -i alice.key --sign-with vault.key --expires 7d m.p11s");
    expect((await infoOf("m.p11s")).sender?.expiresMs).toBe(sender?.expiresMs);
  });

  it("leaves the file as it was if the old message is not whole", async () => {
    await done("seal --sign-with signer.key -r alice.pem -o m.p11s plan.bin");
    const whole = readFileSync(at("m.p11s"));
    const change = "-r bob.pem -i alice.key --sign-with vault.key";
    const bad = (alter: (bytes: Buffer) => Buffer): void => {
      writeFileSync(at("m.p11s"), alter(Buffer.from(whole)));
    };
    for (const length of [1, 100, 300_000]) {
      bad((bytes) => bytes.subarray(0, -length));
      await fails(change, "ERR_TRUNCATED", 4);
    }
    for (const [place, code] of [
      [-1, "ERR_TRAILER"],
      [-1000, "ERR_SEGMENT"],
      [-400_000, "ERR_SEGMENT"],
    ] as const) {
      bad((bytes) => {
        bytes.writeUInt8(bytes.readUInt8(bytes.length + place) ^ 1, bytes.length + place);
        return bytes;
      });
      await fails(change, code, 4);
    }
  });

  it("refuses links, CMS messages, passphrases and what is no message", async () => {
    await done("seal -r alice.pem -o m.p11s plan.bin");
    linkSync(at("m.p11s"), at("second.p11s"));
    await fails("-i alice.key", "ERR_HARD_LINK");
    symlinkSync(at("m.p11s"), at("link.p11s"));
    expect(errorCode(await p11seal("reseal --json -i alice.key link.p11s"))).toBe("ERR_FILE_KIND");
    const second = readFileSync(at("second.p11s"));
    await done("reseal --break-links -i alice.key m.p11s");
    expect(readFileSync(at("second.p11s")).equals(second)).toBe(true);
    await done("seal --force --format cms -r alice.pem -o m.p11s plan.bin");
    await fails("-i alice.key", "ERR_RESEAL");
    const encrypter = new Encrypter();
    encrypter.setPassphrase("correct horse");
    encrypter.setScryptWorkFactor(8);
    writeFileSync(at("m.p11s"), await encrypter.encrypt(plain));
    await fails("-i alice.key", "ERR_RESEAL");
    writeFileSync(at("m.p11s"), plain);
    await fails("-i alice.key", "ERR_NOT_A_MESSAGE");
    expect((await p11seal("reseal -i alice.key -")).status).toBe(2);
    expect((await p11seal("reseal -i alice.key")).status).toBe(2);
  });

  itIf(shim !== undefined, NO_SHIM)("leaves the old file or the new one at a fault", async () => {
    await done("seal -r alice.pem -o m.p11s plan.bin");
    const old = readFileSync(at("m.p11s"));
    const reseal = (more: Record<string, string>) =>
      spawned(["reseal", "-r", at("bob.pem"), "-i", at("alice.key"), at("m.p11s")], {
        cwd: folder,
        env: { ...env, LD_PRELOAD: shim ?? "", ...more },
      });
    expect(await reseal({ FILE_FAULT_COUNT: at("count") })).toMatchObject({ status: 0 });
    const calls = Number(readFileSync(at("count"), "utf8"));
    expect(calls).toBeGreaterThan(4);
    for (let call = 1; call <= calls; call++) {
      writeFileSync(at("m.p11s"), old);
      const kind = call % 2 === 0 ? "kill" : "ENOSPC";
      const { status } = await reseal({ FILE_FAULT: kind, FILE_FAULT_AT: String(call) });
      if (readFileSync(at("m.p11s")).equals(old)) expect(status).not.toBe(0);
      else expect(await opensFor("m.p11s", "bob")).toBe(true);
    }
    writeFileSync(at("m.p11s"), old);
    expect(await reseal({})).toMatchObject({ status: 0 });
    expect(readdirSync(folder).filter((name) => name.includes(".part"))).toEqual([]);
  });

  it("works with a key on a token, and asks for no PIN before all is settled", async () => {
    const token = await freshToken("reseal-card");
    const key = { label: "exchange", id: Uint8Array.of(1), privateHalf: { UNWRAP: true } };
    await importKey(token, TEST_KEYS.rsa2048, key);
    await done("seal --oaep sha1 -r carol.pem -r alice.pem -o m.p11s plan.bin");
    const reseal = (pin: string, ...more: readonly string[]) =>
      spawned(["reseal", "-i", token.uri, "--pin-source", "env:PIN", ...more, at("m.p11s")], {
        cwd: folder,
        env: { ...env, PIN: pin, P11SEAL_MODULE: SOFTHSM_MODULE, P11SEAL_SYSTEM_MODULES: "0" },
      });
    // A wrong PIN, once sent, would be status 5.
    expect(await reseal("9999")).toMatchObject({ status: 6 });
    const ended = await reseal(USER_PIN, "--remove", at("alice.pem"));
    expect([ended.status, ended.stderr]).toEqual([0, expect.any(String)]);
    expect(await opensFor("m.p11s", "carol")).toBe(true);
    expect(await opensFor("m.p11s", "alice")).toBe(false);
  });
});
