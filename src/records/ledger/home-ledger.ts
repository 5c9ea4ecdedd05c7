/**
 * The ledger of the data folder. The audit log there says which ledger, and how recent, it must be.
 */
import { join } from "node:path";
import { appendAudit, auditFiles, auditWitness, noteLedger } from "../audit/audit-log.js";
import type { Ledger, LedgerWitness } from "./ledger.js";
import { initLedger, openLedger } from "./sqlite-ledger.js";
import { makeFolder } from "../../store/make-folder.js";

export function ledgerPath(home: string): string {
  return join(home, "ledger.db");
}

/** Opens the ledger, unless the audit log knows of a newer one. @throws as `openLedger` */
export async function openHomeLedger(home: string): Promise<Ledger> {
  const witness = await auditWitness(auditFiles(home));
  return openLedger(ledgerPath(home), { witness });
}

/**
 * Closes the ledger. Before, the audit log notes how far it has come: its lines know of what was
 * accepted, but not yet of what was delivered.
 *
 * @throws as `noteLedger` and `Ledger.witness`
 */
export async function closeHomeLedger(home: string, ledger: Ledger): Promise<void> {
  try {
    await noteLedger(auditFiles(home), await ledger.witness());
  } finally {
    await ledger.close();
  }
}

/**
 * Makes a new ledger, and a line in the audit log that makes it the one to be expected from now on.
 *
 * @throws as `initLedger` and `appendAudit`
 */
export async function makeHomeLedger(
  home: string,
  options: { readonly nowMs: number; readonly sinceMs?: number },
): Promise<LedgerWitness> {
  await makeFolder(home);
  const ledger = await initLedger(ledgerPath(home), options);
  const event = { event: "ledger-init", outcome: "done", ledger } as const;
  await appendAudit(auditFiles(home), event, options.nowMs);
  return ledger;
}
