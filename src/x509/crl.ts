/**
 * Certificate revocation lists (RFC 5280 §5): what one says, strictly read. A list may have
 * hundreds of thousands of entries, so they are walked over by offsets and kept as offsets; one is
 * read in full only when it is asked for.
 */
import { DerReader, TAG } from "../asn1/der.js";
import { readTime } from "../asn1/time.js";
import { defined } from "../defined.js";
import { FormatError } from "../errors.js";
import { readDistributionPointName, type DistributionPointName } from "./distribution-point.js";
import {
  EXTENSION,
  extensionValue,
  readAuthorityKeyId,
  readExtensions,
  readWrappedExtensions,
  type AuthorityKeyId,
  type Extensions,
} from "./extensions.js";
import { readGeneralNames } from "./general-name.js";
import { nameKey, readName, type Name } from "./name.js";
import { readSigned, requireSameAlgorithm, type SignedValue } from "./signed-value.js";

export interface Crl extends SignedValue {
  /** The whole list. */
  readonly der: Uint8Array;
  readonly issuer: Name;
  /** Milliseconds since 1970. */
  readonly thisUpdateMs: number;
  readonly nextUpdateMs?: number;
  readonly extensions: Extensions;
  readonly authorityKeyId?: AuthorityKeyId;
  /** Big-endian, without leading zeros. */
  readonly number?: Uint8Array;
  /** Of a delta: the number of the list that it is a change to. */
  readonly baseNumber?: Uint8Array;
  readonly scope: CrlScope;
  readonly entries: CrlEntries;
}

/** Which certificates the list is about (RFC 5280 §5.2.5); all of its issuer's if it is empty. */
export interface CrlScope {
  readonly name?: DistributionPointName;
  readonly onlyUserCertificates: boolean;
  readonly onlyAuthorities: boolean;
  readonly onlyAttributeCertificates: boolean;
  /** As `namedBits`. */
  readonly onlySomeReasons?: number;
  /** Holds certificates of other issuers, too. */
  readonly indirect: boolean;
}

export interface CrlEntry {
  /** Milliseconds since 1970; absent if the list has no sensible time. */
  readonly revokedMs?: number;
  /** CRLReason (§5.3.1); 0, unspecified, if the entry has none. */
  readonly reason: number;
}

/** The reason of a delta's entry that takes a certificate off the list. */
export const REMOVE_FROM_CRL = 8;

/**
 * Reads a CRL in DER.
 *
 * @throws FormatError `ERR_CRL`: not DER, an extension twice, a known extension with a malformed
 *   value, different signature algorithms inside and outside.
 */
