/**
 * `without-sqlite.mjs FOLDER`: prints the results of a ledger, of serials, and of the audit log.
 */
import path from "node:path";

/** @type {typeof import("../../../src/records/ledger/sqlite-ledger.js")} */
const { initLedger } = await import(
  new URL("records/ledger/sqlite-ledger.js", import.meta.url).href
);
/** @type {typeof import("../../../src/records/ledger/serials.js")} */
const { nextSerial } = await import(new URL("records/ledger/serials.js", import.meta.url).href);
/** @type {typeof import("../../../src/records/audit/audit-log.js")} */
const { appendAudit, auditFiles } = await import(
  new URL("records/audit/audit-log.js", import.meta.url).href
);

const [folder = ""] = process.argv.slice(2);
const nowMs = Date.UTC(2026, 10, 23);
process.send?.({
  ledger: await outcome(initLedger(path.join(folder, "ledger.db"), { nowMs })),
  serials: await outcome(nextSerial(path.join(folder, "serials.db"), "0".repeat(64))),
  audit: await outcome(
    appendAudit(auditFiles(folder), { event: "open", outcome: "opened" }, nowMs),
  ),
});

/** @param {Promise<unknown>} promise */
function outcome(promise) {
  return promise.then(
    () => "done",
    (/** @type {{ code: string }} */ error) => error.code,
  );
}
