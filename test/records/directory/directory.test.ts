import { describe, expect, it } from "@jest/globals";
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { toBase64 } from "../../../src/bytes.js";
import {
  parseMoment,
  requireValidRecipient,
  spokenFingerprint,
  trustedSender,
  withEntry,
  withoutEntry,
  type DirectoryEntry,
} from "../../../src/records/directory/directory.js";
import {
  addEntry,
  readDirectory,
  removeEntry,
} from "../../../src/records/directory/directory-file.js";
import {
  formatDirectory,
  parseDirectory,
} from "../../../src/records/directory/directory-format.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import type { PublicKey } from "../../../src/keys/key.js";
import { publicDer, TEST_KEYS, type TestKeyName } from "../../support/keys.js";
import { DAY, freshFolder, NOW } from "../support/messages.js";

const keyOf = (name: TestKeyName): PublicKey => publicKeyFromSpki(publicDer(TEST_KEYS[name]));

function entry(
  name: string,
  key: TestKeyName,
  changes: Partial<DirectoryEntry> = {},
): DirectoryEntry {
  return { name, publicKey: keyOf(key), source: `${name}.pem`, addedMs: NOW, ...changes };
}

const alice = entry("alice", "p256");
const bob = entry("bob", "ed25519");
const carol = entry("carol", "rsa3072", { oaep: "sha1" });

/** Entries without the `KeyObject`, which caches what it computed. */
const plain = (entries: readonly DirectoryEntry[]): unknown[] =>
  entries.map(({ publicKey, ...rest }) => ({ ...rest, key: spokenFingerprint(publicKey) }));

/** An error with this code. */
const refused = (code: string): unknown => expect.objectContaining({ code });

describe("the directory", () => {
  it("reads what it writes", () => {
    const senders = [
      alice,
      bob,
      entry("dora", "p384", { notBeforeMs: NOW, notAfterMs: NOW + DAY }),
    ];
    const text = formatDirectory(senders, "senders");
    expect(plain(parseDirectory(text, "senders", "x"))).toEqual(plain(senders));
    const recipients = [alice, carol, entry("erin", "x25519")];
    const again = parseDirectory(formatDirectory(recipients, "recipients"), "recipients", "x");
    expect(plain(again)).toEqual(plain(recipients));
    expect(parseDirectory(formatDirectory([], "senders"), "senders", "x")).toEqual([]);
  });

  it("is a text with a fingerprint to read out, where each key came from, and since when", () => {
    const text = formatDirectory([alice], "senders");
    expect(text).toContain('name = "alice"');
    expect(text).toMatch(/^fingerprint = "(?:[0-9a-f]{4} ){15}[0-9a-f]{4}"$/m);
    expect(text).toContain('source = "alice.pem"');
    expect(text).toContain('added = "2026-11-23T10:20:30Z"');
  });

  it("keeps a file's name that would end a line", () => {
    const odd = entry("alice", "p256", { source: 'a"\n[[entry]]\nname = "mallory"\u001b' });
    const [read, ...more] = parseDirectory(formatDirectory([odd], "senders"), "senders", "x");
    expect(more).toEqual([]);
    expect(read?.source).toBe(odd.source);
  });

  it("never puts another key in the place of a known one", () => {
    expect(() => withEntry([alice], entry("alice", "p384"), "senders")).toThrow(
      refused("ERR_KEY_CHANGED"),
    );
    expect(() => withEntry([alice], entry("ALICE", "p384"), "senders")).toThrow(
      refused("ERR_KEY_CHANGED"),
    );
  });

  it("takes another key once the old one was removed", () => {
    const other = entry("alice", "p384");
    expect(withEntry(withoutEntry([alice, bob], "Alice"), other, "senders")).toEqual([bob, other]);
  });

  it("gives a known key new limits", () => {
    const limited = entry("alice", "p256", { notAfterMs: NOW + DAY });
    expect(withEntry([alice, bob], limited, "senders")).toEqual([limited, bob]);
  });

  it("knows a key by one name", () => {
    expect(() => withEntry([alice], entry("eve", "p256"), "senders")).toThrow(
      refused("ERR_KEY_KNOWN"),
    );
  });

  it.each(["", "any", "ANY", "-x", "a b", "a/b", "x".repeat(65), "ä", "a\n"])(
    "has no sender called %j",
    (name) => {
      expect(() => withEntry([], entry(name, "p256"), "senders")).toThrow(refused("ERR_NAME"));
    },
  );

  it("has no sender whose key can't sign, and no recipient whose key can't receive", () => {
    for (const key of ["x25519", "p521"] as const) {
      expect(() => withEntry([], entry("x", key), "senders")).toThrow(refused("ERR_SIGNING_KEY"));
    }
    expect(() => withEntry([], bob, "recipients")).toThrow(refused("ERR_SIGN_ONLY"));
  });

  it("removes only the given name", () => {
    expect(() => withoutEntry([alice], "bob")).toThrow(refused("ERR_NAME_UNKNOWN"));
  });
});

