/**
 * Signed messages that a custodian re-wrapped for others: whose word the receiver takes, and what
 * is said of where a message came from. The receiver's key lies on a token that counts logins.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { concat, toHex, u32 } from "../../../../src/bytes.js";
import type { Custodian } from "../../../../src/envelope/rewrapping.js";
import { sealMessage } from "../../../../src/envelope/messages.js";
import type { Extension } from "../../../../src/envelope/native/header.js";
import type { RecordFields } from "../../../../src/envelope/native/rewrap-record.js";
import { parsePublicKey } from "../../../../src/keys/formats/key-file.js";
import type { Recipient } from "../../../../src/keys/key.js";
import { requireExchange } from "../../../../src/keys/recipient-strength.js";
import { verifyReceipt } from "../../../../src/records/audit/receipt.js";
import { addEntry } from "../../../../src/records/directory/directory-file.js";
import type { DirectoryEntry, DirectoryKind } from "../../../../src/records/directory/directory.js";
import { openHomeLedger } from "../../../../src/records/ledger/home-ledger.js";
import type { WrappedModule } from "../../../../src/testing/index.js";
import { softHsmBehind } from "../../../support/behind-shim.js";
import { identityOf, recipientOf } from "../../../support/identities.js";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import { describeNss, freshNssToken } from "../../../support/nss.js";
import {
  custodianOf,
  RECORD,
  recordFor,
  rewrapped,
  withExtensions,
} from "../../../support/rewrapped.js";
import { freshToken, importKey, type TestToken, USER_PIN } from "../../../support/softhsm.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import {
  outcomes,
  receiverHome,
  SENDER,
  signedMessage,
  told,
  type Told,
} from "../../support/signed.js";
import { p11seal } from "../../support/spawn.js";

const root = temporaryFolder();
const DAY = 86_400_000;
const VAULT = custodianOf("ed25519");
const OTHER = custodianOf("rsa2048");

let folder: string;
let home: string;
let faulty: WrappedModule;
let token: TestToken;
const there = (name: string): string => join(folder, name);

beforeAll(async () => {
  writeKeys(root);
  writeFileSync(join(root, "vault.pem"), publicPem(TEST_KEYS.ed25519));
  writeFileSync(join(root, "zoe.key"), TEST_KEYS.p384, { mode: 0o600 });
  writeFileSync(join(root, "receipt.key"), TEST_KEYS.ed25519, { mode: 0o600 });
  faulty = await softHsmBehind();
  token = await freshToken("passed-on");
  const privateHalf = { DERIVE: true, SIGN: false };
  await importKey(token, TEST_KEYS.p256, { label: "bob", id: Uint8Array.of(1), privateHalf });
});

beforeEach(async () => {
  folder = join(root, "case");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  home = await receiverHome(join(folder, "home"));
  await know("custodians", "vault", VAULT);
});

async function know(
  kind: DirectoryKind,
  name: string,
  { publicKey }: Pick<Custodian, "publicKey">,
  limits: Partial<DirectoryEntry> = {},
): Promise<void> {
  await addEntry(home, kind, { name, publicKey, source: "test", addedMs: Date.now(), ...limits });
}

/** Runs the command with the token's PIN at hand, and a list of the calls to the module. */
async function run(...argv: string[]): Promise<Told> {
  faulty.forgetCalls();
  const env = {
    P11SEAL_HOME: home,
    P11SEAL_SYSTEM_MODULES: "0",
    P11SEAL_MODULE: faulty.module,
    P11SEAL_PIN_SOURCE: "env:PIN",
    PIN: USER_PIN,
  };
  return told(await p11seal(argv, { cwd: folder, env }));
}

const open = (...argv: string[]): Promise<Told> => run("open", "--json", "-i", token.uri, ...argv);

/** How often the token was logged in to, or its key used. */
const uses = (): number =>
  faulty.calls().filter(({ fn }) => /^C_(?:Login|DeriveKey|UnwrapKey|Decrypt)$/.test(fn)).length;

const lastLine = (): unknown =>
  JSON.parse(readFileSync(join(home, "audit.jsonl"), "utf8").trimEnd().split("\n").at(-1) ?? "");

