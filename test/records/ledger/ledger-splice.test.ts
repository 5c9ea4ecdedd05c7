/**
 * Ledgers put together from parts of different times: single pages or tables from an older copy,
 * or SQLite's own recovery files beside a database they don't belong to. Whatever the mixture, a
 * message that was accepted is refused.
 */
import { describe, expect, it } from "@jest/globals";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Ledger, LedgerWitness, SignedMessage } from "../../../src/records/ledger/ledger.js";
import { initLedger, openLedger } from "../../../src/records/ledger/sqlite-ledger.js";
import { rawDatabase } from "../support/raw-database.js";
import { DAY, freshFolder, hex, message, NOW } from "../support/messages.js";

const now = { nowMs: NOW };
const PAGE = 4096;
/** Every refusal that leaves a message unopened. */
const REFUSED = /^ERR_(?:REPLAYED|SERIAL_REUSED|LEDGER_(?:DAMAGED|ROLLED_BACK|VERSION))$/;

/** A ledger at two times, and what was accepted by the later one. */
interface History {
  readonly file: string;
  readonly before: Buffer;
  readonly after: Buffer;
  readonly accepted: readonly SignedMessage[];
  readonly witness: LedgerWitness;
}

async function accept(ledger: Ledger, one: SignedMessage): Promise<void> {
  const reservation = await ledger.reserve(one, now);
  await (await reservation.commit()).delivered();
  await reservation.release();
}

/** 40 messages, enough for several pages; then what `change` does. */
async function historyOf(
  change: (ledger: Ledger, file: string) => Promise<readonly SignedMessage[]>,
): Promise<History> {
  const file = path.join(freshFolder({ memory: true }), "ledger.db");
  await initLedger(file, now);
  const ledger = await openLedger(file);
  for (let serial = 1; serial <= 40; serial++) {
    await accept(ledger, message(serial, { createdMs: NOW - 30 * DAY }));
  }
  const before = readFileSync(file);
  const accepted = await change(ledger, file);
  const { ledgerId, counter } = await ledger.status();
  await ledger.close();
  const witness = { ledgerId, counter };
  return { file, before, after: readFileSync(file), accepted, witness };
}

/** Three more messages, of two streams. */
async function threeMore(ledger: Ledger): Promise<SignedMessage[]> {
  const more = [message(41), message(42), message(1, { streamId: hex("another", 32) })];
  for (const one of more) await accept(ledger, one);
  return more;
}

/** The ledger as it would be if the processes in it had ended. */
function withoutOwners(file: string): Buffer {
  const copy = `${file}.copy`;
  copyFileSync(file, copy);
  execute(copy, "UPDATE messages SET owner = NULL");
  return readFileSync(copy);
}

