/** `p11seal rewrap` below a rules file: what it repairs, and what it refuses. */
import { createPrivateKey } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { toBase64, toHex } from "../../../../src/bytes.js";
import { inspectMessage } from "../../../../src/envelope/messages.js";
import type { ExchangePublicKey } from "../../../../src/keys/key.js";
import { publicKeyFromSpki } from "../../../../src/keys/public-key.js";
import { requireExchange } from "../../../../src/keys/recipient-strength.js";
import { rulesHash } from "../../../../src/records/rules/rules-signature.js";
import { publicDer, publicPem, TEST_KEYS, type TestKeyName } from "../../../support/keys.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { errorCode, run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
const keyFile = (name: string): string => join(folder, name);

const KEYS = {
  alice: "p256",
  bob: "p384",
  carol: "rsa2048",
  dave: "p521",
  vault: "rsa3072",
} as const satisfies Record<string, TestKeyName>;
type Person = keyof typeof KEYS;
const PEOPLE = Object.keys(KEYS) as Person[];

writeKeys(folder, { ...KEYS, signer: "ed25519", keeper: "rsa4096" });
writeFileSync(keyFile("plain"), "the plan\n");
const lock = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" } as const;
const locked = createPrivateKey(TEST_KEYS[KEYS.alice]).export(lock);
writeFileSync(keyFile("locked.key"), locked, { mode: 0o600 });

const spkiOf = (name: TestKeyName): Uint8Array => publicDer(TEST_KEYS[name]);
const publicKeyOf = (name: Person): ExchangePublicKey =>
  requireExchange(publicKeyFromSpki(spkiOf(KEYS[name])));
const fingerprintOf = (name: TestKeyName): string =>
  toHex(publicKeyFromSpki(spkiOf(name)).fingerprint);
const NAMED = PEOPLE.map(
  (name) =>
    `[[recipient]]\nname = "${name}"\nfingerprint = "SHA256:${fingerprintOf(KEYS[name])}"\n` +
    `key = "${toBase64(spkiOf(KEYS[name]))}"\n`,
).join("");

let runs = 0;
let tree = "";
let home = "";
const at = (name: string): string => join(tree, name);

beforeEach(() => {
  tree = keyFile(`tree${runs}`);
  home = keyFile(`home${runs++}`);
  mkdirSync(tree, { mode: 0o755 });
  mkdirSync(home, { mode: 0o700 });
});

const p11seal = (...args: string[]): Promise<Outcome> => run(args, { env: { P11SEAL_HOME: home } });

/** Messages that were there before the rules. */
async function seal(file: string, to: readonly Person[], ...more: string[]): Promise<void> {
  mkdirSync(dirname(at(file)), { recursive: true, mode: 0o755 });
  const recipients = to.flatMap((name) => ["-r", keyFile(`${name}.pem`)]);
  const done = await p11seal("seal", ...recipients, ...more, "-o", at(file), keyFile("plain"));
  expect([done.status, done.stderr]).toEqual([0, expect.any(String)]);
}

function rules(rule: string, { below = ".", head = "root = true\n" } = {}): string {
  const path = join(tree, below, "p11seal-rules.toml");
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, `${head}${NAMED}[[rule]]\npaths = ["**"]\n${rule}\n`, { mode: 0o644 });
  return path;
}

const as = (name: Person): string[] => ["-i", keyFile(`${name}.key`)];
const rewrap = (...args: string[]): Promise<Outcome> => p11seal("rewrap", "--json", ...args);

async function recipientsOf(file: string): Promise<Person[]> {
  const { recipients } = await inspectMessage(readFileSync(at(file)));
  return PEOPLE.filter((name) => recipients.some((one) => one.matches(publicKeyOf(name))));
}

interface FileResult {
  readonly file?: string;
  readonly result?: string;
}
const results = ({ stdout }: Outcome): FileResult[] =>
  stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as FileResult);

async function expectUntouched(file: string, act: () => Promise<void>): Promise<void> {
  const before = readFileSync(at(file));
  await act();
  expect(readFileSync(at(file))).toEqual(before);
}

