/** `p11seal ledger`: what it shows, and what it does if the ledger can't be relied on. */
import { copyFileSync, existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { appendAudit, auditFiles } from "../../../../src/records/audit/audit-log.js";
import type { ExportedMessage, ExportedStream } from "../../../../src/records/ledger/ledger.js";
import { openLedger } from "../../../../src/records/ledger/sqlite-ledger.js";
import { DAY, message } from "../../../records/support/messages.js";
import { temporaryFolder } from "../../support/folder.js";
import { run, type Outcome } from "../../support/run.js";

const folder = temporaryFolder();
let homes = 0;
let home = "";
let path = "";

beforeEach(() => {
  homes++;
  home = join(folder, `home${homes}`);
  path = join(home, "ledger.db");
});

function p11seal(argv: string): Promise<Outcome> {
  return run(argv.split(" "), { env: { P11SEAL_HOME: home } });
}

const dataOf = (outcome: Outcome): unknown => JSON.parse(outcome.stdout.toString("utf8"));
const codeOf = ({ stderr }: Outcome): string =>
  (JSON.parse(stderr) as { error: { code: string } }).error.code;

/** Opens a message as far as the ledger and the audit log are concerned. */
async function accept(serial: number, createdMs: number): Promise<void> {
  const ledger = await openLedger(path);
  try {
    const nowMs = Date.now();
    const reservation = await ledger.reserve(message(serial, { createdMs }), { nowMs });
    const acceptance = await reservation.commit();
    await acceptance.delivered();
    await reservation.release();
    const event = { event: "open", outcome: "opened", ledger: acceptance.witness } as const;
    await appendAudit(auditFiles(home), event, nowMs);
  } finally {
    await ledger.close();
  }
}

describe("a ledger", () => {
  it("is made once, and not in the place of another", async () => {
    const made = await p11seal("ledger init --json");
    expect(dataOf(made)).toMatchObject({ path, counter: 0, sinceMs: 0 });
    const again = await p11seal("ledger init --json");
    expect(again.status).toBe(6);
    expect(codeOf(again)).toBe("ERR_LEDGER_EXISTS");
  });

  it("says what it remembers", async () => {
    await p11seal("ledger init");
    await accept(1, Date.now());
    await accept(2, Date.now());
    const status = dataOf(await p11seal("ledger status --json"));
    expect(status).toMatchObject({
      delivered: 2,
      accepted: 0,
      reserved: 0,
      senders: 1,
      counter: 4,
    });
    const text = (await p11seal("ledger status")).stdout.toString("utf8");
    expect(text).toMatch(/^delivered +2$/m);
  });

  it("is exported for people, one message a line, and whole for programs", async () => {
    await p11seal("ledger init");
    await accept(1, Date.now());
    await accept(2, Date.now());
    const { stdout } = await p11seal("ledger export");
    expect(stdout.toString("utf8").trim().split("\n")).toHaveLength(2);
    const all = dataOf(await p11seal("ledger export --json")) as {
      messages: ExportedMessage[];
      streams: ExportedStream[];
    };
    expect(all.messages.map(({ messageId }) => messageId).sort()).toEqual(
      [message(1).messageId, message(2).messageId].sort(),
    );
    expect(all.streams).toMatchObject([{ highest: 2, floor: -1 }]);
  });

  it("forgets old messages when pruned, and refuses them still", async () => {
    await p11seal("ledger init");
    await accept(1, Date.now() - 10 * DAY);
    await accept(2, Date.now());
    expect(dataOf(await p11seal("ledger prune --window 30d --json"))).toEqual({
      removed: 0,
      kept: 2,
    });
    expect(dataOf(await p11seal("ledger prune --json"))).toEqual({ removed: 1, kept: 1 });
    await expect(accept(1, Date.now() - 10 * DAY)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
    expect((await p11seal("ledger verify")).status).toBe(0);
  });

  it("is pruned by the window of the standing orders", async () => {
    await p11seal("ledger init");
    writeFileSync(join(home, "config.toml"), 'window = "30d"\n', { mode: 0o600 });
    await accept(1, Date.now() - 10 * DAY);
    expect(dataOf(await p11seal("ledger prune --json"))).toEqual({ removed: 0, kept: 1 });
  });

  it.each(["7", "7 d", "-1d", "1y"])("is not pruned by a window of %j", async (window) => {
    await p11seal("ledger init");
    const { status } = await run(["ledger", "prune", `--window=${window}`], {
      env: { P11SEAL_HOME: home },
    });
    expect(status).toBe(2);
  });
});

describe("a new ledger", () => {
  it("with --since now refuses what was sealed before", async () => {
    await p11seal("ledger init --since now");
    await expect(accept(1, Date.now() - DAY)).rejects.toMatchObject({ code: "ERR_STALE" });
    await accept(2, Date.now() + 1000);
  });

  it("in the place of a lost one says what that means", async () => {
    await p11seal("ledger init");
    await accept(1, Date.now());
    rmSync(path);
    const { status, stderr } = await p11seal("ledger init");
    expect(status).toBe(0);
    expect(stderr).toContain("may be opened again");
    // And it is the ledger that the audit log expects from then on.
    expect((await p11seal("ledger verify")).status).toBe(0);
  });

  it("can't begin in the future", async () => {
    expect((await p11seal("ledger init --since 2100-01-01")).status).toBe(2);
    expect(existsSync(path)).toBe(false);
  });
});

describe.each(["status", "verify", "prune"])("ledger %s", (command) => {
  it("fails with status 6 where there is no ledger, and makes none", async () => {
    const outcome = await p11seal(`ledger ${command} --json`);
    expect({ status: outcome.status, code: codeOf(outcome) }).toEqual({
      status: 6,
      code: "ERR_LEDGER_MISSING",
    });
    expect(existsSync(home)).toBe(false);
  });

  it("fails with status 6 where the ledger is damaged", async () => {
    await p11seal("ledger init");
    writeFileSync(path, "not a database, but something as long as one needs to be".repeat(99));
    const outcome = await p11seal(`ledger ${command} --json`);
    expect({ status: outcome.status, code: codeOf(outcome) }).toEqual({
      status: 6,
      code: "ERR_LEDGER_DAMAGED",
    });
  });

  it("finds that an older copy was put in the ledger's place", async () => {
    await p11seal("ledger init");
    copyFileSync(path, `${path}.old`);
    await accept(1, Date.now());
    renameSync(`${path}.old`, path);
    const outcome = await p11seal(`ledger ${command} --json`);
    expect({ status: outcome.status, code: codeOf(outcome) }).toEqual({
      status: 6,
      code: "ERR_LEDGER_ROLLED_BACK",
    });
    // Its content can be shown all the same.
    expect((await p11seal("ledger export --json")).status).toBe(0);
  });
});

it("ledger verify prints each problem on a separate line", async () => {
  await p11seal("ledger init");
  await accept(1, Date.now());
  const { Database } = await import("../../../../src/store/sqlite.js");
  const { LEDGER_SCHEMA } = await import("../../../../src/records/ledger/sqlite-ledger-rows.js");
  const database = await Database.open(path, LEDGER_SCHEMA);
  database.run("UPDATE messages SET serial = 7");
  database.close();
  const told = await p11seal("ledger verify");
  expect(told.status).toBe(6);
  expect(told.stdout.toString("utf8")).toMatch(/^message [0-9a-f]{32} is not as it was .*\n$/);
  expect(dataOf(await p11seal("ledger verify --json"))).toEqual({
    problems: [expect.stringContaining(message(1).messageId)],
  });
});
