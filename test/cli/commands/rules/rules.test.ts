/**
 * Rules as users meet them: sealing and opening below a rules file, signing it, asking what holds.
 * The tests named after what users of SOPS filed say what became of each here.
 */
import {
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  existsSync,
  readdirSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { toBase64, toHex } from "../../../../src/bytes.js";
import { inspectMessage } from "../../../../src/envelope/messages.js";
import { publicKeyFromSpki } from "../../../../src/keys/public-key.js";
import { publicDer, publicPem, TEST_KEYS, type TestKeyName } from "../../../support/keys.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { errorCode, run, type Outcome, type RunOptions } from "../../support/run.js";

const folder = temporaryFolder();
writeKeys(folder);
const keyFile = (name: string): string => join(folder, name);
writeFileSync(keyFile("carol.sign.key"), TEST_KEYS.ed25519, { mode: 0o600 });
writeFileSync(keyFile("carol.sign.pem"), publicPem(TEST_KEYS.ed25519));
writeFileSync(keyFile("mallory.sign.key"), TEST_KEYS.p384, { mode: 0o600 });
writeFileSync(keyFile("plain"), "plain text\n");

/** Recipients, as in writeKeys, and the escrow. */
const KEYS = {
  alice: "rsa2048",
  bob: "p256",
  carol: "x25519",
  vault: "p521",
} as const satisfies Record<string, TestKeyName>;
writeFileSync(keyFile("vault.key"), TEST_KEYS.p521, { mode: 0o600 });

const keyOf = (name: TestKeyName) => publicKeyFromSpki(publicDer(TEST_KEYS[name]));
const SIGNER = toHex(keyOf("ed25519").fingerprint);
const entry = (name: keyof typeof KEYS): string => {
  const { fingerprint, spki } = keyOf(KEYS[name]);
  return `[[recipient]]\nname = "${name}"\nfingerprint = "SHA256:${toHex(fingerprint)}"\nkey = "${toBase64(spki)}"\n`;
};
const PEOPLE =
  (Object.keys(KEYS) as (keyof typeof KEYS)[]).map(entry).join("") +
  `[[sender]]\nname = "carol"\nfingerprint = "${SIGNER}"\n`;
const ALWAYS = '[[rule]]\npaths = ["**"]\nalways = ["vault"]\n';

let runs = 0;
let tree = "";
let home = "";

beforeEach(() => {
  tree = keyFile(`tree${runs}`);
  home = keyFile(`home${runs++}`);
  mkdirSync(tree, { mode: 0o755 });
  mkdirSync(home, { mode: 0o700 });
});

function rules(text: string, { at = ".", head = "root = true\n" } = {}): string {
  const path = join(tree, at, "p11seal-rules.toml");
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, `${head}${PEOPLE}${text}`, { mode: 0o644 });
  return path;
}

const p11seal = (args: readonly string[], options: RunOptions = {}): Promise<Outcome> =>
  run(args, { env: { P11SEAL_HOME: home }, ...options });
const seal = (target: string, ...args: string[]): Promise<Outcome> =>
  p11seal(["seal", "--json", "-o", join(tree, target), ...args, keyFile("plain")]);
const config = (text: string): void => {
  writeFileSync(join(home, "config.toml"), text, { mode: 0o600 });
};
const pinned = (): void => {
  config(`rules_signer = "${SIGNER}"\n`);
};
const sign = (path: string, key = "carol.sign.key"): Promise<Outcome> =>
  p11seal(["rules", "sign", "--json", "--key", keyFile(key), path]);

/** Whom a sealed file is for, by the names above. */
async function recipientsOf(target: string): Promise<string[]> {
  const { recipients } = await inspectMessage([readFileSync(join(tree, target))]);
  return Object.entries(KEYS).flatMap(([name, key]) => {
    const publicKey = keyOf(key);
    if (publicKey.type === "ed25519") return [];
    return recipients.some((one) => one.matches(publicKey)) ? [name] : [];
  });
}