describe("rewrap --rules", () => {
  it("adds a missing escrow through a tree, and finds nothing left to do", async () => {
    await seal("1.p11s", ["alice", "vault"], "--oaep", "sha256");
    await seal("deep/2.p11s", ["alice"]);
    await seal("deep/3.age", ["alice"], "--format", "age");
    rules('to = ["alice"]\nalways = ["vault"]\noaep = ["sha256"]');
    const change = ["--rules", "--tree", ...as("alice"), tree];
    for (const name of ["alice", "vault"]) {
      await p11seal("recipients", "add", name, keyFile(`${name}.pem`));
    }
    const audit = (): Promise<Outcome> => p11seal("audit", "--strict", "--tree", tree);
    const before = await audit();
    expect([before.status, before.stdout.toString()]).toEqual([
      6,
      expect.stringContaining("missing-escrow"),
    ]);
    const planned = await p11seal("rewrap", "--dry-run", ...change);
    expect(planned.stdout.toString()).toContain(
      `${at("deep/2.p11s")}: would be re-wrapped, 1 added (by the rules: vault added)\n`,
    );
    expect(await recipientsOf("deep/2.p11s")).toEqual(["alice"]);
    const done = await rewrap(...change);
    expect(done.status).toBe(0);
    expect(results(done).filter(({ result }) => result === "rewrapped")).toEqual([
      expect.objectContaining({
        file: at("deep/2.p11s"),
        byRules: { added: ["vault"], removed: [] },
      }),
      expect.objectContaining({ file: at("deep/3.age") }),
    ]);
    expect(await recipientsOf("deep/2.p11s")).toEqual(["alice", "vault"]);
    const opened = await p11seal("open", ...as("vault"), "-o", "-", at("deep/3.age"));
    expect([opened.status, opened.stdout.toString()]).toEqual([0, "the plan\n"]);
    const after = await audit();
    expect([after.status, after.stdout.toString()]).toEqual([0, ""]);
    const again = await rewrap(...change);
    expect([again.status, results(again).at(-1)]).toEqual([
      0,
      expect.objectContaining({ summary: expect.objectContaining({ unchanged: 3 }) as unknown }),
    ]);
  });

  it("adds whom `to` names, and leaves whom no rule excludes", async () => {
    await seal("m.p11s", ["alice", "dave"]);
    rules('to = ["alice", "bob"]\nalways = ["vault"]');
    expect((await rewrap("--rules", ...as("alice"), at("m.p11s"))).status).toBe(0);
    expect(await recipientsOf("m.p11s")).toEqual(["alice", "bob", "dave", "vault"]);
  });

  it("removes a known key that the rules exclude, and stops at one that nobody knows", async () => {
    await seal("m.p11s", ["alice", "dave"]);
    rules('only = ["alice"]\nalways = ["vault"]');
    const change = ["--rules", ...as("alice"), at("m.p11s")];
    await expectUntouched("m.p11s", async () => {
      const refused = await rewrap(...change);
      expect([refused.status, errorCode(refused)]).toEqual([6, "ERR_RULES"]);
    });
    await p11seal("recipients", "add", "david", keyFile("dave.pem"));
    const done = await rewrap(...change);
    expect(results(done)[0]).toMatchObject({
      result: "rewrapped",
      byRules: { added: ["vault"], removed: ["david"] },
    });
    expect(await recipientsOf("m.p11s")).toEqual(["alice", "vault"]);
  });

  it("removes an excluded key that --remove names", async () => {
    await seal("m.p11s", ["alice", "dave"]);
    rules('only = ["alice"]\nalways = ["vault"]');
    const remove = ["--remove", keyFile("dave.pem"), ...as("alice"), at("m.p11s")];
    expect((await rewrap("--rules", ...remove)).status).toBe(0);
    expect(await recipientsOf("m.p11s")).toEqual(["alice", "vault"]);
  });

  it("adds no second wrapped key where the format does not say whose the first is", async () => {
    writeFileSync(keyFile("xenia.pem"), publicPem(TEST_KEYS.x25519));
    await seal("m.age", ["alice"], "--format", "age", "-r", keyFile("xenia.pem"));
    const named =
      `[[recipient]]\nname = "xenia"\nfingerprint = "SHA256:${fingerprintOf("x25519")}"\n` +
      `key = "${toBase64(spkiOf("x25519"))}"\n`;
    rules('always = ["xenia"]', { head: `root = true\n${named}` });
    await expectUntouched("m.age", async () => {
      const done = await rewrap("--rules", ...as("alice"), at("m.age"));
      expect([done.status, results(done)[0]?.result]).toEqual([0, "unchanged"]);
    });
  });

  it("needs rules", async () => {
    await seal("m.p11s", ["alice"]);
    const refused = await rewrap("--rules", ...as("alice"), at("m.p11s"));
    expect([refused.status, errorCode(refused)]).toEqual([6, "ERR_RULES_REQUIRED"]);
  });

  it("is no deputy for messages that the rules don't explain", async () => {
    // What somebody could carry here, to have it re-wrapped for this folder's readers.
    await seal("escrow-alone.p11s", ["vault"]);
    await seal("allowed-alone.p11s", ["carol"]);
    await seal("stranger.p11s", ["alice", "dave"]);
    await seal("ours.p11s", ["alice", "carol"]);
    rules('to = ["alice", "bob"]\nalways = ["vault"]\nonly = ["alice", "bob", "carol"]');
    const change = ["--rules", "--tree", ...as("vault"), ...as("alice"), tree];
    const done = await rewrap(...change);
    expect(done.status).toBe(6);
    const named = results(done).map(({ file, result }) => [file?.slice(tree.length), result]);
    expect(named).toEqual(
      expect.arrayContaining([
        ["/allowed-alone.p11s", "foreign"],
        ["/escrow-alone.p11s", "foreign"],
        ["/ours.p11s", "rewrapped"],
        ["/stranger.p11s", "foreign"],
      ]),
    );
    expect(await recipientsOf("escrow-alone.p11s")).toEqual(["vault"]);
    // Nor does naming the escrow again make it a reader of this folder.
    const asked = ["-r", keyFile("vault.pem"), "-r", keyFile("bob.pem"), "--tree"];
    const other = await rewrap(...asked, ...as("vault"), tree);
    expect(results(other)).toContainEqual(
      expect.objectContaining({ file: at("escrow-alone.p11s"), result: "foreign" }),
    );
  });
});

