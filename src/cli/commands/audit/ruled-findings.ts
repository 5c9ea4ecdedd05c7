/** What of a message breaks the rules for its folder; or that there are none, or none to go by. */
import type { MessageInfo } from "../../../envelope/message-info.js";
import { P11SealError } from "../../../errors.js";
import { headerBreaches, senderBreaches, type Breach } from "../../../records/rules/breaches.js";
import type { Governance } from "../../../records/rules/governance.js";
import type { RuleBook } from "../../../records/rules/rule-book.js";
import type { Finding, FindingKind } from "./findings.js";
import { ruledHolder, type Explanation, type Holder } from "./holders.js";

/** The rules for a file; or why there are none to go by. */
export async function rulesAt(path: string, book: RuleBook): Promise<Governance | Finding> {
  try {
    const rules = await book.rulesFor(path);
    return rules ?? { kind: "not-governed", message: "no rules hold for its folder" };
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    const kind = error.code === "ERR_RULES_NO_MATCH" ? "not-governed" : "rules";
    return { kind, message: error.message };
  }
}

/** The keys that rules name, as far as they are known here. */
export function ruledHolders({ always, to, only = [] }: Governance): readonly Holder[] {
  return [...always, ...to, ...only].flatMap((key) => ruledHolder(key) ?? []);
}

export async function ruledFindings(
  rules: Governance,
  info: MessageInfo,
  explained: Explanation,
  book: RuleBook,
  nowMs: number,
): Promise<Finding[]> {
  // Of the keys in the directory, only those that it was sealed to can break a rule.
  const holders = new Set(explained.holders.map(({ holder }) => holder.fingerprint));
  const known = (await book.keys()).all().filter(({ fingerprint }) => holders.has(fingerprint));
  const breaches = [
    ...headerBreaches(rules, info.recipients, known, nowMs),
    ...signerBreaches(rules, info),
  ];
  return breaches.map(findingOf);
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