/** Zoe's message to the holder of the X25519 key, who passes it on: to Bob, or to others. */
async function passedOn(
  options: {
    custodian?: Custodian;
    nowMs?: number;
    createdMs?: number;
    content?: string;
    add?: readonly Recipient[];
  } = {},
): Promise<Uint8Array> {
  const { custodian = VAULT, nowMs = Date.now(), createdMs = Date.now() - 1000 } = options;
  const { add = [recipientOf("p256")] } = options;
  const whole = await signedMessage(options.content ?? "content", { to: ["x25519"], createdMs });
  return rewrapped(whole, { custodian, nowMs, add });
}

const records = (change: (record: Extension) => readonly Extension[]) => async () =>
  withExtensions(await passedOn(), (all) =>
    all.flatMap((one) => (one.type === RECORD ? change(one) : [one])),
  );

describe("a message that a custodian passed on", () => {
  it("opens with the custodian's name and --from, and says who sealed it and who passed it on", async () => {
    writeFileSync(there("m"), await passedOn());
    const receipt = ["--receipt", "rc", "--receipt-key", join(root, "receipt.key")];
    const opened = await open(
      "--from",
      "zoe",
      "--custodian",
      "vault",
      ...receipt,
      "-o",
      "out",
      "m",
    );
    expect(opened).toMatchObject({ status: 0 });
    expect(readFileSync(there("out"), "utf8")).toBe("content");
    expect(opened.stderr).toMatch(
      /sealed by "zoe" for others; given to you by custodian "vault" on 20\S+Z, generation 1/,
    );
    const by = { custodian: toHex(VAULT.publicKey.fingerprint), generation: 1 };
    expect(lastLine()).toMatchObject({
      outcome: "opened",
      sender: toHex(SENDER.publicKey.fingerprint),
      passedOn: by,
    });
    expect(verifyReceipt(readFileSync(there("rc")))).toMatchObject({ passedOn: by });

    const verified = await run("receipt", "verify", "--key", join(root, "vault.pem"), "rc");
    expect(verified.stdout.toString()).toMatch(/^sent by +zoe, SHA256:/m);
    expect(verified.stdout.toString()).toMatch(/^passed on by +vault, SHA256:/m);
    expect(verified.stdout.toString()).toMatch(/^re-wrapped +20\S+Z, generation 1$/m);
    const argv = ["receipt", "verify", "--json", "--key", join(root, "vault.pem"), "rc"];
    const data: unknown = JSON.parse((await run(...argv)).stdout.toString());
    expect(data).toMatchObject({ sender: { name: "zoe" }, passedOn: { name: "vault" } });

    const log = await run("audit-log", "verify");
    expect(log).toMatchObject({ status: 0 });
    expect(log.stdout.toString()).toMatch(
      /^1 message +opened that custodian "vault" had passed on +SHA256:/m,
    );
  });

  it("opens without a policy too, with the custodian's name only", async () => {
    writeFileSync(there("m"), await passedOn());
    const refused = await open("m");
    expect(refused).toMatchObject({ status: 6, code: "ERR_REWRAPPED" });
    expect(uses()).toBe(0);
    const opened = await open("--custodian", "VAULT", "m");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stdout.toString()).toBe("content");
    expect(uses()).toBeGreaterThan(0);
    expect(opened.stderr).toMatch(/sealed by "zoe" for others; given to you by custodian "vault"/);
    expect(outcomes(home)).toEqual(["ERR_REWRAPPED", "opened"]);
  });

  it("opens where config.toml names the custodian; the command line names others instead", async () => {
    const config = 'require = "signed"\ncustodians = ["vault"]\n';
    writeFileSync(join(home, "config.toml"), config, { mode: 0o600 });
    writeFileSync(there("m"), await passedOn());
    await know("custodians", "other", OTHER);
    const other = await open("--custodian", "other", "m");
    expect(other).toMatchObject({ status: 6, code: "ERR_REWRAPPED" });
    const both = ["--custodian", "other", "--custodian", "vault"];
    expect(await open(...both, "-o", "both", "m")).toMatchObject({ status: 0 });
    writeFileSync(there("n"), await passedOn());
    expect(await open("-o", "out", "n")).toMatchObject({ status: 0 });
  });

  it("tells of the last custodian, and counts how often it was re-wrapped", async () => {
    await know("custodians", "other", OTHER);
    const first = await passedOn();
    const second = await rewrapped(first, {
      custodian: OTHER,
      nowMs: Date.now(),
      add: [recipientOf("p521")],
    });
    writeFileSync(there("m"), second);
    const vault = await open("--from", "zoe", "--custodian", "vault", "m");
    expect(vault).toMatchObject({ status: 6, code: "ERR_REWRAPPED" });
    const opened = await open("--from", "zoe", "--custodian", "other", "m");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stderr).toMatch(/given to you by custodian "other" on \S+, generation 2/);
  });

  it("opens after its custodian's key has expired, if it was re-wrapped before", async () => {
    await know("custodians", "vault", VAULT, { notAfterMs: Date.now() - DAY });
    writeFileSync(there("m"), await passedOn({ nowMs: Date.now() - 2 * DAY }));
    const opened = await open("--from", "zoe", "--custodian", "vault", "m");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stderr).toContain('custodian "vault"');
  });

  it("is a replay if its original was opened, and the other way round", async () => {
    const both = await signedMessage("x", { to: ["x25519", "p256"] });
    const add = [recipientOf("p521")];
    const copy = await rewrapped(both, { custodian: VAULT, nowMs: Date.now(), add });
    writeFileSync(there("original"), both);
    writeFileSync(there("copy"), copy);
    const from = ["--from", "zoe", "--custodian", "vault"];
    expect(await open(...from, "original")).toMatchObject({ status: 0 });
    expect(await open(...from, "copy")).toMatchObject({ status: 6, code: "ERR_REPLAYED" });
    expect(uses()).toBe(0);

    const next = await signedMessage("y", { to: ["x25519", "p256"] });
    writeFileSync(there("next"), next);
    const nextCopy = await rewrapped(next, { custodian: VAULT, nowMs: Date.now(), add });
    writeFileSync(there("next-copy"), nextCopy);
    expect(await open(...from, "next-copy")).toMatchObject({ status: 0 });
    expect(await open(...from, "next")).toMatchObject({ status: 6, code: "ERR_REPLAYED" });
    expect(uses()).toBe(0);
  });

  it("is as old as its sender made it, however lately it was re-wrapped", async () => {
    writeFileSync(there("m"), await passedOn({ createdMs: Date.now() - 8 * DAY }));
    const stale = await open("--from", "zoe", "--custodian", "vault", "m");
    expect(stale).toMatchObject({ status: 6, code: "ERR_STALE" });
    expect(uses()).toBe(0);
  });

  it("from a sender who is not trusted stays refused", async () => {
    writeFileSync(there("m"), await passedOn());
    rmSync(join(home, "senders.toml"));
    const refused = await open("--from", "any", "--custodian", "vault", "m");
    expect(refused).toMatchObject({ status: 6, code: "ERR_SENDER_UNKNOWN" });
    expect(uses()).toBe(0);
  });
});

