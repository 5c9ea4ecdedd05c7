/**
 * Signed messages on the command line: who sent them, whether they are fresh, whether they were
 * seen before.
 */
import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { inspectMessage } from "../../../../src/envelope/messages.js";
import { MAC_BYTES } from "../../../../src/envelope/native/header.js";
import { parsePublicKey } from "../../../../src/keys/formats/key-file.js";
import type { SigningPublicKey } from "../../../../src/keys/key.js";
import { auditFiles, auditWitness } from "../../../../src/records/audit/audit-log.js";
import { openHomeLedger } from "../../../../src/records/ledger/home-ledger.js";
import { verifyReceipt } from "../../../../src/records/audit/receipt.js";
import { rawDatabase } from "../../../records/support/raw-database.js";
import { TEST_KEYS, publicPem } from "../../../support/keys.js";
import { freshToken, SOFTHSM_MODULE, USER_PIN } from "../../../support/softhsm.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import {
  open,
  outcomes,
  receiverHome,
  SENDER,
  signedMessage,
  told,
  writeFiles,
} from "../../support/signed.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const root = temporaryFolder();
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Looking for this key, or loading this module, ends with status 5. */
const NO_TOKEN = ["-i", "pkcs11:token=nobody;object=nothing", "--module", "/nonexistent/module.so"];
const AS_BOB = ["-i", join(root, "bob.key")];

let folder: string;
let home: string;

beforeAll(() => {
  writeKeys(root);
  writeFileSync(join(root, "zoe.key"), TEST_KEYS.p384, { mode: 0o600 });
  writeFileSync(join(root, "zoe.pem"), publicPem(TEST_KEYS.p384));
});

beforeEach(async () => {
  folder = join(root, "case");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  home = await receiverHome(join(folder, "home"));
});

const openHere = (...argv: string[]): ReturnType<typeof open> => open(argv, { cwd: folder, home });
const there = (name: string): string => join(folder, name);