const opened = (target: string, key: string, ...args: string[]): Promise<Outcome> =>
  p11seal(["open", "--json", "-i", keyFile(key), ...args, join(tree, target)]);

describe("seal under rules", () => {
  it("adds the escrow, and says so", async () => {
    rules(ALWAYS);
    const sealed = await seal("a.p11s", "-r", keyFile("bob.pem"));
    expect(sealed).toMatchObject({ status: 0 });
    expect(sealed.stderr).toContain(
      `sealed to "vault" as well: rule 1 of ${join(tree, "p11seal-rules.toml")}`,
    );
    expect(sealed.stderr).toContain("not signed; whoever can change it chooses the recipients");
    expect(await recipientsOf("a.p11s")).toEqual(["bob", "vault"]);
    const plain = await opened("a.p11s", "vault.key");
    expect(plain.stdout.toString()).toBe("plain text\n");
  });

  it("says nothing of whom it would have added where it refuses, in any of several files", async () => {
    rules(`${ALWAYS}[[rule]]\npaths = ["b/**"]\nonly = ["vault", "alice"]\n`);
    mkdirSync(join(tree, "b"));
    for (const name of ["1", "b/2"]) writeFileSync(join(tree, name), "plain text\n");
    const files = [join(tree, "1"), join(tree, "b", "2")];
    const sealed = await p11seal(["seal", "--json", "-r", keyFile("bob.pem"), ...files]);
    expect([sealed.status, errorCode(sealed)]).toEqual([6, "ERR_RULES"]);
    expect(sealed.stderr).not.toContain("as well");
    expect(existsSync(join(tree, "1.p11s"))).toBe(false);
  });

  it("says nothing of an escrow that is a recipient already", async () => {
    rules(ALWAYS);
    writeFileSync(keyFile("vault.pem"), publicPem(TEST_KEYS.p521));
    const sealed = await seal("a.p11s", "-r", keyFile("vault.pem"));
    expect(sealed).toMatchObject({ status: 0 });
    expect(sealed.stderr).not.toContain("as well");
    expect(await recipientsOf("a.p11s")).toEqual(["vault"]);
  });

  it("takes the rules' recipients where none is named, and -r instead of them", async () => {
    rules('[[rule]]\npaths = ["**"]\nto = ["alice", "carol"]\nalways = ["vault"]\n');
    expect(await seal("a.p11s")).toMatchObject({ status: 0 });
    expect(await recipientsOf("a.p11s")).toEqual(["alice", "carol", "vault"]);
    expect(await seal("b.p11s", "-r", keyFile("bob.pem"))).toMatchObject({ status: 0 });
    expect(await recipientsOf("b.p11s")).toEqual(["bob", "vault"]);
  });

  it("needs a recipient where neither names one", async () => {
    rules('[[rule]]\npaths = ["**"]\nmin_rsa = 2048\n');
    const sealed = await seal("a.p11s");
    expect([sealed.status, errorCode(sealed)]).toEqual([2, "ERR_NO_RECIPIENTS"]);
  });

  it.each([
    ["who is not allowed", 'only = ["alice"]\n', ["-r", "bob.pem"], /allow only others/],
    ["RSA of too few bits", "min_rsa = 3072\n", ["-r", "alice.pem"], /2048 bits.*demand 3072/],
    ["another curve", 'curves = ["P-384"]\n', ["-r", "bob.pem"], /P-256.*allow P-384/],
    ["a key of an age unknown", 'max_age = "30d"\n', ["-r", "bob.pem"], /how old/],
    ["no signature", "signed = true\n", ["-r", "bob.pem"], /not signed/],
    ["no signature of a sender", 'senders = ["carol"]\n', ["-r", "bob.pem"], /not signed/],
    [
      "somebody else's signature",
      'senders = ["carol"]\n',
      ["-r", "bob.pem", "--sign-with", "mallory.sign.key"],
      /not by carol/,
    ],
    ["an old hash", 'oaep = ["sha256"]\n', ["-r", "alice.pem", "--oaep", "sha1"], /not sha1/],
    [
      "age's hash, if it is not allowed",
      'oaep = ["sha384"]\n',
      ["-r", "alice.pem", "--format", "age"],
      /not sha256/,
    ],
    [
      "age, if it has to be signed",
      "signed = true\n",
      ["-r", "bob.pem", "--format", "age"],
      /not signed/,
    ],
  ])("refuses %s", async (_, rule, words, fact) => {
    rules(`[[rule]]\npaths = ["**"]\n${rule}`);
    const args = words.map((word) => (/\.(?:pem|key)$/.test(word) ? keyFile(word) : word));
    const sealed = await seal("a.p11s", ...args);
    expect([sealed.status, errorCode(sealed)]).toEqual([6, "ERR_RULES"]);
    expect(sealed.stderr).toMatch(fact);
    expect(existsSync(join(tree, "a.p11s"))).toBe(false);
  });

  it("wraps for RSA keys with the hash that the rules allow alone", async () => {
    rules('[[rule]]\npaths = ["**"]\noaep = ["sha384"]\n');
    expect(await seal("a.p11s", "-r", keyFile("alice.pem"))).toMatchObject({ status: 0 });
    const { recipients } = await inspectMessage([readFileSync(join(tree, "a.p11s"))]);
    expect(recipients.map(({ oaep }) => oaep)).toEqual(["sha384"]);
  });

  it("counts a key's age from when it was added", async () => {
    await p11seal(["recipients", "add", "bob", keyFile("bob.pem")]);
    rules('[[rule]]\npaths = ["**"]\nmax_age = "30d"\n');
    expect(await seal("a.p11s", "-r", "bob")).toMatchObject({ status: 0 });
    const list = join(home, "recipients.toml");
    const old = readFileSync(list, "utf8").replace(
      /added = ".*?"/,
      'added = "2020-01-01T00:00:00Z"',
    );
    writeFileSync(list, old, { mode: 0o600 });
    const sealed = await seal("b.p11s", "-r", "bob");
    expect(errorCode(sealed)).toBe("ERR_RULES");
    expect(sealed.stderr).toMatch(/d old, the rules allow 30 d/);
  });

  it("tells the rules' hash to whoever reads a signed message", async () => {
    const path = rules('[[rule]]\npaths = ["**"]\nsenders = ["carol"]\n');
    const words = ["-r", keyFile("bob.pem"), "--sign-with", keyFile("carol.sign.key")];
    expect(await seal("a.p11s", ...words)).toMatchObject({ status: 0 });
    const { sender } = await inspectMessage([readFileSync(join(tree, "a.p11s"))]);
    const { createHash } = await import("node:crypto");
    const hash = createHash("sha256").update(readFileSync(path)).digest("hex");
    expect(sender?.rulesHash).toBe(hash);
  });

  it("seals none of several files if one of them may not be", async () => {
    rules('[[rule]]\npaths = ["a*"]\nalways = ["vault"]\n');
    writeFileSync(join(tree, "b"), "b");
    writeFileSync(join(tree, "a"), "a");
    const files = [join(tree, "a"), join(tree, "b")];
    const sealed = await p11seal(["seal", "--json", "-r", keyFile("bob.pem"), ...files]);
    expect([sealed.status, errorCode(sealed)]).toEqual([6, "ERR_RULES_NO_MATCH"]);
    expect(readdirSync(tree).filter((name) => name.endsWith(".p11s"))).toEqual([]);
  });

  it("obeys the rules of both places where header and body part", async () => {
    rules(ALWAYS);
    for (const [header, body] of [
      [join(tree, "k"), keyFile(`body${runs}`)],
      [keyFile(`header${runs}`), join(tree, "m")],
    ] as const) {
      const words = ["--key-blob", header, "-o", body, "-r", keyFile("bob.pem"), keyFile("plain")];
      expect(await p11seal(["seal", ...words])).toMatchObject({ status: 0 });
      const { recipients } = await inspectMessage([readFileSync(header)]);
      expect(recipients).toHaveLength(2);
    }
  });

  it("refuses where the directory's key of that name is another, and the rules have none", async () => {
    await p11seal(["recipients", "add", "escrow", keyFile("bob.pem")]);
    const { fingerprint } = keyOf("p521");
    const text = `[[recipient]]\nname = "escrow"\nfingerprint = "${toHex(fingerprint)}"\n`;
    writeFileSync(
      join(tree, "p11seal-rules.toml"),
      `root = true\n${text}[[rule]]\npaths = ["**"]\nalways = ["escrow"]\n`,
      { mode: 0o644 },
    );
    const sealed = await seal("a.p11s", "-r", keyFile("carol.pem"));
    expect(errorCode(sealed)).toBe("ERR_RULES");
    expect(sealed.stderr).toContain("has another key");
  });
});

