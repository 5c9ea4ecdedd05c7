/** Names for keys: `p11seal senders`, `custodians` and `recipients`, and sealing to a name. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { fingerprintGroups, publicKeyFromSpki } from "../../../../src/keys/public-key.js";
import type { MessageInfo } from "../../../../src/index.js";
import { formatPublicKey, type PublicKeyFormat } from "../../../../src/keys/formats/key-file.js";
import type { PublicKey } from "../../../../src/keys/key.js";
import { defined } from "../../../../src/defined.js";
import { publicDer, publicPem, TEST_KEYS } from "../../../support/keys.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { run, type Outcome, type RunOptions } from "../../support/run.js";

const folder = temporaryFolder();
let homes = 0;

beforeAll(() => {
  process.chdir(folder);
  writeKeys(folder);
  writeFileSync("sign.pem", publicPem(TEST_KEYS.ed25519));
  writeFileSync("other.pem", publicPem(TEST_KEYS.p384));
  writeFileSync("recorded.pem", `p11seal-oaep: sha1\n${publicPem(TEST_KEYS.rsa2048)}`);
});

/** A data folder that does not exist yet. */
function freshHome(): string {
  homes++;
  return join(folder, `home${homes}`);
}

function at(home: string): (argv: string, options?: RunOptions) => Promise<Outcome> {
  return (argv, options = {}) => run(argv.split(" "), { env: { P11SEAL_HOME: home }, ...options });
}

const dataOf = (outcome: Outcome): unknown => JSON.parse(outcome.stdout.toString("utf8"));
const codeOf = ({ stderr }: Outcome): string =>
  (JSON.parse(stderr) as { error: { code: string } }).error.code;

describe.each(["senders", "custodians", "recipients"])("%s", (kind) => {
  it("are added, listed, shown and removed", async () => {
    const p11seal = at(freshHome());
    expect(await p11seal(`${kind} add alice bob.pem --provenance telephone`)).toMatchObject({
      status: 0,
    });
    expect(dataOf(await p11seal(`${kind} list --json`))).toMatchObject({
      [kind]: [{ name: "alice", kind: "P-256", source: "telephone", status: "valid" }],
    });
    const shown = await p11seal(`${kind} show ALICE --json`);
    expect(dataOf(shown)).toMatchObject({ name: "alice", notBefore: null, notAfter: null });
    expect((await p11seal(`${kind} remove alice --yes`)).status).toBe(0);
    expect(dataOf(await p11seal(`${kind} list --json`))).toEqual({ [kind]: [] });
    expect(codeOf(await p11seal(`${kind} show alice --json`))).toBe("ERR_NAME_UNKNOWN");
  });

  it("have a fingerprint that can be read out, group by group", async () => {
    const p11seal = at(freshHome());
    const added = await p11seal(`${kind} add alice bob.pem`);
    const groups = fingerprintGroups(publicKeyFromSpki(publicDer(TEST_KEYS.p256)));
    for (const outcome of [added, await p11seal(`${kind} show alice`)]) {
      const text = outcome.stdout.toString("utf8");
      expect(text.match(/\b[0-9a-f]{4}\b(?= |\n)/g)).toEqual(groups);
    }
  });

  it("never get another key under a known name", async () => {
    const home = freshHome();
    const p11seal = at(home);
    await p11seal(`${kind} add alice bob.pem`);
    const before = readFileSync(join(home, `${kind}.toml`));
    const changed = await p11seal(`${kind} add Alice other.pem`);
    expect(changed.status).toBe(6);
    expect(changed.stderr).toContain('"alice" has another key');
    expect((await p11seal(`${kind} add mallory bob.pem`)).status).toBe(6);
    expect(readFileSync(join(home, `${kind}.toml`))).toEqual(before);
  });

  it("keep their limits when the same key is added without them", async () => {
    const p11seal = at(freshHome());
    await p11seal(`${kind} add alice bob.pem --not-before 2020-02-01 --not-after 2020-03-01`);
    const again = await p11seal(`${kind} add alice bob.pem --provenance again`);
    expect(again.status).toBe(0);
    expect(dataOf(await p11seal(`${kind} show alice --json`))).toMatchObject({
      notBefore: "2020-02-01T00:00:00Z",
      notAfter: "2020-03-01T23:59:59Z",
      source: "again",
      status: "expired",
    });
    expect((await p11seal(`${kind} add alice bob.pem --not-before 2021-01-01`)).status).toBe(2);
  });

  it.each([
    ["a bad name", "add a/b bob.pem", 2],
    ["a day that is none", "add alice bob.pem --not-after 2027-02-31", 2],
    ["a private key", "add alice bob.key", 1],
    ["a weak key", "add alice weak.pem", 6],
    ["a missing file", "add alice nowhere.pem", 1],
    ["two names", "show alice -- bob", 2],
  ])("are not made of %s, and nothing is left behind", async (_what, argv, status) => {
    const home = freshHome();
    expect((await at(home)(`${kind} ${argv}`)).status).toBe(status);
    expect(existsSync(home)).toBe(false);
  });

  it("come from stdin too", async () => {
    const p11seal = at(freshHome());
    const stdin = publicPem(TEST_KEYS.p256);
    expect((await p11seal(`${kind} add alice -`, { stdin })).status).toBe(0);
    expect(dataOf(await p11seal(`${kind} show alice --json`))).toMatchObject({ source: "stdin" });
    expect((await p11seal(`${kind} add erin`, { stdin })).status).toBe(6);
    expect((await p11seal(`${kind} add erin`, { tty: ["stdin"] })).status).toBe(2);
  });

  it("are removed only when their name was typed", async () => {
    const p11seal = at(freshHome());
    await p11seal(`${kind} add alice bob.pem`);
    const unasked = await p11seal(`${kind} remove alice`);
    expect(unasked.status).toBe(2);
    expect(unasked.stderr).toContain("--yes confirms");
    expect((await p11seal(`${kind} remove alice`, { answers: ["yes"] })).status).toBe(2);
    expect((await p11seal(`${kind} show alice`)).status).toBe(0);
    const removed = await p11seal(`${kind} remove alice`, { answers: ["alice"] });
    expect(removed.status).toBe(0);
    expect(removed.asked).toHaveLength(1);
    expect((await p11seal(`${kind} show alice`)).status).toBe(2);
  });
});

