/**
 * Every command of p11seal. Specifications only: a command's code is loaded when it runs, because
 * most of what a run costs is loading code.
 */
import type { CommandSet } from "../command.js";
import { AUDIT_LOG } from "./audit-log/audit-log-commands.js";
import { CAPI } from "./capi/capi-commands.js";
import { THREE_PHASE } from "./capi/three-phase-commands.js";
import { COMPLETION } from "./completion/completion-commands.js";
import { DIRECTORY } from "./directory/directory-commands.js";
import { DOCTOR } from "./doctor/doctor-commands.js";
import { INSPECT } from "./inspect/inspect-commands.js";
import { KEYS } from "./keys/keys-commands.js";
import { LEDGER } from "./ledger/ledger-commands.js";
import { OPEN } from "./open/open-commands.js";
import { RECEIPT } from "./receipt/receipt-commands.js";
import { SEAL } from "./seal/seal-commands.js";
import { TOKENS } from "./tokens/tokens-commands.js";

/** In the order in which help lists them. */
const SETS: readonly CommandSet[] = [
  ...[SEAL, OPEN, INSPECT, DOCTOR, TOKENS, KEYS],
  ...[DIRECTORY, LEDGER, RECEIPT, AUDIT_LOG],
  ...[CAPI, THREE_PHASE, COMPLETION],
];

export const ALL_COMMANDS: Required<CommandSet> = {
  groups: Object.assign({}, ...SETS.map(({ groups }) => groups)) as Record<string, string>,
  commands: SETS.flatMap(({ commands }) => commands),
};