describe("what users of SOPS filed", () => {
  const bob = ["-r", keyFile("bob.pem")];

  it("#242: rules are found from the file's folder, not from where the program runs", async () => {
    rules(ALWAYS, { at: "inside" });
    const elsewhere = keyFile(`elsewhere${runs}`);
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, "p11seal-rules.toml"), "not rules at all\n");
    process.chdir(elsewhere);
    expect(await seal("inside/a.p11s", ...bob)).toMatchObject({ status: 0 });
    expect(await recipientsOf("inside/a.p11s")).toEqual(["bob", "vault"]);
    expect(await seal("a.p11s", ...bob)).toMatchObject({ status: 0 });
    expect(await recipientsOf("a.p11s")).toEqual(["bob"]);
  });

  it("#465: a rule's path is relative to its file, however the output is written", async () => {
    rules('[[rule]]\npaths = ["finance/*.p11s"]\nalways = ["vault"]\n');
    mkdirSync(join(tree, "finance"));
    process.chdir(join(tree, "finance"));
    for (const target of [
      "a.p11s",
      "./b.p11s",
      "../finance/c.p11s",
      join(tree, "finance/d.p11s"),
    ]) {
      const sealed = await p11seal(["seal", "-o", target, ...bob, keyFile("plain")]);
      expect([target, sealed.status]).toEqual([target, 0]);
    }
    expect(await recipientsOf("finance/c.p11s")).toEqual(["bob", "vault"]);
  });

  it("#516: the output's place counts, not the input's", async () => {
    rules('[[rule]]\npaths = ["out/**"]\nalways = ["vault"]\n');
    rules('[[rule]]\npaths = ["**"]\nalways = ["alice"]\n', { at: "in" });
    mkdirSync(join(tree, "out"));
    writeFileSync(join(tree, "in/secret"), "x");
    const words = ["-o", join(tree, "out/secret.p11s"), ...bob, join(tree, "in/secret")];
    expect(await p11seal(["seal", ...words])).toMatchObject({ status: 0 });
    expect(await recipientsOf("out/secret.p11s")).toEqual(["bob", "vault"]);
  });

  it("#611: a file that no rule is about is refused with a reason, and opens all the same", async () => {
    const path = rules('[[rule]]\npaths = ["a.p11s"]\nalways = ["vault"]\n');
    const sealed = await seal("b.p11s", ...bob);
    expect([sealed.status, errorCode(sealed)]).toEqual([6, "ERR_RULES_NO_MATCH"]);
    expect(sealed.stderr).toContain(path);
    expect(await seal("a.p11s", ...bob)).toMatchObject({ status: 0 });
    writeFileSync(join(tree, "b.p11s"), readFileSync(join(tree, "a.p11s")));
    const plain = await opened("b.p11s", "bob.key");
    expect(plain).toMatchObject({ status: 0 });
    expect(plain.stderr).toContain("no rule in");
  });

  it("#1029: a rule is matched where a link leads to, as the file is written there", async () => {
    rules('[[rule]]\npaths = ["real/**"]\nalways = ["vault"]\n');
    mkdirSync(join(tree, "real"));
    symlinkSync(join(tree, "real"), join(tree, "link"));
    expect(await seal("link/a.p11s", ...bob)).toMatchObject({ status: 0 });
    expect(await recipientsOf("real/a.p11s")).toEqual(["bob", "vault"]);
  });

  it("#1790: naming recipients outside all rules needs no rule", async () => {
    rules(ALWAYS, { at: "inside" });
    expect(await seal("a.p11s", ...bob)).toMatchObject({ status: 0 });
    expect(await recipientsOf("a.p11s")).toEqual(["bob"]);
  });
});

