/** What must survive a power cut is flushed, in this order: the bytes, the name, the answer. */
import * as nodeFs from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "@jest/globals";
import { calls } from "../support/recorded-calls.js";

const { Journal } = await import("../../src/store/journal.js");
const { finishInPlace } = await import("../../src/store/header-in-place.js");
const { replaceHeader } = await import("../../src/store/replace-header.js");
const { sideFileOf } = await import("../../src/store/work-files.js");
const { writeWhole } = await import("../../src/store/files.js");
const { Database } = await import("../../src/store/sqlite.js");
const { appendAudit, auditFiles } = await import("../../src/records/audit/audit-log.js");
const { fileOutput } = await import("../../src/cli/io/outputs.js");

const above = nodeFs.mkdtempSync(join(tmpdir(), "p11seal-durable-"));
afterAll(() => {
  nodeFs.rmSync(above, { recursive: true, force: true });
});

let folder: string;
beforeEach(() => {
  folder = nodeFs.mkdtempSync(join(above, "f-"));
  calls.length = 0;
});

const event = { event: "open", outcome: "opened" } as const;

/** What its files had, one after the other. */
async function auditLogOfTwoLines(): Promise<{
  heads: { readonly start: string; readonly "first line": string };
  lines: string;
}> {
  const files = auditFiles(folder);
  await appendAudit(files, event, Date.UTC(2027, 0, 1));
  const first = nodeFs.readFileSync(files.head, "utf8");
  await appendAudit(files, event, Date.UTC(2027, 0, 1));
  const start = `{"n":0,"hash":"${"0".repeat(64)}"}\n`;
  return { heads: { start, "first line": first }, lines: nodeFs.readFileSync(files.log, "utf8") };
}

/** In any order: the disk is asked for both at once. */
const FLUSHED = ["flush audit.head (temporary)", "flush audit.jsonl"];