describe("sealing with a signature", () => {
  const seal = (...argv: string[]): Promise<Ended> =>
    p11seal(["seal", "-r", join(root, "bob.pem"), "--json", ...argv], {
      cwd: folder,
      env: { P11SEAL_HOME: home, PIN: USER_PIN },
    });

  beforeEach(() => {
    writeFileSync(there("content"), "content");
  });

  it("by a key file gives out serial after serial, and --from opens what it makes", async () => {
    for (const [index, name] of ["a", "b"].entries()) {
      const argv = ["--sign-with", join(root, "zoe.key"), "--expires", "7d", "-o", name, "content"];
      expect(await seal(...argv)).toMatchObject({ status: 0 });
      const { sender } = await inspectMessage(readFileSync(there(name)));
      expect(sender).toMatchObject({ serial: index + 1, signature: "holds" });
      expect(sender && (sender.expiresMs ?? 0) - sender.createdMs).toBe(7 * DAY);
    }
    const opened = await openHere(...AS_BOB, "--from", "zoe", "-o", "out", "a");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stderr).toContain('from "zoe"');
    expect(readFileSync(there("out"), "utf8")).toBe("content");
  });

  it("counts each named stream on its own", async () => {
    for (const stream of ["one", "two"]) {
      const argv = ["--sign-with", join(root, "zoe.key"), "--stream-name", stream];
      expect(await seal(...argv, "-o", stream, "content")).toMatchObject({ status: 0 });
    }
    const [one, two] = await Promise.all(
      ["one", "two"].map((name) => inspectMessage(readFileSync(there(name)))),
    );
    expect([one?.sender?.serial, two?.sender?.serial]).toEqual([1, 1]);
    expect(one?.sender?.streamId).not.toBe(two?.sender?.streamId);
  });

  it("by a key on a token asks for one PIN and one signature", async () => {
    const token = await freshToken("signer");
    const access = ["--module", SOFTHSM_MODULE, "--pin-source", "env:PIN"];
    const env = { P11SEAL_HOME: home, PIN: USER_PIN };
    const make = ["--token", token.uri, "--label", "sign", "--type", "ec:p256", "--use", "sign"];
    const made = await p11seal(["keys", "generate", ...make, "-o", "sign.pem", ...access], {
      cwd: folder,
      env,
    });
    expect(made).toMatchObject({ status: 0 });
    await p11seal(["senders", "add", "tess", "sign.pem"], { cwd: folder, env });
    const key = `${token.uri};object=sign`;
    const sealed = await seal("-v", "--sign-with", key, ...access, "-o", "m", "content");
    expect(sealed).toMatchObject({ status: 0 });
    expect(sealed.stderr.match(/sign: C_Sign/g)).toHaveLength(1);
    expect(await openHere(...AS_BOB, "--from", "tess", "-o", "out", "m")).toMatchObject({
      status: 0,
    });
    const unasked = await seal(
      "--sign-with",
      key,
      "--module",
      SOFTHSM_MODULE,
      "-o",
      "n",
      "content",
    );
    expect(told(unasked)).toMatchObject({ status: 5, code: "ERR_PIN_MISSING" });
    expect(existsSync(there("n"))).toBe(false);
  });

  it("goes through the threads too", async () => {
    writeFileSync(there("large"), randomBytes(3 * 1024 * 1024));
    const argv = ["--sign-with", join(root, "zoe.key"), "--threads", "2", "-o", "m", "large"];
    expect(await seal(...argv)).toMatchObject({ status: 0 });
    const opening = [...AS_BOB, "--from", "zoe", "--threads", "2", "-o", "out", "m"];
    expect(await openHere(...opening)).toMatchObject({ status: 0 });
    expect(readFileSync(there("out")).equals(readFileSync(there("large")))).toBe(true);
  });

  it("with the key it is sealed to is refused", async () => {
    const ended = await seal("--sign-with", join(root, "bob.key"), "-o", "m", "content");
    expect(told(ended)).toMatchObject({ status: 6, code: "ERR_SAME_KEY" });
  });

  it.each([
    [["--expires", "7d"], "ERR_USAGE"],
    [["--stream-name", "x"], "ERR_USAGE"],
    [["--sign-with", "../zoe.key", "--expires", "soon"], "ERR_DURATION"],
    [["--sign-with", "../zoe.key", "--expires", "0d"], "ERR_DURATION"],
    [["--sign-with", "../zoe.key", "--stream-name", "a b"], "ERR_STREAM_NAME"],
  ])("refuses %j", async (argv, code) => {
    expect(told(await seal(...argv, "-o", "m", "content"))).toMatchObject({ status: 2, code });
    expect(existsSync(there("m"))).toBe(false);
  });

  it("is the only thing that needs counters: without it nothing is written", async () => {
    rmSync(home, { recursive: true });
    expect(await seal("-o", "m", "content")).toMatchObject({ status: 0 });
    expect(existsSync(home)).toBe(false);
  });
});

