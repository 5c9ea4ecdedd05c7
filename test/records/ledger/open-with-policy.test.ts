/** Opening under a policy, from the sealed bytes to the ledger, as the command does. */
import { describe, expect, it } from "@jest/globals";
import path from "node:path";
import { concat } from "../../../src/bytes.js";
import { trustedSender, type DirectoryEntry } from "../../../src/records/directory/directory.js";
import { encodeTranscript, readHeader } from "../../../src/envelope/native/header.js";
import { openMessage, sealMessage } from "../../../src/envelope/messages.js";
import type { SenderInfo } from "../../../src/envelope/message-info.js";
import type { Sender } from "../../../src/envelope/seal-options.js";
import type { Ledger, Reservation } from "../../../src/records/ledger/ledger.js";
import { admit, requireSigned } from "../../../src/records/policy.js";
import { nextSerial } from "../../../src/records/ledger/serials.js";
import { initLedger, openLedger } from "../../../src/records/ledger/sqlite-ledger.js";
import { toHex } from "../../../src/bytes.js";
import { Reader } from "../../../src/stream.js";
import { counting, identityOf, recipientOf, senderOf } from "../../support/identities.js";
import { DAY, freshFolder, MINUTE, NOW } from "../support/messages.js";

const plaintext = new Uint8Array(10_000).fill(7);

interface Receiver {
  readonly folder: string;
  readonly ledger: Ledger;
  /** Number of searches for keys. */
  looked: number;
  readonly unlocks: () => number;
  open(
    message: Uint8Array,
    options?: { nowMs?: number; from?: readonly string[]; inOrder?: boolean },
  ): Promise<Uint8Array>;
}

async function receiver(senders: readonly DirectoryEntry[] = [alice()]): Promise<Receiver> {
  const folder = freshFolder();
  const file = path.join(folder, "ledger.db");
  await initLedger(file, { nowMs: NOW });
  const ledger = await openLedger(file);
  const counted = counting(identityOf("p256"));
  const self: Receiver = {
    folder,
    ledger,
    looked: 0,
    unlocks: () => counted.unlocks,
    async open(message, { nowMs = NOW, from, inOrder = false } = {}) {
      let reservation: Reservation | undefined;
      try {
        const opened = await openMessage(message, {
          authenticate: async (claimed: SenderInfo | undefined) => {
            const sender = requireSigned(claimed);
            trustedSender(senders, sender, { from: from ?? "any", nowMs });
            reservation = await admit(sender, ledger, { nowMs, inOrder });
          },
          identities: () => {
            self.looked++;
            return Promise.resolve([counted.identity]);
          },
        });
        const bytes = await opened.plaintext.bytes();
        const acceptance = await reservation?.commit();
        await acceptance?.delivered();
        return bytes;
      } finally {
        await reservation?.release();
      }
    },
  };
  return self;
}

function alice(changes: Partial<DirectoryEntry> = {}): DirectoryEntry {
  const { publicKey } = senderOf("ed25519");
  return { name: "alice", publicKey, source: "alice.pem", addedMs: NOW, ...changes };
}

async function seal(
  changes: Partial<Sender> = {},
  recipients = [recipientOf("p256")],
): Promise<Uint8Array> {
  const sender = { ...senderOf("ed25519"), createdMs: NOW, ...changes };
  return (await sealMessage(plaintext, { recipients, sender })).stream().bytes();
}