describe("a directory's text", () => {
  const text = formatDirectory([alice, carol], "recipients");

  it.each<[string, (text: string) => string]>([
    ["no TOML", () => "name = "],
    ["no version", (all) => all.replace("version = 1", "")],
    ["a later version", (all) => all.replace("version = 1", "version = 2")],
    ["an unknown key", (all) => all.replace("version = 1", "version = 1\ntrust = true")],
    [
      "an unknown key in an entry",
      (all) => all.replace('name = "alice"', 'name = "alice"\nnots = "x"'),
    ],
    ["an entry without a name", (all) => all.replace('name = "alice"', "")],
    ["a name that is none", (all) => all.replace('"alice"', '"a lice"')],
    ["a number for a name", (all) => all.replace('"alice"', "7")],
    [
      "a fingerprint of another key",
      (all) => all.replace(/fingerprint = "..../, 'fingerprint = "0000'),
    ],
    ["a key cut short", (all) => all.replace(/key = "MFkw/, 'key = "')],
    ["a key that is no base64", (all) => all.replace(/key = "MFkw/, 'key = "MFk*')],
    ["a key of another kind of text", (all) => all.replace(/key = ".*"/, 'key = ""')],
    ["a day that is none", (all) => all.replaceAll("2026-11-23T", "2026-02-30T")],
    ["a time of another zone", (all) => all.replaceAll("10:20:30Z", "10:20:30+01:00")],
    ["an OAEP hash that is none", (all) => all.replace('"sha1"', '"md5"')],
    [
      "an OAEP record of a key that is not RSA",
      (all) => all.replace('name = "alice"', 'name = "alice"\noaep = "sha1"'),
    ],
    ["the same name twice", (all) => all.replace('"carol"', '"Alice"')],
    ["an entry that is no table", () => "version = 1\nentry = [1]"],
    ["entries that are no list", () => "version = 1\nentry = 1"],
  ])("with %s is not read", (_, change) => {
    const changed = change(text);
    expect(changed).not.toBe(text);
    expect(() => parseDirectory(changed, "recipients", "x")).toThrow(refused("ERR_DIRECTORY"));
  });

  it("with the same key twice is not read", () => {
    const twice = formatDirectory([alice, { ...alice, name: "alias" }], "recipients");
    expect(() => parseDirectory(twice, "recipients", "x")).toThrow(refused("ERR_DIRECTORY"));
  });

  it("does not turn a weak key into a trusted one", () => {
    const weak = formatDirectory([alice], "senders").replace(
      toBase64(alice.publicKey.spki),
      toBase64(keyOf("x25519").spki),
    );
    const agreeing = weak.replace(
      spokenFingerprint(alice.publicKey),
      spokenFingerprint(keyOf("x25519")),
    );
    expect(() => parseDirectory(agreeing, "senders", "x")).toThrow(refused("ERR_SIGNING_KEY"));
  });
});

describe("a trusted sender", () => {
  const limited = entry("dora", "p384", { notBeforeMs: NOW - DAY, notAfterMs: NOW + DAY });
  const senders = [alice, bob, limited];
  const signedBy = (
    key: TestKeyName,
    createdMs = NOW,
  ): { publicKey: PublicKey; createdMs: number } => ({
    publicKey: keyOf(key),
    createdMs,
  });
  const any = { from: "any", nowMs: NOW } as const;

  it("is found by the key that signed", () => {
    expect(trustedSender(senders, signedBy("ed25519"), any)).toBe(bob);
    expect(trustedSender(senders, signedBy("p256"), { ...any, from: ["BOB", "alice"] })).toBe(
      alice,
    );
  });

  it("is nobody whose key was never added, or was removed", () => {
    expect(() => trustedSender(senders, signedBy("rsa3072"), any)).toThrow(
      refused("ERR_SENDER_UNKNOWN"),
    );
    expect(() => trustedSender(withoutEntry(senders, "bob"), signedBy("ed25519"), any)).toThrow(
      refused("ERR_SENDER_UNKNOWN"),
    );
  });

  it("is nobody but those that were asked for", () => {
    expect(() => trustedSender(senders, signedBy("ed25519"), { ...any, from: ["alice"] })).toThrow(
      refused("ERR_SENDER_UNEXPECTED"),
    );
  });

  it("is not guessed where a name is misspelt", () => {
    const options = { ...any, from: ["bob", "alcie"] };
    expect(() => trustedSender(senders, signedBy("ed25519"), options)).toThrow(
      refused("ERR_SENDER_UNKNOWN"),
    );
  });

  it("is nobody where nobody is asked for", () => {
    expect(() => trustedSender(senders, signedBy("ed25519"), { ...any, from: [] })).toThrow(
      refused("ERR_SENDER_UNEXPECTED"),
    );
  });

  it("has limits, which hold when the message was sealed and when it is opened", () => {
    const at = (createdMs: number, nowMs: number): DirectoryEntry =>
      trustedSender(senders, signedBy("p384", createdMs), { ...any, nowMs });
    for (const ms of [NOW - DAY, NOW, NOW + DAY]) expect(at(ms, ms)).toBe(limited);
    for (const [createdMs, nowMs] of [
      [NOW, NOW + DAY + 1],
      [NOW + DAY + 1, NOW + DAY],
    ] as const) {
      expect(() => at(createdMs, nowMs)).toThrow(refused("ERR_SENDER_EXPIRED"));
    }
    for (const [createdMs, nowMs] of [
      [NOW, NOW - DAY - 1],
      [NOW - DAY - 1, NOW],
    ] as const) {
      expect(() => at(createdMs, nowMs)).toThrow(refused("ERR_SENDER_NOT_YET_VALID"));
    }
  });

  it("has a counterpart among recipients, with limits too", () => {
    expect(() => {
      requireValidRecipient(limited, NOW);
    }).not.toThrow();
    expect(() => {
      requireValidRecipient(limited, NOW + 2 * DAY);
    }).toThrow(refused("ERR_RECIPIENT_EXPIRED"));
    expect(() => {
      requireValidRecipient(limited, NOW - 2 * DAY);
    }).toThrow(refused("ERR_RECIPIENT_NOT_YET_VALID"));
  });
});

describe("a moment", () => {
  it("is a day's beginning or end, or a time", () => {
    expect(parseMoment("2027-01-31", "start")).toBe(Date.UTC(2027, 0, 31));
    expect(parseMoment("2027-01-31", "end")).toBe(Date.UTC(2027, 0, 31, 23, 59, 59));
    expect(parseMoment("2027-01-31T12:00:00Z", "end")).toBe(Date.UTC(2027, 0, 31, 12));
  });

  it.each(["", "2027", "2027-02-29", "31.01.2027", "2027-01-31T12:00:00", "2027-01-31 ", "7d"])(
    "is not %j",
    (text) => {
      expect(() => parseMoment(text, "end")).toThrow(refused("ERR_MOMENT"));
    },
  );
});

describe("the directory's files", () => {
  it("are made when the first entry is added, for their owner alone", async () => {
    const folder = path.join(freshFolder(), "home");
    expect(await readDirectory(folder, "senders")).toEqual([]);
    expect(await addEntry(folder, "senders", alice)).toBe(true);
    expect(await addEntry(folder, "senders", alice)).toBe(false);
    expect(plain(await readDirectory(folder, "senders"))).toEqual(plain([alice]));
    expect(await readDirectory(folder, "recipients")).toEqual([]);
    expect(statSync(path.join(folder, "senders.toml")).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it("keep every entry that is added at the same moment, and leave nothing beside", async () => {
    const folder = freshFolder();
    const keys = ["p256", "p384", "p521", "x25519", "rsa2048", "rsa3072"] as const;
    await Promise.all(keys.map((key) => addEntry(folder, "recipients", entry(`n-${key}`, key))));
    const names = (await readDirectory(folder, "recipients")).map(({ name }) => name);
    expect(names.sort()).toEqual(keys.map((key) => `n-${key}`).sort());
    expect(readdirSync(folder).sort()).toEqual(["recipients.toml", "recipients.toml.lock"]);
  });

  it("stay as they are after a refusal", async () => {
    const folder = freshFolder();
    await addEntry(folder, "senders", alice);
    const before = readFileSync(path.join(folder, "senders.toml"));
    await expect(addEntry(folder, "senders", entry("alice", "p384"))).rejects.toMatchObject({
      code: "ERR_KEY_CHANGED",
    });
    await expect(removeEntry(folder, "senders", "bob")).rejects.toMatchObject({
      code: "ERR_NAME_UNKNOWN",
    });
    expect(readFileSync(path.join(folder, "senders.toml"))).toEqual(before);
  });

  it("give back what is removed", async () => {
    const folder = freshFolder();
    await addEntry(folder, "senders", alice);
    expect(plain([await removeEntry(folder, "senders", "ALICE")])).toEqual(plain([alice]));
    expect(await readDirectory(folder, "senders")).toEqual([]);
  });

  it("make a limit with a fraction of a second stricter, never longer", async () => {
    const folder = freshFolder();
    const limits = { notBeforeMs: NOW + 1, notAfterMs: NOW + 5999, addedMs: NOW + 999 };
    await addEntry(folder, "senders", entry("alice", "p256", limits));
    expect(await readDirectory(folder, "senders")).toMatchObject([
      { notBeforeMs: NOW + 1000, notAfterMs: NOW + 5000, addedMs: NOW },
    ]);
  });

  it("are refused where they are not UTF-8, with the line, and stay as they are", async () => {
    const folder = freshFolder();
    await addEntry(folder, "senders", alice);
    const file = path.join(folder, "senders.toml");
    const spoilt = Buffer.concat([readFileSync(file), Buffer.from("# Ren\xe9\n", "latin1")]);
    writeFileSync(file, spoilt);
    const line = spoilt.toString("latin1").split("\n").length - 1;
    const refusal = { code: "ERR_DIRECTORY", message: `${file}:${line}: not UTF-8` };
    await expect(readDirectory(folder, "senders")).rejects.toMatchObject(refusal);
    await expect(removeEntry(folder, "senders", "alice")).rejects.toMatchObject(refusal);
    expect(readFileSync(file)).toEqual(spoilt);
  });

  it("are not believed when others can write them", async () => {
    const folder = freshFolder();
    await addEntry(folder, "senders", alice);
    chmodSync(path.join(folder, "senders.toml"), 0o664);
    await expect(readDirectory(folder, "senders")).rejects.toMatchObject({
      code: "ERR_UNSAFE_FILE",
    });
  });

  it("do not disturb a list of recipients written by hand", async () => {
    const folder = freshFolder();
    const list = path.join(folder, "recipients");
    writeFileSync(list, "# mine\nalice = keys/alice.pem\n");
    await addEntry(folder, "recipients", alice);
    expect(readFileSync(list, "utf8")).toBe("# mine\nalice = keys/alice.pem\n");
  });
});