describe("a message that policy refuses never gets near a token:", () => {
  const cases: [string, string, () => Promise<Buffer>, string[]?][] = [
    ["ERR_STALE", "older than the window", () => signedAt(-8 * DAY)],
    ["ERR_STALE", "older than a window of its own", () => signedAt(-2 * HOUR), ["--window", "1h"]],
    ["ERR_FROM_FUTURE", "from the future", () => signedAt(10 * 60_000)],
    ["ERR_EXPIRED", "expired", () => signedMessage("x", { expiresMs: Date.now() - 1 })],
    ["ERR_SENDER_UNKNOWN", "from a name nobody knows", () => signedMessage("x"), ["--from", "eve"]],
    ["ERR_UNSIGNED", "not signed", unsigned],
    ["ERR_REWRAPPED", "with its wrapped keys exchanged", rewrapped],
  ];

  it.each(cases)("%s, %s", async (code, _what, make, argv = []) => {
    writeFileSync(there("m"), await make());
    const from = argv.includes("--from") ? [] : ["--from", "zoe"];
    for (const target of [["-o", "out"], []]) {
      const refused = await openHere("-v", ...NO_TOKEN, ...from, ...argv, ...target, "m");
      expect(refused).toMatchObject({ status: 6, code });
      expect(refused.stdout).toHaveLength(0);
      expect(refused.stderr).not.toMatch(/unwrap:|module/);
    }
    expect(readdirSync(folder).sort()).toEqual(["home", "m"]);
    expect(outcomes(home)).toEqual([code, code]);
  });

  it("while one that passes does", async () => {
    writeFileSync(there("m"), await signedMessage("x"));
    expect(await openHere(...NO_TOKEN, "--from", "zoe", "m")).toMatchObject({ status: 5 });
  });

  it("ERR_SENDER_UNEXPECTED, ERR_SENDER_UNKNOWN, ERR_SENDER_EXPIRED: what the directory says", async () => {
    writeFileSync(there("m"), await signedMessage("x"));
    copyFileSync(join(root, "alice.pem"), there("a.pem"));
    const env = { P11SEAL_HOME: home };
    await p11seal(["senders", "add", "alice", "a.pem"], { cwd: folder, env });
    const other = await openHere(...NO_TOKEN, "--from", "alice", "m");
    expect(other).toMatchObject({ status: 6, code: "ERR_SENDER_UNEXPECTED" });

    await p11seal(["senders", "remove", "--yes", "zoe"], { cwd: folder, env });
    const removed = await openHere(...NO_TOKEN, "--from", "any", "m");
    expect(removed).toMatchObject({ status: 6, code: "ERR_SENDER_UNKNOWN" });

    const limits = { notAfterMs: Date.now() - DAY };
    const late = await receiverHome(there("late"), limits);
    const expired = await open([...NO_TOKEN, "--from", "any", "m"], { cwd: folder, home: late });
    expect(expired).toMatchObject({ status: 6, code: "ERR_SENDER_EXPIRED" });
  });

  it("ERR_SENDER_SIGNATURE, with status 4: the core was changed", async () => {
    const bytes = await signedMessage("x");
    const at = bytes.indexOf(Buffer.from(SENDER.streamId));
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(there("m"), bytes);
    const forged = await openHere(...NO_TOKEN, "--from", "zoe", "m");
    expect(forged).toMatchObject({ status: 4, code: "ERR_SENDER_SIGNATURE" });
    expect(outcomes(home)).toEqual(["ERR_SENDER_SIGNATURE"]);
  });

  it("ERR_REPLAYED, and ERR_SERIAL_REUSED for another message with its serial", async () => {
    const serial = 4000;
    writeFiles(folder, {
      m: await signedMessage("x", { serial }),
      twin: await signedMessage("y", { serial }),
    });
    expect(await openHere(...AS_BOB, "--from", "zoe", "-o", "out", "m")).toMatchObject({
      status: 0,
    });
    for (const target of [["-o", "again"], []]) {
      const replayed = await openHere(...NO_TOKEN, "--from", "any", ...target, "m");
      expect(replayed).toMatchObject({ status: 6, code: "ERR_REPLAYED" });
      expect(replayed.stdout).toHaveLength(0);
    }
    const reused = await openHere(...NO_TOKEN, "--from", "any", "twin");
    expect(reused).toMatchObject({ status: 6, code: "ERR_SERIAL_REUSED" });
    expect(existsSync(there("again"))).toBe(false);
  });

  it("ERR_OUT_OF_ORDER with --in-order; without it a gap is noted", async () => {
    const stream = { streamId: new Uint8Array(16).fill(9) };
    writeFiles(folder, {
      one: await signedMessage("x", { ...stream, serial: 1 }),
      four: await signedMessage("y", { ...stream, serial: 4 }),
    });
    const inOrder = ["--from", "zoe", "--in-order"];
    expect(await openHere(...AS_BOB, ...inOrder, "one")).toMatchObject({ status: 0 });
    const refused = await openHere(...NO_TOKEN, ...inOrder, "four");
    expect(refused).toMatchObject({ status: 6, code: "ERR_OUT_OF_ORDER" });
    const told = await openHere(...AS_BOB, "--from", "zoe", "four");
    expect(told).toMatchObject({ status: 0 });
    expect(told.stderr).toContain("2 messages of this stream");
  });

  it("ERR_LEDGER_ROLLED_BACK for a ledger that knows of no delivery, though of the message", async () => {
    writeFiles(folder, { m: await signedMessage("x") });
    expect(await openHere(...AS_BOB, "--from", "zoe", "m")).toMatchObject({ status: 0 });
    const ledger = await openHomeLedger(home);
    const { counter } = await ledger.witness();
    await ledger.close();
    expect(await auditWitness(auditFiles(home))).toMatchObject({ counter });

    // As before the delivery was noted.
    const database = rawDatabase(join(home, "ledger.db"));
    database.exec("UPDATE meta SET changes = changes - 1");
    database.close();
    const back = await openHere(...NO_TOKEN, "--from", "zoe", "m");
    expect(back).toMatchObject({ status: 6, code: "ERR_LEDGER_ROLLED_BACK" });
  });

  it("ERR_LEDGER_MISSING, ERR_LEDGER_DAMAGED, ERR_LEDGER_ROLLED_BACK", async () => {
    writeFiles(folder, { m: await signedMessage("x"), n: await signedMessage("y") });
    const ledger = join(home, "ledger.db");
    copyFileSync(ledger, there("old.db"));
    expect(await openHere(...AS_BOB, "--from", "zoe", "m")).toMatchObject({ status: 0 });

    copyFileSync(there("old.db"), ledger);
    const back = await openHere(...NO_TOKEN, "--from", "zoe", "m");
    expect(back).toMatchObject({ status: 6, code: "ERR_LEDGER_ROLLED_BACK" });
    writeFileSync(ledger, randomBytes(8192));
    const damaged = await openHere(...NO_TOKEN, "--from", "zoe", "n");
    expect(damaged).toMatchObject({ status: 6, code: "ERR_LEDGER_DAMAGED" });
    rmSync(ledger);
    const missing = await openHere(...NO_TOKEN, "--from", "zoe", "n");
    expect(missing).toMatchObject({ status: 6, code: "ERR_LEDGER_MISSING" });
    expect(missing.stderr).toContain("ledger init");
  });
});