describe("output to stdout", () => {
  const words = ["seal", "--json", "-a", "-r", keyFile("bob.pem"), keyFile("plain")];

  it("is under no rules, unless it is said where it will be", async () => {
    rules(ALWAYS);
    process.chdir(tree);
    const plain = await p11seal(words);
    expect(plain).toMatchObject({ status: 0 });
    expect((await inspectMessage([plain.stdout])).recipients).toHaveLength(1);
    const ruled = await p11seal([...words, "--as-path", "a.p11s"]);
    expect((await inspectMessage([ruled.stdout])).recipients).toHaveLength(2);
  });

  it("is refused where rules are demanded, as is a place without any", async () => {
    config('rules = "required"\n');
    const none = await p11seal(words);
    expect([none.status, errorCode(none)]).toEqual([6, "ERR_RULES_REQUIRED"]);
    expect(none.stderr).toContain("--as-path");
    expect(errorCode(await seal("a.p11s", "-r", keyFile("bob.pem")))).toBe("ERR_RULES_REQUIRED");
    rules(ALWAYS);
    expect(await seal("a.p11s", "-r", keyFile("bob.pem"))).toMatchObject({ status: 0 });
    const ruled = await p11seal([...words, "--as-path", join(tree, "b.p11s")]);
    expect(ruled).toMatchObject({ status: 0 });
  });

  it("is what --as-path is for", async () => {
    const sealed = await seal("a.p11s", "-r", keyFile("bob.pem"), "--as-path", "x");
    expect([sealed.status, errorCode(sealed)]).toEqual([2, "ERR_USAGE"]);
  });
});

