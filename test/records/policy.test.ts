import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import path from "node:path";
import { formatDuration, MAX_DURATION_MS, parseDuration } from "../../src/records/duration.js";
import { toHex } from "../../src/bytes.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import { admit, requireFresh, requireSigned } from "../../src/records/policy.js";
import { initLedger, openLedger } from "../../src/records/ledger/sqlite-ledger.js";
import { publicDer, TEST_KEYS } from "../support/keys.js";
import { DAY, freshFolder, message, MINUTE, NOW } from "./support/messages.js";

const now = { nowMs: NOW };

describe("freshness", () => {
  it.each([
    ["sealed now", {}],
    ["as old as the window", { createdMs: NOW - 7 * DAY }],
    ["as far ahead as the skew", { createdMs: NOW + 5 * MINUTE }],
    ["about to expire", { createdMs: NOW - DAY, expiresMs: NOW + 1 }],
  ])("takes a message %s", (_, changes) => {
    expect(() => {
      requireFresh({ createdMs: NOW, ...changes }, now);
    }).not.toThrow();
  });

  it.each([
    ["older than the window", { createdMs: NOW - 7 * DAY - 1 }, "ERR_STALE"],
    ["further ahead than the skew", { createdMs: NOW + 5 * MINUTE + 1 }, "ERR_FROM_FUTURE"],
    ["that expired", { createdMs: NOW - DAY, expiresMs: NOW }, "ERR_EXPIRED"],
    ["that expired before it was sealed", { createdMs: NOW, expiresMs: 0 }, "ERR_EXPIRED"],
    ["of the year 287396", { createdMs: Number.MAX_SAFE_INTEGER }, "ERR_FROM_FUTURE"],
    ["of 1970", { createdMs: 0 }, "ERR_STALE"],
  ])("refuses a message %s", (_, sender, code) => {
    expect(() => {
      requireFresh(sender, now);
    }).toThrow(expect.objectContaining({ code }));
  });

  it("follows the window and the skew that are given", () => {
    const options = { ...now, windowMs: MINUTE, skewMs: 0 };
    for (const createdMs of [NOW - MINUTE, NOW]) requireFresh({ createdMs }, options);
    for (const createdMs of [NOW - MINUTE - 1, NOW + 1]) {
      expect(() => {
        requireFresh({ createdMs }, options);
      }).toThrow(
        expect.objectContaining({
          code: expect.stringMatching(/STALE|FUTURE/) as unknown,
        }),
      );
    }
  });
});

describe("a policy", () => {
  it("refuses an unsigned message", () => {
    expect(() => requireSigned(undefined)).toThrow(
      expect.objectContaining({ code: "ERR_UNSIGNED" }),
    );
    const sender = message(1);
    expect(requireSigned(sender)).toEqual(sender);
  });

  it("refuses a message that was re-wrapped, before the ledger hears of it", async () => {
    const file = path.join(freshFolder(), "ledger.db");
    await initLedger(file, now);
    const ledger = await openLedger(file);
    const rewrapped = message(1, { recipientsIntact: false });
    await expect(admit(rewrapped, ledger, now)).rejects.toMatchObject({ code: "ERR_REWRAPPED" });
    expect(await ledger.status()).toMatchObject({ reserved: 0 });
  });

  it("takes a re-wrapped message only from the custodian that the caller accepts", async () => {
    const file = path.join(freshFolder(), "ledger.db");
    await initLedger(file, now);
    const ledger = await openLedger(file);
    const [vault, other] = (["ed25519", "p384"] as const).map((name) => ({
      publicKey: publicKeyFromSpki(publicDer(TEST_KEYS[name])),
    }));
    const keyId = toHex(vault?.publicKey.fingerprint ?? new Uint8Array());
    const passedOn = message(1, { recipientsIntact: false, passedOn: { keyId } });
    const unknown = message(1, { recipientsIntact: false });
    const refused = { code: "ERR_REWRAPPED" };
    await expect(admit(passedOn, ledger, now)).rejects.toMatchObject(refused);
    const byOther = { ...now, custodian: other };
    await expect(admit(passedOn, ledger, byOther)).rejects.toMatchObject(refused);
    const byVault = { ...now, custodian: vault };
    await expect(admit(unknown, ledger, byVault)).rejects.toMatchObject(refused);
    expect(await ledger.status()).toMatchObject({ reserved: 0 });

    await (await (await admit(passedOn, ledger, byVault)).commit()).delivered();
    for (const copy of [passedOn, message(1)]) {
      await expect(admit(copy, ledger, byVault)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
    }
  });

  it("finds a re-wrapped message as old as its sender made it", async () => {
    const file = path.join(freshFolder(), "ledger.db");
    await initLedger(file, now);
    const ledger = await openLedger(file);
    const publicKey = publicKeyFromSpki(publicDer(TEST_KEYS.ed25519));
    const passedOn = { keyId: toHex(publicKey.fingerprint), rewrappedMs: NOW };
    const old = message(1, { recipientsIntact: false, passedOn, createdMs: NOW - 8 * DAY });
    const options = { ...now, custodian: { publicKey } };
    await expect(admit(old, ledger, options)).rejects.toMatchObject({ code: "ERR_STALE" });
  });

  it("refuses a stale message, unless a crash came between its acceptance and its delivery", async () => {
    const file = path.join(freshFolder(), "ledger.db");
    await initLedger(file, now);
    const ledger = await openLedger(file);
    const later = { nowMs: NOW + 30 * DAY };
    await expect(admit(message(1), ledger, later)).rejects.toMatchObject({ code: "ERR_STALE" });

    const reservation = await admit(message(1), ledger, now);
    await reservation.commit();
    await reservation.release();
    const again = await admit(message(1), ledger, later);
    expect(again.redelivery).toEqual({ kind: "gone" });
    await (await again.commit()).delivered();
    await expect(admit(message(1), ledger, later)).rejects.toMatchObject({ code: "ERR_STALE" });
    await expect(admit(message(1), ledger, now)).rejects.toMatchObject({ code: "ERR_REPLAYED" });
  });
});

describe("a length of time", () => {
  it.each([
    ["0s", 0],
    ["90s", 90_000],
    ["15m", 15 * MINUTE],
    ["12h", 12 * 60 * MINUTE],
    ["7d", 7 * DAY],
    ["2w", 14 * DAY],
    ["36525d", MAX_DURATION_MS],
  ])("%s is understood", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    ...["", "7", "d", "7 d", " 7d", "7d ", "7D", "07d", "-1d", "+1d", "1.5d", "1e3s", "7days"],
    ...["1d12h", "0x7d", "７d", "36526d", "9999999999w", "7y", "7ms", "7d\n"],
  ])("%j is refused", (text) => {
    expect(() => parseDuration(text)).toThrow(expect.objectContaining({ code: "ERR_DURATION" }));
  });

  it("is never understood in two ways", () => {
    fc.assert(
      fc.property(fc.nat(36_525), fc.constantFrom("s", "m", "h", "d"), (count, unit) => {
        const units: Record<string, number> = { s: 1000, m: MINUTE, h: 60 * MINUTE, d: DAY };
        expect(parseDuration(`${count}${unit}`)).toBe(count * (units[unit] ?? NaN));
      }),
    );
  });

  it.each([
    [0, "0 s"],
    [119_000, "119 s"],
    [120_000, "2 min"],
    [2 * 60 * MINUTE, "2 h"],
    [DAY, "24 h"],
    [7 * DAY, "7 d"],
    [400 * DAY, "400 d"],
  ])("%d ms is told as %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});
