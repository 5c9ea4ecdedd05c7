/**
 * Whom a message's wrapped keys are for, as far as its header and the keys that the user names can
 * tell; and whether that explains why the message lies where it does.
 *
 * A job that re-wraps a whole tree is a deputy that can be confused: whoever may write to a folder
 * can put a message there that the job's key opens and he can't, and have it re-wrapped for the
 * folder's readers. So each wrapped key must be somebody's who is expected there. Two kinds of
 * evidence count for nothing: a recipient that the format does not name, and keys that may open
 * messages of every folder (the escrow's, the job's own) if no other recipient is known: a message
 * for those alone is what such a person would take. Nor are the recipients of a CMS message
 * evidence, since nothing binds them to its content.
 *
 * Nothing here is secret, and nothing is verified: the header is, before it is written anew.
 */
import type { MessageInfo, RecipientInfo } from "../../envelope/message-info.js";
import type { ExchangePublicKey, MlKemPublicKey } from "../../keys/key.js";

/** A key that may be a recipient's, with the certificates by which CMS names it. */
export interface PossibleRecipient {
  readonly publicKey: ExchangePublicKey | MlKemPublicKey;
  readonly certificates?: readonly Uint8Array[];
}

/** True if the header says that this wrapped key is for that key. */
export function isFor(recipient: RecipientInfo, key: PossibleRecipient): boolean {
  if (recipient.tag === undefined) return false;
  return recipient.matches(key.publicKey, key.certificates ?? []);
}

/** True if the header says that a wrapped key is for that key. */
export function isSealedTo({ recipients }: MessageInfo, key: PossibleRecipient): boolean {
  return recipients.some((recipient) => isFor(recipient, key));
}

/** The wrapped keys that are for none of these keys, or do not say whose they are. */
export function unexplained(
  { recipients }: MessageInfo,
  keys: readonly PossibleRecipient[],
): RecipientInfo[] {
  return recipients.filter((recipient) => !keys.some((key) => isFor(recipient, key)));
}

/** Who is expected among the recipients of a message. */
export interface Expected {
  /** Because of where it lies, or of what is being done: one of them has to be there. */
  readonly here: readonly PossibleRecipient[];
  /** Because they may open messages everywhere. */
  readonly everywhere: readonly PossibleRecipient[];
}

/** Why a message does not belong where it lies, for all that is known; undefined: it does. */
export function foreignBecause(info: MessageInfo, expected: Expected): string | undefined {
  const { recipients } = info;
  if (info.format === "cms") return "nothing in a CMS message proves whom it was sealed to";
  const unnamed = recipients.filter(({ tag }) => tag === undefined).length;
  if (unnamed > 0) return `it does not say whose ${ofAll(unnamed, recipients)} may be`;
  const strangers = unexplained(info, [...expected.here, ...expected.everywhere]).length;
  if (strangers > 0) return `nobody expected here has the key to ${ofAll(strangers, recipients)}`;
  if (expected.here.some((key) => isSealedTo(info, key))) return undefined;
  return "it is for nobody but keys that open messages everywhere";
}

function ofAll(some: number, { length }: readonly RecipientInfo[]): string {
  return length === 1 ? "its one wrapped key" : `${some} of its ${length} wrapped keys`;
}