describe("with a key on a token", () => {
  it("one opening has one unwrap, which is logged; a replay has none, and asks for no PIN", async () => {
    const token = await freshToken("receiver");
    const env = { P11SEAL_HOME: home, PIN: USER_PIN };
    const access = ["--module", SOFTHSM_MODULE, "--pin-source", "env:PIN"];
    const make = ["--token", token.uri, "--label", "exchange", "--type", "ec:p256"];
    const run = (...argv: string[]): Promise<Ended> => p11seal(argv, { cwd: folder, env });
    expect((await run("keys", "generate", ...make, "-o", "me.pem", ...access)).status).toBe(0);
    writeFileSync(there("content"), "content");
    const key = ["--sign-with", join(root, "zoe.key")];
    expect((await run("seal", "-r", "me.pem", ...key, "-o", "m", "content")).status).toBe(0);

    const identity = ["-v", "-i", `${token.uri};object=exchange`, "--from", "zoe"];
    const opened = await run("open", ...identity, ...access, "-o", "out", "m");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stderr.match(/unwrap:/g)).toHaveLength(1);
    const log = readFileSync(join(home, "audit.jsonl"), "utf8").trimEnd().split("\n").at(-1);
    expect(JSON.parse(log ?? "")).toMatchObject({
      outcome: "opened",
      path: expect.stringMatching(/^C_DeriveKey/),
      tokenSerial: expect.stringMatching(/./),
    });

    const receipt = ["--receipt", "rc", "--receipt-key", `${token.uri};object=exchange`];
    const argv = [...identity, "--module", SOFTHSM_MODULE, ...receipt, "-o", "again", "m"];
    const replayed = await openHere(...argv);
    expect(replayed).toMatchObject({ status: 6, code: "ERR_REPLAYED" });
    expect(replayed.stderr).not.toMatch(/unwrap:/);
    const nowhere = await openHere(...NO_TOKEN, "--from", "zoe", ...receipt, "-o", "again", "m");
    expect(nowhere).toMatchObject({ status: 6, code: "ERR_REPLAYED" });
  });
});

