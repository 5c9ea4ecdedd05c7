/** What of a message breaks the rules for its folder; or that there are none, or none to go by. */
import type { MessageInfo } from "../../../envelope/message-info.js";
import { P11SealError } from "../../../errors.js";
import { headerBreaches, senderBreaches, type Breach } from "../../../records/rules/breaches.js";
import type { Governance } from "../../../records/rules/governance.js";
import type { RuleBook } from "../../../records/rules/rule-book.js";
import type { Finding, FindingKind } from "./findings.js";
import type { Explanation } from "./holders.js";

export interface RuledFindings {
  readonly findings: readonly Finding[];
  /** Rules say whether it must be signed. */
  readonly isGoverned: boolean;
}

export async function ruledFindings(
  path: string,
  info: MessageInfo,
  explained: Explanation,
  book: RuleBook,
  nowMs: number,
): Promise<RuledFindings> {
  let rules: Governance | undefined;
  try {
    rules = await book.rulesFor(path);
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    const kind = error.code === "ERR_RULES_NO_MATCH" ? "not-governed" : "rules";
    return { findings: [{ kind, message: error.message }], isGoverned: false };
  }
  if (rules === undefined) {
    const message = "no rules hold for its folder";
    return { findings: [{ kind: "not-governed", message }], isGoverned: false };
  }
  // Of the keys in the directory, only those that it was sealed to can break a rule.
  const holders = new Set(explained.holders.map(({ holder }) => holder.fingerprint));
  const known = (await book.keys()).all().filter(({ fingerprint }) => holders.has(fingerprint));
  const breaches = [
    ...headerBreaches(rules, info.recipients, known, nowMs),
    ...signerBreaches(rules, info),
  ];
  return { findings: breaches.map(findingOf), isGoverned: true };
}

/** None where only the message's end shows who signed. */
function signerBreaches(rules: Governance, { signed, sender }: MessageInfo): Breach[] {
  if (signed && sender === undefined) return [];
  return senderBreaches(rules, sender?.signature === "holds" ? sender : undefined);
}

function findingOf({ kind, fact, key }: Breach): Finding {
  const about = key && { key: { name: key.name, fingerprint: key.fingerprint } };
  return { kind: KINDS[kind], severity: "fault", message: fact, ...about };
}

const KINDS: Readonly<Record<Breach["kind"], FindingKind>> = {
  missing: "missing-escrow",
  excluded: "excluded-recipient",
  unsigned: "unsigned",
  sender: "excluded-sender",
  weak: "weak-key",
  oaep: "weak-wrap",
  old: "old-key",
};
