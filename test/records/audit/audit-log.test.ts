import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import {
  appendAudit,
  appendAuditWithOthers,
  auditFiles,
  auditWitness,
  noteLedger,
  verifyAuditLog,
  type AuditEvent,
  type AuditFiles,
} from "../../../src/records/audit/audit-log.js";
import { parseAuditLine } from "../../../src/records/audit/audit-line.js";
import { compile, type Compiled } from "../support/compiled.js";
import { CAN_MOUNT, mountSmallDisk } from "../support/disks.js";
import { freshFolder, hex, NOW } from "../support/messages.js";
import { scaled } from "../../support/scale.js";
import { itIf } from "../../support/missing.js";

const itIfMounts = itIf(CAN_MOUNT, "no disk can be mounted here");
const event = (index: number): AuditEvent => ({
  event: "open",
  outcome: index % 3 === 0 ? "ERR_REPLAYED" : "opened",
  messageId: hex(`message ${index}`, 32),
  sender: hex("alice", 64),
  recipient: hex("me", 64),
  tokenSerial: "c0ffee",
  path: "C_UnwrapKey",
  ledger: { ledgerId: hex("ledger", 32), counter: index },
});

/** A log with that many lines. */
async function newLog(lines: number): Promise<AuditFiles> {
  const files = auditFiles(freshFolder({ memory: true }));
  for (let index = 1; index <= lines; index++) await appendAudit(files, event(index), NOW + index);
  return files;
}

function linesOf(files: AuditFiles): string[] {
  return readFileSync(files.log, "utf8").split("\n").slice(0, -1);
}

function writeLines(files: AuditFiles, lines: readonly string[]): void {
  writeFileSync(files.log, lines.map((line) => `${line}\n`).join(""));
}

/** The codes of the problems found. */
async function problems(files: AuditFiles): Promise<string[]> {
  return (await verifyAuditLog(files)).problems.map(({ code }) => code);
}

let compiled: Compiled;

beforeAll(() => {
  compiled = compile();
});

afterAll(() => {
  compiled.remove();
});