export function parseCrl(bytes: Uint8Array): Crl {
  try {
    return read(bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError("ERR_CRL", `not a certificate revocation list: ${error.message}`);
  }
}

/** The certificates that a list holds, by issuer and serial number. */
export class CrlEntries {
  readonly #bytes: Uint8Array;
  readonly #offsets: Offsets;
  /** Dotted OIDs of the critical extensions of entries that were not understood. */
  readonly unknownCritical: ReadonlySet<string>;

  /** @param bytes - the content of `revokedCertificates`. */
  constructor(bytes: Uint8Array, issuer: Name, indirect: boolean) {
    this.#bytes = bytes;
    const { offsets, unknownCritical } = walk(bytes, nameKey(issuer), indirect);
    this.#offsets = offsets;
    this.unknownCritical = unknownCritical;
  }

  get count(): number {
    return [...this.#offsets.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** The entry of the certificate with this issuer and serial number (INTEGER content). */
  find(issuer: Name, serial: Uint8Array): CrlEntry | undefined {
    const offset = this.#offsets.get(nameKey(issuer))?.get(bytesKey(serial));
    if (offset === undefined) return undefined;
    const fields = new DerReader(this.#bytes.subarray(offset), "revocation list").sequence();
    fields.skip();
    const revokedMs = sensibleTime(new DerReader(fields.any(), "revocation list"));
    const extensions = fields.peek() === undefined ? undefined : readExtensions(fields);
    const reason = extensions && extensionValue(extensions, EXTENSION.reasonCode, readReason);
    return { reason: reason ?? 0, ...defined({ revokedMs }) };
  }
}

function read(bytes: Uint8Array): Crl {
  const signed = readSigned(bytes, "revocation list");
  const fields = new DerReader(signed.tbs, "revocation list").sequence();
  const version = fields.peek() === TAG.integer ? fields.count() + 1 : 1;
  if (version > 2) throw new FormatError("ERR_DER", `revocation list has version ${version}`);
  requireSameAlgorithm(fields, signed, "revocation list");
  const issuer = readName(fields);
  const thisUpdateMs = readTime(fields);
  const nextUpdateMs = isTime(fields.peek()) ? readTime(fields) : undefined;
  const revoked = fields.peek() === TAG.sequence ? fields.read(TAG.sequence) : new Uint8Array(0);
  const extensions: Extensions = version === 2 ? readWrappedExtensions(fields, 0xa0) : new Map();
  fields.end();

  const scope = extensionValue(extensions, EXTENSION.issuingDistributionPoint, readScope) ?? ALL;
  return {
    ...{ der: bytes, issuer, thisUpdateMs, extensions, scope },
    ...signed,
    entries: new CrlEntries(revoked, issuer, scope.indirect),
    ...defined({
      nextUpdateMs,
      authorityKeyId: extensionValue(extensions, EXTENSION.authorityKeyId, readAuthorityKeyId),
      number: extensionValue(extensions, EXTENSION.crlNumber, (value) => value.unsigned()),
      baseNumber: extensionValue(extensions, EXTENSION.deltaCrlIndicator, (value) =>
        value.unsigned(),
      ),
    }),
  };
}

function readScope(reader: DerReader): CrlScope {
  const fields = reader.sequence();
  const flag = (tag: number): boolean => fields.peek() === tag && fields.boolean(tag);
  const name = readDistributionPointName(fields);
  const onlyUserCertificates = flag(0x81);
  const onlyAuthorities = flag(0x82);
  const onlySomeReasons = fields.peek() === 0x83 ? fields.namedBits(0x83) : undefined;
  const indirect = flag(0x84);
  const onlyAttributeCertificates = flag(0x85);
  fields.end();
  return {
    ...{ onlyUserCertificates, onlyAuthorities, onlyAttributeCertificates, indirect },
    ...defined({ name, onlySomeReasons }),
  };
}

function readReason(reader: DerReader): number {
  const [reason = 0, ...more] = reader.read(TAG.enumerated);
  if (more.length > 0 || reason > 10 || reason === 7) {
    throw new FormatError("ERR_DER", "a revocation has an unknown reason");
  }
  return reason;
}

// ── Walking over the entries ──

/** Offsets of entries, by `nameKey` of the certificate's issuer and by `serialKey`. */
type Offsets = ReadonlyMap<string, ReadonlyMap<string, number>>;

function walk(bytes: Uint8Array, issuerKey: string, indirect: boolean) {
  const offsets = new Map<string, Map<string, number>>();
  let ofIssuer = new Map<string, number>();
  offsets.set(issuerKey, ofIssuer);
  const unknownCritical = new Set<string>();
  // Most entries have one of a few reasons and nothing else: the same bytes.
  const read = new Map<string, EntryExtensions>();
  const readOnce = (encoded: Uint8Array): EntryExtensions => {
    const key = bytesKey(encoded);
    const known = read.get(key) ?? readEntryExtensions(encoded);
    if (read.size < MAX_REMEMBERED) read.set(key, known);
    return known;
  };
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    at = afterHeader(bytes, start, TAG.sequence);
    const end = at + contentLength(bytes, start);
    const serialStart = afterHeader(bytes, at, TAG.integer);
    const serialEnd = serialStart + contentLength(bytes, at);
    const time = bytes[serialEnd];
    if (!isTime(time)) throw malformedEntry();
    at = afterHeader(bytes, serialEnd, time) + contentLength(bytes, serialEnd);
    if (at > end || end > bytes.length) throw malformedEntry();
    if (at < end) {
      const { issuer, critical } = readOnce(bytes.subarray(at, end));
      // An entry without a name is of the same issuer as the one before it (§5.3.3).
      if (issuer !== undefined && indirect) {
        ofIssuer = offsets.get(nameKey(issuer)) ?? new Map<string, number>();
        offsets.set(nameKey(issuer), ofIssuer);
      }
      for (const oid of critical) {
        if (oid !== EXTENSION.certificateIssuer || !indirect) unknownCritical.add(oid);
      }
    }
    const serial = bytes.subarray(serialStart, serialEnd);
    if (serial.length === 0) throw malformedEntry();
    // The first entry counts: in a delta, a certificate is there once.
    const key = bytesKey(serial);
    if (!ofIssuer.has(key)) ofIssuer.set(key, start);
    at = end;
  }
  return { offsets, unknownCritical };
}

/** What counts of an entry's extensions, and which of them are critical. */
interface EntryExtensions {
  readonly issuer: Name | undefined;
  /** Dotted OIDs, apart from the reason's. */
  readonly critical: readonly string[];
}

function readEntryExtensions(bytes: Uint8Array): EntryExtensions {
  const reader = new DerReader(bytes, "revocation list");
  const extensions = readExtensions(reader);
  reader.end();
  extensionValue(extensions, EXTENSION.reasonCode, readReason);
  const issuer = extensionValue(extensions, EXTENSION.certificateIssuer, directoryName);
  const critical = [...extensions].flatMap(([oid, extension]) =>
    extension.critical && oid !== EXTENSION.reasonCode ? [oid] : [],
  );
  return { issuer, critical };
}

function directoryName(reader: DerReader): Name {
  const name = readGeneralNames(reader).find(({ type }) => type === "directory");
  if (name?.type !== "directory") {
    throw new FormatError("ERR_DER", "a revocation names an issuer that is no directory name");
  }
  return name.name;
}

function bytesKey(serial: Uint8Array): string {
  return Buffer.from(serial.buffer, serial.byteOffset, serial.length).toString("latin1");
}

/** Where the content of the value at `at` begins. */
function afterHeader(bytes: Uint8Array, at: number, tag: number): number {
  if (bytes[at] !== tag) throw malformedEntry();
  const first = bytes[at + 1] ?? 0xff;
  return at + (first < 0x80 ? 2 : 2 + (first & 0x7f));
}

/** How long the content of the value at `at` is: DER's shortest form, up to 65,535 bytes. */
function contentLength(bytes: Uint8Array, at: number): number {
  const [first = 0xff, second = 0, third = 0] = [bytes[at + 1], bytes[at + 2], bytes[at + 3]];
  if (first < 0x80) return first;
  if (first === 0x81 && second >= 0x80) return second;
  if (first === 0x82 && second > 0) return second * 256 + third;
  throw malformedEntry();
}

/** A certificate on the list is revoked, whatever its entry says about the time. */
function sensibleTime(reader: DerReader): number | undefined {
  try {
    return readTime(reader);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function isTime(tag: number | undefined): tag is number {
  return tag === TAG.utcTime || tag === TAG.generalizedTime;
}

const MAX_REMEMBERED = 256;

function malformedEntry(): FormatError {
  return new FormatError("ERR_DER", "a revocation list has a malformed entry");
}

const ALL: CrlScope = {
  onlyUserCertificates: false,
  onlyAuthorities: false,
  onlyAttributeCertificates: false,
  indirect: false,
};
