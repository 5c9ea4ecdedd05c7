/**
 * The extensions of certificates (RFC 5280 §4.2): the list as it stands, and the values that path
 * validation and the choice of a key need. An extension that occurs twice refuses the whole: two
 * readers could take different ones.
 */
import { DerReader, TAG } from "../asn1/der.js";
import { oidText } from "../asn1/oid.js";
import { defined, type Defined } from "../defined.js";
import { FormatError } from "../errors.js";
import { readDistributionPoints, type DistributionPoint } from "./distribution-point.js";
import { readGeneralName, readGeneralNames, type GeneralName } from "./general-name.js";

export interface Extension {
  readonly critical: boolean;
  /** The DER value inside the OCTET STRING. */
  readonly value: Uint8Array;
}

/** By dotted OID. */
export type Extensions = ReadonlyMap<string, Extension>;

export type KeyUsage = (typeof KEY_USAGES)[number];

/** What the extensions of a certificate say. Each property is absent if the extension is. */
export interface ExtensionValues {
  readonly authorityKeyId?: AuthorityKeyId;
  readonly subjectKeyId?: Uint8Array;
  readonly keyUsage?: ReadonlySet<KeyUsage>;
  /** Dotted OIDs of policies, of which anyPolicy may be one. */
  readonly policies?: readonly string[];
  readonly policyMappings?: readonly PolicyMapping[];
  readonly subjectAltNames?: readonly GeneralName[];
  readonly basicConstraints?: BasicConstraints;
  readonly nameConstraints?: NameConstraints;
  readonly policyConstraints?: PolicyConstraints;
  /** Dotted OIDs of purposes. */
  readonly extendedKeyUsage?: ReadonlySet<string>;
  readonly crlDistributionPoints?: readonly DistributionPoint[];
  /** How many more certificates of the path may still use anyPolicy. */
  readonly inhibitAnyPolicy?: number;
}

export interface AuthorityKeyId {
  readonly keyId?: Uint8Array;
  readonly issuer?: readonly GeneralName[];
  /** Content of the INTEGER. */
  readonly serial?: Uint8Array;
}

export interface BasicConstraints {
  readonly ca: boolean;
  /** How many intermediate certificates may follow. */
  readonly pathLength?: number;
}

/** Subtrees that names must lie in, and those that they must not lie in. */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** Policies by their dotted OIDs: the issuer's counts as the subject's from here on. */
export interface PolicyMapping {
  readonly issuer: string;
  readonly subject: string;
}

/** After how many more certificates a policy is required, and mappings no longer count. */
export interface PolicyConstraints {
  readonly requireExplicit?: number;
  readonly inhibitMapping?: number;
}

/** Dotted OIDs of the extensions that are read here, and of those in CRLs. */
export const EXTENSION = {
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  crlNumber: "2.5.29.20",
  reasonCode: "2.5.29.21",
  deltaCrlIndicator: "2.5.29.27",
  issuingDistributionPoint: "2.5.29.28",
  certificateIssuer: "2.5.29.29",
  nameConstraints: "2.5.29.30",
  crlDistributionPoints: "2.5.29.31",
  certificatePolicies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  authorityKeyId: "2.5.29.35",
  policyConstraints: "2.5.29.36",
  extendedKeyUsage: "2.5.29.37",
  inhibitAnyPolicy: "2.5.29.54",
} as const;

/** Reads a SEQUENCE OF Extension, which must not be empty. */
export function readExtensions(reader: DerReader): Extensions {
  const list = reader.sequence();
  const extensions = new Map<string, Extension>();
  do {
    const fields = list.sequence();
    const oid = oidText(fields.read(TAG.oid));
    const critical = fields.peek() === TAG.boolean && fields.boolean();
    const value = fields.read(TAG.octetString);
    fields.end();
    if (extensions.has(oid)) throw new FormatError("ERR_DER", `extension ${oid} occurs twice`);
    extensions.set(oid, { critical, value });
  } while (list.peek() !== undefined);
  return extensions;
}

/** Reads them under an explicit tag; none if the next value has another tag. */
export function readWrappedExtensions(reader: DerReader, tag: number): Extensions {
  const wrapper = reader.optional(tag);
  if (wrapper === undefined) return new Map();
  const extensions = readExtensions(wrapper);
  wrapper.end();
  return extensions;
}

