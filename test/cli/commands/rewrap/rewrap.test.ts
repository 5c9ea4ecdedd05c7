/** `p11seal rewrap` with keys in files: who can open a message afterwards, and what is said. */
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { inspectMessage } from "../../../../src/envelope/messages.js";
import { thisProcess } from "../../../../src/store/owner.js";
import { sideFileOf } from "../../../../src/store/work-files.js";
import { ALL_KINDS, temporaryFolder, wordsIn, writeKeys } from "../../support/folder.js";
import { errorCode, run, type Outcome } from "../../support/run.js";

const root = temporaryFolder();
let folder: string;
let env: Record<string, string>;
const at = (name: string): string => join(folder, name);

beforeEach(() => {
  folder = mkdtempSync(join(root, "run-"));
  env = { P11SEAL_HOME: at("home") };
  writeKeys(folder, ALL_KINDS);
  writeFileSync(at("plan.txt"), "the plan\n");
});

/** Names of people's files stand for their paths. */
function p11seal(line: string): Promise<Outcome> {
  return run(wordsIn(folder, line), { env });
}

async function seal(file: string, to: string, more = ""): Promise<void> {
  const recipients = to.split(" ").map((name) => `-r ${name}.pem`);
  const line = `seal ${recipients.join(" ")} ${more} -o ${file} plan.txt`.replace(/ +/g, " ");
  const { status, stderr } = await p11seal(line);
  expect([status, stderr]).toEqual([0, expect.any(String)]);
}

async function opensFor(file: string, name: string, more = ""): Promise<boolean> {
  const line = `open -i ${name}.key ${more} -o - ${file}`.replace(/ +/g, " ");
  const { status, stdout } = await p11seal(line);
  expect(status === 0 || status === 3).toBe(true);
  return status === 0 && stdout.toString() === "the plan\n";
}

const types = async (file: string): Promise<string[]> =>
  (await inspectMessage(readFileSync(at(file)))).recipients.map(({ type }) => type);

const results = ({ stdout }: Outcome): unknown[] =>
  stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);

/** As a run that ended before it had overwritten all of a header. @returns the side file */
function leaveSideFile(path: string, old: Buffer, next: Buffer): string {
  const headers = Buffer.concat([old, next]);
  const fields = {
    p11seal: "header 1",
    run: thisProcess().replace(/-[0-9]+$/, "-1"),
    bytes: old.length,
    sha256: createHash("sha256").update(headers).digest("hex"),
  };
  const side = sideFileOf(path);
  writeFileSync(side, `${JSON.stringify(fields)}\n`, { mode: 0o600 });
  appendFileSync(side, headers);
  return side;
}