describe("before a PIN is asked for, and with no trace in the ledger, open refuses", () => {
  const fieldChanges: readonly (readonly [string, Partial<RecordFields>])[] = [
    ["rewrappedMs", { rewrappedMs: 1 }],
    ["custodianKeyId", { custodianKeyId: OTHER.publicKey.fingerprint }],
    ["generation", { generation: 9 }],
    ["previous", { previous: new Uint8Array(32).fill(1) }],
    ["addressees", { addressees: [new Uint8Array(32)] }],
    ["recipsHash", { recipsHash: new Uint8Array(32) }],
    ["rulesHash", { rulesHash: new Uint8Array(32) }],
  ];
  const signature = records(({ type, body }) => {
    const changed = body.slice();
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    return [{ type, body: changed }];
  });

  const cases: readonly (readonly [string, string, () => Promise<Uint8Array>])[] = [
    ...fieldChanges.map(
      ([field, changes]) =>
        ["ERR_REWRAP_RECORD", `${field} altered`, () => altered(changes)] as const,
    ),
    ["ERR_REWRAP_RECORD", "the signature altered", signature],
    ["ERR_REWRAP_RECORD", "a record copied from another message", copied],
    ["ERR_REWRAP_RECORD", "two records", records((one) => [one, one])],
    ["ERR_REWRAPPED", "no record", records(() => [])],
    [
      "ERR_REWRAPPED",
      "a record by a sender",
      () => passedOn({ custodian: custodianOf("rsa3072") }),
    ],
    ["ERR_REWRAPPED", "a record by an unknown key", () => passedOn({ custodian: OTHER })],
    [
      "ERR_CUSTODIAN_EXPIRED",
      "a record by an expired custodian",
      () => passedOn({ custodian: custodianOf("rsa4096") }),
    ],
    [
      "ERR_CUSTODIAN_NOT_YET_VALID",
      "a record from before the custodian's time",
      () => passedOn({ nowMs: Date.now() - 300 * DAY }),
    ],
    ["ERR_FROM_FUTURE", "a record from the future", () => passedOn({ nowMs: Date.now() + DAY })],
  ];

  it.each(cases)("%s: %s", async (code, _what, make) => {
    await know("custodians", "vault", VAULT, { notBeforeMs: Date.now() - 30 * DAY });
    await know("senders", "sam", custodianOf("rsa3072"));
    const expired = { notAfterMs: Date.now() - DAY };
    await know("custodians", "late", custodianOf("rsa4096"), expired);
    writeFileSync(there("m"), await make());
    const names = ["--custodian", "vault", "--custodian", "sam", "--custodian", "late"];
    for (const argv of [["--from", "any", "-o", "out"], []]) {
      const refused = await open(...argv, ...names, "m");
      expect(refused).toMatchObject({ status: 6, code });
      expect(refused.stdout).toHaveLength(0);
      expect(uses()).toBe(0);
    }
    expect(outcomes(home)).toEqual([code, code]);
    const ledger = await openHomeLedger(home);
    expect(await ledger.status()).toMatchObject({ reserved: 0, accepted: 0, delivered: 0 });
    await ledger.close();
    // And doctor says so, and why.
    const doctor = await run("doctor", "--json", "-i", token.uri, ...names, "m");
    expect(doctor.status).toBe(6);
    expect(JSON.parse(doctor.stdout.toString())).toMatchObject({ opens: false, cause: { code } });
    expect(uses()).toBe(0);
  });

  it("a custodian called any, and says how to name one", async () => {
    writeFileSync(there("m"), await passedOn());
    const refused = await open("--custodian", "any", "m");
    expect(refused).toMatchObject({ status: 2, code: "ERR_USAGE" });
  });

  it("a custodian whom nobody named, with the name in the hint", async () => {
    writeFileSync(there("m"), await passedOn());
    const { stderr } = await open("m");
    expect(stderr).toContain("--custodian vault");
    const misspelt = await open("--custodian", "vualt", "m");
    expect(misspelt.code).toBe("ERR_REWRAPPED");
    await run("custodians", "remove", "--yes", "vault");
    expect((await open("--custodian", "vualt", "m")).stderr).toContain("vualt");
  });

  /** The record with a field changed, and the signature that it had. */
  async function altered(changes: Partial<RecordFields>): Promise<Uint8Array> {
    const whole = await passedOn();
    const lengthOf = (body: Uint8Array): number => 4 + Buffer.from(body).readUInt32BE();
    const other = (await recordFor(whole, VAULT, changes)).body;
    return withExtensions(whole, (all) =>
      all.map(({ type, body }) => {
        if (type !== RECORD) return { type, body };
        const fields = other.subarray(4, lengthOf(other));
        const rest = body.subarray(lengthOf(body));
        return { type, body: concat(u32(fields.length), fields, rest) };
      }),
    );
  }

  async function copied(): Promise<Uint8Array> {
    const other = await recordFor(await passedOn(), VAULT, { rewrappedMs: Date.now() });
    return withExtensions(await passedOn(), (all) =>
      all.map((one) => (one.type === RECORD ? other : one)),
    );
  }
});

