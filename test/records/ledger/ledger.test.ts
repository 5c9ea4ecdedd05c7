import { describe, expect, it } from "@jest/globals";
import { renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Ledger } from "../../../src/records/ledger/ledger.js";
import { initLedger, openLedger } from "../../../src/records/ledger/sqlite-ledger.js";
import { rawDatabase } from "../support/raw-database.js";
import { makeVersion1 } from "../support/version-1.js";
import { DAY, freshFolder, hex, message, MINUTE, NOW } from "../support/messages.js";

const now = { nowMs: NOW };

async function newLedger(options: { sinceMs?: number } = {}): Promise<{
  ledger: Ledger;
  file: string;
  folder: string;
}> {
  const folder = freshFolder();
  const file = path.join(folder, "ledger.db");
  await initLedger(file, { ...now, ...options });
  return { ledger: await openLedger(file), file, folder };
}

/** Opens a message: reserve, accept, deliver. */
async function accept(ledger: Ledger, serial: number, changes = {}): Promise<void> {
  const reservation = await ledger.reserve(message(serial, changes), now);
  const acceptance = await reservation.commit();
  await acceptance.delivered();
  await reservation.release();
}

describe("a ledger", () => {
  it("accepts a message once", async () => {
    const { ledger } = await newLedger();
    await accept(ledger, 1);
    await expect(ledger.reserve(message(1), now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
  });

  it("remembers what it accepted when it is opened again", async () => {
    const { ledger, file } = await newLedger();
    await accept(ledger, 1);
    await ledger.close();
    const again = await openLedger(file);
    await expect(again.reserve(message(1), now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
  });

  it("does not count a message whose body turned out forged", async () => {
    const { ledger } = await newLedger();
    const reservation = await ledger.reserve(message(1), now);
    await reservation.release();
    await accept(ledger, 1);
    expect(await ledger.status()).toMatchObject({ reserved: 0, accepted: 0, delivered: 1 });
  });

  it("refuses two messages of one serial, and says that the sender's counter went back", async () => {
    const { ledger } = await newLedger();
    await accept(ledger, 1);
    const other = message(1, { messageId: hex("other", 32) });
    await expect(ledger.reserve(other, now)).rejects.toMatchObject({ code: "ERR_SERIAL_REUSED" });
  });

  it("refuses the second of one serial while the first is being opened", async () => {
    const { ledger } = await newLedger();
    const first = await ledger.reserve(message(1), now);
    const other = message(1, { messageId: hex("other", 32) });
    await expect(ledger.reserve(other, now)).rejects.toMatchObject({ code: "ERR_SERIAL_REUSED" });
    await first.release();
    await expect(ledger.reserve(other, now)).resolves.toBeDefined();
  });

  it("takes the same serial in another stream, and of another sender", async () => {
    const { ledger } = await newLedger();
    await accept(ledger, 1);
    await accept(ledger, 1, { streamId: hex("another", 32) });
    await accept(ledger, 1, { keyId: hex("bob", 64) });
    expect(await ledger.status()).toMatchObject({ delivered: 3, senders: 2, streams: 3 });
  });

  it("does not let one sender use up a message id of another", async () => {
    const { ledger } = await newLedger();
    const { messageId } = message(1);
    await accept(ledger, 1, { keyId: hex("mallory", 64), messageId });
    await accept(ledger, 1);
    expect(await ledger.status()).toMatchObject({ delivered: 2 });
  });

  it("refuses a message id that its sender gave to another message", async () => {
    const { ledger } = await newLedger();
    await accept(ledger, 1);
    const { messageId } = message(1);
    await expect(ledger.reserve(message(2, { messageId }), now)).rejects.toMatchObject({
      code: "ERR_REPLAYED",
    });
  });

  it("lets one run at a time open a message", async () => {
    const { ledger } = await newLedger();
    const first = await ledger.reserve(message(1), now);
    await expect(ledger.reserve(message(1), now)).rejects.toMatchObject({
      code: "ERR_IN_PROGRESS",
    });
    await first.release();
    await accept(ledger, 1);
  });

  it("respects a run between acceptance and delivery", async () => {
    const { ledger } = await newLedger();
    const first = await ledger.reserve(message(1), now);
    await first.commit();
    await expect(ledger.reserve(message(1), now)).rejects.toMatchObject({
      code: "ERR_IN_PROGRESS",
    });
  });

  it("can't be made over another one", async () => {
    const { file } = await newLedger();
    await expect(initLedger(file, now)).rejects.toMatchObject({ code: "ERR_LEDGER_EXISTS" });
  });

  it("is for its owner's eyes alone", async () => {
    const { file } = await newLedger();
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("refuses what was sealed before it began, if asked to", async () => {
    const { ledger } = await newLedger({ sinceMs: NOW - MINUTE });
    const before = message(1, { createdMs: NOW - MINUTE - 1 });
    await expect(ledger.reserve(before, now)).rejects.toMatchObject({ code: "ERR_STALE" });
    await accept(ledger, 2, { createdMs: NOW - MINUTE });
  });

  it("takes any serial a sender can sign, zero and the highest", async () => {
    const { ledger } = await newLedger();
    await accept(ledger, 0);
    await accept(ledger, Number.MAX_SAFE_INTEGER);
    expect(await ledger.verify()).toEqual([]);
  });
});

describe("the order of a stream", () => {
  it("is reported: first, next, how many are missing, and late", async () => {
    const { ledger } = await newLedger();
    const places = [];
    for (const serial of [5, 6, 9, 7]) {
      const reservation = await ledger.reserve(message(serial), now);
      places.push([reservation.place, reservation.gap]);
      await reservation.commit();
    }
    expect(places).toEqual([
      ["first", 0],
      ["next", 0],
      ["gap", 2],
      ["late", 0],
    ]);
  });

  it.each([
    ["a gap", 7],
    ["a late message", 4],
  ])("where it is demanded, refuses %s", async (_, serial) => {
    const { ledger } = await newLedger();
    await accept(ledger, 5);
    const demand = { ...now, inOrder: true };
    await expect(ledger.reserve(message(serial), demand)).rejects.toMatchObject({
      code: "ERR_OUT_OF_ORDER",
    });
    await expect(ledger.reserve(message(6), demand)).resolves.toMatchObject({ place: "next" });
  });

  it("is not moved on by a message that was never accepted", async () => {
    const { ledger } = await newLedger();
    await accept(ledger, 1);
    const forged = await ledger.reserve(message(3), now);
    await forged.release();
    await expect(ledger.reserve(message(2), { ...now, inOrder: true })).resolves.toMatchObject({
      place: "next",
    });
  });

  it("is looked at again when a message is accepted", async () => {
    const { ledger } = await newLedger();
    await accept(ledger, 1);
    const second = await ledger.reserve(message(2), { ...now, inOrder: true });
    await accept(ledger, 3);
    await expect(second.commit()).rejects.toMatchObject({ code: "ERR_OUT_OF_ORDER" });
    expect(await ledger.status()).toMatchObject({ reserved: 1, accepted: 0, delivered: 2 });
  });
});

describe("a delivery that was cut off", () => {
  /** An accepted message whose plaintext still has its temporary name; its run has ended. */
  async function cutOff(): Promise<{
    ledger: Ledger;
    output: { temporary: string; final: string };
  }> {
    const { ledger, folder } = await newLedger();
    const output = {
      temporary: path.join(folder, ".out.part"),
      final: path.join(folder, "out"),
    };
    writeFileSync(output.temporary, "plaintext");
    const reservation = await ledger.reserve(message(1), { ...now, output });
    await reservation.commit(output);
    await reservation.release();
    return { ledger, output };
  }

  it("is completed by opening the message again, from the file that waits", async () => {
    const { ledger, output } = await cutOff();
    expect(await ledger.isUndelivered(message(1))).toBe(true);
    const again = await ledger.reserve(message(1), now);
    expect(again.redelivery).toEqual({ kind: "waiting", output });
    const acceptance = await again.commit(output);
    renameSync(output.temporary, output.final);
    await acceptance.delivered();
    expect(await ledger.isUndelivered(message(1))).toBe(false);
    await expect(ledger.reserve(message(1), now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
  });

  it("is found done when the file has its name already", async () => {
    const { ledger, output } = await cutOff();
    renameSync(output.temporary, output.final);
    await expect(ledger.reserve(message(1), now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
    rmSync(output.final);
    await expect(ledger.reserve(message(1), now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
    expect(await ledger.status()).toMatchObject({ accepted: 0, delivered: 1 });
  });

  it("begins anew when the file is gone, and is still one acceptance", async () => {
    const { ledger, output } = await cutOff();
    rmSync(output.temporary);
    const before = (await ledger.status()).counter;
    const again = await ledger.reserve(message(1), now);
    expect(again.redelivery).toEqual({ kind: "gone" });
    const { witness } = await again.commit();
    expect(witness.counter).toBe(before);
  });

  it("does not take another file of that name for it", async () => {
    const { ledger, output } = await cutOff();
    rmSync(output.temporary);
    writeFileSync(output.final, "something else");
    await expect(ledger.reserve(message(1), now)).resolves.toMatchObject({
      redelivery: { kind: "gone" },
    });
  });

  it("begins anew when the plaintext went to a pipe", async () => {
    const { ledger } = await newLedger();
    const reservation = await ledger.reserve(message(1), now);
    await reservation.commit();
    await reservation.release();
    await expect(ledger.reserve(message(1), now)).resolves.toMatchObject({
      redelivery: { kind: "gone" },
    });
  });

  it("survives pruning", async () => {
    const { ledger } = await cutOff();
    await ledger.prune({ nowMs: NOW + 30 * DAY, windowMs: DAY });
    expect(await ledger.isUndelivered(message(1))).toBe(true);
  });

  it("can't be accepted with a plaintext that is not there", async () => {
    const { ledger, folder } = await newLedger();
    const output = { temporary: path.join(folder, "no.part"), final: path.join(folder, "no") };
    const reservation = await ledger.reserve(message(1), { ...now, output });
    await expect(reservation.commit(output)).rejects.toMatchObject({ code: "ERR_OUTPUT_GONE" });
    expect(await ledger.status()).toMatchObject({ reserved: 1, accepted: 0 });
  });
});

describe("pruning", () => {
  it("forgets what the window refuses anyway, and nothing else", async () => {
    const { ledger } = await newLedger();
    const horizon = NOW - 7 * DAY;
    await accept(ledger, 1, { createdMs: horizon - 1 });
    await accept(ledger, 2, { createdMs: horizon });
    const pruned = await ledger.prune({ nowMs: NOW, windowMs: 7 * DAY });
    expect(pruned).toEqual({ removed: 1, kept: 1 });
  });

  it("lets nothing in again, however long the window is later", async () => {
    const { ledger } = await newLedger();
    for (const serial of [1, 2, 3]) await accept(ledger, serial, { createdMs: NOW - 8 * DAY });
    await ledger.prune({ nowMs: NOW, windowMs: 7 * DAY });
    for (const serial of [1, 2, 3]) {
      const old = message(serial, { createdMs: NOW - 8 * DAY });
      await expect(ledger.reserve(old, now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
    }
    const unseen = message(2, { messageId: hex("unseen", 32) });
    await expect(ledger.reserve(unseen, now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
    await expect(ledger.reserve(message(4), now)).resolves.toMatchObject({ place: "next" });
  });

  it("moves the witness on, so that an unpruned copy shows", async () => {
    const { ledger } = await newLedger();
    await accept(ledger, 1, { createdMs: NOW - 8 * DAY });
    const { counter } = await ledger.status();
    await ledger.prune({ nowMs: NOW, windowMs: 7 * DAY });
    expect((await ledger.status()).counter).toBe(counter + 1);
  });
});

/** The export with its lists read to their ends. */
async function wholeExport(ledger: Ledger) {
  const { streams, messages, ...fields } = await ledger.export();
  const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
    const read: T[] = [];
    for await (const item of items) read.push(item);
    return read;
  };
  return { ...fields, streams: await all(streams), messages: await all(messages) };
}

describe("export and status", () => {
  it("of an empty ledger are empty", async () => {
    const { ledger } = await newLedger();
    const { ledgerId, ...counts } = await ledger.status();
    expect(ledgerId).toMatch(/^[0-9a-f]{32}$/);
    expect(counts).toEqual({
      ...{ counter: 0, createdMs: NOW, sinceMs: 0, reserved: 0, accepted: 0, delivered: 0 },
      ...{ senders: 0, streams: 0 },
    });
    expect(await wholeExport(ledger)).toMatchObject({ messages: [], streams: [] });
    expect(await ledger.prune({ nowMs: NOW, windowMs: 0 })).toEqual({ removed: 0, kept: 0 });
  });

  it("show every message and stream", async () => {
    const { ledger } = await newLedger();
    await accept(ledger, 1);
    await ledger.reserve(message(2), now);
    const all = await wholeExport(ledger);
    expect(all).toMatchObject({
      type: "p11seal ledger v1",
      counter: 2,
      streams: [{ sender: message(1).keyId, highest: 1, floor: -1 }],
      messages: [
        { messageId: message(1).messageId, serial: 1, state: "delivered", acceptedMs: NOW },
        { messageId: message(2).messageId, serial: 2, state: "reserved" },
      ],
    });
    expect(JSON.parse(JSON.stringify(all))).toEqual(all);
    expect(await ledger.status()).toMatchObject({ oldestMs: NOW - MINUTE, ledgerId: all.ledgerId });
  });
});

describe("a ledger of more messages than are read at a time", () => {
  const MESSAGES = 2500;

  /** `streams` streams with as many messages each, accepted and delivered 30 days ago. */
  async function filled(streams: number) {
    const file = path.join(freshFolder(), "ledger.db");
    const sender = message(1).keyId;
    makeVersion1(file, MESSAGES, (database) => {
      for (let index = 0; index < MESSAGES; index++) {
        const stream = `'${hex(`stream ${index % streams}`, 32)}'`;
        const serial = Math.floor(index / streams);
        database.exec(
          `INSERT INTO streams VALUES ('${sender}', ${stream}, ${serial}, -1)
             ON CONFLICT DO UPDATE SET highest = excluded.highest`,
        );
        database.exec(
          `INSERT INTO messages (sender, message_id, stream, serial, created_ms, state,
               accepted_ms, lease_ms)
             VALUES ('${sender}', '${hex(`message ${index}`, 32)}', ${stream}, ${serial},
               ${NOW - 30 * DAY}, 'delivered', ${NOW - 30 * DAY}, 0)`,
        );
      }
    });
    return { file, ledger: await openLedger(file) };
  }

  it.each([1, 7, MESSAGES])("in %d streams is exported, verified and pruned whole", async (n) => {
    const { file, ledger } = await filled(n);
    const all = await wholeExport(ledger);
    expect(all.streams).toHaveLength(n);
    expect(new Set(all.messages.map(({ messageId }) => messageId)).size).toBe(MESSAGES);
    expect(await ledger.verify()).toEqual([]);

    const size = statSync(file).size;
    const { counter } = await ledger.status();
    expect(await ledger.prune({ nowMs: NOW, windowMs: 7 * DAY })).toEqual({
      removed: MESSAGES,
      kept: 0,
    });
    expect((await ledger.status()).counter).toBeGreaterThan(counter);
    const after = await wholeExport(ledger);
    expect(after.messages).toEqual([]);
    expect(after.streams.map(({ floor }) => floor)).toEqual(all.streams.map((s) => s.highest));
    // The space is given back.
    expect(statSync(file).size).toBeLessThan(size / 2);
    expect(await ledger.verify()).toEqual([]);
  });

  it.each([
    ["UPDATE streams SET highest = highest - 5", 3],
    ["UPDATE messages SET state = 'accepted' WHERE serial = 17", 3],
    ["UPDATE messages SET created_ms = created_ms + 1", 100],
    ["DELETE FROM messages WHERE serial IN (17, 18)", 1],
    ["DELETE FROM streams WHERE stream = (SELECT max(stream) FROM streams)", 1],
  ])("tells what is not as it was recorded: %s", async (sql, count) => {
    const { file, ledger } = await filled(3);
    await ledger.close();
    const database = rawDatabase(file);
    database.exec(sql);
    database.close();
    const problems = await (await openLedger(file)).verify();
    expect(problems).toHaveLength(count);
  });
});