describe("rewrap", () => {
  it.each(["p11seal", "age", "cms"])("changes who can open a file, in %s", async (format) => {
    await seal("m.p11s", "alice carol", `--format ${format}`);
    const before = readFileSync(at("m.p11s"));
    const done = await p11seal("rewrap -r dave.pem --remove alice.pem -i carol.key m.p11s");
    expect([done.status, done.stdout.toString()]).toEqual([0, ""]);
    expect(done.stderr).toContain("m.p11s: re-wrapped, 1 added, 1 removed\n");
    expect(done.stderr).toContain("whoever could open it before may have kept its key");
    expect(done.stderr).toContain("without a custodian's record: what nobody signed has none");
    expect(await opensFor("m.p11s", "dave")).toBe(true);
    expect(await opensFor("m.p11s", "carol")).toBe(true);
    expect(await opensFor("m.p11s", "alice")).toBe(false);
    // The same bulk.
    expect(readFileSync(at("m.p11s")).subarray(-40)).toEqual(before.subarray(-40));
  });

  it("does nothing where the header says that it is done, and asks for no key", async () => {
    await seal("m.p11s", "alice carol");
    const before = readFileSync(at("m.p11s"));
    const done = await p11seal("rewrap -r carol.pem --remove bob.pem -i missing.key m.p11s");
    expect(done.status).toBe(1);
    const again = await p11seal("rewrap -r carol.pem --remove bob.pem -i dave.key m.p11s");
    expect(again.status).toBe(0);
    expect(again.stderr).toContain("m.p11s: its recipients are as they should be");
    // A key that is not there was perhaps meant to be another.
    expect(again.stderr).toContain("not among its recipients");
    expect(again.stderr).not.toContain("may have kept");
    expect(readFileSync(at("m.p11s"))).toEqual(before);
  });

  it("changes recipients and no file key; a reseal makes a new one", async () => {
    await seal("m.p11s", "alice carol");
    const old = readFileSync(at("m.p11s"));
    const { headerBytes } = await inspectMessage(old);
    const opensUnderOldHeader = async (): Promise<number> => {
      const now = readFileSync(at("m.p11s"));
      const body = now.subarray((await inspectMessage(now)).headerBytes);
      writeFileSync(at("back.p11s"), Buffer.concat([old.subarray(0, headerBytes), body]));
      return (await p11seal("open -i alice.key -o - back.p11s")).status;
    };
    expect((await p11seal("rewrap --remove alice.pem -i carol.key m.p11s")).status).toBe(0);
    expect(await opensUnderOldHeader()).toBe(0);
    expect((await p11seal("reseal -i carol.key m.p11s")).status).toBe(0);
    expect(await opensUnderOldHeader()).toBe(4);
  });

  it("is not taken for a change of the file key: asked for nothing, it names reseal", async () => {
    await seal("m.p11s", "alice carol");
    const before = readFileSync(at("m.p11s"));
    const ended = await p11seal("rewrap -i carol.key m.p11s");
    expect([ended.status, ended.stderr]).toEqual([2, expect.stringContaining("p11seal reseal\n")]);
    expect(readFileSync(at("m.p11s"))).toEqual(before);
  });

  it("says what it was asked for and did not do: another OAEP hash for a key that stays", async () => {
    await seal("m.p11s", "alice carol", "--oaep sha1");
    const before = readFileSync(at("m.p11s"));
    const change = "-r carol.pem --oaep sha256 -i alice.key m.p11s";
    const kept = await p11seal(`rewrap ${change}`);
    expect(kept.stderr).toContain("1 kept with another OAEP hash: --remove it as well");
    const [line] = results(await p11seal(`rewrap --json ${change}`));
    expect(line).toMatchObject({ result: "unchanged", otherHash: 1 });
    expect(readFileSync(at("m.p11s"))).toEqual(before);
    // As the message says.
    const renewed = await p11seal(`rewrap --remove carol.pem ${change}`);
    expect(renewed.stderr).toContain("m.p11s: re-wrapped, 1 added, 1 removed\n");
    const done = await p11seal(`rewrap ${change}`);
    expect(done.stderr).toContain("m.p11s: its recipients are as they should be\n");
    expect(await opensFor("m.p11s", "carol")).toBe(true);
  });

  it("is of files: what comes from stdin lies nowhere", async () => {
    for (const line of ["rewrap -r bob.pem -i alice.key -", "reseal -i alice.key -"]) {
      const ended = await p11seal(`${line} --json`);
      expect([line, ended.status, errorCode(ended)]).toEqual([line, 2, "ERR_USAGE"]);
    }
  });

  it("takes a new key under an old name for what it is: a recipient who is not there yet", async () => {
    await run(["recipients", "add", "bob", at("alice.pem")], { env });
    await seal("m.p11s", "alice");
    await run(["recipients", "remove", "bob", "--yes"], { env });
    await run(["recipients", "add", "bob", at("carol.pem")], { env });
    const { status, stderr } = await run(
      ["rewrap", "-r", "bob", "-i", at("alice.key"), at("m.p11s")],
      { env },
    );
    expect([status, stderr]).toEqual([0, expect.stringContaining("re-wrapped, 1 added")]);
    expect(await opensFor("m.p11s", "carol")).toBe(true);
  });

  it("removes a recipient whose entry has expired, and adds none", async () => {
    await seal("m.p11s", "alice carol");
    const added = await run(
      ["recipients", "add", "old", at("alice.pem"), "--not-after", "2001-01-01"],
      { env },
    );
    expect(added.status).toBe(0);
    const line = (option: string): string[] => [
      ...["rewrap", option, "old", "-i", at("carol.key"), at("m.p11s")],
    ];
    expect((await run([...line("-r")], { env })).status).toBe(6);
    expect((await run([...line("--remove")], { env })).status).toBe(0);
    expect(await opensFor("m.p11s", "alice")).toBe(false);
  });

  it("leaves the file as it was if anything fails", async () => {
    await seal("m.p11s", "alice");
    const before = readFileSync(at("m.p11s"));
    const fails = async (line: string, status: number, code: string): Promise<void> => {
      const ended = await p11seal(`rewrap --json ${line}`);
      expect([ended.status, errorCode(ended)]).toEqual([status, code]);
      expect(readFileSync(at("m.p11s"))).toEqual(before);
      expect(readdirSync(folder).filter((name) => name.includes("m.p11s"))).toEqual(["m.p11s"]);
    };
    await fails("-r carol.pem -i bob.key m.p11s", 3, "ERR_NO_MATCH");
    await fails("--remove alice.pem -i alice.key m.p11s", 2, "ERR_NO_RECIPIENTS");
    await fails("-i alice.key m.p11s", 2, "ERR_USAGE");
    await fails("-r carol.pem -i alice.key", 2, "ERR_USAGE");
    await fails("-r carol.pem -i alice.key -", 2, "ERR_USAGE");
    await fails("-r carol.pem -i alice.key plan.txt", 1, "ERR_NOT_A_MESSAGE");
    await fails(`-r carol.pem -i alice.key ${folder}`, 2, "ERR_USAGE");
    before[before.length - 1] = before[before.length - 1] ?? 0;
    const altered = Buffer.from(before);
    altered[60] = (altered[60] ?? 0) ^ 1;
    writeFileSync(at("altered.p11s"), altered);
    const refused = await p11seal("rewrap --json -r carol.pem -i alice.key altered.p11s");
    expect(refused.status).toBe(4);
    expect(readFileSync(at("altered.p11s"))).toEqual(altered);
  });

  it("re-wraps messages as text, and key blobs alone", async () => {
    await seal("m.asc", "alice", "-a");
    await seal("m.p11s", "alice", "--key-blob k.p11k");
    const body = readFileSync(at("m.p11s"));
    const done = await p11seal("rewrap -r carol.pem -i alice.key m.asc --key-blob k.p11k");
    expect(done.status).toBe(0);
    expect(readFileSync(at("m.asc"), "latin1")).toMatch(/^-----BEGIN P11SEAL MESSAGE-----\n/);
    expect(await opensFor("m.asc", "carol")).toBe(true);
    expect(await opensFor("m.p11s", "carol", "--key-blob k.p11k")).toBe(true);
    expect(readFileSync(at("m.p11s"))).toEqual(body);
    await seal("whole.p11s", "alice");
    const whole = await p11seal("rewrap --json -r carol.pem -i alice.key --key-blob whole.p11s");
    expect([whole.status, errorCode(whole)]).toEqual([4, "ERR_TRAILING"]);
  });

  it("follows no link, and breaks a hard one only if it is told to; keeps the mode", async () => {
    await seal("m.p11s", "alice");
    chmodSync(at("m.p11s"), 0o640);
    symlinkSync("m.p11s", at("link.p11s"));
    linkSync(at("m.p11s"), at("other.p11s"));
    const code = async (line: string): Promise<string> => errorCode(await p11seal(line));
    const change = "-r carol.pem -i alice.key";
    expect(await code(`rewrap --json ${change} link.p11s`)).toBe("ERR_FILE_KIND");
    expect(await code(`rewrap --json ${change} m.p11s`)).toBe("ERR_HARD_LINK");
    expect((await p11seal(`rewrap ${change} --break-links m.p11s`)).status).toBe(0);
    expect(statSync(at("m.p11s")).mode & 0o777).toBe(0o640);
    expect(await opensFor("m.p11s", "carol")).toBe(true);
    expect(await opensFor("other.p11s", "carol")).toBe(false);
  });

  it("changes a file once that is named twice, or by two of its links", async () => {
    for (const file of ["first.p11s", "m.p11s", "n.p11s"]) await seal(file, "alice");
    for (const link of ["n2.p11s", "n3.p11s"]) linkSync(at("n.p11s"), at(link));
    const done = await p11seal(
      "rewrap --json --break-links -r carol.pem -i alice.key " +
        "first.p11s m.p11s m.p11s n.p11s n2.p11s ./m.p11s n3.p11s",
    );
    expect([done.status, done.stderr]).toEqual([0, expect.any(String)]);
    expect(results(done).slice(0, -1)).toMatchObject(
      [true, true, false, true, true, false, true].map((isChange) => ({
        result: isChange ? "rewrapped" : "unchanged",
      })),
    );
    for (const file of ["m.p11s", "n.p11s", "n2.p11s", "n3.p11s"]) {
      expect(await opensFor(file, "carol")).toBe(true);
    }
  });

  it("gets CMS in CBC re-wrapped only with --allow-unauthenticated", async () => {
    await seal("m.p7m", "carol", "--format cms --profile windows");
    const line = "rewrap --json -r dave.pem -i carol.key";
    expect(errorCode(await p11seal(`${line} m.p7m`))).toBe("ERR_UNAUTHENTICATED");
    expect((await p11seal(`${line} --allow-unauthenticated m.p7m`)).status).toBe(0);
    expect(await opensFor("m.p7m", "dave", "--allow-unauthenticated")).toBe(true);
  });

  it.each(["", "--armor"])("keeps CMS whose tag does not hold as it was %s", async (form) => {
    await seal("m.p7m", "alice", `--format cms ${form}`);
    const text = readFileSync(at("m.p7m"));
    const end = form === "" ? text.length - 1 : text.lastIndexOf("\n-----END") - 8;
    // A bit of the tag, or of the base64 digit that has some of it.
    text[end] = form === "" ? (text[end] ?? 0) ^ 1 : text[end] === 0x41 ? 0x42 : 0x41;
    writeFileSync(at("m.p7m"), text);
    const refused = await p11seal("rewrap --json -r bob.pem -i alice.key m.p7m");
    expect([refused.status, errorCode(refused)]).toEqual([4, "ERR_NOT_AUTHENTIC"]);
    expect(readFileSync(at("m.p7m"))).toEqual(text);
  });

  it("overwrites a header where it is, if both have the same size", async () => {
    await seal("m.p11s", "alice");
    // The first time, it grows: it is padded from then on.
    const grown = await p11seal("rewrap --json -r carol.pem -i alice.key --in-place m.p11s");
    expect(errorCode(grown)).toBe("ERR_IN_PLACE");
    expect((await p11seal("rewrap -r carol.pem -i alice.key m.p11s")).status).toBe(0);
    const { ino } = statSync(at("m.p11s"));
    const again = await p11seal("rewrap --json -r bob.pem -i alice.key --in-place m.p11s");
    expect(results(again)[0]).toMatchObject({ result: "rewrapped", how: "in place" });
    expect(statSync(at("m.p11s")).ino).toBe(ino);
    expect(await opensFor("m.p11s", "bob")).toBe(true);
  });
});

