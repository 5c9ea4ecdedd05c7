/**
 * EXT 8001: a custodian's signed record of a re-wrapping (docs/format.md §6.1). It is the
 * custodian's word, never the sender's: whoever has the file key can put one into a message, and
 * only its own signature tells whose it is.
 */
import { ascii, concat, Cursor, equal, toHex, u32 } from "../../bytes.js";
import { defined } from "../../defined.js";
import { PolicyError } from "../../errors.js";
import type { SigningPublicKey } from "../../keys/key.js";
import type { PassedOn } from "../message-info.js";
import { isPresent } from "../present.js";
import type { Custodian } from "../rewrapping.js";
import { CborMap, encodeMap, requireDeterministic } from "./cbor-map.js";
import { MAX_RECIPIENTS } from "./core.js";
import {
  encodeSignature,
  parseSignature,
  type Extension,
  type KeySignature,
  type ParsedHeader,
} from "./header.js";
import { sha256, sha384, signWith, verifiedSigner } from "./signature.js";

/** The block's type: readers that don't know it skip it. */
const RECORD = 0x8001;

/** What the custodian signs. */
export interface RecordFields {
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly rewrappedMs: number;
  /** SHA-256 of the custodian's SPKI, 32 bytes. */
  readonly custodianKeyId: Uint8Array;
  /** From 1. */
  readonly generation: number;
  /** SHA-256 of the EXT, RECIPS and MAC that were replaced, 32 bytes. */
  readonly previous: Uint8Array;
  /** Tags as in CORE, of those whom a signed message is passed on to. */
  readonly addressees?: readonly Uint8Array[];
  /** SHA-256 of the new RECIPS block, 32 bytes. */
  readonly recipsHash: Uint8Array;
  /** SHA-256 of the rules that the custodian obeyed, 32 bytes. */
  readonly rulesHash?: Uint8Array;
}

/** A record whose signature holds, and which names the message's RECIPS. */
export interface HeldRecord extends RecordFields {
  readonly publicKey: SigningPublicKey;
}

/**
 * The message's record; `undefined` if it has none. Whose key signed it is policy.
 *
 * @throws PolicyError `ERR_REWRAP_RECORD`
 */
export function heldRecord(header: ParsedHeader): HeldRecord | undefined {
  const [block, ...others] = header.extensions.filter(({ type }) => type === RECORD);
  if (block === undefined) return undefined;
  if (others.length > 0) throw refused("the message has more than one");
  const { fields, signed, signature } = parseRecord(block.body, header.signature !== undefined);
  const signer = verifiedSigner(signature, fields.custodianKeyId, recordMessage(header, signed));
  if (signer === null) throw refused("its signature does not hold");
  if (!equal(fields.recipsHash, sha256(header.recipsBlock))) {
    throw refused("it names other recipients than the message has");
  }
  return { ...fields, publicKey: signer.publicKey };
}

/** What others are told of a record. */
export function passedOnBy({ stanzas }: ParsedHeader, record: HeldRecord): PassedOn {
  const { publicKey, rewrappedMs, generation, addressees, rulesHash } = record;
  return {
    publicKey,
    keyId: toHex(publicKey.fingerprint),
    rewrappedMs,
    generation,
    addressees: addressees?.length ?? new Set(stanzas.map(({ tag }) => toHex(tag))).size,
    ...defined({ rulesHash: rulesHash && toHex(rulesHash) }),
  };
}

/** Has the custodian sign the fields, for a header with this immutable part. */
export async function signRecord(
  custodian: Custodian,
  header: Pick<ParsedHeader, "immutablePart">,
  fields: RecordFields,
): Promise<Extension> {
  const encoded = encodeFields(fields);
  const signature = await signWith(custodian, recordMessage(header, encoded));
  const body = concat(u32(encoded.length), encoded, encodeSignature(signature));
  return { type: RECORD, body };
}