describe("on the disk before anyone relies on it:", () => {
  it("a file of the data folder, then its name", async () => {
    await writeWhole(join(folder, "list"), Buffer.from("content"));
    expect(calls).toEqual([
      ...["write list (temporary)", "flush list (temporary)", "name list"],
      `flush ${basename(folder)}`,
    ]);
  });

  it("a file with another header, before it takes the old one's place; then its name", async () => {
    const [old, next, body] = [Buffer.alloc(4096, 1), Buffer.alloc(4096, 2), Buffer.alloc(9, 3)];
    const path = join(folder, "m");
    nodeFs.writeFileSync(path, Buffer.concat([old, body]));
    await replaceHeader(path, { expected: old, header: next });
    expect(calls).toEqual([
      ...["write m (temporary)", "flush m (temporary)", "name m"],
      `flush ${basename(folder)}`,
    ]);
  });

  it("both headers, before one is overwritten where it is; then that, before they go", async () => {
    const [old, next] = [Buffer.alloc(4096, 1), Buffer.alloc(4096, 2)];
    const path = join(folder, "m");
    nodeFs.writeFileSync(path, old);
    await replaceHeader(path, { expected: old, header: next, inPlace: true });
    const side = basename(sideFileOf(path));
    expect(calls).toEqual([
      ...[`write ${side} (temporary)`, `flush ${side} (temporary)`, `name ${side}`],
      ...[`flush ${basename(folder)}`, "write m", "flush m", `remove ${side}`],
    ]);
  });

  it.each([
    ["the new one", Buffer.alloc(4096, 2), ["flush m"]],
    ["the old one", Buffer.alloc(4096, 1), ["flush m"]],
    ["in part the new one", Buffer.alloc(4096, 1).fill(2, 99), ["write m", "flush m"]],
  ])("a header that a killed run left, before its side file goes: %s", async (_, left, steps) => {
    const [old, next] = [Buffer.alloc(4096, 1), Buffer.alloc(4096, 2)];
    const path = join(folder, "m");
    nodeFs.writeFileSync(path, old);
    const side = sideFileOf(path);
    let made = "";
    const confirm = (): Promise<void> => {
      made = nodeFs.readFileSync(side, "latin1");
      return Promise.resolve();
    };
    await replaceHeader(path, { expected: old, header: next, inPlace: true, confirm });
    // Of a process that has ended.
    const killed = made.replace(/("run":"[^"]+)-[0-9]+"/, '$1-1"');
    nodeFs.writeFileSync(side, killed, { encoding: "latin1", mode: 0o600 });
    nodeFs.writeFileSync(path, left);
    calls.length = 0;
    await finishInPlace(path);
    expect(calls).toEqual([...steps, `remove ${basename(side)}`]);
  });

  it("a journal's name, then each line", async () => {
    const journal = await Journal.open(join(folder, "journal"));
    await journal.add({ file: "m" });
    await journal.close();
    const own = calls.filter((call) => /journal|f-/.test(call));
    expect(own).toEqual([`flush ${basename(folder)}`, "write journal", "flush journal"]);
  });

  it("an audit log's first line, and its name, before the head that counts the line", async () => {
    await appendAudit(auditFiles(folder), event, Date.UTC(2027, 0, 1));
    const ofFiles = calls.filter((call) => !/^name (?:free|held-)/.test(call));
    const last = ofFiles.slice(ofFiles.indexOf("write audit.jsonl") + 2);
    expect(last.slice(0, 2).sort()).toEqual(FLUSHED);
    expect(last.slice(2)).toEqual([`flush ${basename(folder)}`, "name audit.head"]);
  });

  it("each other line of the audit log, before the head that counts it", async () => {
    const files = auditFiles(folder);
    await appendAudit(files, event, Date.UTC(2027, 0, 1));
    calls.length = 0;
    await appendAudit(files, event, Date.UTC(2027, 0, 1));
    const log = calls.filter((call) => /audit\.(jsonl|head)|f-/.test(call));
    expect(log.slice(0, 2)).toEqual(["write audit.jsonl", "write audit.head (temporary)"]);
    expect(log.slice(2, 4).sort()).toEqual(FLUSHED);
    expect(log.slice(4)).toEqual(["name audit.head"]);
  });

  it.each([
    ["before its first line", { log: "", head: "start" }],
    ["before it had a head", { log: "", head: undefined }],
    ["within its first line", { log: "half a line", head: "start" }],
    ["before the head counted a line", { log: "two lines", head: "first line" }],
    ["before its first line's end", { log: "no line feed", head: "start" }],
    ["with no head left", { log: "two lines", head: undefined }],
    ["after the log was moved away", { log: "", head: "first line" }],
  ] as const)(
    "the name of an audit log whose run was killed %s, before the next head",
    async (_, state) => {
      const { heads, lines } = await auditLogOfTwoLines();
      const files = auditFiles(folder);
      const logs = {
        "": "",
        "half a line": lines.slice(0, 9),
        "no line feed": lines.slice(0, lines.indexOf("\n")),
        "two lines": lines,
      };
      nodeFs.writeFileSync(files.log, logs[state.log], { mode: 0o600 });
      nodeFs.rmSync(files.head);
      if (state.head !== undefined) {
        nodeFs.writeFileSync(files.head, heads[state.head], { mode: 0o600 });
      }
      calls.length = 0;
      await appendAudit(files, event, Date.UTC(2027, 0, 1));
      const last = calls.slice(calls.indexOf("write audit.jsonl"));
      const order = last.filter((call) => !/^name (?:free|held-)/.test(call)).slice(2);
      expect(order.slice(0, 2).sort()).toEqual(FLUSHED);
      expect(order.slice(2)).toEqual([`flush ${basename(folder)}`, "name audit.head"]);
    },
  );

  it("plaintext that is accepted, before the ledger hears of it", async () => {
    const output = await fileOutput(join(folder, "plain"), {
      ...{ force: false, mode: "private", inputs: [], durable: true },
    });
    await output.write(Buffer.from("content"));
    await output.prepare();
    const plain = calls.filter((call) => call.includes("plain"));
    expect(plain).toEqual(["write plain (temporary)", "flush plain (temporary)"]);
    await output.close();
  });

  it("what replaces a file, before the old one is gone", async () => {
    nodeFs.writeFileSync(join(folder, "old"), "old");
    const output = await fileOutput(join(folder, "old"), {
      ...{ force: true, mode: "public", inputs: [] },
    });
    await output.write(Buffer.from("content"));
    await output.prepare();
    const old = calls.filter((call) => call.includes("old"));
    expect(old).toEqual(["write old (temporary)", "flush old (temporary)"]);
    await output.close();
  });

  it("each transaction of a database, and the removal of its journal", async () => {
    const path = join(folder, "records.db");
    const schema = { applicationId: 0x70313173, version: 1, sql: "CREATE TABLE t (x TEXT)" };
    let made: unknown;
    await Database.create(path, schema, (database) => {
      made = database.select(["synchronous"], "FROM pragma_synchronous");
    });
    const database = await Database.open(path, schema);
    const opened = database.select(["synchronous"], "FROM pragma_synchronous");
    database.close();
    // 3 is EXTRA (sqlite.org/pragma.html).
    expect([made, opened]).toEqual([[{ synchronous: "3" }], [{ synchronous: "3" }]]);
  });
});