describe("a signed message", () => {
  beforeEach(async () => {
    expect((await run(["senders", "add", "zoe", at("signer.pem")], { env })).status).toBe(0);
    await seal("m.p11s", "alice", "--sign-with signer.key");
  });

  it("needs a custodian, whose record it gets; who opens it accepts him by name", async () => {
    const change = "rewrap --json -r carol.pem --remove alice.pem -i alice.key";
    expect(errorCode(await p11seal(`${change} m.p11s`))).toBe("ERR_CUSTODIAN");
    const done = await p11seal(`${change} --custodian-key vault.key m.p11s`);
    expect(results(done)[0]).toMatchObject({ result: "rewrapped", signed: true, record: true });
    expect(done.stderr).not.toContain("without a custodian's record");
    const open = [
      "open",
      "--json",
      "-i",
      at("carol.key"),
      "--from",
      "zoe",
      "-o",
      "-",
      at("m.p11s"),
    ];
    const refused = await run(open, { env });
    expect([refused.status, errorCode(refused)]).toEqual([6, expect.stringMatching(/^ERR_/)]);
    await run(["custodians", "add", "vault", at("vault.pem")], { env });
    const opened = await run([...open, "--custodian", "vault"], { env });
    expect([opened.status, opened.stdout.toString()]).toEqual([0, "the plan\n"]);
  });

  it("is passed on again by the same custodian, or by one who accepts the last one", async () => {
    const first = "rewrap -r carol.pem -i alice.key --custodian-key vault.key m.p11s";
    expect((await p11seal(first)).status).toBe(0);
    const again = "rewrap --json -r dave.pem -i carol.key";
    const refused = await p11seal(`${again} --custodian-key bob.key m.p11s`);
    expect([refused.status, errorCode(refused)]).toEqual([6, "ERR_REWRAPPED"]);
    await run(["custodians", "add", "vault", at("vault.pem")], { env });
    const accepting = ["--custodian", "vault", "--custodian-key", at("bob.key"), at("m.p11s")];
    const change = ["rewrap", "-r", at("dave.pem"), "-i", at("carol.key")];
    expect((await run([...change, ...accepting], { env })).status).toBe(0);
    await p11seal(`rewrap -r xenia.pem -i carol.key --custodian-key bob.key m.p11s`);
    const { passedOn } = await inspectMessage(readFileSync(at("m.p11s")));
    expect(passedOn?.generation).toBe(3);
  });

  it("is refused before any key is used if the sender's signature does not hold", async () => {
    const bytes = readFileSync(at("m.p11s"));
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    writeFileSync(at("m.p11s"), bytes);
    const line = "rewrap --json -r carol.pem -i alice.key --custodian-key vault.key m.p11s";
    expect(errorCode(await p11seal(line))).toMatch(/^ERR_(SENDER_SIGNATURE|HEADER)$/);
  });
});

