/**
 * What the rules for a sealed file's folder say of opening it. The folder is the one where the
 * message lies, not the plaintext's: rules are about sealed files, and whoever demands them of what
 * arrives keeps them with their inbox. They are looked at before a PIN is asked for. What breaks
 * them is noted, and refused where signed rules say `enforce = true`.
 */
import type { MessageInfo, SenderInfo } from "../../../envelope/message-info.js";
import { P11SealError, PolicyError } from "../../../errors.js";
import { headerBreaches, senderBreaches, type Breach } from "../../../records/rules/breaches.js";
import type { Governance } from "../../../records/rules/governance.js";
import type { RuledKeys } from "../../../records/rules/ruled-keys.js";
import { quoted } from "../../../store/system-error.js";
import type { Context } from "../../command.js";
import type { OutputRules } from "../../find/output-rules.js";

/**
 * @param paths - of the files with header and body; `-`: stdin
 * @param asPath - where a message from stdin is
 * @throws as `RuleBook.rulesFor`, where the rules are binding
 */
export async function ruledOpening(
  paths: readonly string[],
  asPath: string | undefined,
  rules: OutputRules,
): Promise<RuledOpening> {
  const found = new Map<string, Governance>();
  for (const path of new Set(paths.map((one) => (one === "-" ? asPath : one)))) {
    const governance = path === undefined ? undefined : await readableRules(path, rules);
    if (governance !== undefined) found.set(governance.path, governance);
  }
  const governances = [...found.values()];
  return new RuledOpening(governances, async () => (await rules.book()).keys());
}

async function readableRules(path: string, rules: OutputRules): Promise<Governance | undefined> {
  try {
    return await rules.of(path);
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    if (await rules.isBinding(path, error)) throw error;
    rules.note(`opened without its rules: ${error.message}`);
    return undefined;
  }
}

export class RuledOpening {
  readonly #governances: readonly Governance[];
  readonly #keys: () => Promise<RuledKeys>;

  constructor(governances: readonly Governance[], keys: () => Promise<RuledKeys>) {
    this.#governances = governances;
    this.#keys = keys;
  }

  /** @throws PolicyError `ERR_RULES` */
  requireSender(sender: SenderInfo | undefined, context: Context): void {
    const signers = sender === undefined ? [undefined] : [sender, ...(sender.cosigners ?? [])];
    for (const governance of this.#governances) {
      const each = signers.map((one) => senderBreaches(governance, one));
      // One whose signature counts is enough.
      if (!each.some((found) => found.length === 0)) judge(each[0] ?? [], governance, context);
    }
  }

  /** @throws PolicyError `ERR_RULES` */
  async requireRecipients({ recipients }: MessageInfo, context: Context): Promise<void> {
    for (const governance of this.#governances) {
      const known = (await this.#keys()).all();
      judge(headerBreaches(governance, recipients, known, Date.now()), governance, context);
    }
  }
}

function judge(
  breaches: readonly Breach[],
  { path, enforce, matched }: Governance,
  { report }: Context,
): void {
  const facts = breaches.map(({ fact }) => fact).join("; ");
  if (facts === "") return;
  const fact = `${quoted(path)} breaks the rules: ${facts}`;
  if (!enforce) {
    report.note(fact);
    return;
  }
  const files = [...new Set(matched.map(({ file }) => quoted(file.path)))].join(" and ");
  throw new PolicyError("ERR_RULES", fact, {
    hint: `${files} must be obeyed; ask the sender for a message that does, or the rules' keeper`,
  });
}
