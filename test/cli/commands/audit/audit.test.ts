/** What `audit` finds in messages of each format, and in files that are none. */
import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { errorCode, run, type Outcome } from "../../support/run.js";
import { rewrapMessage } from "../../../../src/envelope/rewrap-message.js";
import { identityOf, recipientOf, senderOf } from "../../../support/identities.js";
import { messageBytes, recips, stanza } from "../../../support/forge.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const env = { P11SEAL_HOME: at("home") };
const cli = (...argv: string[]): Promise<Outcome> => run(argv, { env });

async function ok(...argv: string[]): Promise<string> {
  const { status, stdout, stderr } = await cli(...argv);
  expect({ argv, status, stderr }).toMatchObject({ argv, status: 0 });
  return stdout.toString("utf8");
}

interface FindingData {
  file: string;
  kind: string;
  severity: string;
  message: string;
  recipients?: number[];
  key?: { name?: string; fingerprint: string };
}

interface AuditData {
  findings: FindingData[];
  messages: number;
  others: number;
  skipped: number;
  unreadable: number;
  affected: number;
}

async function audit(...argv: string[]): Promise<AuditData> {
  const { stdout } = await cli("audit", "--json", ...argv);
  return JSON.parse(stdout.toString("utf8")) as AuditData;
}

/** The kinds of what was found, without those that every message here has. */
async function kinds(...argv: string[]): Promise<string[]> {
  const { findings } = await audit(...argv);
  return findings.map(({ kind }) => kind).filter((kind) => !EVERYWHERE.includes(kind));
}

const EVERYWHERE = ["not-governed", "unsigned"];

const custodian = senderOf("p384");

beforeAll(async () => {
  mkdirSync(at("home"), { mode: 0o700 });
  writeKeys(folder);
  process.chdir(folder);
  writeFileSync(at("note"), "meet at noon\n");
  for (const name of ["alice", "bob", "carol"]) await ok("recipients", "add", name, `${name}.pem`);
  for (const name of ["nobody", "old", "left", "zoe"]) {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeFileSync(at(`${name}.pem`), publicKey.export({ format: "pem", type: "spki" }));
    const pem = privateKey.export({ format: "pem", type: "pkcs8" });
    writeFileSync(at(`${name}.key`), pem, { mode: 0o600 });
  }
  await ok("senders", "add", "zoe", "zoe.pem");
  await ok("recipients", "add", "old", "old.pem", "--not-after", "2020-01-31");
});

const seal = (name: string, ...argv: string[]): Promise<string> =>
  ok("seal", "--oaep", "sha256", "-o", name, ...argv, "note");