describe("nothing leaves, and nothing is burnt,", () => {
  const damages: [string, string, (bytes: Buffer) => Buffer][] = [
    ["ERR_TRUNCATED", "when the trailer is cut", (bytes) => bytes.subarray(0, -1)],
    ["ERR_TRAILER", "when the trailer is another's", (bytes) => flipped(bytes, bytes.length - 1)],
    ["ERR_TRAILER", "when the body was replaced", (bytes) => flipped(bytes, bytes.length - 100)],
    ["ERR_TRAILING", "when something was appended", (bytes) => Buffer.concat([bytes, bytes])],
  ];

  it.each(damages)("%s %s", async (code, _what, damage) => {
    const content = randomBytes(20_000);
    const whole = await signedMessage(content, { segLog2: 12 });
    writeFiles(folder, { bad: damage(whole), good: whole });
    for (const input of ["bad", "-"]) {
      const stdin = readFileSync(there("bad"));
      const argv = [...NO_TOKEN, "--from", "zoe", input];
      const refused = await open(argv, { cwd: folder, home, stdin });
      expect(refused).toMatchObject({ status: 4, code });
      expect(refused.stdout).toHaveLength(0);
    }
    const toFile = await openHere(...AS_BOB, "--from", "zoe", "-o", "out", "bad");
    expect(toFile.status).toBe(4);
    expect(readdirSync(folder).sort()).toEqual(["bad", "good", "home"]);
    const opened = await openHere(...AS_BOB, "--from", "zoe", "good");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stdout.equals(content)).toBe(true);
  });

  it("while --stream lets segments out as they come, says so, and burns nothing either", async () => {
    const content = randomBytes(20_000);
    const whole = await signedMessage(content, { segLog2: 12 });
    writeFiles(folder, { bad: whole.subarray(0, -1), good: whole });
    const cut = await openHere(...AS_BOB, "--from", "zoe", "--stream", "bad");
    expect(cut).toMatchObject({ status: 4, code: "ERR_TRUNCATED" });
    expect(cut.stdout.length).toBeGreaterThan(0);
    expect(cut.stdout.length).toBeLessThan(content.length);
    expect(cut.stderr).toContain("take them back");
    const opened = await openHere(...AS_BOB, "--from", "zoe", "--stream", "good");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stdout.equals(content)).toBe(true);
    expect(await openHere(...AS_BOB, "--from", "zoe", "--stream", "good")).toMatchObject({
      status: 6,
      code: "ERR_REPLAYED",
    });
  });

  it("when the audit log can't be written; afterwards the message is delivered, once", async () => {
    writeFileSync(there("m"), await signedMessage("content"));
    const log = join(home, "audit.jsonl");
    const before = readFileSync(log);
    const argv = [...AS_BOB, "--from", "zoe", "-o", "out", "m"];
    // The head is written after the line; a folder in its place stops the write, even for root.
    rmSync(join(home, "audit.head"));
    mkdirSync(join(home, "audit.head"));
    const refused = await openHere(...argv);
    expect(refused.status).toBe(6);
    expect(existsSync(there("out"))).toBe(false);
    rmSync(join(home, "audit.head"), { recursive: true });
    writeFileSync(log, before, { mode: 0o600 });
    expect(await openHere(...argv)).toMatchObject({ status: 0 });
    expect(readFileSync(there("out"), "utf8")).toBe("content");
    expect(await openHere(...AS_BOB, "--from", "zoe", "-o", "more", "m")).toMatchObject({
      code: "ERR_REPLAYED",
    });
  });
});