describe("rewrap below a rules file", () => {
  it("adds nobody outside `only`, and no key that is too weak", async () => {
    await seal("m.p11s", ["alice", "vault"]);
    rules('only = ["alice", "carol"]\nalways = ["vault"]\nmin_rsa = 3072\noaep = ["sha256"]');
    await expectUntouched("m.p11s", async () => {
      for (const name of ["dave", "carol"]) {
        const refused = await rewrap("-r", keyFile(`${name}.pem`), ...as("alice"), at("m.p11s"));
        expect([refused.status, errorCode(refused)]).toEqual([6, "ERR_RULES"]);
      }
    });
  });

  it("wraps for added RSA keys with the hash that the rules allow alone", async () => {
    await seal("m.p11s", ["alice"]);
    rules('always = ["vault"]\noaep = ["sha384"]');
    const change = ["-r", keyFile("carol.pem"), ...as("alice"), at("m.p11s")];
    expect(errorCode(await rewrap("--oaep", "sha1", ...change))).toBe("ERR_RULES");
    expect((await rewrap(...change)).status).toBe(0);
    const { recipients } = await inspectMessage(readFileSync(at("m.p11s")));
    expect(recipients.flatMap(({ oaep }) => oaep ?? [])).toEqual(["sha384"]);
  });

  it("adds nothing by itself, and says what is missing", async () => {
    await seal("m.p11s", ["alice"]);
    rules('to = ["bob"]\nalways = ["vault"]');
    const done = await p11seal("rewrap", "-r", keyFile("carol.pem"), ...as("alice"), at("m.p11s"));
    expect(done.status).toBe(0);
    expect(done.stderr).toContain('the rules name "vault" as a recipient of everything');
    expect(await recipientsOf("m.p11s")).toEqual(["alice", "carol"]);
  });

  it("does not remove the escrow, but renews its wrapped key", async () => {
    await seal("m.p11s", ["alice", "vault"]);
    rules('to = ["alice"]\nalways = ["vault"]');
    const remove = (name: Person): string[] => ["--remove", keyFile(`${name}.pem`)];
    await expectUntouched("m.p11s", async () => {
      for (const line of [remove("vault"), ["--rules", ...remove("vault")]]) {
        const refused = await rewrap(...line, ...as("alice"), at("m.p11s"));
        expect([refused.status, errorCode(refused)]).toEqual([6, "ERR_RULES"]);
      }
      // With --rules, whom `to` names stays as well.
      const other = await rewrap("--rules", ...remove("alice"), ...as("alice"), at("m.p11s"));
      expect(errorCode(other)).toBe("ERR_RULES");
    });
    const renewed = [...remove("vault"), "-r", keyFile("vault.pem"), ...as("alice"), at("m.p11s")];
    expect((await rewrap(...renewed)).status).toBe(0);
    expect(await recipientsOf("m.p11s")).toEqual(["alice", "vault"]);
    expect((await rewrap("-r", keyFile("bob.pem"), ...as("alice"), at("m.p11s"))).status).toBe(0);
    expect((await rewrap(...remove("alice"), ...as("bob"), at("m.p11s"))).status).toBe(0);
    expect(await recipientsOf("m.p11s")).toEqual(["bob", "vault"]);
  });

  it("puts the rules' hash into the custodian's record", async () => {
    await p11seal("senders", "add", "zoe", keyFile("signer.pem"));
    await seal("m.p11s", ["alice"], "--sign-with", keyFile("signer.key"));
    const path = rules('always = ["vault"]');
    const custodian = ["--custodian-key", keyFile("keeper.key")];
    const done = await rewrap("--rules", ...custodian, ...as("alice"), at("m.p11s"));
    expect(results(done)[0]).toMatchObject({ result: "rewrapped", record: true });
    const { passedOn } = await inspectMessage(readFileSync(at("m.p11s")));
    expect(passedOn?.rulesHash).toBe(toHex(rulesHash(readFileSync(path))));
  });

  it("refuses a message that no rule is about", async () => {
    await seal("m.p11s", ["alice"]);
    writeFileSync(at("notes.txt"), "not a message\n");
    const other = `root = true\n${NAMED}[[rule]]\npaths = ["other/*"]\nalways = ["vault"]\n`;
    writeFileSync(at("p11seal-rules.toml"), other, { mode: 0o644 });
    await expectUntouched("m.p11s", async () => {
      const line = ["--tree", "-r", keyFile("bob.pem"), "--from-key", keyFile("alice.pem")];
      const refused = await rewrap(...line, ...as("alice"), tree);
      expect([refused.status, errorCode(refused)]).toEqual([6, "ERR_RULES_NO_MATCH"]);
      expect(results(refused).map(({ result }) => result)).toContain("not-a-message");
    });
  });
});