describe("a message in p11seal's own format", () => {
  it("has no findings but that nobody signed it", async () => {
    await seal("clean.p11s", "-r", "alice", "-r", "bob", "-r", "carol");
    expect(await kinds("clean.p11s")).toEqual([]);
    const { findings, messages } = await audit("clean.p11s");
    expect(messages).toBe(1);
    expect(findings.find(({ kind }) => kind === "unsigned")).toMatchObject({
      file: "clean.p11s",
      severity: "warning",
      message: "not signed",
    });
  });

  it("names a recipient whose key is not valid any more", async () => {
    await seal("retired.p11s", "-r", "bob", "-r", "old.pem");
    const { findings } = await audit("retired.p11s");
    expect(findings).toContainEqual(
      expect.objectContaining({
        kind: "retired-key",
        severity: "fault",
        message: 'sealed to "old", whose key was valid until 2020-01-31T23:59:59Z',
        recipients: [2],
      }),
    );
  });

  it("does not know a key that was removed; one that is kept with an end is retired", async () => {
    await ok("recipients", "add", "left", "left.pem");
    await seal("left.p11s", "-r", "left", "-r", "bob");
    await ok("recipients", "remove", "--yes", "left");
    expect(await kinds("left.p11s")).toEqual(["unknown-recipient"]);
    await ok("recipients", "add", "left-2020", "left.pem", "--not-after", "2020-01-31");
    expect(await kinds("left.p11s")).toEqual(["retired-key"]);
    await ok("recipients", "remove", "--yes", "left-2020");
  });

  it("tells which wrapped keys nobody knows", async () => {
    await seal("stranger.p11s", "-r", "nobody.pem", "-r", "bob");
    const { findings } = await audit("stranger.p11s");
    expect(findings.find(({ kind }) => kind === "unknown-recipient")).toMatchObject({
      message: "for keys that nobody here knows: 1 of 2 wrapped keys",
      recipients: [1],
    });
  });

  it("finds SHA-1 in an OAEP wrap", async () => {
    await ok("seal", "-r", "alice", "--oaep", "sha1", "-o", "sha1.p11s", "note");
    expect(await kinds("sha1.p11s")).toEqual(["weak-wrap"]);
  });

  it("does not take the two wraps of a sealer that knows no hash for doubled", async () => {
    const { findings } = await audit(await written("pair.p11s", [[1], [2]]));
    expect(findings.map(({ kind }) => kind)).not.toContain("doubled-recipient");
  });

  it.each([
    ["the same wrap twice", [[2], [2]]],
    ["three wraps", [[2], [1], [3]]],
    ["two hashes that no sealer writes", [[3], [2]]],
  ])("finds a doubled recipient: %s", async (_what, hashes) => {
    const { findings } = await audit(await written("doubled.p11s", hashes));
    expect(findings.find(({ kind }) => kind === "doubled-recipient")).toMatchObject({
      message: `${hashes.length} wrapped keys for one recipient`,
      recipients: hashes.map((_one, place) => place + 1),
    });
  });

  it("finds a signature by nobody known, by somebody known, and one that does not hold", async () => {
    await seal("zoe.p11s", "-r", "bob", "--sign-with", "zoe.key");
    expect(await kinds("zoe.p11s")).toEqual([]);
    await seal("who.p11s", "-r", "bob", "--sign-with", "old.key");
    expect(await kinds("who.p11s")).toEqual(["unknown-sender"]);
    const bytes = readFileSync(at("zoe.p11s"));
    bytes[30] = (bytes[30] ?? 0) ^ 1;
    writeFileSync(at("forged.p11s"), bytes);
    expect(await kinds("forged.p11s")).toContain("bad-signature");
  });

  it("finds a sender whose key has expired since", async () => {
    await ok("senders", "add", "zoe", "zoe.pem", "--not-after", "2020-01-31");
    const { findings } = await audit("zoe.p11s");
    expect(findings.map(({ kind, message }) => [kind, message])).toContainEqual([
      "invalid-sender",
      'the key of "zoe" was valid until 2020-01-31T23:59:59Z',
    ]);
    await ok("senders", "remove", "zoe", "--yes");
    await ok("senders", "add", "zoe", "zoe.pem");
  });

  it("finds a custodian whom nobody knows, and no fault in one who is known", async () => {
    const sealed = readFileSync(at("zoe.p11s"));
    const { header, oldHeaderBytes } = await rewrapMessage(sealed, {
      identities: [identityOf("p256")],
      add: [recipientOf("x25519")],
      remove: [],
      custodian: { publicKey: custodian.publicKey, key: custodian.key },
      nowMs: Date.now(),
    });
    const bytes = Buffer.concat([header, sealed.subarray(oldHeaderBytes)]);
    writeFileSync(at("passed-on.p11s"), bytes);
    expect(await kinds("passed-on.p11s")).toEqual(["unknown-custodian"]);
    const spki = Buffer.from(custodian.publicKey.spki).toString("base64");
    const pem = `-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----\n`;
    writeFileSync(at("vault.pem"), pem);
    await ok("custodians", "add", "vault", "vault.pem");
    expect(await kinds("passed-on.p11s")).toEqual([]);
  });

  it("finds recipients that neither the sender nor a custodian signed", async () => {
    const { headerBytes } = JSON.parse(await ok("inspect", "--json", "zoe.p11s")) as {
      headerBytes: number;
    };
    const one = readFileSync(at("zoe.p11s"));
    // The last byte of the last wrapped key, before the MAC.
    const last = headerBytes - 32 - 1;
    one[last] = (one[last] ?? 0) ^ 1;
    writeFileSync(at("rewrapped.p11s"), one);
    expect(await kinds("rewrapped.p11s")).toEqual(["rewrapped"]);
  });
});

