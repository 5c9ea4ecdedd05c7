/**
 * What the rules for a file's place make of a change to its recipients. They limit who may be
 * added, and keep whom `always` names from being removed. With `--rules` they also add whom they
 * name (`always`, then `to`) and remove known keys that `only` excludes. Every other wrapped key
 * stays: rules name whom a message must be for, and a sender may have named more.
 *
 * They explain messages, too: of the keys that rules name, those of `to` belong to the place. Those
 * of `always` and `only` may be recipients in many places: alone, they explain no message.
 */
import { dirname } from "node:path";
import { toHex } from "../../../bytes.js";
import type { MessageInfo } from "../../../envelope/message-info.js";
import { PolicyError } from "../../../errors.js";
import { has, type Governance } from "../../../records/rules/governance.js";
import type { RuledKey, RuledKeys } from "../../../records/rules/ruled-keys.js";
import { quoted } from "../../../store/system-error.js";
import { isFor, isSealedTo, type PossibleRecipient } from "../../find/explained.js";
import type { TreeEntry } from "../../find/message-tree.js";
import type { OutputRules } from "../../find/output-rules.js";
import { obeying, refuse, usable } from "../../find/ruled-recipients.js";
import { possible, type Target } from "./rewrap-plan.js";
import type { NamedKey, WantedChange } from "./wanted-change.js";

/** The rules of a run. */
export class RuledRewrapping {
  readonly #rules: OutputRules;
  readonly #repairs: boolean;

  /** @param repairs - `--rules`: recipients become what the rules say */
  constructor(rules: OutputRules, repairs: boolean) {
    this.#rules = rules;
    this.#repairs = repairs;
  }

