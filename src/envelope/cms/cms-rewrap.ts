/**
 * A CMS message's start for other recipients: RecipientInfos are replaced, the lengths around them
 * made to fit, and every other byte stays.
 *
 * Nothing in CMS binds the recipients to the content, and only the content's tag tells whether the
 * key is the message's (RFC 5083): so the content is read to its end before the new start counts.
 * Under EnvelopedData nothing at all tells.
 */
import { BerReader } from "../../asn1/ber-reader.js";
import { berHeader, type BerHeader } from "../../asn1/ber.js";
import { derHeader, TAG } from "../../asn1/der.js";
import { concat, concatAll, unshared } from "../../bytes.js";
import { PolicyError, UnsupportedError } from "../../errors.js";
import type { Secret } from "../../secret.js";
import { Reader, remaining } from "../../stream.js";
import { parseX509 } from "../../x509/certificate.js";
import type { Receiver } from "../receiver.js";
import type { RewrapOptions, RewrappedHeader } from "../rewrapping.js";
import { nobodyLeft } from "../rewrapped-recipients.js";
import { derSetOf } from "./attributes.js";
import { envelopedVersion, notYetIn, withoutKeys } from "./changed-recipients.js";
import { envelopedInfo } from "./cms-info.js";
import { openContent, type EnvelopedHeader } from "./enveloped.js";
import { outermostLayer } from "./layers.js";
import { openRecipient, requireCurrent } from "./recipient-key.js";
import { MAX_RECIPIENTS, recipientEntries } from "./recipient-infos.js";
import { cmsAddressees, recipientInfo, version } from "./write-recipients.js";

/** @throws as `Envelope.rewrap`; PolicyError `ERR_UNAUTHENTICATED`, `ERR_LEGACY` */
export async function rewrap(
  message: Reader,
  receiver: Receiver,
  options: RewrapOptions,
): Promise<RewrappedHeader> {
  if ((await message.peek(1))[0] !== TAG.sequence) throw inMail();
  const recorded = new Recorded(message);
  const layer = await outermostLayer(new Reader(recorded), {});
  if (layer.kind === "signed") throw signedOutside();
  const { header, ber, leave } = layer;
  const start = await startOf(recorded.stop().subarray(0, header.headerBytes));

  requireCurrent(header, receiver);
  requireAuthenticated(header, receiver);
  const change = changeOf(start, header, options);
  await receiver.authenticate(undefined);

  const info = envelopedInfo(header, false);
  const { identity, contentKey } = await openRecipient(header, info, receiver);
  let isNeeded = false;
  try {
    const made = change(contentKey);
    const done = { info, oldHeaderBytes: header.headerBytes, header: unshared(made), identity };
    isNeeded = header.isAuthenticated;
    if (!isNeeded) return done;
    return {
      ...done,
      async verifyBody() {
        const content = openContent(ber, header, contentKey, leave);
        for await (const plaintext of content) plaintext.fill(0);
      },
    };
  } finally {
    if (!isNeeded) contentKey.wipe();
  }
}

function requireAuthenticated({ isAuthenticated }: EnvelopedHeader, { allows }: Receiver): void {
  if (isAuthenticated || allows?.unauthenticated === true) return;
  throw new PolicyError(
    "ERR_UNAUTHENTICATED",
    "the CMS message is encrypted in CBC mode, and nothing shows that its key is its own",
    {
      hint:
        "whoever wrote it may have put the key of another message there; if you know where it " +
        "comes from, re-wrap it with --allow-unauthenticated",
    },
  );
}

/** Everything is settled but the content key: whom it goes to, and whether they can have it. */
function changeOf(
  start: Start,
  header: EnvelopedHeader,
  options: RewrapOptions,
): (contentKey: Secret) => Uint8Array {
  const { add, remove, removeCertificates = [], oaep } = options;
  const entries = recipientEntries(start.recipients);
  const certificates = removeCertificates.map((one) => parseX509(one));
  const kept = withoutKeys(entries, remove, certificates);
  const recipients = notYetIn(entries, add, remove);
  const addressees = recipients.length === 0 ? [] : cmsAddressees({ recipients, oaep });
  // A RecipientInfo by key agreement can be for several.
  const count = kept.flatMap(({ recipients: own }) => own).length + addressees.length;
  if (count === 0) throw nobodyLeft();
  if (count > MAX_RECIPIENTS) throw tooMany();
  const isSame =
    addressees.length === 0 &&
    kept.length === entries.length &&
    kept.every((one, at) => one === entries[at]);
  return (contentKey) => {
    if (isSame) return start.whole;
    const added = addressees.map((addressee) => recipientInfo(addressee, contentKey));
    const set = derSetOf([...kept.map((one) => one.der), ...added]);
    const { isAuthenticated, version: old } = header;
    const hasOriginator = start.originator.length > 0;
    const number = isAuthenticated
      ? old
      : envelopedVersion({ old, hasOriginator }, recipientEntries(set));
    return rewritten(start, concat(version(number), start.originator, set));
  };
}