describe("a sender", () => {
  it("can have a key that only signs, a recipient can't", async () => {
    const p11seal = at(freshHome());
    expect((await p11seal("senders add alice sign.pem")).status).toBe(0);
    expect((await p11seal("recipients add alice sign.pem")).status).toBe(1);
    expect((await p11seal("senders add carol carol.pem")).status).toBe(1);
  });

  it("can't be called as all of them are", async () => {
    expect((await at(freshHome())("senders add any sign.pem")).status).toBe(2);
  });
});

describe("a custodian", () => {
  it("can have a key that only signs, and must have one that can", async () => {
    const p11seal = at(freshHome());
    expect((await p11seal("custodians add vault sign.pem")).status).toBe(0);
    expect((await p11seal("custodians add carol carol.pem")).status).toBe(1);
    expect((await p11seal("custodians add any other.pem")).status).toBe(2);
  });

  it("is no sender, and a sender is no custodian, unless added as both", async () => {
    const p11seal = at(freshHome());
    await p11seal("custodians add vault sign.pem");
    await p11seal("senders add alice other.pem");
    expect((await p11seal("senders show vault")).status).toBe(2);
    expect((await p11seal("custodians show alice")).status).toBe(2);
    expect((await p11seal("custodians add alice other.pem")).status).toBe(0);
    const { custodians } = dataOf(await p11seal("custodians list --json")) as {
      custodians: { name: string }[];
    };
    expect(custodians.map(({ name }) => name)).toEqual(["vault", "alice"]);
    await p11seal("senders remove alice --yes");
    expect((await p11seal("custodians show alice")).status).toBe(0);
  });

  it("is nobody to seal to, unless that is asked for", async () => {
    const p11seal = at(freshHome());
    await p11seal("custodians add vault other.pem");
    const refused = await p11seal("seal -r other.pem --json", { stdin: "x" });
    expect(codeOf(refused)).toBe("ERR_SIGNING_KEY_AS_RECIPIENT");
    expect(refused.stderr).toContain("the signing key of the custodian");
    expect((await p11seal("recipients add vault other.pem")).status).toBe(6);
    expect((await p11seal("recipients add vault other.pem --allow-signing-key")).status).toBe(0);
  });
});

describe("a key that anybody can sign for, or that has several encodings", () => {
  /** SubjectPublicKeyInfo of Curve25519 keys, up to their 32 bytes (RFC 8410 §4). */
  const spki = { ed25519: "302a300506032b6570032100", x25519: "302a300506032b656e032100" };

  it.each([
    ["an Ed25519 key of small order", "ed25519", `01${"00".repeat(31)}`, 6, "anybody can sign"],
    ["an Ed25519 key off the curve", "ed25519", `02${"00".repeat(31)}`, 1, "not on the curve"],
    ["an Ed25519 key beyond the field", "ed25519", "ff".repeat(32), 1, "canonical encoding"],
    ["an X25519 key beyond the field", "x25519", "ff".repeat(32), 1, "canonical encoding"],
  ] as const)("(%s) is added to no list, and sealed to by nobody", async (_what, kind, ...rest) => {
    const [key, status, fact] = rest;
    writeFileSync("false.der", Buffer.from(`${spki[kind]}${key}`, "hex"));
    const p11seal = at(freshHome());
    const lists = ["senders", "custodians", "recipients"];
    const given = lists.map((list) => `${list} add mallory false.der`);
    for (const argv of [...given, "seal -r false.der -o false.p11s bob.pem"]) {
      const outcome = await p11seal(argv);
      expect([argv, outcome.status]).toEqual([argv, status]);
      expect(outcome.stderr).toContain(fact);
    }
    expect(existsSync("false.p11s")).toBe(false);
  });
});