  /**
   * Rules that can't be believed end the run before anything is re-wrapped, whichever of the files
   * they are for.
   *
   * @throws as `RuleBook.explain`
   */
  async requireSound(entries: AsyncIterable<TreeEntry>): Promise<void> {
    let last: string | undefined;
    for await (const entry of entries) {
      if (entry.kind !== "file") continue;
      const folder = dirname(entry.path);
      if (folder === last) continue;
      last = folder;
      if (this.#rules.isUnderSome(entry.path)) {
        await (await this.#rules.book()).explain(entry.path);
      }
    }
  }

  /**
   * @returns undefined: no rules are about the file
   * @throws PolicyError `ERR_RULES`: what is wanted breaks the rules; `ERR_RULES_REQUIRED`; as
   *   `RuleBook.rulesFor`
   */
  async targetOf(
    path: string,
    info: MessageInfo,
    change: WantedChange,
  ): Promise<Target | undefined> {
    const governance = await this.#rules.of(path);
    if (governance === undefined) {
      if (this.#repairs) throw noRules(path);
      await this.#rules.requireNotRequired(path);
      return undefined;
    }
    requireWhomRulesName(change, governance, this.#repairs);
    const keys = await (await this.#rules.book()).keys();
    // age has one form of RSA-OAEP.
    const oaep = info.format === "age" ? "sha256" : change.oaep;
    const named = change.add.map((one) => obeying(one, governance, keys, oaep));
    const lacking = this.#lacking(info, change, governance);
    const ruled = lacking.map((key) =>
      obeying(usable(key, governance.path), governance, keys, oaep),
    );
    const excluded = this.#repairs ? excludedBy(governance, info, keys) : [];
    return {
      add: [...named, ...ruled],
      remove: [...change.remove, ...excluded.filter((key) => !isNamedIn(key, change.remove))],
      from: change.from,
      expected: expectedUnder(governance, change, excluded),
      rules: {
        hash: governance.hash,
        added: lacking.map(({ name }) => name),
        removed: excluded.map(({ word }) => word),
        judge: (now, remove) => {
          if (this.#repairs) requireOnly(governance, now, remove);
        },
      },
    };
  }

  /** Whom the rules name and the header does not show; without `--rules`, that is only said. */
  #lacking(info: MessageInfo, { add }: WantedChange, governance: Governance): RuledKey[] {
    const { always, to } = governance;
    const demanded = [...always, ...to.filter((key) => !has(always, key))];
    const lacking = demanded.filter(
      (key) => !maybeAmong(info, key) && !add.some((one) => isKey(key, one)),
    );
    if (this.#repairs) return lacking;
    for (const key of lacking.filter((one) => has(always, one))) {
      this.#rules.note(
        `the rules name "${key.name}" as a recipient of everything, and there are messages ` +
          "without: --rules adds it",
      );
    }
    return [];
  }
}

// ── Details ──

/** @throws PolicyError `ERR_RULES`: a key that has to be there is to be removed */
function requireWhomRulesName(
  { add, remove }: WantedChange,
  governance: Governance,
  repairs: boolean,
): void {
  const stay = repairs ? [...governance.always, ...governance.to] : governance.always;
  const gone = stay.find(
    (key) =>
      remove.some((one) => isKey(key, one)) &&
      // One that is removed and added gets a new wrapped key.
      !add.some((one) => isKey(key, one)),
  );
  if (gone === undefined) return;
  refuse([{ fact: `the rules name "${gone.name}" as a recipient` }], governance, STAYS);
}

const STAYS = "it can be removed once the rules don't name it any more";

/** Known keys that the header shows to be recipients, and that the rules don't allow. */
function excludedBy({ only }: Governance, info: MessageInfo, keys: RuledKeys): NamedKey[] {
  if (only === undefined) return [];
  return keys.all().flatMap((key) => {
    if (has(only, key) || key.recipient === undefined) return [];
    const { publicKey } = key.recipient;
    const found = { word: key.name, publicKey, certificates: key.certificates ?? [] };
    return isSealedTo(info, found) ? [found] : [];
  });
}

/** @throws PolicyError `ERR_RULES`: somebody whom `only` excludes would stay */
function requireOnly(
  governance: Governance,
  { recipients }: MessageInfo,
  remove: readonly NamedKey[],
): void {
  const { only } = governance;
  if (only === undefined) return;
  const left = recipients.filter(
    (one) =>
      !only.some(({ recipient, certificates }) =>
        recipient === undefined ? false : one.matches(recipient.publicKey, certificates),
      ) && !remove.some((key) => isFor(one, key) || one.matches(key.publicKey)),
  );
  if (left.length === 0) return;
  const fact = "the rules don't allow one of its recipients, and nobody here knows the key";
  refuse([{ fact }], governance, "name the key with --remove, or add it to the recipients first");
}

function expectedUnder(
  { always, to, only = [] }: Governance,
  { add, remove, from }: WantedChange,
  excluded: readonly NamedKey[],
): NonNullable<Target["expected"]> {
  const named = [...add.map(possible), ...remove, ...from, ...to.flatMap(possibleOf)];
  const isOfAll = ({ publicKey }: PossibleRecipient): boolean =>
    has(always, { fingerprint: toHex(publicKey.fingerprint) });
  return {
    here: named.filter((key) => !isOfAll(key)),
    everywhere: [...always.flatMap(possibleOf), ...only.flatMap(possibleOf), ...excluded],
  };
}

function possibleOf({ recipient, certificates = [] }: RuledKey): PossibleRecipient[] {
  return recipient === undefined ? [] : [{ publicKey: recipient.publicKey, certificates }];
}

/** As `headerBreaches` has it: a wrapped key that names nobody may be anybody's. */
function maybeAmong({ recipients }: MessageInfo, { recipient, certificates }: RuledKey): boolean {
  if (recipient === undefined) return false;
  return recipients.some((one) => one.matches(recipient.publicKey, certificates));
}

function isNamedIn(key: NamedKey, keys: readonly NamedKey[]): boolean {
  const fingerprint = toHex(key.publicKey.fingerprint);
  return keys.some((one) => isKey({ fingerprint }, one));
}

function isKey(
  { fingerprint }: Pick<RuledKey, "fingerprint">,
  { publicKey }: Pick<NamedKey, "publicKey">,
): boolean {
  return toHex(publicKey.fingerprint) === fingerprint;
}

function noRules(path: string): PolicyError {
  return new PolicyError("ERR_RULES_REQUIRED", `there are no rules for ${quoted(path)}`, {
    hint: "--rules is for folders below a p11seal-rules.toml; name recipients with -r",
  });
}
