/** Ledgers of version 1 of the tables, which get a hash tree when they are opened. */
import { describe, expect, it } from "@jest/globals";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { openLedger } from "../../../src/records/ledger/sqlite-ledger.js";
import { freshFolder, hex, message, NOW } from "../support/messages.js";
import { rawDatabase, type RawDatabase } from "../support/raw-database.js";
import { makeVersion1 } from "../support/version-1.js";

const now = { nowMs: NOW };
const witness = { ledgerId: hex("ledger", 32), counter: 3 };

/** Three messages delivered, one accepted only, one reserved by a process that ended. */
function fill(database: RawDatabase, highest = 4): void {
  const { keyId, streamId } = message(1);
  database.exec(`INSERT INTO streams VALUES ('${keyId}', '${streamId}', ${highest}, -1)`);
  for (const serial of [1, 2, 3, 4, 5]) {
    const { messageId, createdMs } = message(serial);
    const state = serial === 5 ? "reserved" : serial === 4 ? "accepted" : "delivered";
    const accepted = serial === 5 ? "NULL" : NOW;
    database.exec(
      `INSERT INTO messages (sender, message_id, stream, serial, created_ms, state, accepted_ms,
           lease_ms)
         VALUES ('${keyId}', '${messageId}', '${streamId}', ${serial}, ${createdMs}, '${state}',
           ${accepted}, 0)`,
    );
  }
}

function withLowStream(database: RawDatabase): void {
  fill(database, 3);
}

function version1(counter = 4, change: (database: RawDatabase) => void = fill): string {
  const file = path.join(freshFolder({ memory: true }), "ledger.db");
  makeVersion1(file, counter, change);
  return file;
}

describe("a ledger of version 1", () => {
  it("is the same ledger when it was opened", async () => {
    const file = version1();
    const ledger = await openLedger(file, { witness });
    expect(await ledger.status()).toMatchObject({
      ...{ ...witness, counter: 4, createdMs: NOW, sinceMs: 0 },
      ...{ delivered: 3, accepted: 1, reserved: 1, streams: 1 },
    });
    expect(await ledger.verify()).toEqual([]);
    for (const serial of [1, 2, 3]) {
      await expect(ledger.reserve(message(serial), now)).rejects.toMatchObject({
        code: "ERR_REPLAYED",
      });
    }
    expect((await ledger.reserve(message(4), now)).redelivery).toEqual({ kind: "gone" });
    const reservation = await ledger.reserve(message(5), now);
    await (await reservation.commit()).delivered();
    await ledger.close();
    const again = await openLedger(file, { witness });
    expect(await again.verify()).toEqual([]);
    expect(await again.status()).toMatchObject({ counter: 6, delivered: 4 });
  });

  it("is not taken for a newer one if it is an older copy", async () => {
    const file = version1();
    const bytes = readFileSync(file);
    const newer = { ...witness, counter: 5 };
    await expect(openLedger(file, { witness: newer })).rejects.toMatchObject({
      code: "ERR_LEDGER_ROLLED_BACK",
    });
    expect(readFileSync(file).equals(bytes)).toBe(true);
  });

  it.each<[string, number, (database: RawDatabase) => void]>([
    ["its stream", 4, withLowStream],
    ["its counter", 3, fill],
  ])(
    "is refused, and left as it is, if %s contradicts a message",
    async (what, counter, change) => {
      const file = version1(counter, change);
      const bytes = readFileSync(file);
      await expect(openLedger(file)).rejects.toMatchObject({
        code: "ERR_LEDGER_DAMAGED",
        message: expect.stringContaining(`${what} says otherwise`) as unknown,
      });
      expect(readFileSync(file).equals(bytes)).toBe(true);
    },
  );

  it("becomes one of this version once, also where several open it at the same time", async () => {
    const file = version1();
    const ledgers = await Promise.all([1, 2, 3].map(() => openLedger(file, { witness })));
    const [first, ...others] = ledgers;
    await expect(first?.reserve(message(1), now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
    for (const other of others) expect(await other.verify()).toEqual([]);
  });

  it.each([
    ["reads in each transaction", "SELECT hex(counter) AS counter FROM meta"],
    ["writes when it accepts a message", "UPDATE meta SET counter = counter + 1"],
  ])("was upgraded: what a process of that version %s fails", async (_, statement) => {
    const file = version1();
    const old = rawDatabase(file);
    try {
      old.exec(statement);
      await (await openLedger(file, { witness })).close();
      expect(() => {
        old.exec(statement);
      }).toThrow("no such column");
    } finally {
      old.close();
    }
  });

  it("can't be put back below the version that it has by now, page by page", async () => {
    const file = version1();
    const old = readFileSync(file);
    const ledger = await openLedger(file, { witness });
    for (const serial of [6, 7]) {
      const reservation = await ledger.reserve(message(serial), now);
      await (await reservation.commit()).delivered();
    }
    const { ledgerId, counter } = await ledger.witness();
    await ledger.close();
    const whole = readFileSync(file);
    const pages = Array.from({ length: old.length / 4096 }, (_, page) => page);
    for (let bits = 1; bits < 2 ** pages.length; bits++) {
      const mixed = Buffer.from(whole);
      for (const page of pages.filter((one) => (bits >> one) & 1)) {
        old.copy(mixed, page * 4096, page * 4096, (page + 1) * 4096);
      }
      const outcome = await reopened(file, mixed, { ledgerId, counter });
      expect({ bits, outcome }).toEqual({
        bits,
        outcome: expect.stringMatching(/^ERR_(?:REPLAYED|LEDGER_[A-Z_]+)$/) as unknown,
      });
    }
  });
});

/** Why message 6, accepted before, is refused by what is in the file now. */
async function reopened(
  file: string,
  bytes: Buffer,
  known: { ledgerId: string; counter: number },
): Promise<string> {
  writeFileSync(file, bytes);
  try {
    const ledger = await openLedger(file, { witness: known });
    try {
      await ledger.reserve(message(6), now);
      return "accepted again";
    } finally {
      await ledger.close();
    }
  } catch (error) {
    return String((error as { code?: unknown }).code ?? error);
  }
}
