/** What must survive a power cut is flushed, in this order: the bytes, the name, the answer. */
import * as nodeFs from "node:fs";
import * as nodePromises from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeEach, describe, expect, it, jest } from "@jest/globals";

let calls: string[] = [];

/** Temporary files by the name that they will get. */
const nameOf = (path: unknown): string =>
  basename(String(path)).replace(
    /^\.(.+)\.p11seal-[0-9a-f]{8}(?:-[0-9a-f-]+)?\.part$/,
    "$1 (temporary)",
  );

const names = new Map<number, string>();

jest.unstable_mockModule("node:fs/promises", () => ({
  ...nodePromises,
  open: async (...args: Parameters<typeof nodePromises.open>) => {
    const handle = await nodePromises.open(...args);
    const name = nameOf(args[0]);
    const writeFile = handle.writeFile.bind(handle);
    const sync = handle.sync.bind(handle);
    handle.writeFile = async (...rest) => {
      calls.push(`write ${name}`);
      await writeFile(...rest);
    };
    handle.sync = async () => {
      calls.push(`flush ${name}`);
      await sync();
    };
    return handle;
  },
  rename: async (from: string, to: string) => {
    calls.push(`name ${nameOf(to)}`);
    await nodePromises.rename(from, to);
  },
}));
jest.unstable_mockModule("node:fs", () => ({
  ...nodeFs,
  openSync: (...args: Parameters<typeof nodeFs.openSync>) => {
    const fd = nodeFs.openSync(...args);
    names.set(fd, nameOf(args[0]));
    return fd;
  },
  writevSync: (...args: Parameters<typeof nodeFs.writevSync>) => {
    calls.push(`write ${names.get(args[0])}`);
    return nodeFs.writevSync(...args);
  },
  fsync: (fd: number, done: nodeFs.NoParamCallback) => {
    calls.push(`flush ${names.get(fd)}`);
    nodeFs.fsync(fd, done);
  },
  linkSync: (from: string, to: string) => {
    calls.push(`name ${nameOf(to)}`);
    nodeFs.linkSync(from, to);
  },
}));
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
  calls = [];
});

describe("on the disk before anyone relies on it:", () => {
  it("a file of the data folder, then its name", async () => {
    await writeWhole(join(folder, "list"), Buffer.from("content"));
    expect(calls).toEqual([
      ...["write list (temporary)", "flush list (temporary)", "name list"],
      `flush ${basename(folder)}`,
    ]);
  });

  it("a line of the audit log, before the head that counts it", async () => {
    const event = { event: "open", outcome: "opened" } as const;
    await appendAudit(auditFiles(folder), event, Date.UTC(2027, 0, 1));
    const log = calls.filter((call) => /audit\.(jsonl|head)/.test(call)).join(", ");
    expect(log).toContain("write audit.jsonl, flush audit.jsonl, write audit.head (temporary)");
  });

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
