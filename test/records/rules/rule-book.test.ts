import { beforeEach, describe, expect, it } from "@jest/globals";
import { execFileSync } from "node:child_process";
import { createHash, createPrivateKey } from "node:crypto";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { toHex, toBase64 } from "../../../src/bytes.js";
import type { PrivateKey, PublicKey, SigningPublicKey } from "../../../src/keys/key.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { signInMemory } from "../../../src/keys/signing.js";
import { addEntry } from "../../../src/records/directory/directory-file.js";
import { spokenFingerprint } from "../../../src/records/directory/directory.js";
import { RuleBook } from "../../../src/records/rules/rule-book.js";
import type { Governance } from "../../../src/records/rules/governance.js";
import { rulesSeenPath } from "../../../src/records/rules/rules-seen.js";
import { signRules } from "../../../src/records/rules/rules-signature.js";
import { publicDer, TEST_KEYS, type TestKeyName } from "../../support/keys.js";
import { freshFolder, NOW } from "../support/messages.js";
import { itAsRoot } from "../../support/missing.js";

const keyOf = (name: TestKeyName): PublicKey => publicKeyFromSpki(publicDer(TEST_KEYS[name]));

/** Whose key is whose. */
const PEOPLE = {
  alice: "p256",
  bob: "p384",
  dora: "x25519",
  vault: "rsa3072",
} as const satisfies Record<string, TestKeyName>;

/** Every recipient, with the key in the file. */
const RECIPIENTS = Object.entries(PEOPLE)
  .map(([name, key]) => {
    const publicKey = keyOf(key);
    return (
      `[[recipient]]\nname = "${name}"\nfingerprint = "${spokenFingerprint(publicKey)}"\n` +
      `key = "${toBase64(publicKey.spki)}"\n`
    );
  })
  .join("");

let home: string;
let tree: string;

beforeEach(() => {
  const folder = freshFolder();
  home = join(folder, "home");
  tree = join(folder, "tree");
  mkdirSync(home, { mode: 0o700 });
  mkdirSync(tree, { mode: 0o755 });
});

/** Writes a rules file in a folder of the tree; the outermost is a root. */
function rules(text: string, folder = ".", head = folder === "." ? "root = true\n" : ""): string {
  const path = join(tree, folder, "p11seal-rules.toml");
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, `${head}${RECIPIENTS}${text}`, { mode: 0o644 });
  return path;
}

const book = (): RuleBook => new RuleBook({ home, nowMs: NOW });
const rulesFor = (path: string): Promise<Governance | undefined> =>
  book().rulesFor(join(tree, path));

async function required(path: string): Promise<Governance> {
  const found = await rulesFor(path);
  if (found === undefined) throw new Error("no rules");
  return found;
}

const names = (keys: readonly { name: string }[] | undefined): string[] | undefined =>
  keys?.map(({ name }) => name);

const refused = (code: string, message?: RegExp): unknown =>
  expect.objectContaining({
    code,
    ...(message !== undefined && { message: expect.stringMatching(message) as unknown }),
  });

async function sign(path: string, version: number, name: TestKeyName = "ed25519"): Promise<void> {
  const publicKey = keyOf(name) as SigningPublicKey;
  const privateKey = createPrivateKey(TEST_KEYS[name]);
  const key: PrivateKey = {
    publicKey,
    sign: (message) => Promise.resolve(signInMemory(publicKey, privateKey, message)),
  };
  const signed = await signRules(readFileSync(path), { version, signedMs: NOW }, publicKey, key);
  writeFileSync(`${path}.sig`, signed, { mode: 0o644 });
}

const pin = (signer = toHex(keyOf("ed25519").fingerprint)): void => {
  writeFileSync(join(home, "config.toml"), `rules_signer = "${signer}"\n`, { mode: 0o600 });
};