describe("a message that policy refuses", () => {
  /** Refused with that code, without a search for keys, and without a trace in the ledger. */
  async function refused(
    by: Receiver,
    code: string,
    ...args: Parameters<Receiver["open"]>
  ): Promise<void> {
    const before = await by.ledger.export();
    const looked = by.looked;
    await expect(by.open(...args)).rejects.toMatchObject({ name: "PolicyError", code });
    expect(by.looked).toBe(looked);
    expect(await by.ledger.export()).toEqual(before);
  }

  it("costs no look at a key, and leaves no trace: unsigned", async () => {
    const unsigned = await sealMessage(plaintext, { recipients: [recipientOf("p256")] });
    await refused(await receiver(), "ERR_UNSIGNED", await unsigned.stream().bytes());
  });

  it("costs no look at a key, and leaves no trace: of an unknown sender", async () => {
    await refused(await receiver([]), "ERR_SENDER_UNKNOWN", await seal());
  });

  it("costs no look at a key, and leaves no trace: of another sender than wanted", async () => {
    const { publicKey } = senderOf("p256");
    const by = await receiver([alice(), { ...alice(), name: "bob", publicKey }]);
    await refused(by, "ERR_SENDER_UNEXPECTED", await seal(), { from: ["bob"] });
  });

  it("costs no look at a key, and leaves no trace: of a sender whose key is past its time", async () => {
    const by = await receiver([alice({ notAfterMs: NOW - MINUTE })]);
    await refused(by, "ERR_SENDER_EXPIRED", await seal());
  });

  it("costs no look at a key, and leaves no trace: stale, from the future, expired", async () => {
    const by = await receiver();
    await refused(by, "ERR_STALE", await seal({ createdMs: NOW - 7 * DAY - 1 }));
    await refused(by, "ERR_FROM_FUTURE", await seal({ createdMs: NOW + 6 * MINUTE }));
    const expired = await seal({ createdMs: NOW - DAY, expiresMs: NOW });
    await refused(by, "ERR_EXPIRED", expired);
  });

  it("costs no look at a key, and leaves no trace: with the recipients swapped after signing", async () => {
    const message = await seal({}, [recipientOf("p256"), recipientOf("p384")]);
    const header = await readHeader(new Reader(message));
    const transcript = encodeTranscript({ ...header, stanzas: header.stanzas.toReversed() });
    const swapped = concat(transcript, message.subarray(header.transcript.length));
    expect(swapped).toHaveLength(message.length);
    await refused(await receiver(), "ERR_REWRAPPED", swapped);
  });

  it("costs no look at a key, and leaves no trace: opened before", async () => {
    const by = await receiver();
    const message = await seal();
    expect(await by.open(message)).toEqual(plaintext);
    await refused(by, "ERR_REPLAYED", message);
  });

  it("costs no look at a key, and leaves no trace: with a serial its sender used before", async () => {
    const by = await receiver();
    await by.open(await seal());
    await refused(by, "ERR_SERIAL_REUSED", await seal());
  });

  it("costs no look at a key, and leaves no trace: out of order where order is demanded", async () => {
    const by = await receiver();
    await by.open(await seal({ serial: 1 }));
    await refused(by, "ERR_OUT_OF_ORDER", await seal({ serial: 3 }), { inOrder: true });
    await by.open(await seal({ serial: 2 }), { inOrder: true });
  });
});

describe("a message that is not what it seems", () => {
  it("does not burn the genuine one: a garbage body under a copied header", async () => {
    const by = await receiver();
    const message = await seal();
    const garbage = message.slice();
    const last = garbage.length - 100;
    garbage[last] = (garbage[last] ?? 0) ^ 1;
    await expect(by.open(garbage)).rejects.toMatchObject({ name: "AuthenticationError" });
    await expect(by.open(message.subarray(0, -1))).rejects.toMatchObject({
      name: "AuthenticationError",
    });
    expect(await by.ledger.status()).toMatchObject({ counter: 0, reserved: 0 });
    expect(await by.open(message)).toEqual(plaintext);
  });

  it("is not for this receiver: nothing is unlocked, nothing burnt", async () => {
    const by = await receiver();
    const elsewhere = await seal({}, [recipientOf("p384")]);
    await expect(by.open(elsewhere)).rejects.toMatchObject({ code: "ERR_NO_MATCH" });
    expect(by.unlocks()).toBe(0);
    expect(await by.ledger.status()).toMatchObject({ reserved: 0, counter: 0 });
  });
});

describe("a sender's stream", () => {
  it("arrives whole and in order, serial by serial, with counters from a file", async () => {
    const by = await receiver();
    const keyId = toHex(senderOf("ed25519").publicKey.fingerprint);
    for (let index = 1; index <= 3; index++) {
      const next = await nextSerial(path.join(by.folder, "serials.db"), keyId, "reports");
      await by.open(await seal(next), { inOrder: true });
    }
    const streams = [];
    for await (const stream of (await by.ledger.export()).streams) streams.push(stream);
    expect(streams).toMatchObject([{ sender: keyId, highest: 3, floor: -1 }]);
  });
});