describe("signed rules", () => {
  const head = (version: number): string => `version = ${version}\nroot = true\nenforce = true\n`;

  it("are signed, verified and obeyed", async () => {
    pinned();
    const path = rules(ALWAYS, { head: head(1) });
    expect(await sign(path)).toMatchObject({ status: 0 });
    const verified = await p11seal(["rules", "verify", "--json", path]);
    expect(JSON.parse(verified.stdout.toString())).toMatchObject({
      ...{ rules: path, version: 1, signer: { name: null, fingerprint: `SHA256:${SIGNER}` } },
    });
    const sealed = await seal("a.p11s", "-r", keyFile("bob.pem"));
    expect(sealed).toMatchObject({ status: 0 });
    expect(sealed.stderr).not.toContain("not signed");
    expect(await recipientsOf("a.p11s")).toEqual(["bob", "vault"]);
  });

  it.each([
    ["changed", "ERR_RULES_SIGNATURE"],
    ["unsigned", "ERR_RULES_UNSIGNED"],
    ["signed by another", "ERR_RULES_SIGNER"],
    ["older", "ERR_RULES_VERSION"],
  ])("that are %s let nothing be sealed, nor opened", async (how, code) => {
    pinned();
    const path = rules(ALWAYS, { head: head(2) });
    await sign(path);
    expect(await seal("a.p11s", "-r", keyFile("bob.pem"))).toMatchObject({ status: 0 });
    if (how === "changed") writeFileSync(path, `${readFileSync(path, "utf8")}# more\n`);
    else rmSync(`${path}.sig`);
    if (how === "signed by another") await sign(path, "mallory.sign.key");
    if (how === "older") {
      const real = home;
      home = keyFile(`other-home${runs}`);
      mkdirSync(home, { mode: 0o700 });
      await sign(rules(ALWAYS, { head: head(1) }));
      home = real;
    }
    const sealed = await seal("b.p11s", "-r", keyFile("bob.pem"));
    expect([sealed.status, errorCode(sealed)]).toEqual([6, code]);
    expect(existsSync(join(tree, "b.p11s"))).toBe(false);
    const plain = await opened("a.p11s", "bob.key");
    expect([plain.status, errorCode(plain)]).toEqual([6, code]);
    const verified = await p11seal(["rules", "verify", "--json", path]);
    expect(errorCode(verified)).toBe(code);
  });

  it("are not signed twice under one version, nor without one, nor if they are malformed", async () => {
    const path = rules(ALWAYS, { head: head(2) });
    expect(await sign(path)).toMatchObject({ status: 0 });
    expect(await sign(path)).toMatchObject({ status: 0 });
    expect(errorCode(await sign(rules(`${ALWAYS}# more\n`, { head: head(2) })))).toBe(
      "ERR_RULES_VERSION",
    );
    expect(errorCode(await sign(rules(ALWAYS)))).toBe("ERR_RULES_VERSION");
    expect(errorCode(await sign(rules("[[rule]]\n", { head: head(3) })))).toBe("ERR_RULES_FILE");
  });

  it("are neither signed nor verified where there is no such file", async () => {
    const path = join(tree, "p11seal-rules.toml");
    const verified = await p11seal(["rules", "verify", "--json", path]);
    for (const outcome of [verified, await sign(path)]) {
      expect(errorCode(outcome)).toBe("ERR_READ");
      expect(outcome.stderr).toContain("no such file");
    }
  });

  it("are verified by nobody without a rules_signer", async () => {
    const path = rules(ALWAYS, { head: "version = 1\n" });
    await sign(path);
    expect(errorCode(await p11seal(["rules", "verify", "--json", path]))).toBe(
      "ERR_RULES_UNSIGNED",
    );
  });
});

