/**
 * What an audit can find. A finding says one thing about one file; its kind says what to think of
 * it, and what to do.
 */

/** `fault`: to be repaired. `warning`: to be looked at. `note`: can't be told from here. */
export type Severity = "fault" | "warning" | "note";

export interface FindingRule {
  readonly severity: Severity;
  /** What is wrong, in a few words. */
  readonly title: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** By kind; in the order in which docs/cli.md has them. */
export const FINDING_RULES = {
  unreadable: {
    severity: "fault",
    title: "the file can't be read",
    remedy: "let the auditor read it, or leave it out of the audit",
  },
  broken: {
    severity: "fault",
    title: "the header is damaged, or of a version that is not known",
    remedy: "get the file again from a copy or its sender",
  },
  rules: {
    severity: "fault",
    title: "the rules for this file can't be followed",
    remedy: "p11seal rules explain says what is wrong with them",
  },
  "not-governed": {
    severity: "warning",
    title: "no rules hold here",
    remedy: "put a p11seal-rules.toml at the root of the tree",
  },
  "missing-escrow": {
    severity: "fault",
    title: "a key that must be able to open it is not among its recipients",
    remedy: "add the key: p11seal rewrap --rules",
  },
  "excluded-recipient": {
    severity: "fault",
    title: "it was sealed to a key that the rules exclude",
    remedy: "p11seal rewrap --remove takes the key out; p11seal reseal also changes the file key",
  },
  "retired-key": {
    severity: "fault",
    title: "it was sealed to a key that is not valid any more",
    remedy: "replace the key: p11seal rewrap --from-key OLD --remove OLD -r NEW",
  },
  "weak-key": {
    severity: "fault",
    title: "it was sealed to a weak key",
    remedy: "replace the key: p11seal rewrap --from-key OLD --remove OLD -r NEW",
  },
  "old-key": {
    severity: "fault",
    title: "it was sealed to a key that is older than the rules allow",
    remedy: "replace the key: p11seal rewrap --from-key OLD --remove OLD -r NEW",
  },
  "weak-wrap": {
    severity: "warning",
    title: "a key is wrapped in a weak way",
    remedy: "wrap it anew: p11seal rewrap --remove KEY -r KEY --oaep sha256",
  },
  unauthenticated: {
    severity: "warning",
    title: "nothing in the message shows whether its content was altered",
    remedy: "open it, and seal it again with authenticated encryption",
  },
  "doubled-recipient": {
    severity: "warning",
    title: "one recipient has more wrapped keys than a sealer writes",
    remedy: "find out who made it; p11seal reseal makes a clean one",
  },
  "unknown-recipient": {
    severity: "warning",
    title: "it was sealed to a key that nobody here knows",
    remedy: "ask whose key it is and add it: p11seal recipients add",
  },
  "unnamed-recipient": {
    severity: "note",
    title: "the format does not name a recipient",
    remedy: "only the holder of a key can tell: p11seal audit --as",
  },
  passphrase: {
    severity: "warning",
    title: "it was sealed with a passphrase, and to no key",
    remedy: "open it with the passphrase, and seal it to keys",
  },
  unsigned: {
    severity: "warning",
    title: "nobody signed it",
    remedy: "have it sealed with --sign-with",
  },
  "bad-signature": {
    severity: "fault",
    title: "the sender's signature does not hold",
    remedy: "don't use it; ask the sender for the message",
  },
  "unchecked-signature": {
    severity: "note",
    title: "who signed it shows only at its end",
    remedy: "p11seal verify and p11seal open read that far",
  },
  "unknown-sender": {
    severity: "warning",
    title: "it was signed with a key that nobody here knows",
    remedy: "compare fingerprints and add the key: p11seal senders add",
  },
  "invalid-sender": {
    severity: "warning",
    title: "it was signed with a key that does not count for its owner",
    remedy: "ask the sender for a key that is valid now",
  },
  "excluded-sender": {
    severity: "fault",
    title: "it was signed by somebody whom the rules exclude",
    remedy: "have it sealed by a sender whom the rules name",
  },
  rewrapped: {
    severity: "fault",
    title: "its recipients are not those that were signed",
    remedy: "ask the sender for the original",
  },
  "unknown-custodian": {
    severity: "warning",
    title: "it was re-wrapped by somebody who is no custodian here",
    remedy: "compare fingerprints and add the key: p11seal custodians add",
  },
  "not-for-key": {
    severity: "fault",
    title: "it was not sealed to a key of --as",
    remedy: "add the key: p11seal rewrap -r KEY",
  },
  "junk-stanza": {
    severity: "fault",
    title: "the key of --as is named in it, and can't open it",
    remedy: "wrap for it anew, as somebody who can open it: p11seal rewrap --remove KEY -r KEY",
  },
  "not-addressed": {
    severity: "fault",
    title: "the sender did not address it to the key of --as",
    remedy: "ask the sender to address it; a custodian can: p11seal rewrap -r KEY",
  },
} as const satisfies Readonly<Record<string, FindingRule>>;

export type FindingKind = keyof typeof FINDING_RULES;

export const FINDING_KINDS = Object.keys(FINDING_RULES) as FindingKind[];

/** One thing that is wrong with one file. */
export interface Finding {
  readonly kind: FindingKind;
  /** A fact, in lower case; names in it are not yet safe to show. */
  readonly message: string;
  /** Which wrapped keys it is about, from 1. */
  readonly recipients?: readonly number[];
  /** The key that it is about, if it is known. */
  readonly key?: { readonly name?: string; readonly fingerprint: string };
  /** More severe, or less, than its kind is by itself. */
  readonly severity?: Severity;
}

export function severityOf({ kind, severity }: Finding): Severity {
  return severity ?? FINDING_RULES[kind].severity;
}

/** What is known of one file once it was looked at. */
export interface Audited {
  readonly path: string;
  /** False: no message, which in a folder, where other files may lie, is no finding. */
  readonly isMessage: boolean;
  readonly findings: readonly Finding[];
  /** With `--as`: what was found out with the key. */
  readonly proof?: Proof;
}

/**
 * `proved`: the key opens the header. `refuted`: a finding says why not. `unprovable`: the format
 * shows only at the body's end whether a key was right. `left out`: not in the sample.
 */
export type Proof = "proved" | "refuted" | "unprovable" | "left out";
