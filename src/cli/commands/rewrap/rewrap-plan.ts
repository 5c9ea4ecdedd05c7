/** What would become of a message, by its header alone: no key is used, and no PIN is needed. */
import { defined } from "../../../defined.js";
import type { MessageInfo, RecipientInfo } from "../../../envelope/message-info.js";
import type { OaepHash, Recipient } from "../../../keys/key.js";
import {
  foreignBecause,
  isFor,
  isSealedTo,
  type Expected,
  type PossibleRecipient,
} from "../../find/explained.js";
import type { NamedKey } from "./wanted-change.js";

export type Plan =
  /** Its recipients are as they should be. */
  | ({ readonly kind: "unchanged" } & NotDone)
  /** It is for none of the keys of `--from-key`. */
  | { readonly kind: "other" }
  /** It does not belong where it lies. */
  | { readonly kind: "foreign"; readonly reason: string }
  | PlannedChange;

/** What was asked for, and is not done. */
export interface NotDone {
  /** Keys to be removed that the header shows no wrapped key for. */
  readonly absent: readonly NamedKey[];
  /** How many keys to be added are there already, wrapped with another hash than `--oaep`'s. */
  readonly otherHash: number;
}

export interface PlannedChange extends NotDone {
  readonly kind: "change";
  readonly add: readonly Recipient[];
  readonly remove: readonly NamedKey[];
  /** Whom the rules had added and removed, by name; absent: no rules are about the file. */
  readonly byRules?: Pick<TargetRules, "added" | "removed">;
}

/** What is to become of a file's recipients. */
export interface Target {
  readonly add: readonly Recipient[];
  readonly remove: readonly NamedKey[];
  readonly from: readonly NamedKey[];
  /** Whose messages belong where the file lies; absent: whoever named the file knows that. */
  readonly expected?: Expected | undefined;
  /** What `--oaep` says; absent also where the format has one hash. */
  readonly oaep?: OaepHash | undefined;
  /** Absent: no rules are about the file. */
  readonly rules?: TargetRules;
}

/** What the rules have to do with a change. */
export interface TargetRules {
  /** SHA-256 of the rules, for a custodian's record. */
  readonly hash: Uint8Array;
  /** Names of keys in `add`. */
  readonly added: readonly string[];
  /** Names of keys in `remove`. */
  readonly removed: readonly string[];
  /** Refuses what would still break the rules. @throws PolicyError `ERR_RULES` */
  readonly judge: (info: MessageInfo, remove: readonly NamedKey[]) => void;
}

/** @throws PolicyError `ERR_RULES` */
export function planFor(info: MessageInfo, target: Target): Plan {
  const { from, expected, rules } = target;
  if (from.length > 0 && !from.some((key) => isSealedTo(info, key))) return { kind: "other" };
  const remove = target.remove.filter((key) => mayBeSealedTo(info, key));
  const absent = target.remove.filter((key) => !remove.includes(key));
  const isRenewed = ({ publicKey }: Recipient): boolean =>
    remove.some((key) => Buffer.compare(key.publicKey.spki, publicKey.spki) === 0);
  const add = target.add.filter((one) => isRenewed(one) || !isSealedTo(info, possible(one)));
  const kept = target.add.filter((one) => !add.includes(one));
  const otherHash = kept.filter((one) => hasOtherHash(info, one, target.oaep)).length;
  const isChange = add.length + remove.length > 0;
  const reason = isChange ? expected && foreignBecause(info, expected) : undefined;
  if (reason !== undefined) return { kind: "foreign", reason };
  rules?.judge(info, remove);
  if (!isChange) return { kind: "unchanged", absent, otherHash };
  return { kind: "change", add, remove, absent, otherHash, ...defined({ byRules: rules }) };
}

function hasOtherHash({ recipients }: MessageInfo, one: Recipient, oaep?: OaepHash): boolean {
  const key = possible(one);
  const hashes = recipients.filter((recipient) => isFor(recipient, key)).map((its) => its.oaep);
  return oaep !== undefined && hashes.some((its) => its !== undefined) && !hashes.includes(oaep);
}

/** A recipient with its certificate, as `explained.ts` takes keys. */
export function possible({ publicKey, certificate }: Recipient): PossibleRecipient {
  return { publicKey, certificates: certificate === undefined ? [] : [certificate] };
}

/**
 * True also where the header doesn't tell: the format names nobody, or names certificates and the
 * key came without one. The key that opens the message may know more, or it is refused then.
 */
function mayBeSealedTo({ recipients }: MessageInfo, key: NamedKey): boolean {
  return recipients.some((recipient) => isFor(recipient, key) || isUnclear(recipient, key));
}

function isUnclear(recipient: RecipientInfo, { publicKey, certificates }: NamedKey): boolean {
  return certificates.length === 0 && recipient.matches(publicKey);
}
