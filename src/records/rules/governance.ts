/**
 * What all rules together say of one output. They add up: whoever must be a recipient for one rule
 * must be for all; of two limits the stricter holds; who may be a recipient, or the sender, must be
 * allowed by every rule that limits it. So no rule, wherever it stands, takes away what another one
 * demands.
 */
import { defined } from "../../defined.js";
import { PolicyError } from "../../errors.js";
import type { SigningPublicKey } from "../../keys/key.js";
import { quoted } from "../../store/system-error.js";
import type { RuledKey, RuledKeys } from "./ruled-keys.js";
import type { Limits, NamedKey, Rule, RulesText } from "./rules-format.js";

/** A rules file that was read, and may be obeyed. */
export interface RulesFile extends RulesText {
  readonly path: string;
  /** 32 bytes: SHA-256 of the file. */
  readonly hash: Uint8Array;
  /** Whose signature over the file counts; absent: the file is not signed. */
  readonly signer?: RulesSigner;
  /** What a person should know of it. */
  readonly notes: readonly string[];
}

export interface RulesSigner {
  /** The name among the senders, if the settings name the signer so. */
  readonly name?: string;
  readonly publicKey: SigningPublicKey;
  readonly signedMs: number;
}

/** A rule that is about the output. */
export interface MatchedRule {
  readonly file: RulesFile;
  readonly rule: Rule;
  /** Why: the path in it that matches. */
  readonly pattern: string;
}

/** What rules add up to. */
export interface Combined extends Limits {
  /** Recipients where none are named otherwise. */
  readonly to: readonly RuledKey[];
  /** Recipients of everything. */
  readonly always: readonly RuledKey[];
  /** Nobody else may be one; absent: anybody. */
  readonly only?: readonly RuledKey[];
}

/** What an output must be, by its rules. */
export interface Governance extends Combined {
  /** Where the output is: absolute, in its real folder. */
  readonly path: string;
  /** The outermost first. */
  readonly files: readonly RulesFile[];
  /** In the order of `files`; never empty. */
  readonly matched: readonly MatchedRule[];
  /** Messages that break the rules are not opened. */
  readonly enforce: boolean;
  /**
   * 32 bytes, for the message or record that was made under these rules: SHA-256 of the file; or,
   * of several, SHA-256 of their hashes, the outermost first.
   */
  readonly hash: Uint8Array;
  /** What a person should know. */
  readonly notes: readonly string[];
}

/**
 * @param matched - the rules of the outermost file first
 * @throws PolicyError `ERR_RULES_CONFLICT`: nothing can obey them all
 */
export function combined(matched: readonly MatchedRule[], keys: RuledKeys): Combined {
  const rules = matched.map(({ rule }) => rule);
  const named = (lists: readonly (readonly NamedKey[])[]): RuledKey[] =>
    distinct(lists.flat()).map((key) => keys.find(key));
  const always = named(rules.map((rule) => rule.always));
  const only = common(matched.map((one) => allowedBy(one, matched)));
  const excluded = always.find((key) => only !== undefined && !has(only, key));
  if (excluded !== undefined) {
    throw conflict(`"${excluded.name}" is in "always" and is excluded by an outer "only"`, matched);
  }
  const senders = common(rules.map((rule) => rule.senders));
  const curves = common(rules.map((rule) => rule.curves));
  const oaep = common(rules.map((rule) => rule.oaep));
  for (const [what, left] of Object.entries({ only, senders, curves, oaep })) {
    if (left?.length === 0) throw conflict(`the rules' "${what}" have nothing in common`, matched);
  }
  return {
    to: named(rules.map((rule) => rule.to)),
    always,
    signed: senders !== undefined || rules.some((rule) => rule.signed),
    ...defined({
      only: only && named([only]),
      senders,
      curves,
      oaep,
      minRsaBits: strictest(rules, "minRsaBits", Math.max),
      maxAgeMs: strictest(rules, "maxAgeMs", Math.min),
    }),
  };
}

export function has(
  keys: readonly { readonly fingerprint: string }[],
  key: { readonly fingerprint: string },
) {
  return keys.some(({ fingerprint }) => fingerprint === key.fingerprint);
}

// ── Details ──

/**
 * Whom a rule lets be a recipient: those it names in `only`, and those that `always` names in its
 * own file or in one further out. A folder's own rules can't exclude the escrow of those above it;
 * nor can they add one that those above exclude.
 */
function allowedBy(
  { file, rule }: MatchedRule,
  matched: readonly MatchedRule[],
): readonly NamedKey[] | undefined {
  if (rule.only === undefined) return undefined;
  const last = matched.findLastIndex((one) => one.file === file);
  return [...rule.only, ...matched.slice(0, last + 1).flatMap((one) => one.rule.always)];
}

/** What is in each of the lists that are there; undefined if none is. */
function common<T extends NamedKey | string>(
  lists: readonly (readonly T[] | undefined)[],
): readonly T[] | undefined {
  const [first, ...others] = lists.filter((list) => list !== undefined);
  return first && distinct(first.filter((one) => others.every((list) => list.some(isSame(one)))));
}

function distinct<T extends NamedKey | string>(values: readonly T[]): T[] {
  return values.filter((value, at) => values.findIndex(isSame(value)) === at);
}

function isSame<T extends NamedKey | string>(one: T): (other: T) => boolean {
  const idOf = (value: T): string => (typeof value === "string" ? value : value.fingerprint);
  return (other) => idOf(one) === idOf(other);
}

function strictest(
  rules: readonly Rule[],
  name: "minRsaBits" | "maxAgeMs",
  ofAll: (...values: number[]) => number,
): number | undefined {
  const values = rules.map((rule) => rule[name]).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : ofAll(...values);
}

function conflict(fact: string, matched: readonly MatchedRule[]): PolicyError {
  const places = matched.map(({ file, rule }) => `rule ${rule.number} of ${quoted(file.path)}`);
  return new PolicyError("ERR_RULES_CONFLICT", fact, {
    hint: `nothing can obey them all: ${places.join(", ")}`,
  });
}