function execute(file: string, sql: string): void {
  const database = rawDatabase(file);
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

/** For each message, why the ledger as it is now refuses it. */
async function outcomes({ file, accepted, witness }: History): Promise<string[]> {
  const all: string[] = [];
  for (const one of accepted) {
    const outcome = await outcomeOf(file, witness, one);
    all.push(outcome);
  }
  return all;
}

async function outcomeOf(
  file: string,
  witness: LedgerWitness,
  one: SignedMessage,
): Promise<string> {
  try {
    const ledger = await openLedger(file, { witness });
    try {
      await ledger.reserve(one, now);
      return "accepted again";
    } finally {
      await ledger.close();
    }
  } catch (error) {
    return String((error as { code?: unknown }).code ?? error);
  }
}

/** The pages whose number is in `old` as they were before, all others as they are after. */
function spliced({ before, after }: History, old: ReadonlySet<number>): Buffer {
  const mixed = Buffer.from(after);
  for (const number of old) before.copy(mixed, number * PAGE, number * PAGE, (number + 1) * PAGE);
  return mixed;
}

function changedPages({ before, after }: History): number[] {
  const count = Math.min(before.length, after.length) / PAGE;
  const numbers = Array.from({ length: count }, (_, number) => number);
  return numbers.filter((number) => {
    const [start, end] = [number * PAGE, (number + 1) * PAGE];
    return !before.subarray(start, end).equals(after.subarray(start, end));
  });
}

/** All subsets where they are few; otherwise those that have most or few of the pages. */
function* mixtures(pages: readonly number[]): Generator<Set<number>> {
  if (pages.length <= 9) {
    for (const some of subsets(pages)) yield new Set(some);
    return;
  }
  for (const first of pages) {
    for (const second of pages) {
      yield new Set([first, second]);
      yield new Set(pages.filter((page) => page !== first && page !== second));
    }
  }
}

/** All but the empty one. */
function* subsets<T>(items: readonly T[]): Generator<T[]> {
  for (let bits = 1; bits < 2 ** items.length; bits++) {
    yield items.filter((_, index) => ((bits >> index) & 1) === 1);
  }
}

async function unexpectedIn(history: History): Promise<unknown[]> {
  const unexpected: unknown[] = [];
  const pages = changedPages(history);
  expect(pages.length).toBeGreaterThan(2);
  for (const old of mixtures(pages)) {
    writeFileSync(history.file, spliced(history, old));
    rmSync(`${history.file}-journal`, { force: true });
    const found = await outcomes(history);
    if (!found.every((outcome) => REFUSED.test(outcome))) unexpected.push([[...old], found]);
  }
  return unexpected;
}

describe("a ledger with some pages of an older copy", () => {
  it("refuses what was accepted since", async () => {
    const history = await historyOf(threeMore);
    expect(await outcomes(history)).toEqual(Array(3).fill("ERR_REPLAYED"));
    expect(await unexpectedIn(history)).toEqual([]);
  });

  it("refuses what was pruned since", async () => {
    const history = await historyOf(async (ledger) => {
      await accept(ledger, message(41));
      await ledger.prune({ nowMs: NOW, windowMs: 7 * DAY });
      return [message(1, { createdMs: NOW - 30 * DAY }), message(41)];
    });
    expect(await unexpectedIn(history)).toEqual([]);
  });

  it("refuses what was delivered since, and was only accepted before", async () => {
    let before: Buffer = Buffer.alloc(0);
    const history = await historyOf(async (ledger, file) => {
      const reservation = await ledger.reserve(message(41), now);
      const acceptance = await reservation.commit();
      before = withoutOwners(file);
      await acceptance.delivered();
      return [message(41)];
    });
    expect(await unexpectedIn({ ...history, before })).toEqual([]);
  });

  it("knows that it is not whole", async () => {
    const history = await historyOf(threeMore);
    // The first page has SQLite's own counters alone.
    for (const page of changedPages(history).slice(1)) {
      writeFileSync(history.file, spliced(history, new Set([page])));
      const problems = await openLedger(history.file)
        .then((ledger) => ledger.verify().finally(() => ledger.close()))
        .catch((error: unknown) => [error]);
      expect(problems).not.toEqual([]);
    }
  });
});

describe("a ledger with some tables of an older copy", () => {
  it("refuses what was accepted since", async () => {
    const history = await historyOf(threeMore);
    const old = `${history.file}.old`;
    writeFileSync(old, history.before);
    const unexpected: unknown[] = [];
    for (const tables of subsets(TABLES)) {
      writeFileSync(history.file, history.after);
      const copies = tables.map((name) => {
        return `DELETE FROM ${name}; INSERT INTO ${name} SELECT * FROM old.${name};`;
      });
      execute(history.file, `ATTACH '${old}' AS old; BEGIN; ${copies.join(" ")} COMMIT`);
      const found = await outcomes(history);
      if (!found.every((outcome) => REFUSED.test(outcome))) unexpected.push([tables, found]);
    }
    expect(unexpected).toEqual([]);
  });
});

/** SQLite plays back what it finds there before anybody reads the database. */
describe("a ledger beside a recovery file of another time", () => {
  it.each(["messages", "streams", "meta", "tree"])(
    "refuses what was accepted since: a journal with the old %s",
    async (table) => {
      let journal: Buffer = Buffer.alloc(0);
      const history = await historyOf(async (ledger, file) => {
        journal = journalOf(file, table);
        return threeMore(ledger);
      });
      writeFileSync(`${history.file}-journal`, journal);
      for (const outcome of await outcomes(history)) expect(outcome).toMatch(REFUSED);
      expect(readFileSync(history.file).equals(history.after)).toBe(false);
    },
  );

  it.each(["messages", "streams", "meta", "tree"])(
    "refuses what was accepted since: a write-ahead log with the old %s",
    async (table) => {
      let log: Buffer = Buffer.alloc(0);
      const history = await historyOf(async (ledger, file) => {
        log = writeAheadLogOf(file, table);
        return threeMore(ledger);
      });
      writeFileSync(`${history.file}-wal`, log);
      for (const outcome of await outcomes(history)) expect(outcome).toMatch(REFUSED);
    },
  );

  it.each(["messages", "streams", "meta", "tree"])(
    "refuses what was accepted since: an old database, and a write-ahead log with the new %s",
    async (table) => {
      const history = await historyOf(threeMore);
      const log = writeAheadLogOf(history.file, table);
      writeFileSync(history.file, history.before);
      writeFileSync(`${history.file}-wal`, log);
      for (const outcome of await outcomes(history)) expect(outcome).toMatch(REFUSED);
    },
  );
});

/** A journal that holds a table's pages as they are now. */
function journalOf(file: string, table: string): Buffer {
  const copy = `${file}.journaled`;
  copyFileSync(file, copy);
  const database = rawDatabase(copy);
  try {
    // With such a cache, pages are written, and the journal before them, while it is going on.
    database.exec(`PRAGMA cache_size = 1; BEGIN IMMEDIATE; ${CHANGE[table]}; ${FILL}`);
    const journal = readFileSync(`${copy}-journal`);
    // Else SQLite would not play it back.
    expect(journal.subarray(0, 8).toString("hex")).toBe("d9d505f920a163d7");
    return journal;
  } finally {
    database.close();
  }
}

/** A write-ahead log that holds a table's pages as they are now. */
function writeAheadLogOf(file: string, table: string): Buffer {
  const copy = `${file}.logged`;
  copyFileSync(file, copy);
  const database = rawDatabase(copy);
  try {
    // What stays the same is not written.
    database.exec(`PRAGMA journal_mode = WAL; ${CHANGE[table]}; ${CHANGE_BACK[table]}`);
    return readFileSync(`${copy}-wal`);
  } finally {
    database.close();
  }
}

const CHANGE: Record<string, string> = {
  messages: "UPDATE messages SET serial = serial + 1000",
  streams: "UPDATE streams SET highest = highest + 1",
  meta: "UPDATE meta SET changes = changes + 1",
  tree: "UPDATE tree SET node = node || 'x'",
};

const CHANGE_BACK: Record<string, string> = {
  messages: "UPDATE messages SET serial = serial - 1000",
  streams: "UPDATE streams SET highest = highest - 1",
  meta: "UPDATE meta SET changes = changes - 1",
  tree: "UPDATE tree SET node = substr(node, 1, length(node) - 1)",
};

/** Writes many new pages, which are in no journal. */
const FILL = "CREATE TABLE filler (x); INSERT INTO filler SELECT randomblob(4000) FROM messages;";

const TABLES = ["meta", "streams", "messages", "tree"];