describe("an age file", () => {
  it("hides an X25519 recipient, and names the others", async () => {
    await ok("seal", "--format", "age", "-r", "carol", "-r", "alice", "-o", "some.age", "note");
    const { findings } = await audit("some.age");
    expect(findings.find(({ kind }) => kind === "unnamed-recipient")).toMatchObject({
      severity: "note",
      message: "for keys that the format does not name: 1 of 2 wrapped keys",
      recipients: [1],
    });
    expect(findings.map(({ kind }) => kind)).not.toContain("unknown-recipient");
  });

  it("tells a recipient whom nobody knows", async () => {
    await ok("seal", "--format", "age", "-r", "nobody.pem", "-o", "stranger.age", "note");
    expect(await kinds("stranger.age")).toEqual(["unknown-recipient"]);
  });

  it("finds a doubled recipient, although each stanza has a tag of its own", async () => {
    await ok("seal", "--format", "age", "-r", "bob", "-o", "bob.age", "note");
    const text = readFileSync(at("bob.age"), "latin1");
    const stanza = /^-> p256tag .*\n(?:.*\n)*?(?=---)/m.exec(text)?.[0] ?? "";
    writeFileSync(at("twice.age"), text.replace(stanza, stanza + stanza), "latin1");
    expect(await kinds("twice.age")).toEqual(["doubled-recipient"]);
  });
});

describe("a CMS message", () => {
  it("has weak wraps and no authentication, found without a key", async () => {
    await ok("seal", "--format", "cms", "--by-ski", "-r", "alice", "-o", "new.p7m", "note");
    expect(await kinds("new.p7m")).toEqual([]);
    const options = ["--format", "cms", "--profile", "windows", "--by-ski"];
    await ok("seal", ...options, "-r", "alice", "-o", "windows.p7m", "note");
    expect(await kinds("windows.p7m")).toContain("unauthenticated");
  });

  it("may have a signature inside", async () => {
    const { findings } = await audit("new.p7m");
    expect(findings.find(({ kind }) => kind === "unsigned")?.message).toBe(
      "not signed outside; a signature inside shows on opening",
    );
  });

  it("tells a recipient whom nobody knows", async () => {
    await ok("seal", "--format", "cms", "--by-ski", "-r", "nobody.pem", "-o", "nobody.p7m", "note");
    expect(await kinds("nobody.p7m")).toEqual(["unknown-recipient"]);
  });
});

