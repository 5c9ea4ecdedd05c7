/**
 * A header for other recipients, before the same body (docs/format.md §15). PRELUDE, CORE and SIG
 * stay; EXT, RECIPS and MAC are written again. Everything that can be refused without a key is
 * refused before one is used, and nothing is wrapped before the old MAC was verified.
 */
import { concat, equal, unshared } from "../../bytes.js";
import { defined } from "../../defined.js";
import { PolicyError, UsageError } from "../../errors.js";
import type { Recipient } from "../../keys/key.js";
import { signatureAlgorithm } from "../../keys/signing.js";
import type { Reader } from "../../stream.js";
import { openByKey } from "../../wrap/opener.js";
import { wholeHeader } from "../detached-header.js";
import type { SenderInfo } from "../message-info.js";
import type { ElsewhereRewrapped, Receiver } from "../receiver.js";
import { nobodyLeft, notAsPlanned } from "../rewrapped-recipients.js";
import type { Rewrapped, RewrapOptions } from "../rewrapping.js";
import { MAX_RECIPIENTS } from "./core.js";
import {
  encodeExtensions,
  FORMAT,
  MAX_EXT_BYTES,
  readHeader,
  type Extension,
  type ParsedHeader,
} from "./header.js";
import { messageInfo } from "./info.js";
import { headerMac, requireMac } from "./key-schedule.js";
import {
  isReceiving,
  originOf,
  requireAddressee,
  requirePermitted,
  requireSeparateKeys,
  requireVouchedRecipients,
  senderIsCustodian,
  type Origin,
} from "./origin.js";
import { padded, withoutPadding } from "./padding.js";
import { encodeRecips, MAX_RECIPS_BYTES, MAX_STANZAS, stanzaTag, type Stanza } from "./recips.js";
import {
  hasRecord,
  heldRecord,
  signRecord,
  withoutRecord,
  type RecordFields,
} from "./rewrap-record.js";
import { addresseeTag, sameKey, sha256 } from "./signature.js";
import { stanzasFor, uniqueRecipients, wrapFileKey, wrappedKeys } from "./wrap.js";

/** As `Envelope.rewrap`. */
export async function rewrap(
  reader: Reader,
  receiver: Receiver,
  options: RewrapOptions,
): Promise<Rewrapped> {
  const header = await readHeader(reader);
  const origin = originOf(header);
  requireVouchedRecipients(origin);
  requireSeparateKeys(header, origin);
  await requirePermitted(origin, receiver);
  const plan = planOf(header, origin, options);

  const info = messageInfo(header);
  const { messageId } = header.core;
  const oldHeaderBytes = info.headerBytes;
  const bytes = concat(header.transcript, header.mac);
  const made = await receiver.rewrapped?.({ format: FORMAT, bytes, info }, options);
  if (made !== undefined) {
    requireAddressee(header, origin, made.openedBy.publicKey);
    await requirePlanned(header, origin, plan, options, made);
    const newHeader = unshared(made.header);
    return { info, oldHeaderBytes, header: newHeader, identity: made.openedBy };
  }
  const { identity, contentKey } = await openByKey(
    await receiver.identities(info),
    wrappedKeys(messageId, header.stanzas, (key) => {
      requireAddressee(header, origin, key);
    }),
  );
  try {
    requireMac(header, contentKey);
    const added = await wrapFileKey(contentKey, messageId, plan.added, options.oaep);
    const recipsBlock = encodeRecips(requireRoom([...plan.kept, ...added]));
    const extensions = await extensionsOf(header, origin, plan, recipsBlock, options);
    const transcript = concat(header.immutablePart, encodeExtensions(extensions), recipsBlock);
    return {
      info,
      oldHeaderBytes,
      header: concat(transcript, headerMac(contentKey, transcript)),
      identity,
    };
  } finally {
    contentKey.wipe();
  }
}

/** Whose wrapped keys a message is to have. */
interface Plan {
  readonly kept: readonly Stanza[];
  readonly added: readonly Recipient[];
  /** Of a signed message: the tags for the custodian's record. */
  readonly addressees?: readonly Uint8Array[];
}