describe("a header in a file of its own", () => {
  it("is opened under a policy, to a file and to stdout", async () => {
    for (const target of [["-o", "out"], []]) {
      const whole = await signedMessage("content");
      const { headerBytes } = await inspectMessage(whole);
      writeFiles(folder, { k: whole.subarray(0, headerBytes), b: whole.subarray(headerBytes) });
      const argv = [...AS_BOB, "--from", "zoe", "--key-blob", "k", ...target, "b"];
      const opened = await openHere(...argv);
      expect(opened).toMatchObject({ status: 0 });
      const content = target.length > 0 ? readFileSync(there("out")) : opened.stdout;
      expect(content.toString()).toBe("content");
    }
  });
});

describe("a receipt", () => {
  const receipt = ["--receipt", "rc", "--receipt-key", join(root, "zoe.key")];

  it("says what arrived, of whom, and which bytes it was", async () => {
    const bytes = await signedMessage("content");
    writeFileSync(there("m"), bytes);
    for (const target of [["-o", "out"]]) {
      const argv = [...AS_BOB, "--from", "zoe", ...receipt, ...target, "m"];
      expect(await openHere(...argv)).toMatchObject({ status: 0 });
    }
    const key = parsePublicKey(readFileSync(join(root, "zoe.pem")), "zoe").publicKey;
    const said = verifyReceipt(readFileSync(there("rc")), key as SigningPublicKey);
    const { messageId, sender } = await inspectMessage(bytes);
    const { createHash } = await import("node:crypto");
    expect(said).toMatchObject({
      messageId,
      sender: sender?.keyId,
      serial: sender?.serial,
      sealedSha256: createHash("sha256").update(bytes).digest("hex"),
    });
  });

  it("that can't be made leaves the message to be opened", async () => {
    writeFileSync(there("m"), await signedMessage("content"));
    const same = ["--receipt", "rc", "--receipt-key", join(root, "bob.key")];
    const refused = await openHere(...AS_BOB, "--from", "zoe", ...same, "-o", "out", "m");
    expect(refused).toMatchObject({ status: 6, code: "ERR_SAME_KEY" });
    expect(readdirSync(folder).sort()).toEqual(["home", "m"]);
    const argv = [...AS_BOB, "--from", "zoe", ...receipt, "m"];
    const opened = await openHere(...argv);
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stdout.toString()).toBe("content");
    expect(existsSync(there("rc"))).toBe(true);
  });
});

describe("without a policy", () => {
  it("a signed message says who signed it, by the user's name or by its fingerprint", async () => {
    writeFileSync(there("m"), await signedMessage("content"));
    const known = await openHere(...AS_BOB, "m");
    expect(known).toMatchObject({ status: 0 });
    expect(known.stderr).toMatch(/signed by "zoe".*the signature holds/);
    const options = { cwd: folder, home: there("empty") };
    const unknown = await open([...AS_BOB, "m"], options);
    expect(unknown.stderr).toMatch(/signed by an unknown key.*the signature holds/);
    expect(outcomes(options.home)).toEqual(["opened"]);
  });

  it.each([
    ["ended", { notAfterMs: Date.now() - DAY }, "was valid until"],
    ["has not begun", { notBeforeMs: Date.now() + DAY }, "is not valid before"],
  ])("a sender whose validity %s is not named as if it held", async (_name, limits, fact) => {
    const limited = await receiverHome(there("limited"), limits);
    writeFileSync(there("m"), await signedMessage("content"));
    const opened = await open([...AS_BOB, "m"], { cwd: folder, home: limited });
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stderr).toMatch(new RegExp(`signed by a key that is not valid.*"zoe" ${fact}`));
    const inspected = async (...more: string[]): Promise<string> => {
      const argv = ["inspect", ...more, "m"];
      return String((await p11seal(argv, { cwd: folder, env: { P11SEAL_HOME: limited } })).stdout);
    };
    expect(await inspected()).toMatch(new RegExp(`^sender +nobody: the key of "zoe" ${fact}`, "m"));
    expect(JSON.parse(await inspected("--json"))).toMatchObject({
      sender: { name: null, limit: expect.stringContaining(fact) as unknown },
    });
  });

  it("an audit log that can't be written gives a note, and the message is opened", async () => {
    writeFileSync(there("m"), await unsigned());
    rmSync(join(home, "audit.jsonl"));
    mkdirSync(join(home, "audit.jsonl"));
    const opened = await openHere(...AS_BOB, "m");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stderr).toContain("not in the audit log");
  });

  it.each([["--window", "7d"], ["--in-order"], ["--receipt", "r", "--receipt-key", "k"]])(
    "%s is a fault of usage",
    async (...argv) => {
      writeFileSync(there("m"), await signedMessage("content"));
      expect(await openHere(...AS_BOB, ...argv, "m")).toMatchObject({ status: 2 });
    },
  );
});