describe("under rules", () => {
  const ruled = async (rules: string): Promise<FindingData[]> => {
    writeFileSync(at("ruled/p11seal-rules.toml"), rules, { mode: 0o600 });
    return (await audit("ruled/clean.p11s")).findings;
  };
  const always = async (name: string): Promise<string> => {
    const shown = await ok("recipients", "show", name, "--json");
    const { fingerprint } = JSON.parse(shown) as { fingerprint: string };
    const recipient = `[[recipient]]\nname = "${name}"\nfingerprint = "${fingerprint}"\n`;
    return `root = true\n${recipient}[[rule]]\npaths = ["**"]\nalways = ["${name}"]\n`;
  };

  it("finds a missing escrow, and no rules where there are none", async () => {
    mkdirSync(at("ruled"), { mode: 0o700 });
    writeFileSync(at("ruled/clean.p11s"), readFileSync(at("clean.p11s")));
    const before = (await audit("ruled/clean.p11s")).findings.map(({ kind }) => kind);
    expect(before).toEqual(["not-governed", "unsigned"]);
    const missing = await ruled(await always("old"));
    expect(missing.map(({ kind, severity }) => [kind, severity])).toEqual([
      ["missing-escrow", "fault"],
    ]);
    expect(await ruled(await always("bob"))).toEqual([]);
    const broken = await ruled("nonsense");
    expect(broken[0]?.kind).toBe("rules");
  });

  it("knows keys that the rules alone have", async () => {
    await seal("stray.p11s", "-r", "bob", "-r", "nobody.pem");
    writeFileSync(at("ruled/clean.p11s"), readFileSync(at("stray.p11s")));
    const key = createPublicKey(readFileSync(at("nobody.pem"))).export({
      format: "der",
      type: "spki",
    });
    const fingerprint = createHash("sha256").update(key).digest("hex");
    const recipient = `[[recipient]]\nname = "escrow"\nfingerprint = "SHA256:${fingerprint}"\n`;
    const rule = '[[rule]]\npaths = ["**"]\nalways = ["escrow"]\n';
    const material = `key = "${key.toString("base64")}"\n`;
    expect(await ruled(`root = true\n${recipient}${material}${rule}`)).toEqual([]);
  });

  it("finds more recipients that are not named than `only` has keys for", async () => {
    const x25519 = [0, 1].map(() => generateKeyPairSync("x25519").publicKey);
    const spki = x25519.map((key) => key.export({ format: "der", type: "spki" }));
    const files = x25519.map((key, i) => {
      writeFileSync(at(`x${i}.pem`), key.export({ format: "pem", type: "spki" }));
      return `x${i}.pem`;
    });
    const named = spki.map((key, i) => {
      const fingerprint = createHash("sha256").update(key).digest("hex");
      return `[[recipient]]\nname = "x${i}"\nfingerprint = "SHA256:${fingerprint}"\nkey = "${key.toString("base64")}"\n`;
    });
    const only = (...names: readonly string[]): string =>
      `root = true\n${named.join("")}[[rule]]\npaths = ["**"]\nonly = ${JSON.stringify(names)}\n`;
    const to = files.flatMap((name) => ["-r", name]);
    await ok("seal", "--format", "age", ...to, "-o", "two.age", "note");
    writeFileSync(at("ruled/clean.p11s"), readFileSync(at("two.age")));
    const kindsUnder = async (text: string): Promise<string[]> =>
      (await ruled(text)).map(({ kind }) => kind);
    expect(await kindsUnder(only("x0", "x1"))).toEqual(["unnamed-recipient"]);
    expect(await kindsUnder(only("x0"))).toEqual(["excluded-recipient", "unnamed-recipient"]);
  });
});