describe("the first ledger", () => {
  it("is made with the first sender, for its owner alone", async () => {
    const home = freshHome();
    const p11seal = at(home);
    expect((await p11seal("senders add alice sign.pem")).status).toBe(0);
    expect(statSync(join(home, "ledger.db")).mode & 0o777).toBe(0o600);
    expect((await p11seal("ledger verify")).status).toBe(0);
    expect((await p11seal("audit-log verify")).status).toBe(0);
  });

  it("is not made for recipients or custodians", async () => {
    const home = freshHome();
    await at(home)("recipients add alice bob.pem");
    await at(home)("custodians add vault sign.pem");
    expect(existsSync(join(home, "ledger.db"))).toBe(false);
  });

  it("that was lost is not made anew by another sender", async () => {
    const home = freshHome();
    const p11seal = at(home);
    await p11seal("senders add alice sign.pem");
    rmSync(join(home, "ledger.db"));
    expect((await p11seal("senders add bob bob.pem")).status).toBe(0);
    expect(codeOf(await p11seal("ledger status --json"))).toBe("ERR_LEDGER_MISSING");
  });

  it("that was lost is not made anew after all senders were removed", async () => {
    const home = freshHome();
    const p11seal = at(home);
    await p11seal("senders add alice sign.pem");
    rmSync(join(home, "ledger.db"));
    await p11seal("senders remove alice --yes");
    expect((await p11seal("senders add alice sign.pem")).status).toBe(0);
    expect(codeOf(await p11seal("ledger status --json"))).toBe("ERR_LEDGER_MISSING");
  });

  it("is made once by two senders added at the same moment, and both are kept", async () => {
    const p11seal = at(freshHome());
    const added = await Promise.all([
      p11seal("senders add alice sign.pem"),
      p11seal("senders add bob bob.pem"),
    ]);
    expect(added.map(({ status }) => status)).toEqual([0, 0]);
    const { senders } = dataOf(await p11seal("senders list --json")) as { senders: unknown[] };
    expect(senders).toHaveLength(2);
    expect((await p11seal("ledger verify")).status).toBe(0);
  });
});

