/**
 * `auditor.mjs FOLDER`: adds lines to the audit log, notes and prints each once it is there, until
 * it is killed.
 */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

/** @type {typeof import("../../../src/records/audit/audit-log.js")} */
const { appendAudit, auditFiles } = await import(
  new URL("records/audit/audit-log.js", import.meta.url).href
);

const [folder = ""] = process.argv.slice(2);
for (;;) {
  const messageId = randomBytes(16).toString("hex");
  await appendAudit(auditFiles(folder), { event: "open", outcome: "opened", messageId }, 1.8e12);
  fs.appendFileSync(path.join(folder, "noted"), `${messageId}\n`);
  process.send?.(messageId);
}
