/**
 * Opens messages as `p11seal open` does, as far as the ledger is concerned: reserve, write the
 * plaintext to a temporary file, accept, rename, done. Tests start it and kill it.
 *
 *   opener.mjs LEDGER FOLDER COUNT [STEP] opens messages 1 to COUNT, and reports each; kills itself
 *                                           after STEP of the first
 *   opener.mjs LEDGER FOLDER - opens the messages it is sent, one at a time, and reports the
 *   outcome
 */
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

/** @type {typeof import("../../../src/records/ledger/sqlite-ledger.js")} */
const { openLedger } = await import(
  new URL("records/ledger/sqlite-ledger.js", import.meta.url).href
);

const [ledgerFile = "", folder = "", count = "", dieAfter = ""] = process.argv.slice(2);
const NOW = Date.UTC(2026, 10, 23, 10, 20, 30);

const ledger = await openLedger(ledgerFile);
if (count === "-") {
  process.on("message", (serial) => {
    void open(Number(serial)).then((outcome) => process.send?.(outcome));
  });
  process.send?.("ready");
} else {
  for (let serial = 1; serial <= Number(count); serial++) {
    if ((await open(serial)) === "opened") process.send?.(serial);
  }
  process.exit(0);
}

/** @param {number} serial */
async function open(serial) {
  const final = path.join(folder, `message-${serial}`);
  const temporary = path.join(folder, `.message-${serial}.${randomBytes(4).toString("hex")}.part`);
  const output = { temporary, final };
  let reservation;
  try {
    reservation = await ledger.reserve(message(serial), { nowMs: NOW, output });
  } catch (error) {
    return /** @type {{ code: string }} */ (error).code;
  }
  step("reserved");
  const waiting =
    reservation.redelivery?.kind === "waiting" ? reservation.redelivery.output : undefined;
  if (waiting === undefined) write(temporary, plaintext(serial));
  step("written");
  const acceptance = await reservation.commit(waiting ?? output);
  if (reservation.redelivery === undefined) note("accepted", serial);
  step("committed");
  // If the plaintext had its name already, a message would be delivered twice: link refuses that.
  fs.linkSync((waiting ?? output).temporary, final);
  fs.unlinkSync((waiting ?? output).temporary);
  step("renamed");
  await acceptance.delivered();
  step("delivered");
  await reservation.release();
  return "opened";
}

/** @param {number} serial */
function plaintext(serial) {
  return `plaintext of message ${serial} `.repeat(100);
}

/** @param {string} file @param {string} text */
function write(file, text) {
  const descriptor = fs.openSync(file, "wx", 0o600);
  fs.writeSync(descriptor, text);
  fs.fsyncSync(descriptor);
  fs.closeSync(descriptor);
}

/** @param {string} what @param {number} serial */
function note(what, serial) {
  fs.appendFileSync(path.join(folder, `${what}.log`), `${serial}\n`);
}

/** @param {string} name */
function step(name) {
  if (name === dieAfter) process.kill(process.pid, "SIGKILL");
}

/** @param {number} serial The same messages as test/records/support/messages.ts makes. */
function message(serial) {
  const keyId = hex("alice", 64);
  const streamId = hex("stream", 32);
  const messageId = hex(`${keyId} ${streamId} ${serial}`, 32);
  return { keyId, streamId, serial, messageId, createdMs: NOW - 60_000, recipientsIntact: true };
}

/** @param {string} text @param {number} digits */
function hex(text, digits) {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}