/** A key that is removed and added gets a new stanza in place of the one it had. */
function planOf(
  header: ParsedHeader,
  { sender, addressees }: Origin,
  options: RewrapOptions,
): Plan {
  const { messageId } = header.core;
  const given = options.add.length === 0 ? [] : uniqueRecipients(options.add);
  const gone = options.remove.map((key) => stanzaTag(messageId, key));
  const kept = header.stanzas.filter(({ tag }) => !gone.some((one) => equal(one, tag)));
  const added = given.filter(
    ({ publicKey }) => stanzasFor(publicKey, messageId, kept).length === 0,
  );
  const plan = { kept, added, ...newAddressees(messageId, addressees, given, options) };
  requireSomebody(messageId, plan);
  requireCustodian(header, sender, plan, options);
  return plan;
}

/** @throws UsageError `ERR_NO_RECIPIENTS`; PolicyError `ERR_TOO_MANY_RECIPIENTS` */
function requireSomebody(messageId: Uint8Array, { kept, added, addressees }: Plan): void {
  const newTags = added.map(({ publicKey }) => stanzaTag(messageId, publicKey));
  const tags = new Set([...kept.map(({ tag }) => tag), ...newTags].map((tag) => tag.join()));
  if (tags.size === 0 || addressees?.length === 0) throw nobodyLeft();
  const count = Math.max(tags.size, addressees?.length ?? 0);
  if (count > MAX_RECIPIENTS) {
    throw new PolicyError(
      "ERR_TOO_MANY_RECIPIENTS",
      `${count} recipients; a message has at most ${MAX_RECIPIENTS}`,
    );
  }
}

/** Of a signed message: those it was for, without the removed ones, and with the added ones. */
function newAddressees(
  messageId: Uint8Array,
  addressees: readonly Uint8Array[] | undefined,
  given: readonly Recipient[],
  { remove }: RewrapOptions,
): Pick<Plan, "addressees"> {
  if (addressees === undefined) return {};
  const gone = remove.map((key) => addresseeTag(messageId, key));
  const added = given.map(({ publicKey }) => addresseeTag(messageId, publicKey));
  const stay = addressees.filter((tag) => !gone.some((one) => equal(one, tag)));
  const fresh = added.filter((tag) => !stay.some((one) => equal(one, tag)));
  return { addressees: [...stay, ...fresh] };
}

/** Refuses a custodian's key that no reader would take, and a signed message without one. */
function requireCustodian(
  header: ParsedHeader,
  sender: SenderInfo | undefined,
  { kept, added, addressees = [] }: Plan,
  { custodian, nowMs, rulesHash }: RewrapOptions,
): void {
  const { messageId, claims } = header.core;
  const receiving = {
    addressees: [...addressees, ...(claims?.addressees ?? [])],
    stanzaTags: [
      ...kept.map(({ tag }) => tag),
      ...added.map(({ publicKey }) => stanzaTag(messageId, publicKey)),
    ],
  };
  if (sender !== undefined && isReceiving(sender.publicKey, messageId, receiving)) {
    throw sameKey("the sender signs with this key; add the one that they receive with");
  }
  if (custodian === undefined) {
    if (sender === undefined) return;
    throw new UsageError("ERR_CUSTODIAN", "a signed message is re-wrapped by a custodian", {
      hint: "name the signing key for the record of who passed it on: --custodian-key",
    });
  }
  if (typeof nowMs === "number") requireTime(nowMs);
  if (rulesHash !== undefined && rulesHash.length !== 32) {
    throw new RangeError(`rulesHash has ${rulesHash.length} bytes, not 32`);
  }
  signatureAlgorithm(custodian.publicKey);
  if (isReceiving(custodian.publicKey, messageId, receiving)) {
    throw sameKey("sign re-wrap records with a key that receives nothing");
  }
  if (
    sender !== undefined &&
    equal(sender.publicKey.fingerprint, custodian.publicKey.fingerprint)
  ) {
    throw senderIsCustodian();
  }
}

function requireTime(ms: number): void {
  if (!Number.isSafeInteger(ms) || ms < 0) throw new RangeError(`nowMs is ${ms}`);
}

/**
 * Refuses a header that somebody else made of this one, unless it differs in nothing but what was
 * planned: the wrapped keys that stay are as they were, each that is new is for a key to add, and
 * the custodian's record says just that, at a time of its maker's that is from just now.
 *
 * @throws AuthenticationError `ERR_NOT_AUTHENTIC`
 */
