import { describe, expect, it } from "@jest/globals";
import {
  chmodSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import type { Ledger } from "../../../src/records/ledger/ledger.js";
import { initLedger, openLedger } from "../../../src/records/ledger/sqlite-ledger.js";
import { compile } from "../support/compiled.js";
import { CAN_MOUNT, mountSmallDisk } from "../support/disks.js";
import { rawDatabase } from "../support/raw-database.js";
import { DAY, freshFolder, message, MINUTE, NOW } from "../support/messages.js";
import { itIf } from "../../support/missing.js";

const now = { nowMs: NOW };

const itIfMounts = itIf(CAN_MOUNT, "no disk can be mounted here");

async function newLedger(accepted = 0): Promise<{ file: string; folder: string; ledger: Ledger }> {
  const folder = freshFolder({ memory: true });
  const file = path.join(folder, "ledger.db");
  await initLedger(file, now);
  const ledger = await openLedger(file);
  for (let serial = 1; serial <= accepted; serial++) await accept(ledger, serial);
  return { file, folder, ledger };
}

async function accept(ledger: Ledger, serial: number): Promise<void> {
  const reservation = await ledger.reserve(message(serial), now);
  await (await reservation.commit()).delivered();
}

/** Changes the database without the ledger's knowledge. */
function tamper(file: string, sql: string): void {
  const database = rawDatabase(file);
  database.exec(sql);
  database.close();
}

describe("a ledger that can't be relied on", () => {
  it("is missing: nothing is opened, and no new ledger is made", async () => {
    const file = path.join(freshFolder(), "ledger.db");
    await expect(openLedger(file)).rejects.toMatchObject({
      code: "ERR_LEDGER_MISSING",
      hint: expect.stringContaining("ledger init") as unknown,
    });
    expect(() => statSync(file)).toThrow();
  });

  it.each([
    [
      "empty",
      (file: string) => {
        truncateSync(file, 0);
      },
    ],
    [
      "no database",
      (file: string) => {
        writeFileSync(file, "x".repeat(8192));
      },
    ],
    [
      "half a database",
      (file: string) => {
        truncateSync(file, 6000);
      },
    ],
    [
      "another database",
      (file: string) => {
        tamper(file, "PRAGMA application_id = 1");
      },
    ],
    [
      "without its tables",
      (file: string) => {
        tamper(file, "DROP TABLE meta");
      },
    ],
    [
      "without its identity",
      (file: string) => {
        tamper(file, "DELETE FROM meta");
      },
    ],
  ])("is damaged: %s", async (_, damage) => {
    const { file, ledger } = await newLedger(3);
    await ledger.close();
    damage(file);
    await expect(openLedger(file)).rejects.toMatchObject({ code: "ERR_LEDGER_DAMAGED" });
  });

  it("is damaged if a message is in one of its trees and not in the other", async () => {
    const { file, ledger } = await newLedger(1);
    // As if the table had lost the row; the index of serials still has it.
    const { messageId } = message(1);
    const bytes = readFileSync(file);
    const places = occurrences(bytes, messageId);
    expect(places.length).toBeGreaterThanOrEqual(2);
    for (const place of places) {
      const changed = Buffer.from(bytes);
      changed[place] = (changed[place] ?? 0) ^ 1;
      writeFileSync(file, changed);
      const again = await openLedger(file);
      await expect(again.reserve(message(1), now)).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_(?:LEDGER_DAMAGED|SERIAL_REUSED|REPLAYED)$/) as unknown,
      });
      await again.close();
    }
    await ledger.close();
  });

  it("never takes a seen message for a new one, whichever bit of it is flipped", async () => {
    const { file, ledger } = await newLedger(2);
    await ledger.close();
    const whole = readFileSync(file);
    const unexpected: unknown[] = [];
    // One bit in every byte that is in use: the free space between would prove nothing.
    for (let place = 0; place < whole.length; place += whole[place] === 0 ? 1 : 3) {
      if (whole[place] === 0) continue;
      const changed = Buffer.from(whole);
      changed[place] = (changed[place] ?? 0) ^ (1 << (place % 8));
      writeFileSync(file, changed);
      rmSync(`${file}-journal`, { force: true });
      const outcome = await outcomeOf(file);
      if (!/^ERR_(?:REPLAYED|SERIAL_REUSED|LEDGER_[A-Z]+)$/.test(outcome)) {
        unexpected.push({ place, outcome });
      }
    }
    expect(unexpected).toEqual([]);
  });

  it("comes from a newer version", async () => {
    const { file, ledger } = await newLedger();
    await ledger.close();
    tamper(file, "PRAGMA user_version = 3");
    await expect(openLedger(file)).rejects.toMatchObject({ code: "ERR_LEDGER_VERSION" });
  });

  it("is kept locked by another process", async () => {
    const { file } = await newLedger();
    const ledger = await openLedger(file, { waitMs: 50 });
    const other = rawDatabase(file);
    other.exec("BEGIN EXCLUSIVE");
    await expect(ledger.reserve(message(1), now)).rejects.toMatchObject({
      code: "ERR_LEDGER_BUSY",
    });
    other.exec("ROLLBACK");
    other.close();
    await accept(ledger, 1);
  });

  it("can be written by others, or is a link", async () => {
    const { file, folder, ledger } = await newLedger();
    await ledger.close();
    chmodSync(file, 0o622);
    await expect(openLedger(file)).rejects.toMatchObject({ code: "ERR_UNSAFE_FILE" });
    chmodSync(file, 0o600);
    const link = path.join(folder, "link.db");
    symlinkSync(file, link);
    await expect(openLedger(link)).rejects.toMatchObject({ code: "ERR_UNSAFE_FILE" });
    chmodSync(folder, 0o777);
    await expect(openLedger(file)).rejects.toMatchObject({ code: "ERR_UNSAFE_FILE" });
    chmodSync(folder, 0o700);
  });
});