// ── The start of a message, taken apart ──

interface Start {
  readonly whole: Uint8Array;
  /** Of the values around the fields, from the outside. */
  readonly around: readonly BerHeader[];
  /** ContentType, whole. */
  readonly type: Uint8Array;
  /** OriginatorInfo, whole; empty if there is none. */
  readonly originator: Uint8Array;
  /** The SET of RecipientInfos, whole, DER. */
  readonly recipients: Uint8Array;
  /** What comes after them, up to the content. */
  readonly rest: Uint8Array;
  /** Length of version, OriginatorInfo and RecipientInfos, as they were sent. */
  readonly fieldBytes: number;
}

/** @param whole - all that comes before the content; it has been parsed once */
async function startOf(whole: Uint8Array): Promise<Start> {
  const ber = new BerReader(new Reader(whole), WHAT);
  const around: BerHeader[] = [];
  const enter = async (tag: number): Promise<void> => {
    const header = berHeader(whole, ber.offset, WHAT);
    if (header !== undefined) around.push(header);
    await ber.enter(tag);
  };
  await enter(TAG.sequence);
  const type = await ber.sent(TAG.oid);
  await enter(CONTENT);
  await enter(TAG.sequence);
  const from = ber.offset;
  await ber.sent(TAG.integer);
  const hasOriginator = (await ber.tag()) === ORIGINATOR_INFO;
  const originator = hasOriginator ? await ber.sent() : new Uint8Array(0);
  const recipients = await ber.der(TAG.set);
  const to = ber.offset;
  return {
    ...{ whole, around, type, originator, recipients },
    ...{ rest: whole.subarray(to), fieldBytes: to - from },
  };
}

/**
 * The start with other fields, and the lengths around them that fit. One that is not stated, as it
 * is in messages that were written as a stream, stays so.
 */
function rewritten({ around, type, rest, fieldBytes }: Start, fields: Uint8Array): Uint8Array {
  let growth = fields.length - fieldBytes;
  const headers = around.toReversed().map(({ tag, length, headerBytes }) => {
    const header =
      length === undefined ? Uint8Array.of(tag, UNSTATED) : derHeader(tag, length + growth);
    growth += header.length - headerBytes;
    return header;
  });
  const [inner, explicit, outer] = headers as [Uint8Array, Uint8Array, Uint8Array];
  return concat(outer, type, explicit, inner, fields, rest);
}

/** What a reader had, up to a point. */
class Recorded implements AsyncIterable<Uint8Array> {
  readonly #reader: Reader;
  #chunks: Uint8Array[] | undefined = [];

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const bytes of remaining(this.#reader)) {
      this.#chunks?.push(new Uint8Array(bytes));
      yield bytes;
    }
  }

  /** All bytes so far; later ones are not recorded. */
  stop(): Uint8Array {
    const bytes = concatAll(this.#chunks ?? []);
    this.#chunks = undefined;
    return bytes;
  }
}

// ── Refusals ──

function inMail(): UnsupportedError {
  return new UnsupportedError("ERR_REWRAP", "the CMS message is in a mail", {
    hint: "take it out of the mail, or open it, and seal it again",
  });
}

function signedOutside(): UnsupportedError {
  return new UnsupportedError("ERR_REWRAP", "a signature lies around the encrypted message", {
    hint: "it covers the recipients, so only who signed it can change them",
  });
}

function tooMany(): PolicyError {
  return new PolicyError(
    "ERR_TOO_MANY_RECIPIENTS",
    `the CMS message would have more than ${MAX_RECIPIENTS} recipients`,
  );
}

const WHAT = "the CMS message";
const CONTENT = 0xa0;
const ORIGINATOR_INFO = 0xa0;
/** A length that is not stated (X.690 §8.1.3.6). */
const UNSTATED = 0x80;