/** Reads the values of a certificate's extensions. Throws as `DerReader`. */
export function extensionValues(extensions: Extensions): ExtensionValues {
  const read = <T>(oid: string, parse: (reader: DerReader) => T): T | undefined => {
    return extensionValue(extensions, oid, parse);
  };
  return defined({
    authorityKeyId: read(EXTENSION.authorityKeyId, readAuthorityKeyId),
    subjectKeyId: read(EXTENSION.subjectKeyId, (reader) => reader.read(TAG.octetString)),
    keyUsage: read(EXTENSION.keyUsage, readKeyUsage),
    policies: read(EXTENSION.certificatePolicies, readPolicies),
    policyMappings: read(EXTENSION.policyMappings, readPolicyMappings),
    subjectAltNames: read(EXTENSION.subjectAltName, (reader) => readGeneralNames(reader)),
    basicConstraints: read(EXTENSION.basicConstraints, readBasicConstraints),
    nameConstraints: read(EXTENSION.nameConstraints, readNameConstraints),
    policyConstraints: read(EXTENSION.policyConstraints, readPolicyConstraints),
    extendedKeyUsage: read(EXTENSION.extendedKeyUsage, readExtendedKeyUsage),
    crlDistributionPoints: read(EXTENSION.crlDistributionPoints, readDistributionPoints),
    inhibitAnyPolicy: read(EXTENSION.inhibitAnyPolicy, (reader) => reader.count()),
  }) satisfies Defined<ExtensionValues>;
}

/** The value of one extension, read to its end; undefined if it is absent. */
export function extensionValue<T>(
  extensions: Extensions,
  oid: string,
  parse: (reader: DerReader) => T,
): T | undefined {
  const extension = extensions.get(oid);
  if (extension === undefined) return undefined;
  const reader = new DerReader(extension.value, `extension ${oid}`);
  const value = parse(reader);
  reader.end();
  return value;
}

export function readAuthorityKeyId(reader: DerReader): AuthorityKeyId {
  const fields = reader.sequence();
  const keyId = fields.peek() === 0x80 ? fields.read(0x80) : undefined;
  const issuer = fields.peek() === 0xa1 ? readGeneralNames(fields, 0xa1) : undefined;
  const serial = fields.peek() === 0x82 ? fields.read(0x82) : undefined;
  fields.end();
  return defined({ keyId, issuer, serial });
}

// ── One extension each ──

function readKeyUsage(reader: DerReader): ReadonlySet<KeyUsage> {
  const bits = reader.namedBits();
  return new Set(KEY_USAGES.filter((_, bit) => (bits & (1 << bit)) !== 0));
}

function readExtendedKeyUsage(reader: DerReader): ReadonlySet<string> {
  const list = reader.sequence();
  const purposes = new Set<string>();
  do purposes.add(oidText(list.read(TAG.oid)));
  while (list.peek() !== undefined);
  return purposes;
}

function readBasicConstraints(reader: DerReader): BasicConstraints {
  const fields = reader.sequence();
  const ca = fields.peek() === TAG.boolean && fields.boolean();
  const pathLength = fields.peek() === undefined ? undefined : fields.count();
  fields.end();
  return { ca, ...defined({ pathLength }) };
}

function readPolicies(reader: DerReader): string[] {
  const list = reader.sequence();
  const policies = new Set<string>();
  do {
    const fields = list.sequence();
    const policy = oidText(fields.read(TAG.oid));
    if (fields.peek() !== undefined) fields.sequence(); // qualifiers: for people, not for programs
    fields.end();
    if (policies.has(policy)) throw new FormatError("ERR_DER", `policy ${policy} occurs twice`);
    policies.add(policy);
  } while (list.peek() !== undefined);
  return [...policies];
}

function readPolicyMappings(reader: DerReader): PolicyMapping[] {
  const list = reader.sequence();
  const mappings: PolicyMapping[] = [];
  do {
    const fields = list.sequence();
    const issuer = oidText(fields.read(TAG.oid));
    const subject = oidText(fields.read(TAG.oid));
    fields.end();
    mappings.push({ issuer, subject });
  } while (list.peek() !== undefined);
  return mappings;
}

function readPolicyConstraints(reader: DerReader): PolicyConstraints {
  const fields = reader.sequence();
  const requireExplicit = fields.peek() === 0x80 ? fields.count(0x80) : undefined;
  const inhibitMapping = fields.peek() === 0x81 ? fields.count(0x81) : undefined;
  fields.end();
  if (requireExplicit === undefined && inhibitMapping === undefined) {
    throw new FormatError("ERR_DER", "policy constraints are empty");
  }
  return defined({ requireExplicit, inhibitMapping });
}

function readNameConstraints(reader: DerReader): NameConstraints {
  const fields = reader.sequence();
  const permitted = readSubtrees(fields, 0xa0);
  const excluded = readSubtrees(fields, 0xa1);
  fields.end();
  if (permitted === undefined && excluded === undefined) {
    throw new FormatError("ERR_DER", "name constraints are empty");
  }
  return { permitted: permitted ?? [], excluded: excluded ?? [] };
}

function readSubtrees(reader: DerReader, tag: number): GeneralName[] | undefined {
  const list = reader.optional(tag);
  if (list === undefined) return undefined;
  const subtrees: GeneralName[] = [];
  do {
    const fields = list.sequence();
    subtrees.push(readGeneralName(fields));
    // RFC 5280 §4.2.1.10: no distances. A minimum of 0 is the default, which DER leaves out.
    fields.end();
  } while (list.peek() !== undefined);
  return subtrees;
}

/** In the order of their bits (RFC 5280 §4.2.1.3). */
const KEY_USAGES = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
] as const;
