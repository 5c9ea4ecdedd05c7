/** Several signatures over one message, in the ledger: all are accepted with it, or none. */
import path from "node:path";
import { describe, expect, it } from "@jest/globals";
import type { Ledger } from "../../../src/records/ledger/ledger.js";
import { initLedger, openLedger } from "../../../src/records/ledger/sqlite-ledger.js";
import { together } from "../../../src/records/ledger/together.js";
import { freshFolder, hex, message, MINUTE, NOW } from "../support/messages.js";

const now = { nowMs: NOW };
const first = message(0, { keyId: hex("bob", 64), streamId: hex("1", 32) });
const second = message(0, { keyId: hex("zoe", 64), streamId: hex("2", 32) });

async function newLedger(sinceMs = 0): Promise<Ledger> {
  const file = path.join(freshFolder(), "ledger.db");
  await initLedger(file, { ...now, sinceMs });
  return openLedger(file);
}

const codeOfReserving = async (ledger: Ledger, what = second): Promise<unknown> => {
  try {
    await (await ledger.reserve(what, now)).release();
    return "free";
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("signatures together", () => {
  it("are accepted together, and not before", async () => {
    const ledger = await newLedger();
    const both = await together(await ledger.reserve(first, now), [second], ledger, now);
    expect(await codeOfReserving(ledger)).toBe("ERR_IN_PROGRESS");
    await (await both.commit()).delivered();
    expect(await codeOfReserving(ledger)).toBe("ERR_REPLAYED");
    expect(await codeOfReserving(ledger, first)).toBe("ERR_REPLAYED");
  });

  it("are given up together", async () => {
    const ledger = await newLedger();
    const both = await together(await ledger.reserve(first, now), [second], ledger, now);
    await both.release();
    expect(await codeOfReserving(ledger)).toBe("free");
    expect(await codeOfReserving(ledger, first)).toBe("free");
  });

  it("are refused together, where one was accepted before", async () => {
    const ledger = await newLedger();
    await (await (await ledger.reserve(second, now)).commit()).delivered();
    const both = together(await ledger.reserve(first, now), [second], ledger, now);
    await expect(both).rejects.toMatchObject({ code: "ERR_REPLAYED" });
    expect(await codeOfReserving(ledger, first)).toBe("free");
  });

  it("are accepted at once, where the message was", async () => {
    const ledger = await newLedger();
    const reservation = await ledger.reserve(first, now);
    await reservation.commit();
    await together(reservation, [second], ledger, { ...now, isAccepted: true });
    expect(await codeOfReserving(ledger)).toBe("ERR_REPLAYED");
  });

  it("don't stand in the way of a delivery that a crash kept from its end", async () => {
    const ledger = await newLedger();
    const both = await together(await ledger.reserve(first, now), [second], ledger, now);
    await both.commit();
    await both.release();
    const again = await together(await ledger.reserve(first, now), [second], ledger, now);
    expect(again.redelivery).toEqual({ kind: "gone" });
  });

  it("don't count where they let no message in: without a time, or older than the ledger", async () => {
    const ledger = await newLedger(NOW - MINUTE);
    const reservation = await ledger.reserve(first, now);
    const { createdMs, ...timeless } = second;
    const old = { ...second, createdMs: createdMs - MINUTE };
    expect(await together(reservation, [timeless, old], ledger, now)).toBe(reservation);
  });
});