describe("without any SQLite", () => {
  it("a ledger and serials say what to install, and the audit log does without", async () => {
    const compiled = compile({ sqlite: false });
    try {
      const program = compiled.start("without-sqlite.mjs", [freshFolder()]);
      expect(await program.told()).toEqual({
        ledger: "ERR_NO_SQLITE",
        serials: "ERR_NO_SQLITE",
        audit: "done",
      });
      await program.kill();
    } finally {
      compiled.remove();
    }
  });
});

describe("a ledger put back to an older state", () => {
  it("is recognized by a witness", async () => {
    const { file, folder, ledger } = await newLedger(1);
    const copy = path.join(folder, "copy.db");
    copyFileSync(file, copy);
    await accept(ledger, 2);
    const { ledgerId, counter } = await ledger.status();
    await ledger.close();
    const witness = { ledgerId, counter };
    await (await openLedger(file, { witness })).close();
    copyFileSync(copy, file);
    await expect(openLedger(file, { witness })).rejects.toMatchObject({
      code: "ERR_LEDGER_ROLLED_BACK",
    });
  });

  it("is recognized also while it is open", async () => {
    const { file, folder, ledger } = await newLedger(1);
    const copy = path.join(folder, "copy.db");
    copyFileSync(file, copy);
    await accept(ledger, 2);
    const reservation = await ledger.reserve(message(3), now);
    // The same file with other content; SQLite looks at its own counter, in the first page.
    copyFileSync(copy, file);
    for (const attempt of [reservation.commit(), ledger.reserve(message(2), now)]) {
      await expect(attempt).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_LEDGER_(?:ROLLED_BACK|DAMAGED)$/) as unknown,
      });
    }
    await ledger.close();
  });

  it("is recognized when it is a new one", async () => {
    const { file, ledger } = await newLedger(1);
    const { ledgerId, counter } = await ledger.status();
    await ledger.close();
    rmSync(file);
    await initLedger(file, now);
    await expect(openLedger(file, { witness: { ledgerId, counter } })).rejects.toMatchObject({
      code: "ERR_LEDGER_ROLLED_BACK",
    });
  });
});

