/**
 * Whom a message is sealed to, and how, by the command line and by the rules for its place. All of
 * it is decided for every file before the first one is sealed, and before a PIN is asked for.
 */
import { toHex } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import { UsageError } from "../../../errors.js";
import type { OaepHash, Recipient, SigningPublicKey } from "../../../keys/key.js";
import { senderBreaches } from "../../../records/rules/breaches.js";
import type { Governance } from "../../../records/rules/governance.js";
import type { RuledKey } from "../../../records/rules/ruled-keys.js";
import { quoted } from "../../../store/system-error.js";
import type { OutputRules } from "../../find/output-rules.js";
import { isSameKey, obeying, refuse, usable } from "../../find/ruled-recipients.js";
import type { SealFormat } from "./format-options.js";

/** What the command line says about every message. */
export interface Wanted {
  /** Empty: those that the rules name. */
  readonly recipients: readonly Recipient[];
  readonly oaep: OaepHash | undefined;
  /** Absent: the messages are not signed. */
  readonly signer: SigningPublicKey | undefined;
  readonly format: SealFormat;
}

/** How one message is sealed. */
export interface RuledMessage {
  readonly recipients: readonly Recipient[];
  /** SHA-256 of the rules that were obeyed. */
  readonly rulesHash?: Uint8Array;
  /** What a person should know of it, once nothing more is refused. */
  readonly notes?: readonly string[];
}

/**
 * @param governances - the rules for the file with the header first
 * @throws PolicyError `ERR_RULES`: what is wanted breaks the rules; UsageError `ERR_NO_RECIPIENTS`
 */
export async function underRules(
  wanted: Wanted,
  governances: readonly Governance[],
  rules: OutputRules,
): Promise<RuledMessage> {
  const keys = await (await rules.book()).keys();
  let { recipients } = wanted;
  if (recipients.length === 0) {
    recipients = distinct(
      governances.flatMap(({ to, path }) => to.map((key) => usable(key, path))),
    );
  }
  requireSome(recipients, governances);
  const notes: string[] = [];
  for (const governance of governances) {
    for (const key of governance.always) {
      const added = usable(key, governance.path);
      if (recipients.some((one) => isSameKey(one, added))) continue;
      recipients = [...recipients, added];
      notes.push(`sealed to "${key.name}" as well: ${sourceOf(governance, key)}`);
    }
  }
  for (const governance of governances) {
    recipients = recipients.map((one) => obeying(one, governance, keys, oaepOf(wanted)));
    refuse(senderBreaches(governance, senderOf(wanted)), governance, senderHint(wanted));
  }
  return { recipients, notes, ...defined({ rulesHash: governances[0]?.hash }) };
}

// ── Details ──

function requireSome(recipients: readonly Recipient[], governances: readonly Governance[]): void {
  if (recipients.length > 0) return;
  const places = governances.map(({ path }) => quoted(path)).join(" and ");
  throw new UsageError("ERR_NO_RECIPIENTS", "no recipient was given", {
    hint: `name one with -r; the rules for ${places} have no "to"`,
  });
}

function oaepOf({ oaep, format }: Wanted): OaepHash | undefined {
  // age has one form of RSA-OAEP.
  return format === "age" ? "sha256" : oaep;
}

function senderOf({ signer }: Wanted): { readonly keyId: string } | undefined {
  return signer && { keyId: toHex(signer.fingerprint) };
}

function senderHint({ signer, format }: Wanted): string {
  if (format === "age") return "age files are not signed; seal in p11seal's own format, or as CMS";
  return signer === undefined ? "sign it with --sign-with" : "sign it with the key of one of them";
}

function sourceOf({ matched }: Governance, { fingerprint }: RuledKey): string {
  const found = matched.find(({ rule }) =>
    rule.always.some((key) => key.fingerprint === fingerprint),
  );
  return found === undefined ? "by rules" : `rule ${found.rule.number} of ${found.file.path}`;
}

function distinct(recipients: readonly Recipient[]): Recipient[] {
  return recipients.filter(
    (one, at) => recipients.findIndex((other) => isSameKey(one, other)) === at,
  );
}