describe("the rules for an output", () => {
  it("are none where no folder above it has any", async () => {
    expect(await rulesFor("a.p11s")).toBeUndefined();
  });

  it("are those of its own folder, wherever the process works", async () => {
    rules('[[rule]]\npaths = ["**"]\nalways = ["vault"]\n');
    const found = await required("a.p11s");
    expect(names(found.always)).toEqual(["vault"]);
    expect(found.matched.map(({ pattern }) => pattern)).toEqual(["**"]);
    expect(process.cwd().startsWith(tree)).toBe(false);
  });

  it("refuse an output that none of them is about", async () => {
    rules('[[rule]]\npaths = ["finance/**"]\nalways = ["vault"]\n');
    await expect(rulesFor("a.p11s")).rejects.toEqual(refused("ERR_RULES_NO_MATCH", /a\.p11s/));
    mkdirSync(join(tree, "finance"));
    expect(names((await required("finance/a.p11s")).always)).toEqual(["vault"]);
  });

  it("are matched in a folder that is still to be made", async () => {
    rules('[[rule]]\npaths = ["new/deep/*"]\nalways = ["vault"]\n');
    expect(names((await required("new/deep/a.p11s")).always)).toEqual(["vault"]);
  });

  it("are those of the folder that a link leads to", async () => {
    rules('[[rule]]\npaths = ["finance/**"]\nalways = ["vault"]\n');
    mkdirSync(join(tree, "finance"));
    const elsewhere = freshFolder();
    symlinkSync(join(tree, "finance"), join(elsewhere, "out"));
    const found = await book().rulesFor(join(elsewhere, "out", "a.p11s"));
    expect(found?.path).toBe(join(tree, "finance", "a.p11s"));
    symlinkSync(elsewhere, join(tree, "finance", "away"));
    expect(await rulesFor("finance/away/a.p11s")).toBeUndefined();
  });

  it("take .. as the kernel does, after a link too", async () => {
    rules('[[rule]]\npaths = ["finance/**"]\nalways = ["vault"]\n');
    mkdirSync(join(tree, "finance", "deep"), { recursive: true });
    mkdirSync(join(tree, "other"));
    symlinkSync(join(tree, "finance", "deep"), join(tree, "other", "link"));
    const path = `${tree}/other/link/../a.p11s`;
    expect((await book().rulesFor(path))?.path).toBe(join(tree, "finance", "a.p11s"));
    await expect(book().rulesFor(`${tree}/finance/..`)).rejects.toEqual(refused("ERR_USAGE"));
  });

  it("match names with newlines", async () => {
    rules('[[rule]]\npaths = ["fin\\nance/*"]\nalways = ["vault"]\n');
    mkdirSync(join(tree, "fin\nance"));
    expect(names((await required("fin\nance/a\nb.p11s")).always)).toEqual(["vault"]);
  });

  it("are known in a folder whose name is not UTF-8, and can't match there", async () => {
    rules('[[rule]]\npaths = ["**"]\nalways = ["vault"]\n');
    execFileSync("sh", [
      "-c",
      `mkdir "$1/$(printf 'a\\377')" && ln -s "$1/$(printf 'a\\377')" "$1/link"`,
      "sh",
      tree,
    ]);
    await expect(rulesFor("link/a.p11s")).rejects.toEqual(refused("ERR_RULES", /not UTF-8/));
    rmSync(join(tree, "p11seal-rules.toml"));
    expect(await rulesFor("link/a.p11s")).toBeUndefined();
    execFileSync("sh", ["-c", `rmdir "$1/$(printf 'a\\377')"`, "sh", tree]);
  });
});

