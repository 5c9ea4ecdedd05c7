/**
 * p11seal/records: what the command line knows of others and remembers of what it did, for
 * programs that keep the same promises with the same data folder: senders, policy, ledger, audit
 * log and serial numbers.
 *
 * Everything here works on files. The ledger and the serial numbers need Node 22.15, or the package
 * `libsql`.
 *
 * @packageDocumentation
 */

// Whose signature counts, and what a message must be
export { trustedSender, type DirectoryEntry, type DirectoryKind } from "./directory/directory.js";
export {
  trustedCustodian,
  type CustodianOptions,
  type RewrapRecord,
} from "./directory/trusted-custodian.js";
export { readDirectory } from "./directory/directory-file.js";
export { addAuthority, readAuthorities, removeAuthority, type Authority } from "./authorities.js";
export {
  acceptedCustodians,
  openPolicy,
  readConfig,
  type Config,
  type OpenPolicy,
  type PolicyOptions,
} from "./config.js";
export {
  admit,
  DEFAULT_SKEW_MS,
  DEFAULT_WINDOW_MS,
  requireFresh,
  requireSigned,
  type AdmitOptions,
  type FreshnessOptions,
} from "./policy.js";

// What was accepted
export type * from "./ledger/ledger.js";
export { initLedger, openLedger } from "./ledger/sqlite-ledger.js";
export {
  closeHomeLedger,
  ledgerPath,
  makeHomeLedger,
  openHomeLedger,
} from "./ledger/home-ledger.js";

// What was done
export {
  appendAudit,
  auditFiles,
  auditWitness,
  verifyAuditLog,
  type AuditEvent,
  type AuditFiles,
  type AuditHead,
  type AuditProblem,
  type AuditReport,
  type PassedOnCount,
} from "./audit/audit-log.js";
export { passedOnBy, type PassedOnBy } from "./audit/passed-on.js";
export { nextSerial, type NextSerial } from "./ledger/serials.js";

// Files that appear whole, in folders that are the user's own
export { requireOwnFolder } from "../store/files.js";
export { makeFolder } from "../store/make-folder.js";
export { syncFolder } from "../store/flush.js";
export { placeNew, temporaryBeside } from "../store/temporary.js";