async function requirePlanned(
  old: ParsedHeader,
  origin: Origin,
  plan: Plan,
  options: RewrapOptions,
  { header: bytes, nowMs }: ElsewhereRewrapped,
): Promise<void> {
  const { kept, added } = plan;
  const made = await wholeHeader(bytes, readHeader);
  const record = recordFields(old, origin, plan, made.recipsBlock, options);
  const { messageId } = old.core;
  const [stay, fresh] = [made.stanzas.slice(0, kept.length), made.stanzas.slice(kept.length)];
  const tags = new Set(added.map(({ publicKey }) => stanzaTag(messageId, publicKey).join()));
  const isPlanned =
    equal(made.immutablePart, old.immutablePart) &&
    equal(encodeRecips(stay), encodeRecips(kept)) &&
    fresh.every(({ tag }) => tags.has(tag.join())) &&
    added.every(({ publicKey }) => stanzasFor(publicKey, messageId, fresh).length > 0) &&
    equal(ownExtensions(made), ownExtensions(old)) &&
    (record === undefined ? heldRecord(made) === undefined : hasRecord(made, record, nowMs));
  if (!isPlanned) throw notAsPlanned();
}

/** Those that re-wrapping has nothing to do with. */
function ownExtensions({ extensions }: ParsedHeader): Uint8Array {
  return encodeExtensions(withoutPadding(withoutRecord(extensions)));
}

/** The format's limits, which recipients of unknown types may use up. */
function requireRoom(stanzas: readonly Stanza[]): readonly Stanza[] {
  if (stanzas.length <= MAX_STANZAS && encodeRecips(stanzas).length - 4 <= MAX_RECIPS_BYTES) {
    return stanzas;
  }
  throw new PolicyError(
    "ERR_TOO_MANY_RECIPIENTS",
    `no room in the header for ${stanzas.length} wrapped keys`,
  );
}

/** The blocks that this version does not know stay; then the record, and the padding last. */
async function extensionsOf(
  header: ParsedHeader,
  origin: Origin,
  plan: Plan,
  recipsBlock: Uint8Array,
  options: RewrapOptions,
): Promise<readonly Extension[]> {
  const others = withoutPadding(withoutRecord(header.extensions));
  const record = await recordOf(header, origin, plan, recipsBlock, options);
  const extensions = record === undefined ? others : [...others, record];
  const extBlock = encodeExtensions(extensions);
  const room = MAX_EXT_BYTES - (extBlock.length - 4);
  if (room < 0) {
    throw new PolicyError("ERR_HEADER_SIZE", "no room in the header for the custodian's record", {
      hint: "other programs' extensions fill it; make a new message: p11seal reseal",
    });
  }
  const { mac, immutablePart, transcript } = header;
  return padded(extensions, {
    headerBytes: immutablePart.length + extBlock.length + recipsBlock.length + mac.length,
    room,
    preferredBytes: transcript.length + mac.length,
  });
}

/** The custodian's record, signed, if there is a custodian. */
async function recordOf(
  header: ParsedHeader,
  origin: Origin,
  plan: Plan,
  recipsBlock: Uint8Array,
  options: RewrapOptions,
): Promise<Extension | undefined> {
  const { custodian } = options;
  if (custodian === undefined) return undefined;
  const nowMs = typeof options.nowMs === "number" ? options.nowMs : await options.nowMs();
  requireTime(nowMs);
  const fields = recordFields(header, origin, plan, recipsBlock, options);
  return fields && signRecord(custodian, header, { ...fields, rewrappedMs: nowMs });
}

/** What the custodian's record says beside the time, if there is a custodian. */
function recordFields(
  header: ParsedHeader,
  { record: last }: Origin,
  { addressees }: Plan,
  recipsBlock: Uint8Array,
  { custodian, rulesHash }: RewrapOptions,
): Omit<RecordFields, "rewrappedMs"> | undefined {
  if (custodian === undefined) return undefined;
  return {
    custodianKeyId: custodian.publicKey.fingerprint,
    generation: (last?.generation ?? 0) + 1,
    previous: sha256(concat(header.transcript.subarray(header.immutablePart.length), header.mac)),
    ...defined({ addressees }),
    recipsHash: sha256(recipsBlock),
    ...defined({ rulesHash }),
  };
}