describe("files", () => {
  it("reports a broken header, and goes on", async () => {
    const bytes = readFileSync(at("clean.p11s"));
    writeFileSync(at("cut.p11s"), bytes.subarray(0, 100));
    writeFileSync(at("empty"), "");
    const version = Buffer.from(bytes);
    version[8] = 99;
    writeFileSync(at("future.p11s"), version);
    const { findings } = await audit("cut.p11s", "empty", "future.p11s", "clean.p11s");
    const broken = findings.filter(({ kind }) => kind === "broken");
    expect(broken.map(({ file }) => file)).toEqual(["cut.p11s", "empty", "future.p11s"]);
  });

  it("reads the header of a huge file, and nothing behind it", async () => {
    writeFileSync(at("huge.p11s"), readFileSync(at("clean.p11s")));
    truncateSync(at("huge.p11s"), 2 ** 40);
    expect(await kinds("huge.p11s")).toEqual([]);
  });

  it("passes over other files in a tree, names what can't be read, and then exits 1", async () => {
    mkdirSync(at("tree/sub"), { recursive: true });
    writeFileSync(at("tree/readme"), "no message\n");
    writeFileSync(at("tree/sub/a\nb.p11s"), readFileSync(at("clean.p11s")));
    symlinkSync(at("clean.p11s"), at("tree/link.p11s"));
    const whole = await audit("--tree", "tree");
    expect(whole).toMatchObject({ messages: 1, others: 1, skipped: 1, unreadable: 0 });
    expect(new Set(whole.findings.map(({ file }) => file))).toEqual(
      new Set(["tree/sub/a\nb.p11s"]),
    );

    const { status, stdout } = await cli("audit", "missing", "clean.p11s");
    expect(status).toBe(1);
    expect(stdout.toString("utf8")).toContain(
      'missing: fault: cannot read "missing": no such file or directory (ENOENT) [unreadable]\n',
    );
  });

  it("shows names with line breaks on one line", async () => {
    const { stdout } = await cli("audit", "--tree", "tree");
    expect(stdout.toString("utf8").split("\n")).toContain(
      "tree/sub/a\\nb.p11s: warning: not signed [unsigned]",
    );
  });

  it("takes a list of files, and a part of it", async () => {
    writeFileSync(at("list"), "clean.p11s\nzoe.p11s\nsome.age\n");
    expect((await audit("--manifest", "list")).messages).toBe(3);
    const parts = await Promise.all(
      ["1/2", "2/2"].map((part) => audit("--manifest", "list", "--shard", part)),
    );
    expect(parts.reduce((sum, { messages }) => sum + messages, 0)).toBe(3);
  });

  it("wants files, and a folder only with --tree", async () => {
    for (const argv of [
      ["audit"],
      ["audit", "tree"],
      ["audit", "-"],
      ["audit", "--ignore", "nothing", "note"],
    ]) {
      const outcome = await cli(...argv, "--json");
      expect([argv, outcome.status, errorCode(outcome)]).toEqual([argv, 2, "ERR_USAGE"]);
    }
  });

  it("is refused where others could have changed the directory", async () => {
    chmodSync(at("home/recipients.toml"), 0o666);
    const outcome = await cli("audit", "--json", "clean.p11s");
    chmodSync(at("home/recipients.toml"), 0o600);
    expect([outcome.status, errorCode(outcome)]).toEqual([6, "ERR_UNSAFE_FILE"]);
  });
});

describe("the run's end", () => {
  it("is 0 with findings, 6 with --strict, and 0 if what was found is ignored", async () => {
    expect((await cli("audit", "clean.p11s")).status).toBe(0);
    const strict = await cli("audit", "--strict", "--json", "clean.p11s");
    expect([strict.status, errorCode(strict)]).toEqual([6, "ERR_AUDIT"]);
    const ignoring = EVERYWHERE.flatMap((kind) => ["--ignore", kind]);
    expect((await cli("audit", "--strict", ...ignoring, "clean.p11s")).status).toBe(0);
  });

  it("says once what it comes to, and does not take a file for a message that is none", async () => {
    const { status, stderr } = await cli("audit", "--strict", "note");
    expect([status, stderr.split("\n").slice(0, 3)]).toEqual([
      6,
      [
        "p11seal: 0 messages looked at",
        "p11seal: 1 other file: no sealed messages",
        expect.stringMatching(/^p11seal: \d findings? \(.*1 fault.*\) in 1 file$/),
      ],
    ]);
    expect(await audit("note")).toMatchObject({ messages: 0, others: 1, affected: 1 });
  });

  it("says what was looked at", async () => {
    const { stderr } = await cli("audit", "--tree", "tree", "--ignore", "not-governed");
    expect(stderr).toBe(
      [
        "p11seal: 1 finding (1 warning) in 1 file; 1 message looked at",
        "p11seal: 1 other file: no sealed messages",
        "p11seal: 1 link or special file passed over",
        "",
      ].join("\n"),
    );
  });
});

/** A message whose wraps, all for one key, have these OAEP hashes, by their numbers. */
async function written(name: string, hashes: readonly (readonly number[])[]): Promise<string> {
  const stanzas = hashes.map(([hash = 0]) =>
    stanza({ body: Buffer.concat([Buffer.of(hash, hash), Buffer.alloc(256, 0x77)]) }),
  );
  writeFileSync(at(name), messageBytes({ recips: recips(stanzas) }));
  return Promise.resolve(name);
}
