/**
 * `sealer.mjs FOLDER KEYID`: takes serials, and notes and prints them, as fast as it can until it
 * is killed.
 */
import fs from "node:fs";
import path from "node:path";

/** @type {typeof import("../../../src/records/ledger/serials.js")} */
const { nextSerial } = await import(new URL("records/ledger/serials.js", import.meta.url).href);

const [folder = "", keyId = ""] = process.argv.slice(2);
for (;;) {
  const { streamId, serial } = await nextSerial(path.join(folder, "serials.db"), keyId);
  const line = `${Buffer.from(streamId).toString("hex")} ${serial}\n`;
  fs.appendFileSync(path.join(folder, "given.log"), line);
  process.send?.(serial);
}