describe("open under rules", () => {
  const bob = ["-r", keyFile("bob.pem")];

  async function sealedBefore(text: string, version?: number): Promise<void> {
    expect(await seal("a.p11s", ...bob)).toMatchObject({ status: 0 });
    const head = version === undefined ? "" : `version = ${version}\nenforce = true\n`;
    const path = rules(text, { head });
    if (version === undefined) return;
    pinned();
    expect(await sign(path)).toMatchObject({ status: 0 });
  }

  it.each([
    ["lacks the escrow", ALWAYS, /"vault" is not among its recipients/],
    ["has others as recipients", '[[rule]]\npaths = ["**"]\nonly = ["alice"]\n', /don't allow/],
    ["is not signed", '[[rule]]\npaths = ["**"]\nsigned = true\n', /not signed/],
    ["is for a weak key", '[[rule]]\npaths = ["**"]\ncurves = ["P-384"]\nto = ["bob"]\n', /P-256/],
    ["is about no rule's path", '[[rule]]\npaths = ["b"]\nsigned = true\n', /no rule in/],
  ])("notes a message that %s, and refuses it where that is enforced", async (_, text, fact) => {
    await sealedBefore(text);
    const noted = await opened("a.p11s", "bob.key");
    expect(noted).toMatchObject({ status: 0 });
    expect(noted.stdout.toString()).toBe("plain text\n");
    expect(noted.stderr).toMatch(fact);
    rmSync(join(tree, "a.p11s"));
    rmSync(join(tree, "p11seal-rules.toml"));
    await sealedBefore(text, 1);
    const refused = await opened("a.p11s", "bob.key");
    expect(refused.status).toBe(6);
    expect(errorCode(refused)).toMatch(/^ERR_RULES/);
    expect(refused.stderr.replaceAll('\\"', '"')).toMatch(fact);
    expect(refused.stdout).toHaveLength(0);
  });

  it("asks for no passphrase before it refuses", async () => {
    await sealedBefore(ALWAYS, 1);
    const refused = await opened("a.p11s", "bob.key");
    expect(refused.asked).toEqual([]);
    expect(errorCode(refused)).toBe("ERR_RULES");
  });

  it("takes a message that obeys", async () => {
    pinned();
    await sign(rules(ALWAYS, { head: "version = 1\nenforce = true\n" }));
    expect(await seal("a.p11s", ...bob)).toMatchObject({ status: 0 });
    const plain = await opened("a.p11s", "bob.key");
    expect(plain).toMatchObject({ status: 0 });
    expect(plain.stderr).not.toContain("breaks the rules");
  });

  it("of stdin goes by --as-path", async () => {
    await sealedBefore(ALWAYS, 1);
    const stdin = readFileSync(join(tree, "a.p11s"));
    const words = ["open", "--json", "-i", keyFile("bob.key")];
    expect(await p11seal([...words, "-"], { stdin })).toMatchObject({ status: 0 });
    const asPath = ["--as-path", join(tree, "x.p11s")];
    expect(errorCode(await p11seal([...words, ...asPath, "-"], { stdin }))).toBe("ERR_RULES");
    const file = await p11seal([...words, ...asPath, join(tree, "a.p11s")]);
    expect(errorCode(file)).toBe("ERR_USAGE");
  });

  it("goes on, with a note, where rules that nobody vouches for can't be read", async () => {
    await sealedBefore("[[rule]]\nnonsense = 1\n");
    const plain = await opened("a.p11s", "bob.key");
    expect(plain).toMatchObject({ status: 0 });
    expect(plain.stderr).toContain("opened without its rules");
  });
});

describe("rules explain", () => {
  it("says which rules hold, and why", async () => {
    const path = rules(
      '[[rule]]\npaths = ["finance/**"]\nalways = ["vault"]\nmax_age = "30d"\n' +
        '[[rule]]\npaths = ["hr/**"]\nonly = ["alice"]\n',
    );
    const explained = await p11seal(["rules", "explain", join(tree, "finance/a.p11s")]);
    const text = explained.stdout.toString();
    expect(explained).toMatchObject({ status: 0 });
    expect(text).toMatch(/rules +.*p11seal-rules\.toml, not signed, root/);
    expect(text).toMatch(/rule 1 +holds, by "finance\/\*\*": always vault; keys up to 30 d old/);
    expect(text).toMatch(/rule 2 +does not hold: none of "hr\/\*\*"/);
    const data = await p11seal(["rules", "explain", "--json", join(tree, "finance/a.p11s")]);
    expect(JSON.parse(data.stdout.toString())).toMatchObject({
      files: [{ path, version: null, signer: null, root: true }],
      rules: [{ matches: "finance/**" }, { matches: null }],
      demands: { always: [{ name: "vault", problem: null }], only: null, signed: false },
    });
  });

  it("ends as sealing would, and says so of a place without rules", async () => {
    const none = await p11seal(["rules", "explain", join(tree, "a.p11s")]);
    expect(none).toMatchObject({ status: 0 });
    expect(none.stderr).toContain("no rules for it");
    rules('[[rule]]\npaths = ["b"]\nsigned = true\n');
    const unmatched = await p11seal(["rules", "explain", "--json", join(tree, "a.p11s")]);
    expect([unmatched.status, errorCode(unmatched)]).toEqual([6, "ERR_RULES_NO_MATCH"]);
    expect(unmatched.stdout.toString()).toContain('"matches": null');
  });
});