describe("a tree", () => {
  beforeEach(async () => {
    mkdirSync(at("tree/deep"), { recursive: true });
    await seal("tree/1.p11s", "alice bob");
    await seal("tree/2.age", "alice", "--format age");
    await seal("tree/deep/3.p11s", "alice carol");
    writeFileSync(at("tree/notes.txt"), "not a message\n");
  });

  const rotate = "rewrap --json --tree -r dave.pem --remove alice.pem -i alice.key";

  it("is gone through; a run that is repeated has nothing left to do", async () => {
    const line = `${rotate} --from-key bob.pem --from-key carol.pem --from-key alice.pem tree/`;
    const first = await p11seal(line);
    expect(results(first)).toEqual([
      expect.objectContaining({ file: at("tree/1.p11s"), result: "rewrapped" }),
      expect.objectContaining({ file: at("tree/2.age"), result: "rewrapped" }),
      expect.objectContaining({ file: at("tree/deep/3.p11s"), result: "rewrapped" }),
      { file: at("tree/notes.txt"), result: "not-a-message" },
      { summary: { rewrapped: 3, "not-a-message": 1 }, exit: 0 },
    ]);
    const again = await p11seal(line.replace("--from-key alice.pem", "--from-key dave.pem"));
    expect(results(again).at(-1)).toEqual({
      ...{ summary: { unchanged: 3, "not-a-message": 1 }, exit: 0 },
    });
  });

  it("passes over what is not for a retired key", async () => {
    const line = "rewrap --json --tree --from-key carol.pem -r dave.pem --remove carol.pem";
    const ended = await p11seal(`${line} -i alice.key tree/`);
    expect(results(ended)).toEqual([
      { file: at("tree/1.p11s"), result: "not-from-key" },
      { file: at("tree/2.age"), result: "not-from-key" },
      expect.objectContaining({ file: at("tree/deep/3.p11s"), result: "rewrapped" }),
      { file: at("tree/notes.txt"), result: "not-a-message" },
      { summary: { "not-from-key": 2, rewrapped: 1, "not-a-message": 1 }, exit: 0 },
    ]);
  });

  it("leaves messages that nothing explains, unless it is told to take them", async () => {
    // A secret for alice and xenia that somebody carried here, and one for the deputy alone.
    await seal("tree/carried.p11s", "alice xenia");
    await seal("tree/alone.p11s", "carol");
    const line = "rewrap --json --tree -r dave.pem --remove bob.pem -i carol.key";
    const ended = await p11seal(`${line} tree/`);
    const foreign = results(ended).filter(
      (one) => (one as { result: string }).result === "foreign",
    );
    expect(foreign.map((one) => (one as { file: string }).file)).toEqual([
      ...["1.p11s", "2.age", "alone.p11s", "carried.p11s", "deep/3.p11s"].map((name) =>
        at(`tree/${name}`),
      ),
    ]);
    expect(ended.status).toBe(6);
    expect(await opensFor("tree/alone.p11s", "dave")).toBe(false);
    const all = await p11seal(`${line} --include-foreign -i alice.key tree/`);
    expect(all.status).toBe(0);
    expect(await opensFor("tree/alone.p11s", "dave")).toBe(true);
    expect(await opensFor("tree/carried.p11s", "dave")).toBe(true);
  });

  it("stays as it is in a dry run, which needs no key at hand", async () => {
    const all = ["1.p11s", "2.age", "deep/3.p11s"].map((name) => at(`tree/${name}`));
    const before = all.map((path) => readFileSync(path));
    const line = "rewrap --dry-run --tree -r dave.pem --remove alice.pem --include-foreign";
    const ended = await p11seal(`${line} -i alice.key tree/`);
    expect(ended.stdout.toString().split("\n")).toEqual([
      ...all.map((path) => `${path}: would be re-wrapped, 1 added, 1 removed`),
      `${at("tree/notes.txt")}: not a message`,
      "",
    ]);
    expect(all.map((path) => readFileSync(path))).toEqual(before);
    // What a run would refuse, this one refuses as well.
    const other = await p11seal(`${line} -i dave.key tree/`);
    expect(other.status).toBe(3);
  });

  it("keeps a header that a killed run left torn in a dry run, and is finished by the next", async () => {
    const path = at("tree/1.p11s");
    const whole = readFileSync(path);
    const { headerBytes } = await inspectMessage(whole);
    const old = Buffer.alloc(headerBytes, 1);
    const torn = Buffer.concat([old.subarray(0, 99), whole.subarray(99)]);
    writeFileSync(path, torn);
    const side = leaveSideFile(path, old, whole.subarray(0, headerBytes));
    const line = "rewrap -r dave.pem --remove alice.pem -i alice.key --include-foreign --tree";
    const rehearsed = await p11seal(`${line} --dry-run tree/`);
    expect(rehearsed.stderr).toContain("1.p11s: a run is overwriting its header, or was killed;");
    expect([readFileSync(path), existsSync(side)]).toEqual([torn, true]);
    const ended = await p11seal(`${line} tree/`);
    expect(ended.stderr).toContain("1.p11s: a killed run had overwritten part of its header");
    expect([ended.status, existsSync(side)]).toEqual([0, false]);
    expect(await opensFor("tree/1.p11s", "dave")).toBe(true);
  });

  it("has a line in the journal for each message, and one run at a time", async () => {
    const line = "rewrap --tree -r dave.pem --remove alice.pem -i alice.key --journal log.jsonl";
    expect((await p11seal(`${line} --dry-run tree/`)).status).toBe(6);
    expect(existsSync(at("log.jsonl"))).toBe(false);
    const [one, other] = await Promise.all([p11seal(`${line} tree/`), p11seal(`${line} tree/`)]);
    // 3.p11s and 1.p11s have recipients that nothing explains.
    expect([one.status, other.status]).toEqual([6, 6]);
    const lines = readFileSync(at("log.jsonl"), "utf8").trimEnd().split("\n");
    const told = lines.map((text) => JSON.parse(text) as { result: string; time: string });
    expect(told.map(({ result }) => result).sort()).toEqual([
      ...["foreign", "foreign", "foreign", "foreign", "rewrapped", "unchanged"],
    ]);
    expect(told.every(({ time }) => Math.abs(Date.parse(time) - Date.now()) < 60_000)).toBe(true);
    expect(readdirSync(at("tree")).sort()).toEqual(["1.p11s", "2.age", "deep", "notes.txt"]);
  });

  it("comes in a list, and in parts", async () => {
    writeFileSync(at("list.txt"), `${at("tree/1.p11s")}\n${at("tree/deep/3.p11s")}\n`);
    const line = "rewrap --json -r dave.pem -i alice.key --include-foreign --manifest list.txt";
    const parts = [await p11seal(`${line} --shard 1/2`), await p11seal(`${line} --shard 2/2`)];
    const files = parts.flatMap((one) => results(one).slice(0, -1));
    expect(files).toHaveLength(2);
    expect(await types("tree/1.p11s")).toContain("rsa-oaep");
  });
});
