/**
 * `holder.mjs LEDGER FOLDER`: reserves message 1, with half a plaintext, and holds it until killed.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

/** @type {typeof import("../../../src/records/ledger/sqlite-ledger.js")} */
const { openLedger } = await import(
  new URL("records/ledger/sqlite-ledger.js", import.meta.url).href
);

const [file = "", folder = ""] = process.argv.slice(2);
const nowMs = Date.UTC(2026, 10, 23, 10, 20, 30);
const ledger = await openLedger(file);
const output = { temporary: path.join(folder, "out.part"), final: path.join(folder, "out") };
fs.writeFileSync(output.temporary, "half a plain");
await ledger.reserve(message(1), { nowMs, output });
process.send?.("reserved");
setInterval(() => undefined, 1000);

/** @param {number} serial The same messages as test/records/support/messages.ts makes. */
function message(serial) {
  const keyId = hex("alice", 64);
  const streamId = hex("stream", 32);
  const messageId = hex(`${keyId} ${streamId} ${serial}`, 32);
  return { keyId, streamId, serial, messageId, createdMs: nowMs - 60_000, recipientsIntact: true };
}

/** @param {string} text @param {number} digits */
function hex(text, digits) {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}