/**
 * Whether a header that somebody else made has a record of these fields alone, and of the present
 * time, under the signature that they name.
 */
export function hasRecord(
  header: ParsedHeader,
  fields: Omit<RecordFields, "rewrappedMs">,
  nowMs: number,
): boolean {
  let held: HeldRecord | undefined;
  try {
    held = heldRecord(header);
  } catch (error) {
    if (error instanceof PolicyError) return false;
    throw error;
  }
  if (held === undefined || !isPresent(held.rewrappedMs, nowMs)) return false;
  const expected = encodeFields({ ...fields, rewrappedMs: held.rewrappedMs });
  const blocks = header.extensions.filter(({ type }) => type === RECORD);
  const isSigned = header.signature !== undefined;
  return blocks.every(({ body }) => equal(parseRecord(body, isSigned).signed, expected));
}

export function withoutRecord(extensions: readonly Extension[]): Extension[] {
  return extensions.filter(({ type }) => type !== RECORD);
}

// ── The block: fieldsLen u32 ‖ fields ‖ a block laid out as SIG ──

interface ParsedRecord {
  readonly fields: RecordFields;
  /** The fields as they were signed. */
  readonly signed: Uint8Array;
  readonly signature: KeySignature;
}

function parseRecord(body: Uint8Array, isSigned: boolean): ParsedRecord {
  const cursor = new Cursor(body, "the record", (_code, message) => refused(message));
  const signed = cursor.take(cursor.u32());
  const signature = parseSignature(cursor.take(cursor.u32()), refused);
  cursor.end();
  const fields = fieldsOf(new CborMap(signed, "the record", refused), isSigned);
  const again = encodeFields(fields.known, fields.others);
  requireDeterministic(again, signed, "the record", refused);
  return { fields: fields.known, signed, signature };
}

/** `isSigned`: only of a signed message is it known whom the sender addressed. */
function fieldsOf(
  map: CborMap,
  isSigned: boolean,
): { known: RecordFields; others: ReadonlyMap<number, Uint8Array> } {
  const others = map.others(LAST_KEY);
  if (map.has(5) !== isSigned) throw refused("the record: 5");
  const addressees = isSigned ? map.tags(5, MAX_RECIPIENTS) : undefined;
  const rulesHash = map.has(7) ? map.bytes(7, 32) : undefined;
  const known = {
    rewrappedMs: map.uint(1),
    custodianKeyId: map.bytes(2, 32),
    generation: map.uint(3),
    previous: map.bytes(4, 32),
    ...defined({ addressees }),
    recipsHash: map.bytes(6, 32),
    ...defined({ rulesHash }),
  };
  if (known.generation < 1) throw refused("the record: 3");
  return { known, others };
}

function encodeFields(
  fields: RecordFields,
  others: ReadonlyMap<number, Uint8Array> = new Map(),
): Uint8Array {
  const map = new Map<number, unknown>([
    [1, fields.rewrappedMs],
    [2, fields.custodianKeyId],
    [3, fields.generation],
    [4, fields.previous],
  ]);
  if (fields.addressees !== undefined) map.set(5, fields.addressees);
  map.set(6, fields.recipsHash);
  if (fields.rulesHash !== undefined) map.set(7, fields.rulesHash);
  for (const [key, value] of others) map.set(key, value);
  return encodeMap(map);
}

const LAST_KEY = 7;

/** Bound to PRELUDE ‖ CORE ‖ SIG: a record of another message does not hold here. */
function recordMessage(
  { immutablePart }: Pick<ParsedHeader, "immutablePart">,
  fields: Uint8Array,
): Uint8Array {
  return concat(ascii("p11seal/v1 rewrap\0"), sha384(concat(immutablePart, fields)));
}

function refused(detail: string): PolicyError {
  return new PolicyError("ERR_REWRAP_RECORD", `the custodian's record does not hold: ${detail}`, {
    hint: "somebody else re-wrapped or altered the message; ask the custodian for it again",
  });
}
