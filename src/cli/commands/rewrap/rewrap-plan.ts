/** What would become of a message, by its header alone: no key is used, and no PIN is needed. */
import type { MessageInfo, RecipientInfo } from "../../../envelope/envelope.js";
import type { Recipient } from "../../../keys/key.js";
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
  | { readonly kind: "unchanged"; readonly absent: readonly NamedKey[] }
  /** It is for none of the keys of `--from-key`. */
  | { readonly kind: "other" }
  /** It does not belong where it lies. */
  | { readonly kind: "foreign"; readonly reason: string }
  | PlannedChange;

export interface PlannedChange {
  readonly kind: "change";
  readonly add: readonly Recipient[];
  readonly remove: readonly NamedKey[];
  /** Keys to be removed that the header shows no wrapped key for. */
  readonly absent: readonly NamedKey[];
}

/** What is to become of a file's recipients. */
export interface Target {
  readonly add: readonly Recipient[];
  readonly remove: readonly NamedKey[];
  readonly from: readonly NamedKey[];
  /** Whose messages belong where the file lies; absent: whoever named the file knows that. */
  readonly expected?: Expected;
}

export function planFor(info: MessageInfo, target: Target): Plan {
  const { from, expected } = target;
  if (from.length > 0 && !from.some((key) => isSealedTo(info, key))) return { kind: "other" };
  const remove = target.remove.filter((key) => mayBeSealedTo(info, key));
  const absent = target.remove.filter((key) => !remove.includes(key));
  const isRenewed = ({ publicKey }: Recipient): boolean =>
    remove.some((key) => Buffer.compare(key.publicKey.spki, publicKey.spki) === 0);
  const add = target.add.filter((one) => isRenewed(one) || !isSealedTo(info, possible(one)));
  if (add.length + remove.length === 0) return { kind: "unchanged", absent };
  const reason = expected && foreignBecause(info, expected);
  if (reason !== undefined) return { kind: "foreign", reason };
  return { kind: "change", add, remove, absent };
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