describe('require = "signed" in config.toml', () => {
  beforeEach(() => {
    writeFileSync(join(home, "config.toml"), 'require = "signed"\n', { mode: 0o600 });
  });

  it("refuses what is not signed, though nobody said --from", async () => {
    writeFileSync(there("m"), await unsigned());
    const refused = await openHere(...NO_TOKEN, "m");
    expect(refused).toMatchObject({ status: 6, code: "ERR_UNSIGNED" });
  });

  it("opens what a trusted sender signed, once", async () => {
    writeFileSync(there("m"), await signedMessage("content"));
    expect(await openHere(...AS_BOB, "-o", "out", "m")).toMatchObject({ status: 0 });
    const again = await openHere(...AS_BOB, "-o", "again", "m");
    expect(again).toMatchObject({ status: 6, code: "ERR_REPLAYED" });
  });

  it("opens nothing at all while the file is misspelt", async () => {
    writeFileSync(join(home, "config.toml"), 'requires = "signed"\n');
    writeFileSync(there("m"), await unsigned());
    expect(await openHere(...AS_BOB, "m")).toMatchObject({ status: 1, code: "ERR_CONFIG" });
  });
});

describe("inspect", () => {
  const inspect = async (...argv: string[]): Promise<string> => {
    const env = { P11SEAL_HOME: home };
    const { stdout } = await p11seal(["inspect", ...argv], { cwd: folder, env });
    return stdout.toString();
  };

  it("says what is verified and what is only claimed, and the sender's name", async () => {
    writeFileSync(there("m"), await signedMessage("content"));
    const info = JSON.parse(await inspect("--json", "m")) as Record<string, unknown>;
    expect(info).toMatchObject({
      sender: { name: "zoe", signature: "holds" },
      claimed: ["content"],
    });
    expect(info["verified"]).toContain("recipients");
    expect(await inspect("m")).toMatch(/^sender +"zoe", key/m);
  });

  it("verifies nothing of an unsigned message, and gives a forged one no name", async () => {
    writeFileSync(there("m"), await unsigned());
    expect(JSON.parse(await inspect("--json", "m"))).toMatchObject({ verified: [] });
    const bytes = await signedMessage("x");
    const at = bytes.indexOf(Buffer.from(SENDER.streamId));
    writeFileSync(there("n"), flipped(bytes, at));
    const forged = JSON.parse(await inspect("--json", "n")) as unknown;
    expect(forged).toMatchObject({ verified: [], sender: { name: null } });
    expect(await inspect("n")).not.toContain("zoe");
  });
});

const signedAt = (offsetMs: number): Promise<Buffer> =>
  signedMessage("x", { createdMs: Date.now() + offsetMs });

async function unsigned(): Promise<Buffer> {
  const { sealMessage } = await import("../../../../src/envelope/messages.js");
  const { recipientOf } = await import("../../../support/identities.js");
  const sealed = await sealMessage(Buffer.from("x"), { recipients: [recipientOf("p256")] });
  return Buffer.from(await sealed.stream().bytes());
}

/** One bit of a wrapped key changed, which looks like a re-wrapping. */
async function rewrapped(): Promise<Buffer> {
  const bytes = await signedMessage("x");
  const { headerBytes } = await inspectMessage(bytes);
  return flipped(bytes, headerBytes - MAC_BYTES - 1);
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}
