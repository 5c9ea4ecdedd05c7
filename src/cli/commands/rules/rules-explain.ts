/**
 * `p11seal rules explain`: which rules hold for an output, and why. Where nothing could be sealed,
 * it says what is known, and ends as sealing would.
 */
import { toHex } from "../../../bytes.js";
import { P11SealError } from "../../../errors.js";
import { fingerprintText } from "../../../keys/public-key.js";
import { printableJson } from "../../../printable.js";
import { formatDuration } from "../../../records/duration.js";
import type { Governance, RulesFile } from "../../../records/rules/governance.js";
import { RuleBook, type Explanation } from "../../../records/rules/rule-book.js";
import type { RuledKey } from "../../../records/rules/ruled-keys.js";
import type { Limits, NamedKey, Rule } from "../../../records/rules/rules-format.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { homeOf } from "../../io/home.js";
import { write } from "../../io/io.js";
import { json, table } from "../../io/table.js";

export async function rulesExplainCommand(
  args: Arguments,
  { io, report }: Context,
): Promise<undefined> {
  const [path = ""] = args.operands;
  const book = new RuleBook({ home: homeOf(io), nowMs: Date.now() });
  const explanation = await book.explain(path);
  let rules: Governance | undefined;
  let refusal: P11SealError | undefined;
  try {
    rules = await book.rulesFor(path);
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    refusal = error;
  }
  for (const note of explanation.files.flatMap(({ notes }) => notes)) report.note(note);
  const text = args.flag("json")
    ? json(asData(explanation, rules))
    : table(asRows(explanation, rules), io.stdout.columns);
  await write(io.stdout, text);
  if (refusal !== undefined) throw refusal;
  if (rules === undefined) report.note("there are no rules for it: seal takes any recipients");
  return undefined;
}

// ── Details ──

function asRows({ path, files, rules }: Explanation, sum: Governance | undefined): string[][] {
  return [
    ["path", path],
    ...files.map((file) => ["rules", describeFile(file)]),
    ...rules.map(({ file, rule, pattern }) => [
      files.length > 1 ? `${file.path}, rule ${rule.number}` : `rule ${rule.number}`,
      pattern === undefined
        ? `does not hold: none of ${textsOf(rule).join(", ")}`
        : `holds, by ${printableJson(pattern)}: ${describeRule(rule)}`,
    ]),
    ...(sum === undefined ? [] : sumRows(sum)),
  ];
}

function describeFile({ path, version, signer, root, enforce }: RulesFile): string {
  const parts = [
    path,
    ...(version === undefined ? [] : [`version ${version}`]),
    signer === undefined
      ? "not signed"
      : `signed by ${signer.name ?? fingerprintText(signer.publicKey)}`,
    ...(root ? ["root"] : []),
    ...(enforce ? ["enforced"] : []),
  ];
  return parts.join(", ");
}

function describeRule(rule: Rule): string {
  const lists = { to: rule.to, always: rule.always, only: rule.only, senders: rule.senders };
  const named = Object.entries(lists).flatMap(([key, keys = []]) =>
    keys.length === 0 ? [] : [`${key} ${namesOf(keys)}`],
  );
  return [...named, ...(rule.signed ? ["signed"] : []), ...limitsOf(rule)].join("; ");
}

function sumRows(sum: Governance): string[][] {
  const row = (name: string, keys: readonly (RuledKey | NamedKey)[] | undefined): string[][] =>
    keys === undefined || keys.length === 0 ? [] : [[name, keys.map(describeKey).join(", ")]];
  return [
    ...row("to", sum.to),
    ...row("always", sum.always),
    ...row("only", sum.only),
    ...(sum.signed ? [["signed", sum.senders === undefined ? "by anybody" : "by senders"]] : []),
    ...row("senders", sum.senders),
    ...limitsOf(sum).map((limit) => ["limit", limit]),
    ["hash", `SHA-256 ${toHex(sum.hash)}`],
  ];
}

function describeKey(key: RuledKey | NamedKey): string {
  const problem = "problem" in key ? key.problem : undefined;
  return problem === undefined ? key.name : `${key.name} (${problem})`;
}

function limitsOf({ minRsaBits, curves, oaep, maxAgeMs }: Limits): string[] {
  return [
    ...(minRsaBits === undefined ? [] : [`RSA from ${minRsaBits} bits`]),
    ...(curves === undefined ? [] : [`curves ${curves.join(", ")}`]),
    ...(oaep === undefined ? [] : [`OAEP with ${oaep.join(", ")}`]),
    ...(maxAgeMs === undefined ? [] : [`keys up to ${formatDuration(maxAgeMs)} old`]),
  ];
}

function asData({ path, files, rules }: Explanation, sum: Governance | undefined): unknown {
  return {
    path,
    files: files.map(({ path: file, version, signer, root, enforce, hash }) => ({
      path: file,
      version: version ?? null,
      signer: signer === undefined ? null : fingerprintText(signer.publicKey),
      root,
      enforce,
      sha256: toHex(hash),
    })),
    rules: rules.map(({ file, rule, pattern }) => ({
      file: file.path,
      rule: rule.number,
      paths: textsOf(rule),
      matches: pattern ?? null,
    })),
    demands: sum === undefined ? null : demandsOf(sum),
  };
}

function demandsOf(sum: Governance): unknown {
  const keys = (list: readonly (RuledKey | NamedKey)[] | undefined): unknown =>
    list?.map((key) => ({
      name: key.name,
      fingerprint: `SHA256:${key.fingerprint}`,
      problem: ("problem" in key ? key.problem : undefined) ?? null,
    })) ?? null;
  return {
    to: keys(sum.to),
    always: keys(sum.always),
    only: keys(sum.only),
    signed: sum.signed,
    senders: keys(sum.senders),
    minRsaBits: sum.minRsaBits ?? null,
    curves: sum.curves ?? null,
    oaep: sum.oaep ?? null,
    maxAgeMs: sum.maxAgeMs ?? null,
    enforce: sum.enforce,
    hash: toHex(sum.hash),
  };
}

function textsOf({ paths }: Rule): string[] {
  return paths.map(({ text }) => printableJson(text));
}

function namesOf(keys: readonly NamedKey[]): string {
  return keys.map(({ name }) => name).join(", ");
}