describe("sealing to a name of the directory", () => {
  /** The types of the recipients that a message was sealed to. */
  async function sealedTo(home: string, name: string): Promise<Outcome & { types: string[] }> {
    const outcome = await at(home)(`seal -r ${name}`, { stdin: "word" });
    if (outcome.status !== 0) return { ...outcome, types: [] };
    const info = dataOf(await run(["inspect", "--json"], { stdin: outcome.stdout })) as MessageInfo;
    return { ...outcome, types: info.recipients.map(({ type, oaep }) => oaep ?? type) };
  }

  it("uses its key, in either case of letters, and its holder opens the message", async () => {
    const home = freshHome();
    await at(home)("recipients add bob bob.pem");
    const { types, stdout } = await sealedTo(home, "BOB");
    expect(types).toEqual(["hpke-p256"]);
    const opened = await run(["open", "-i", "bob.key"], {
      stdin: stdout,
      env: { P11SEAL_HOME: home },
    });
    expect(opened.stdout.toString("utf8")).toBe("word");
  });

  it("follows the OAEP record that came with the key", async () => {
    const home = freshHome();
    await at(home)("recipients add alice recorded.pem");
    expect((await sealedTo(home, "alice")).types).toEqual(["sha1"]);
  });

  it("is not led astray by a file of that name", async () => {
    const home = freshHome();
    writeFileSync("dave", publicPem(TEST_KEYS.rsa2048));
    await at(home)("recipients add dave bob.pem");
    const { types, stderr } = await sealedTo(home, "dave");
    expect(types).toEqual(["hpke-p256"]);
    expect(stderr).toContain("write ./dave for the file here");
  });

  it.each([
    ["expired", "--not-after 2020-01-01"],
    ["is not valid yet", "--not-before 2100-01-01"],
  ])("is refused when the key %s", async (_what, limit) => {
    const home = freshHome();
    await at(home)(`recipients add bob bob.pem ${limit}`);
    expect((await sealedTo(home, "bob")).status).toBe(6);
  });

  it("is refused when the list written by hand has that name as well", async () => {
    const home = freshHome();
    await at(home)("recipients add bob bob.pem");
    writeFileSync(join(home, "recipients"), `bob = ${join(folder, "carol.pem")}\n`);
    const { status, stderr } = await sealedTo(home, "bob");
    expect(status).toBe(2);
    expect(stderr).toContain('"bob" stands in');
  });

  it("leaves the list written by hand as it is, and usable", async () => {
    const home = freshHome();
    await at(home)("recipients add bob bob.pem");
    const list = `carol = ${join(folder, "carol.pem")}\n`;
    writeFileSync(join(home, "recipients"), list);
    expect((await sealedTo(home, "carol")).types).toEqual(["hpke-x25519"]);
    await at(home)("recipients add erin other.pem");
    expect(readFileSync(join(home, "recipients"), "utf8")).toBe(list);
  });

  it("needs no data folder of one's own for a key file, but does for a name", async () => {
    const home = freshHome();
    mkdirSync(home);
    chmodSync(home, 0o777);
    expect((await sealedTo(home, "bob.pem")).types).toEqual(["hpke-p256"]);
    chmodSync(home, 0o700);
    await at(home)("recipients add bob bob.pem");
    expect((await sealedTo(home, "bob")).types).toEqual(["hpke-p256"]);
    chmodSync(home, 0o777);
    expect((await sealedTo(home, "bob")).status).toBe(6);
    chmodSync(home, 0o700);
  });

  it("does not believe a directory that was changed by hand", async () => {
    const home = freshHome();
    await at(home)("recipients add bob bob.pem");
    const path = join(home, "recipients.toml");
    const spki = Buffer.from(publicDer(TEST_KEYS.p384)).toString("base64");
    writeFileSync(path, readFileSync(path, "utf8").replace(/key = ".*"/, `key = "${spki}"`));
    const { status, stderr } = await sealedTo(home, "bob");
    expect(status).toBe(1);
    expect(stderr).toContain("the fingerprint does not match the key");
  });
});

describe("senders add, of what a key is for,", () => {
  const p256 = publicKeyFromSpki(publicDer(TEST_KEYS.p256));
  const rsa = publicKeyFromSpki(publicDer(TEST_KEYS.rsa2048));
  const inForm = (form: PublicKeyFormat, key: PublicKey, signOnly?: boolean): Buffer =>
    Buffer.from(formatPublicKey(key, form, defined({ signOnly })));
  const jwk = (members: object): Buffer => {
    const plain = JSON.parse(inForm("jwk", p256).toString()) as Record<string, unknown>;
    delete plain["use"];
    return Buffer.from(JSON.stringify({ ...plain, ...members }));
  };
  const fixture = (name: string): Buffer =>
    readFileSync(new URL(`../../../keys/fixtures/${name}`, import.meta.url));

  it.each([
    ["a PEM recorded for exchange", inForm("pem", p256, false), true],
    ["a PEM recorded for signatures", inForm("pem", p256, true), false],
    ["a PEM without a record", inForm("pem", p256), false],
    ["an OpenSSH line recorded for exchange", inForm("ssh", p256, false), true],
    ["an OpenSSH line recorded for signatures", inForm("ssh", p256, true), false],
    ["a JWK with use enc", jwk({ use: "enc" }), true],
    ["a JWK with use sig", jwk({ use: "sig" }), false],
    ["a JWK that derives", jwk({ key_ops: ["deriveBits"] }), true],
    ["a JWK that verifies and derives", jwk({ key_ops: ["deriveBits", "verify"] }), false],
    ["a JWK of neither", jwk({}), false],
    ["a PUBLICKEYBLOB for exchange", inForm("capi", rsa, false), true],
    ["a PUBLICKEYBLOB for signatures", inForm("capi", rsa, true), false],
    ["a certificate for encryption", fixture("rsa2048-enc.crt.pem"), true],
    ["a certificate for agreement", fixture("p256-agree.crt.pem"), true],
    ["a certificate for signatures", fixture("rsa2048-sig.crt.pem"), false],
    ["a certificate without key usage", fixture("rsa2048-none.crt.pem"), false],
  ])("with %s", async (_what, bytes, isNoted) => {
    writeFileSync("a-key", bytes);
    const home = freshHome();
    const { status, stderr } = await at(home)("senders add alice a-key");
    expect({ status, stderr }).toMatchObject({ status: 0 });
    const note = /recorded for exchange; its owner most likely signs with another/;
    if (isNoted) expect(stderr).toMatch(note);
    else expect(stderr).not.toMatch(note);
    const listed = dataOf(await at(home)("senders list --json"));
    expect(listed).toMatchObject({ senders: [{ name: "alice" }] });
  });
});