describe("inspect and doctor, of a message that a custodian passed on,", () => {
  const inspected = async (...argv: string[]): Promise<string> =>
    (await run("inspect", ...argv, "m")).stdout.toString();

  it("say who sealed it and who passed it on, and whether open would take it", async () => {
    writeFileSync(there("m"), await passedOn());
    const sentence = /sealed by "zoe" for others; given to you by custodian "vault" on \S+, gen/;
    expect(await inspected()).toMatch(sentence);
    expect(await inspected()).toMatch(/^verified .*the wrapped keys are the custodian's$/m);
    const info = JSON.parse(await inspected("--json")) as { verified: string[]; claimed: string[] };
    expect(info).toMatchObject({
      sender: {
        name: "zoe",
        passedOn: {
          name: "vault",
          keyId: toHex(VAULT.publicKey.fingerprint),
          generation: 1,
          addressees: 2,
        },
      },
    });
    expect(info.verified).toContain("sender.passedOn");
    expect(info.claimed).toContain("recipients");
    expect(JSON.stringify(info)).not.toContain('"publicKey"');

    const refused = await run("doctor", "-i", token.uri, "m");
    expect(refused.status).toBe(6);
    expect(refused.stdout.toString()).toMatch(/will not open\n.*cause: .*custodian "vault"/s);
    expect(refused.stdout.toString()).toContain("--custodian vault");
    const taken = await run("doctor", "-i", token.uri, "--custodian", "vault", "m");
    expect(taken.status).toBe(0);
    expect(taken.stdout.toString()).toMatch(sentence);
    const json = await run("doctor", "--json", "-i", token.uri, "--custodian", "vault", "m");
    expect(JSON.parse(json.stdout.toString())).toMatchObject({
      cause: null,
      passedOn: { name: "vault", generation: 1 },
    });
    expect((await run("doctor", "--custodian", "vault")).status).toBe(2);
  });

  it("give no name to a key that is no custodian's, or was not valid then", async () => {
    writeFileSync(there("m"), await passedOn({ custodian: OTHER }));
    expect(await inspected()).toMatch(/given to you by an unknown key, SHA256:[0-9a-f]{64}, on/);
    await know("custodians", "other", OTHER, { notAfterMs: Date.now() - DAY });
    expect(await inspected()).toMatch(
      /given to you by a key that was not valid, .*"other" was val/,
    );
    expect(JSON.parse(await inspected("--json"))).toMatchObject({
      sender: { passedOn: { name: null, limit: expect.stringContaining("other") as unknown } },
    });
  });

  it("say that a record does not hold", async () => {
    writeFileSync(there("m"), await records((one) => [one, one])());
    expect(await inspected()).toMatch(/^passed on NOT TO BE OPENED: the custodian's record does/m);
    expect(JSON.parse(await inspected("--json"))).toMatchObject({
      recordFault: expect.stringContaining("does not hold") as unknown,
      sender: { signature: "holds", recipientsIntact: false },
    });
  });

  it("say whose record an unsigned message has, which opens for anybody", async () => {
    const sealed = await sealMessage(Buffer.from("x"), { recipients: [recipientOf("x25519")] });
    const whole = await rewrapped(await sealed.stream().bytes(), {
      custodian: VAULT,
      nowMs: Date.now(),
      identities: [identityOf("x25519")],
    });
    writeFileSync(there("m"), whole);
    const said = /given to you by custodian "vault" on \S+, generation 1; nobody signed what it/;
    expect(await inspected()).toMatch(said);
    expect(JSON.parse(await inspected("--json"))).toMatchObject({ passedOn: { name: "vault" } });
    const opened = await open("m");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stderr).toMatch(said);
    expect(lastLine()).not.toHaveProperty("passedOn");
    expect(await open("--from", "any", "--custodian", "vault", "m")).toMatchObject({
      status: 6,
      code: "ERR_UNSIGNED",
    });
  });
});

describeNss("through NSS softoken", () => {
  it("what a custodian passed on opens, and is refused before a PIN otherwise", async () => {
    const nss = await freshNssToken();
    const env = { ...nss.env, P11SEAL_HOME: home, P11SEAL_SYSTEM_MODULES: "0", PIN: USER_PIN };
    const access = ["--module", nss.module, "--pin-source"];
    const cli = async (...argv: string[]): Promise<Told> =>
      told(await p11seal(argv, { cwd: folder, env }));
    const made = ["--token", nss.uri, "--label", "bob", "--type", "ec:p256", "-o", "bob.pem"];
    expect(await cli("keys", "generate", ...made, ...access, "env:PIN")).toMatchObject({
      status: 0,
    });
    const { publicKey } = parsePublicKey(readFileSync(there("bob.pem")), "bob.pem");
    const add = [{ publicKey: requireExchange(publicKey) }];
    writeFileSync(there("m"), await passedOn({ add }));

    const asking = [...access, `cmd:echo asked >> asked; echo ${USER_PIN}`];
    const opening = ["open", "--json", "-i", `${nss.uri};object=bob`, ...asking];
    for (const argv of [[], ["--from", "zoe"], ["--custodian", "zoe"]]) {
      const refused = await cli(...opening, ...argv, "m");
      expect(refused).toMatchObject({ status: 6, code: "ERR_REWRAPPED" });
      expect(existsSync(there("asked"))).toBe(false);
    }
    const opened = await cli(...opening, "--from", "zoe", "--custodian", "vault", "m");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stdout.toString()).toBe("content");
    expect(readFileSync(there("asked"), "utf8")).toBe("asked\n");
  });
});
