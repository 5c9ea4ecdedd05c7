/**
 * Every command of p11seal. Specifications only: a command's code is loaded when it runs, because
 * most of what a run costs is loading code.
 */
import type { CommandSet } from "../command.js";
import { AGENT } from "./agent/agent-commands.js";
import { AUDIT } from "./audit/audit-commands.js";
import { AUDIT_LOG } from "./audit-log/audit-log-commands.js";
import { CAPI } from "./capi/capi-commands.js";
import { THREE_PHASE } from "./capi/three-phase-commands.js";
import { COMPLETION } from "./completion/completion-commands.js";
import { DIRECTORY } from "./directory/directory-commands.js";
import { KEYS } from "./keys/keys-commands.js";
import { LEDGER } from "./ledger/ledger-commands.js";
import { MESSAGE_COMMANDS } from "./message-commands.js";
import { PIN } from "./pin/pin-commands.js";
import { RECEIPT } from "./receipt/receipt-commands.js";
import { RULES } from "./rules/rules-commands.js";
import { SIGN } from "./sign/sign-commands.js";
import { TESTING } from "./testing/testing-commands.js";
import { TOKENS } from "./tokens/tokens-commands.js";
import { TRUST } from "./trust/trust-commands.js";

/** In the order in which help lists them. */
const SETS: readonly CommandSet[] = [
  ...[MESSAGE_COMMANDS, AUDIT, SIGN, TOKENS, PIN, KEYS, AGENT],
  ...[DIRECTORY, TRUST, LEDGER, RULES, RECEIPT, AUDIT_LOG],
  ...[CAPI, THREE_PHASE, TESTING, COMPLETION],
];

export const ALL_COMMANDS: Required<CommandSet> = {
  groups: Object.assign({}, ...SETS.map(({ groups }) => groups)) as Record<string, string>,
  commands: SETS.flatMap(({ commands }) => commands),
};