describe("rules of several files", () => {
  it("add up: who must be a recipient for one must be for all", async () => {
    rules('[[rule]]\npaths = ["**"]\nalways = ["vault"]\nto = ["alice"]\nmin_rsa = 2048\n');
    rules(
      '[[rule]]\npaths = ["*"]\nalways = ["dora"]\nto = ["bob"]\nmin_rsa = 3072\nmax_age = "30d"\n' +
        '[[rule]]\npaths = ["a.p11s"]\nsigned = true\nmax_age = "60d"\n',
      "team",
    );
    const found = await required("team/a.p11s");
    expect(names(found.always)).toEqual(["vault", "dora"]);
    expect(names(found.to)).toEqual(["alice", "bob"]);
    expect(found).toMatchObject({ signed: true, minRsaBits: 3072, maxAgeMs: 30 * 86_400_000 });
    expect(found.matched.map(({ rule }) => rule.number)).toEqual([1, 1, 2]);
    const [outer = new Uint8Array(), inner = new Uint8Array()] = found.files.map(
      ({ hash }) => hash,
    );
    expect(toHex(found.hash)).toBe(createHash("sha256").update(outer).update(inner).digest("hex"));
  });

  it("never take away: later and inner rules only make it stricter", async () => {
    rules(
      '[[rule]]\npaths = ["**"]\nalways = ["vault"]\nonly = ["alice", "bob"]\nsigned = true\n' +
        'min_rsa = 4096\noaep = ["sha256", "sha384"]\ncurves = ["P-256", "P-384"]\n' +
        '[[rule]]\npaths = ["**"]\nsigned = false\nmin_rsa = 2048\nonly = ["alice", "dora"]\n' +
        'oaep = ["sha1", "sha256"]\ncurves = ["X25519", "P-384"]\n',
    );
    const found = await required("a.p11s");
    expect(found).toMatchObject({ signed: true, minRsaBits: 4096 });
    expect(found.oaep).toEqual(["sha256"]);
    expect(found.curves).toEqual(["P-384"]);
    expect(names(found.only)).toEqual(["alice", "vault"]);
  });

  it("keep the escrow of the outer file, whoever the inner one allows", async () => {
    rules('[[rule]]\npaths = ["**"]\nalways = ["vault"]\n');
    rules('[[rule]]\npaths = ["**"]\nonly = ["alice"]\n', "team");
    expect(names((await required("team/a")).only)).toEqual(["alice", "vault"]);
  });

  it("contradict each other where an inner one adds whom an outer one excludes", async () => {
    rules('[[rule]]\npaths = ["**"]\nonly = ["alice", "vault"]\n');
    rules('[[rule]]\npaths = ["**"]\nalways = ["dora"]\n', "team");
    await expect(rulesFor("team/a")).rejects.toEqual(refused("ERR_RULES_CONFLICT", /"dora"/));
  });

  it.each([
    ["only", '["alice"]', '["bob"]'],
    ["curves", '["P-256"]', '["P-384"]'],
    ["oaep", '["sha256"]', '["sha384"]'],
  ])("contradict each other where their %s have nothing in common", async (key, one, other) => {
    rules(
      `[[rule]]\npaths = ["**"]\n${key} = ${one}\n[[rule]]\npaths = ["*"]\n${key} = ${other}\n`,
    );
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_CONFLICT"));
  });

  it("end at a root", async () => {
    rules('[[rule]]\npaths = ["**"]\nalways = ["vault"]\n');
    rules('[[rule]]\npaths = ["**"]\nalways = ["dora"]\n', "team", "root = true\n");
    expect(names((await required("team/a")).always)).toEqual(["dora"]);
  });

  it("are all needed for one match only: the inner ones may be about other files", async () => {
    rules('[[rule]]\npaths = ["**"]\nalways = ["vault"]\n');
    rules('[[rule]]\npaths = ["other"]\nalways = ["dora"]\n', "team");
    expect(names((await required("team/a")).always)).toEqual(["vault"]);
  });
});