describe("rules that can't be believed", () => {
  const signer = fingerprintOf("rsa4096");
  const sign = (path: string, key = "keeper"): Promise<Outcome> =>
    p11seal("rules", "sign", "--key", keyFile(`${key}.key`), path);

  beforeEach(async () => {
    await seal("a/1.p11s", ["alice"]);
    await seal("z/2.p11s", ["alice"]);
  });

  const repair = (): Promise<Outcome> =>
    run(["rewrap", "--json", "--rules", "--tree", "-i", keyFile("locked.key"), tree], {
      env: { P11SEAL_HOME: home },
      answers: ["secret"],
    });

  async function expectRefused(code: string): Promise<void> {
    await expectUntouched("a/1.p11s", async () => {
      const refused = await repair();
      expect([errorCode(refused), refused.asked]).toEqual([code, []]);
      expect(refused.stdout).toHaveLength(0);
    });
  }

  it("let nothing be re-wrapped, wherever they lie", async () => {
    const config = `rules_signer = "${signer}"\n`;
    writeFileSync(join(home, "config.toml"), config, { mode: 0o600 });
    const head = (version: number): string => `root = true\nversion = ${version}\n`;
    const path = rules('to = ["alice"]\nalways = ["vault"]', { below: "z", head: head(2) });
    await expectRefused("ERR_RULES_UNSIGNED");
    expect((await sign(path, "bob")).status).toBe(0);
    await expectRefused("ERR_RULES_SIGNER");
    expect((await sign(path)).status).toBe(0);
    writeFileSync(path, readFileSync(path, "utf8").replace('to = ["alice"]', 'to = ["bob"]'));
    await expectRefused("ERR_RULES_SIGNATURE");
    // The folder beside it is under no rules; where they hold, the key is asked for.
    rules('to = ["alice"]\nalways = ["vault"]', { head: head(3) });
    expect((await sign(at("p11seal-rules.toml"))).status).toBe(0);
    expect((await sign(rules('always = ["vault"]', { below: "z", head: head(4) }))).status).toBe(0);
    const done = await repair();
    expect([results(done)[0]?.result, done.asked.length]).toEqual(["rewrapped", 1]);
  });

  it("nor rules that are malformed, or older than those seen before", async () => {
    const path = rules('always = ["vault"', { below: "z" });
    await expectRefused("ERR_RULES_FILE");
    const config = `rules_signer = "${signer}"\n`;
    writeFileSync(join(home, "config.toml"), config, { mode: 0o600 });
    const signed = async (version: number): Promise<void> => {
      rules('always = ["vault"]', { below: "z", head: `root = true\nversion = ${version}\n` });
      expect((await sign(path)).stderr).toBe("");
    };
    await signed(1);
    const old = [readFileSync(path), readFileSync(`${path}.sig`)] as const;
    await signed(2);
    // A dry run writes nothing, so it remembers nothing either.
    const seen = join(home, "rules-seen.toml");
    const rehearsal = ["rewrap", "--rules", "--dry-run", "--tree", ...as("alice"), tree];
    const rehearsed = await p11seal(...rehearsal);
    expect(rehearsed.stdout.toString()).toContain("2.p11s: foreign");
    expect(existsSync(seen)).toBe(false);
    await p11seal("rules", "explain", at("z/2.p11s"));
    expect(existsSync(seen)).toBe(true);
    writeFileSync(path, old[0]);
    writeFileSync(`${path}.sig`, old[1]);
    await expectRefused("ERR_RULES_VERSION");
  });
});