describe("a ledger on a disk", () => {
  itIfMounts("that is full accepts nothing, and goes on when there is room", async () => {
    const disk = mountSmallDisk();
    try {
      const file = path.join(disk.folder, "ledger.db");
      await initLedger(file, now);
      const ledger = await openLedger(file);
      await accept(ledger, 1);
      const reservation = await ledger.reserve(message(2), now);
      disk.fill();
      await expect(ledger.reserve(message(3), now)).rejects.toMatchObject({
        code: "ERR_LEDGER_WRITE",
      });
      await expect(reservation.commit()).rejects.toMatchObject({ code: "ERR_LEDGER_WRITE" });
      await reservation.release();
      rmSync(path.join(disk.folder, "ballast"));
      expect(await ledger.status()).toMatchObject({ counter: 2, accepted: 0, delivered: 1 });
      await (await reservation.commit()).delivered();
      await accept(ledger, 3);
      expect(await ledger.verify()).toEqual([]);
      await ledger.close();
    } finally {
      disk.remove();
    }
  });

  itIfMounts("that is full can't be begun there, and leaves nothing", async () => {
    const disk = mountSmallDisk();
    try {
      disk.fill();
      const file = path.join(disk.folder, "ledger.db");
      await expect(initLedger(file, now)).rejects.toMatchObject({ code: "ERR_LEDGER_WRITE" });
      expect(readdirSync(disk.folder)).toEqual(["ballast"]);
    } finally {
      disk.remove();
    }
  });

  itIfMounts("that is read-only accepts nothing", async () => {
    const disk = mountSmallDisk();
    try {
      await initLedger(path.join(disk.folder, "ledger.db"), now);
      const file = path.join(disk.readOnly, "ledger.db");
      const refused = openLedger(file).then((ledger) => ledger.reserve(message(1), now));
      await expect(refused).rejects.toMatchObject({ code: "ERR_LEDGER_WRITE" });
    } finally {
      disk.remove();
    }
  });
});

describe("a reservation whose process can't be looked at", () => {
  /** Reserves message 1 as a process of another machine would have. */
  async function elsewhere(): Promise<{ ledger: Ledger; commit: () => Promise<unknown> }> {
    const { file, ledger } = await newLedger();
    const reservation = await ledger.reserve(message(1), now);
    tamper(file, "UPDATE messages SET owner = '0123456789ab-0-0-4711-1'");
    return { ledger, commit: () => reservation.commit() };
  }

  it("is respected for 15 minutes", async () => {
    const { ledger, commit } = await elsewhere();
    const almost = { nowMs: NOW + 15 * MINUTE - 1 };
    await expect(ledger.reserve(message(1), almost)).rejects.toMatchObject({
      code: "ERR_IN_PROGRESS",
    });
    await commit();
  });

  it("is taken over after that, and can't be accepted any more", async () => {
    const { ledger, commit } = await elsewhere();
    const other = await ledger.reserve(message(1), { nowMs: NOW + 15 * MINUTE });
    await expect(commit()).rejects.toMatchObject({ code: "ERR_RESERVATION_LOST" });
    await other.commit();
    expect(await ledger.status()).toMatchObject({ counter: 1 });
  });

  it("is not respected forever because a clock was set back", async () => {
    const { ledger } = await elsewhere();
    await expect(ledger.reserve(message(1), { nowMs: NOW - DAY })).resolves.toBeDefined();
  });
});

function occurrences(bytes: Buffer, text: string): number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) places.push(at);
  return places;
}

/** The result of opening message 1, which was accepted, with the ledger as it is now. */
async function outcomeOf(file: string): Promise<string> {
  try {
    const ledger = await openLedger(file);
    try {
      await ledger.reserve(message(1), now);
      return "accepted again";
    } finally {
      await ledger.close();
    }
  } catch (error) {
    return String((error as { code?: unknown }).code ?? error);
  }
}