describe("a key in rules", () => {
  const rule = '[[rule]]\npaths = ["**"]\nalways = ["escrow"]\n';
  const named = (key: TestKeyName, more = ""): string =>
    `[[recipient]]\nname = "escrow"\nfingerprint = "SHA256:${toHex(keyOf(key).fingerprint)}"\n${more}`;
  const write = (text: string): void => {
    writeFileSync(join(tree, "p11seal-rules.toml"), `root = true\n${text}`, { mode: 0o644 });
  };
  const add = (
    name: string,
    key: TestKeyName,
    limits: { notAfterMs?: number } = {},
  ): Promise<unknown> =>
    addEntry(home, "recipients", {
      ...{ name, publicKey: keyOf(key), source: "x", addedMs: NOW - 1000 },
      ...limits,
    });

  it("is the directory's key of that fingerprint, under whatever name", async () => {
    await add("archive", "p256");
    write(named("p256") + rule);
    const [key] = (await required("a")).always;
    expect(key).toMatchObject({ name: "escrow", sinceMs: NOW - 1000 });
    expect(key?.recipient?.publicKey.spki).toEqual(keyOf("p256").spki);
    expect(key?.problem).toBeUndefined();
  });

  it("is not the directory's other key of that name", async () => {
    await add("escrow", "p384");
    write(named("p256") + rule);
    const [key] = (await required("a")).always;
    expect(key?.recipient).toBeUndefined();
    expect(key?.problem).toBe('the "escrow" of the directory has another key');
  });

  it("is the key in the rules where the directory has none", async () => {
    write(
      named("p256", `key = "${toBase64(keyOf("p256").spki)}"\nadded = "2026-01-01T00:00:00Z"\n`) +
        rule,
    );
    const [key] = (await required("a")).always;
    expect(key?.recipient?.publicKey.spki).toEqual(keyOf("p256").spki);
    expect(key?.sinceMs).toBe(Date.UTC(2026, 0, 1));
  });

  it("is said to be no longer valid", async () => {
    await add("escrow", "p256", { notAfterMs: NOW - 2000 });
    write(named("p256") + rule);
    expect((await required("a")).always[0]?.problem).toMatch(/was valid until/);
  });
});

describe("rules that nobody signed", () => {
  const text = '[[rule]]\npaths = ["**"]\nalways = ["vault"]\n';

  it("count, with a note", async () => {
    const path = rules(text);
    expect((await required("a")).notes).toEqual([
      `${path}: not signed; whoever can change it chooses the recipients`,
    ]);
  });

  it("are refused where they would be enforced", async () => {
    rules(text, ".", "root = true\nenforce = true\n");
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_UNSIGNED"));
  });

  it("are refused where the settings name who signs", async () => {
    rules(text);
    pin();
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_UNSIGNED"));
  });

  it.each([0o666, 0o622])("are refused if others can write to them: %o", async (mode) => {
    chmodSync(rules(text), mode);
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_UNSAFE_FILE"));
  });

  itAsRoot("are refused if they are another user's; signed ones are not", async () => {
    const path = rules(text, ".", "root = true\nversion = 1\n");
    chownSync(path, 4711, 4711);
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_UNSAFE_FILE", /another user|owned/));
    await sign(path, 1);
    pin();
    expect(await required("a")).toMatchObject({ notes: [] });
  });

  itAsRoot("are refused in a folder of another user, who can replace them", async () => {
    rules(text);
    chownSync(tree, 4711, 4711);
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_UNSAFE_FILE"));
  });

  it("are refused if others can replace them", async () => {
    rules(text);
    chmodSync(tree, 0o777);
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_UNSAFE_FILE"));
    chmodSync(tree, 0o1777);
    expect(await rulesFor("a")).toBeDefined();
  });

  it("are refused if their signature is another file's, or was altered", async () => {
    const path = rules(`${text}# as it was\n`, ".", "root = true\nversion = 1\n");
    await sign(path, 1);
    rules(`${text}# as it is\n`, ".", "root = true\nversion = 1\n");
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_SIGNATURE", /changed after/));
  });
});