describe("an audit log", () => {
  it("is whole after every line, and names its head", async () => {
    const files = auditFiles(freshFolder());
    expect(await verifyAuditLog(files)).toEqual({
      lines: 0,
      problems: [],
      passedOn: [],
      tornLines: [],
    });
    for (let index = 1; index <= 5; index++) {
      const head = await appendAudit(files, event(index), NOW);
      expect(await verifyAuditLog(files)).toEqual({
        lines: index,
        head,
        problems: [],
        passedOn: [],
        tornLines: [],
      });
    }
  });

  it("takes concurrent lines in the order in which they came, each on disk once acknowledged", async () => {
    const files = auditFiles(freshFolder());
    const numbers = Array.from({ length: 150 }, (_, index) => index + 1);
    const heads = await Promise.all(
      numbers.map(async (index) => {
        const head = await appendAudit(files, event(index), NOW + index);
        expect(linesOf(files)[index - 1]).toContain(`"n":${index},`);
        return head;
      }),
    );
    expect(heads.map(({ n }) => n)).toEqual(numbers);
    const lines = linesOf(files).map((line) => JSON.parse(line) as { messageId: string });
    expect(lines.map(({ messageId }) => messageId)).toEqual(
      numbers.map((index) => event(index).messageId),
    );
    expect(await verifyAuditLog(files)).toMatchObject({
      lines: 150,
      head: heads.at(-1),
      problems: [],
    });
  });

  it("keeps a line for a while if more follow, and until one comes that nothing follows", async () => {
    const files = await newLog(1);
    const order: number[] = [];
    const add = async (index: number, moreFollow: boolean): Promise<void> => {
      const append = moreFollow ? appendAuditWithOthers : appendAudit;
      await append(files, event(index), NOW);
      order.push(index);
    };
    const [first, second] = [add(2, true), add(3, true)];
    expect(linesOf(files)).toHaveLength(1);
    await Promise.all([first, second, add(4, false)]);
    await add(5, true);
    expect(order).toEqual([2, 3, 4, 5]);
    expect(linesOf(files)).toHaveLength(5);
    expect(await problems(files)).toEqual([]);
  });

  it("refuses one bad line of several, and takes the others", async () => {
    const files = auditFiles(freshFolder());
    const bad = { ...event(2), messageId: "xyz" };
    const ended = await Promise.allSettled([
      ...[event(1), bad, event(3)].map((one) => appendAudit(files, one, NOW)),
    ]);
    expect(ended.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await verifyAuditLog(files)).toMatchObject({ lines: 2, problems: [] });
  });

  it("is for its owner alone", async () => {
    const files = await newLog(1);
    for (const file of [files.log, files.head]) expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("records of each opening when, which message, from whom, with which key, and the result", async () => {
    const [line = ""] = linesOf(await newLog(1));
    expect(JSON.parse(line)).toEqual({
      n: 1,
      time: "2026-11-23T10:20:30.001Z",
      ...event(1),
      prev: "0".repeat(64),
    });
  });

  it.each([
    ["a message id", { messageId: "xyz" }],
    ["an outcome", { outcome: "it worked, PIN 1234" }],
    ["a path", { path: "x".repeat(129) }],
    ["an unknown event", { event: "pin" as "open" }],
    ["a counter", { ledger: { ledgerId: hex("l", 32), counter: -1 } }],
  ])("does not take %s that is none", async (_, changes) => {
    const files = await newLog(1);
    await expect(appendAudit(files, { ...event(2), ...changes }, NOW)).rejects.toThrow(TypeError);
    expect(await problems(files)).toEqual([]);
  });

  it("says who passed a message on, and counts what was opened, by custodian", async () => {
    const files = await newLog(1);
    const of = (custodian: string, generation: number) => ({
      passedOn: { custodian: hex(custodian, 64), rewrappedMs: NOW, generation },
    });
    const refused = { outcome: "ERR_REWRAPPED", ...of("eve", 1) };
    const changes = [of("vault", 1), of("archive", 4), of("vault", 2), refused];
    for (const change of changes) {
      await appendAudit(files, { ...event(1), ...change }, NOW);
    }
    expect(linesOf(files).slice(1).map(parseAuditLine)).toMatchObject(changes);
    expect(await verifyAuditLog(files)).toMatchObject({
      problems: [],
      passedOn: [
        { custodian: hex("vault", 64), opened: 2 },
        { custodian: hex("archive", 64), opened: 1 },
      ],
    });
    const odd = { custodian: "vault", rewrappedMs: NOW, generation: 1 };
    const line = { ...event(1), passedOn: odd };
    await expect(appendAudit(files, line, NOW)).rejects.toThrow(TypeError);
  });

  it("of version 0.1.0 is still whole, and goes on", async () => {
    const files = auditFiles(freshFolder());
    for (const [path, name] of [
      [files.log, "audit-0.1.0.jsonl"],
      [files.head, "audit-0.1.0.head"],
    ] as const) {
      const bytes = readFileSync(new URL(`../fixtures/${name}`, import.meta.url));
      writeFileSync(path, bytes, { mode: 0o600 });
    }
    await appendAudit(files, event(2), NOW);
    expect(await verifyAuditLog(files)).toMatchObject({ lines: 3, problems: [], tornLines: [] });
  });

  it("takes any serial a token may claim, on one line", async () => {
    const files = await newLog(0);
    const tokenSerial = '"\n\r\u0000\u2028💥\ud800';
    await appendAudit(files, { ...event(1), tokenSerial }, NOW);
    expect(linesOf(files)).toHaveLength(1);
    expect(await problems(files)).toEqual([]);
  });

  it("gives the ledger's counter as a witness, even after lines that know of none", async () => {
    const files = await newLog(3);
    expect(await auditWitness(files)).toEqual({ ledgerId: hex("ledger", 32), counter: 3 });
    await appendAudit(files, { event: "open", outcome: "ERR_UNSIGNED" }, NOW);
    expect(await auditWitness(files)).toEqual({ ledgerId: hex("ledger", 32), counter: 3 });
  });

  it("never lets the witness fall, except for a new ledger", async () => {
    const files = await newLog(3);
    await appendAudit(files, event(2), NOW);
    expect(await auditWitness(files)).toMatchObject({ counter: 3 });
    const ledger = { ledgerId: hex("new", 32), counter: 0 };
    await appendAudit(files, { event: "ledger-init", outcome: "done", ledger }, NOW);
    expect(await auditWitness(files)).toEqual(ledger);
  });

  it("has no witness where there is no log", async () => {
    expect(await auditWitness(auditFiles(freshFolder()))).toBeUndefined();
  });
});

describe("tampering with an audit log is found:", () => {
  it("any line removed", async () => {
    const files = await newLog(6);
    const lines = linesOf(files);
    for (const index of lines.keys()) {
      writeLines(files, lines.toSpliced(index, 1));
      expect(await problems(files)).toContain("ERR_AUDIT_MISSING");
    }
  });

  it("any line changed, however well its form is kept", async () => {
    const files = await newLog(6);
    const lines = linesOf(files);
    for (const [index, line] of lines.entries()) {
      const changed = line.replace('"opened"', '"openee"').replace("ERR_REPLAYED", "opened");
      expect(parseAuditLine(changed)).toBeDefined();
      writeLines(files, lines.toSpliced(index, 1, changed));
      expect(await problems(files)).toContain("ERR_AUDIT_CHANGED");
    }
  });

  it("any byte changed", async () => {
    const files = await newLog(3);
    const whole = readFileSync(files.log);
    for (let place = 0; place < whole.length; place += 7) {
      const changed = Buffer.from(whole);
      changed[place] = (changed[place] ?? 0) ^ 1;
      writeFileSync(files.log, changed);
      const report = await verifyAuditLog(files);
      expect(report.problems.length).toBeGreaterThan(0);
    }
  });

  it("any two lines swapped", async () => {
    const files = await newLog(5);
    const lines = linesOf(files);
    for (let index = 0; index + 1 < lines.length; index++) {
      const [one = "", two = ""] = lines.slice(index, index + 2);
      writeLines(files, lines.toSpliced(index, 2, two, one));
      expect(await problems(files)).toContain("ERR_AUDIT_ORDER");
    }
  });

  it("a line put in twice, or one put in between", async () => {
    const files = await newLog(4);
    const lines = linesOf(files);
    writeLines(files, lines.toSpliced(2, 0, lines[1] ?? ""));
    expect(await problems(files)).toContain("ERR_AUDIT_ORDER");
    writeLines(files, lines.toSpliced(2, 0, "{}"));
    expect(await problems(files)).toEqual(["ERR_AUDIT_FORM"]);
    writeLines(files, lines.toSpliced(2, 0, ""));
    expect(await problems(files)).toEqual(["ERR_AUDIT_FORM"]);
  });

  it("any number of lines cut off at the end, also within a line", async () => {
    const files = await newLog(4);
    const whole = readFileSync(files.log);
    const lastFeed = whole.length - 1;
    for (let length = 0; length < lastFeed; length += 11) {
      writeFileSync(files.log, whole.subarray(0, length));
      expect(await problems(files)).toContain("ERR_AUDIT_MISSING");
    }
  });

  it("the whole log gone", async () => {
    const files = await newLog(2);
    rmSync(files.log);
    expect(await problems(files)).toEqual(["ERR_AUDIT_MISSING"]);
  });

  it("the head gone, changed, or put back", async () => {
    const files = await newLog(2);
    const before = readFileSync(files.head);
    await appendAudit(files, event(3), NOW);
    const head = readFileSync(files.head, "utf8");
    rmSync(files.head);
    expect(await problems(files)).toEqual(["ERR_AUDIT_HEAD"]);
    writeFileSync(files.head, head.replace('"n":3', '"n":4'), { mode: 0o600 });
    expect(await problems(files)).toEqual(["ERR_AUDIT_MISSING"]);
    // A crash leaves an older head too, so lines after the head prove nothing.
    writeFileSync(files.head, before);
    expect(await problems(files)).toEqual([]);
  });

  it("another history, where the head was noted elsewhere", async () => {
    const files = await newLog(3);
    const { head } = await verifyAuditLog(files);
    if (head === undefined) throw new Error("a log of three lines has a head");
    await appendAudit(files, event(4), NOW);
    expect((await verifyAuditLog(files, { expected: head })).problems).toEqual([]);
    const other = await newLog(2);
    await appendAudit(other, event(7), NOW);
    await appendAudit(other, event(8), NOW);
    const report = await verifyAuditLog(other, { expected: head });
    expect(report.problems.map(({ code }) => code)).toEqual(["ERR_AUDIT_CHANGED"]);
  });

  it("and stays found when the log goes on", async () => {
    const files = await newLog(5);
    const lines = linesOf(files);
    writeLines(files, lines.slice(0, 3));
    for (let index = 6; index < 9; index++) await appendAudit(files, event(index), NOW);
    expect(await problems(files)).toEqual(["ERR_AUDIT_MISSING"]);
    const last = parseAuditLine(linesOf(files).at(-1) ?? "");
    expect(last?.n).toBe(9);

    rmSync(files.head);
    await appendAudit(files, event(9), NOW);
    await appendAudit(files, event(10), NOW);
    expect(await problems(files)).toEqual(["ERR_AUDIT_MISSING", "ERR_AUDIT_HEAD"]);
  });

  it("lines of any length and any bytes", async () => {
    const files = await newLog(2);
    appendFileSync(files.log, Buffer.alloc(1_000_000, 0xff));
    appendFileSync(files.log, "\n");
    expect(await problems(files)).toEqual(["ERR_AUDIT_FORM"]);
  });
});

describe("how far the ledger had come", () => {
  const known = { ledgerId: hex("ledger", 32), counter: 4 };
  const losses: readonly (readonly [string, (files: AuditFiles) => void])[] = [
    [
      "was rotated",
      ({ log }) => {
        renameSync(log, `${log}.1`);
      },
    ],
    [
      "was emptied",
      ({ log }) => {
        truncateSync(log, 0);
      },
    ],
    [
      "was cut",
      (files) => {
        writeLines(files, linesOf(files).slice(0, 2));
      },
    ],
    [
      "ends in a line of junk",
      ({ log }) => {
        appendFileSync(log, "junk\n");
      },
    ],
    [
      "ends in junk without an end",
      ({ log }) => {
        appendFileSync(log, "junk".repeat(9999));
      },
    ],
    [
      "ends in junk, without a head",
      ({ log, head }) => {
        appendFileSync(log, "junk\n".repeat(9999));
        rmSync(head);
      },
    ],
    [
      "ends in a line of an older ledger's state",
      (files) => {
        const [first = ""] = linesOf(files);
        writeLines(files, [...linesOf(files), first]);
      },
    ],
    [
      "has lost its head",
      ({ head }) => {
        rmSync(head);
      },
    ],
  ];

  it.each(losses)("is known still when the log %s, and after the next line", async (_, lose) => {
    const files = await newLog(4);
    lose(files);
    expect(await auditWitness(files)).toEqual(known);
    const { ledger, ...without } = event(5);
    expect(ledger).toBeDefined();
    await appendAudit(files, without, NOW);
    expect(await auditWitness(files)).toEqual(known);
    expect(parseAuditLine(linesOf(files).at(-1) ?? "")?.ledger).toEqual(known);
  });

  it("is what the head was told last, without a line, and of the log's own ledger only", async () => {
    const files = await newLog(4);
    const later = { ...known, counter: 6 };
    await noteLedger(files, later);
    expect(await auditWitness(files)).toEqual(later);
    expect(linesOf(files)).toHaveLength(4);
    expect(await problems(files)).toEqual([]);

    await noteLedger(files, known);
    await noteLedger(files, { ledgerId: hex("another", 32), counter: 9 });
    expect(await auditWitness(files)).toEqual(later);
    // A line that was under way when its ledger was older.
    await appendAudit(files, event(5), NOW);
    expect(await auditWitness(files)).toEqual(later);
  });

  it("is told to no head where there is no log", async () => {
    const files = auditFiles(freshFolder({ memory: true }));
    await noteLedger(files, known);
    expect(existsSync(files.head)).toBe(false);
  });

  it("is what the log says where a crash left the head behind", async () => {
    const files = await newLog(3);
    const head = readFileSync(files.head);
    await appendAudit(files, event(4), NOW);
    writeFileSync(files.head, head);
    expect(await auditWitness(files)).toEqual(known);
  });
});

describe("a crash while a line is written", () => {
  it("leaves a log that goes on, wherever the line was cut", async () => {
    const files = await newLog(2);
    const before = readFileSync(files.log);
    const head = readFileSync(files.head);
    await appendAudit(files, event(3), NOW);
    const whole = readFileSync(files.log);
    for (let length = before.length; length <= whole.length; length += 17) {
      writeFileSync(files.log, whole.subarray(0, length));
      writeFileSync(files.head, head);
      expect(await problems(files)).toEqual([]);
      await appendAudit(files, event(4), NOW);
      await appendAudit(files, event(5), NOW);
      const report = await verifyAuditLog(files);
      expect(report.problems).toEqual([]);
      expect(report.tornLines).toEqual(length === before.length ? [] : [3]);
    }
  });

  it("that lacks only its end ends the line", async () => {
    const files = await newLog(2);
    truncateSync(files.log, statSync(files.log).size - 1);
    expect(await problems(files)).toEqual([]);
    await appendAudit(files, event(3), NOW);
    expect(await verifyAuditLog(files)).toMatchObject({ lines: 3, problems: [], tornLines: [] });
  });

  it("that came before the head was written loses nothing", async () => {
    const files = await newLog(1);
    const head = readFileSync(files.head);
    for (let index = 2; index < 5; index++) await appendAudit(files, event(index), NOW);
    writeFileSync(files.head, head);
    await appendAudit(files, event(5), NOW);
    expect(await verifyAuditLog(files)).toMatchObject({ lines: 5, problems: [] });
  });

  it("of the very first one is no tampering", async () => {
    const files = await newLog(1);
    const line = readFileSync(files.log);
    for (const length of [0, 1, 40, line.length - 1, line.length]) {
      writeFileSync(files.log, line.subarray(0, length));
      writeFileSync(files.head, `{"n":0,"hash":"${"0".repeat(64)}"}\n`);
      await appendAudit(files, event(2), NOW);
      expect(await problems(files)).toEqual([]);
    }
  });

  it("is survived each time, by three processes that write at once", async () => {
    const folder = freshFolder({ memory: true });
    const files = auditFiles(folder);
    const writing = (): Promise<void> =>
      compiled.start("auditor.mjs", [folder]).killAfter(1 + Math.floor(Math.random() * 5));
    const rounds = scaled(50, 4);
    for (let round = 0; round < rounds; round++) {
      await Promise.all([writing(), writing(), writing()]);
    }
    await appendAudit(files, event(1), NOW);
    const report = await verifyAuditLog(files);
    expect(report.problems).toEqual([]);
    // Everything acknowledged is there.
    const noted = readFileSync(path.join(folder, "noted"), "utf8").split("\n").filter(Boolean);
    const text = readFileSync(files.log, "utf8");
    expect(noted.length).toBeGreaterThanOrEqual(3 * rounds);
    expect(noted.filter((id) => !text.includes(id))).toEqual([]);
  }, 300_000);
});

describe("an audit log that can't be written", () => {
  it("says so where others can write it", async () => {
    const files = await newLog(1);
    chmodSync(files.log, 0o666);
    await expect(appendAudit(files, event(2), NOW)).rejects.toMatchObject({
      code: "ERR_UNSAFE_FILE",
    });
  });

  itIfMounts("says so on a full disk, and goes on when there is room", async () => {
    const disk = mountSmallDisk();
    try {
      const files = auditFiles(disk.folder);
      await appendAudit(files, event(1), NOW);
      disk.fill();
      // The log's last block may have room; eventually it has none, in the middle of a line.
      const refused = (async () => {
        for (let index = 2; index < 100; index++) await appendAudit(files, event(index), NOW);
      })();
      await expect(refused).rejects.toMatchObject({ code: "ERR_AUDIT_LOG_WRITE" });
      rmSync(path.join(disk.folder, "ballast"));
      await appendAudit(files, event(100), NOW);
      expect(await problems(files)).toEqual([]);
    } finally {
      disk.remove();
    }
  });

  itIfMounts("says so on a read-only disk", async () => {
    const disk = mountSmallDisk();
    try {
      const files = auditFiles(disk.readOnly);
      await expect(appendAudit(files, event(1), NOW)).rejects.toMatchObject({
        code: "ERR_AUDIT_LOG_WRITE",
      });
      expect(existsSync(files.log)).toBe(false);
    } finally {
      disk.remove();
    }
  });
});