describe("signed rules", () => {
  const write = (version: number, more = ""): string =>
    rules(
      `[[rule]]\npaths = ["**"]\nalways = ["vault"]\n${more}`,
      ".",
      `root = true\nenforce = true\nversion = ${version}\n`,
    );

  it("count without a note, whoever could write to the file", async () => {
    const path = write(1);
    await sign(path, 1);
    chmodSync(path, 0o666);
    pin();
    const found = await required("a");
    expect(found).toMatchObject({ enforce: true, notes: [] });
    expect(found.files[0]?.signer?.publicKey.spki).toEqual(keyOf("ed25519").spki);
  });

  it("count by a name among the senders", async () => {
    await sign(write(1), 1);
    await addEntry(home, "senders", {
      ...{ name: "carol", publicKey: keyOf("ed25519"), source: "x", addedMs: NOW },
    });
    pin("carol");
    expect((await required("a")).files[0]?.signer?.name).toBe("carol");
    pin("nobody");
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_SIGNER", /"nobody"/));
  });

  it("are refused once the signer's key is no longer valid", async () => {
    await sign(write(1), 1);
    await addEntry(home, "senders", {
      ...{ name: "carol", publicKey: keyOf("ed25519"), source: "x", addedMs: NOW },
      notAfterMs: NOW - 5000,
    });
    pin("carol");
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_SIGNER", /was valid until/));
  });

  it("are refused if the signer's key was not valid yet when it signed", async () => {
    await sign(write(1), 1);
    await addEntry(home, "senders", {
      ...{ name: "carol", publicKey: keyOf("ed25519"), source: "x", addedMs: NOW },
      notBeforeMs: NOW + 5000,
    });
    pin("carol");
    const later = new RuleBook({ home, nowMs: NOW + 10_000 });
    await expect(later.rulesFor(join(tree, "a"))).rejects.toEqual(
      refused("ERR_RULES_SIGNER", /is not valid before/),
    );
  });

  it("are refused if another key signed them", async () => {
    await sign(write(1), 1, "p256");
    pin();
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_SIGNER"));
  });

  it("are refused if they are not of the version that was signed", async () => {
    await sign(write(1), 2);
    pin();
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_SIGNATURE", /version 2/));
  });

  it("are refused with any byte of the signature altered", async () => {
    const path = write(1);
    await sign(path, 1);
    pin();
    const good = readFileSync(`${path}.sig`);
    for (let at = 0; at < good.length; at += 7) {
      const bad = Uint8Array.from(good);
      bad[at] = (bad[at] ?? 0) ^ 1;
      writeFileSync(`${path}.sig`, bad);
      await expect(rulesFor("a")).rejects.toEqual(
        refused(expect.stringMatching(/^ERR_RULES_SIG/) as unknown as string),
      );
    }
  });

  it("may not go back", async () => {
    pin();
    await sign(write(2), 2);
    await required("a");
    await sign(write(1), 1);
    await expect(rulesFor("a")).rejects.toEqual(
      refused("ERR_RULES_VERSION", /version 1, and version 2 was seen/),
    );
    await sign(write(3), 3);
    await required("a");
    await sign(write(2), 2);
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_VERSION"));
  });

  it("may not change under the same version", async () => {
    pin();
    await sign(write(2), 2);
    await required("a");
    await required("a");
    await sign(write(2, "# another\n"), 2);
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_VERSION", /differ/));
  });

  it("are remembered by folder and signer, on the disk", async () => {
    pin();
    await sign(write(2), 2);
    await required("a");
    expect(readFileSync(rulesSeenPath(home), "utf8")).toContain(JSON.stringify(tree));
    writeFileSync(rulesSeenPath(home), "version = 1\n[[rules]]\nfolder = 1\n", { mode: 0o600 });
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_RULES_SEEN"));
  });
});

describe("a rules file", () => {
  const path = (): string => join(tree, "p11seal-rules.toml");

  it("is no link", async () => {
    rules('[[rule]]\npaths = ["**"]\nalways = ["vault"]\n', "real");
    symlinkSync(join(tree, "real", "p11seal-rules.toml"), path());
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_FILE_KIND"));
    rmSync(path());
    symlinkSync(join(tree, "nowhere"), path());
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_FILE_KIND"));
  });

  it("is no FIFO, and nobody waits for one", async () => {
    execFileSync("mkfifo", [path()]);
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_FILE_KIND"));
  });

  it("is no folder", async () => {
    mkdirSync(path());
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_FILE_KIND"));
  });

  it("is not longer than a megabyte", async () => {
    writeFileSync(path(), "#".repeat(1024 * 1024 + 1));
    await expect(rulesFor("a")).rejects.toEqual(refused("ERR_FILE_SIZE"));
  });
});
