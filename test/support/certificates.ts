/**
 * Certificates made for tests, sound or not: a small certification authority on node:crypto. What
 * it writes is put together from DER values, so that a test can make any of them wrong.
 */
import { createHash, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { derAlgorithm, type AlgorithmIdentifier } from "../../src/asn1/algorithm-identifier.js";
import { der, DerReader, derUnsigned, TAG } from "../../src/asn1/der.js";
import { derOid } from "../../src/asn1/oid.js";
import { derTime } from "../../src/asn1/time.js";
import { ascii, concat } from "../../src/bytes.js";
import { parseX509, type Certificate } from "../../src/x509/certificate.js";
import { EXTENSION, type KeyUsage } from "../../src/x509/extensions.js";

/** A moment at which everything here is valid that says nothing else. */
export const NOW_MS = Date.UTC(2026, 0, 15);
export const DAY_MS = 86_400_000;

/** Names from the root down: `{ O: "Example", CN: "Bob" }`. */
export type NameParts = Readonly<Partial<Record<keyof typeof ATTRIBUTES, string>>>;

export interface CertificateOptions {
  readonly subject?: NameParts;
  /** Extensions, whole; by default an end entity's. */
  readonly extensions?: readonly Uint8Array[];
  readonly serial?: number;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly keys?: KeyPair;
  /** The TBSCertificate's own fields, to replace any. */
  readonly fields?: Partial<CertificateFields>;
  /** Instead of the issuer's signature algorithm. */
  readonly algorithm?: SigningAlgorithm;
}

/** A certificate is made without the private half of its key. */
export type PublicOptions = Omit<CertificateOptions, "keys"> & {
  readonly keys?: Partial<KeyPair> & Pick<KeyPair, "publicKey">;
};

/** Values of a TBSCertificate, in their order. */
export interface CertificateFields {
  readonly version: Uint8Array;
  readonly serial: Uint8Array;
  readonly algorithm: Uint8Array;
  readonly issuer: Uint8Array;
  readonly validity: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  readonly extensions: Uint8Array;
}

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export interface SigningAlgorithm {
  readonly identifier: AlgorithmIdentifier;
  readonly hash: string | null;
}

export const ECDSA_SHA256: SigningAlgorithm = {
  identifier: { oid: "1.2.840.10045.4.3.2" },
  hash: "sha256",
};

export const ECDSA_SHA1: SigningAlgorithm = {
  identifier: { oid: "1.2.840.10045.4.1" },
  hash: "sha1",
};

/** A certificate with its private key: what one can issue others with. */
export class Issuer {
  readonly certificate: Certificate;
  readonly keys: KeyPair;

  constructor(bytes: Uint8Array, keys: KeyPair) {
    this.certificate = parseX509(bytes);
    this.keys = keys;
  }

  /** A certificate below this one. */
  issue(options: CertificateOptions = {}): Issuer {
    const keys = options.keys ?? newKeys();
    return new Issuer(this.issueBytes({ ...options, keys }), keys);
  }

  /** The same, as bytes that need not be a certificate. */
  issueBytes(options: PublicOptions = {}): Uint8Array {
    const issuer = this.certificate.subject.der;
    return certificateBytes(issuer, this.keys.privateKey, options);
  }

  /** A certificate below this one, for a key whose private half is elsewhere. */
  certify(publicKey: KeyObject, options: Omit<CertificateOptions, "keys"> = {}): Certificate {
    return parseX509(this.issueBytes({ ...options, keys: { publicKey } }));
  }

  /** A certificate authority below this one. */
  authority(name: string, options: CertificateOptions = {}): Issuer {
    return this.issue({ subject: { CN: name }, extensions: AUTHORITY_EXTENSIONS, ...options });
  }
}

/** A self-signed authority. */
export function rootAuthority(name = "Root", options: CertificateOptions = {}): Issuer {
  const keys = options.keys ?? newKeys();
  const subject = options.subject ?? { CN: name };
  const all = { extensions: AUTHORITY_EXTENSIONS, ...options, subject, keys };
  return new Issuer(certificateBytes(nameBytes(subject), keys.privateKey, all), keys);
}

export function certificateBytes(
  issuer: Uint8Array,
  issuerKey: KeyObject,
  options: PublicOptions,
): Uint8Array {
  const { algorithm = ECDSA_SHA256, subject = { CN: "Bob" } } = options;
  const { keys = newKeys(), extensions = LEAF_EXTENSIONS } = options;
  const notBefore = derTime(options.notBeforeMs ?? NOW_MS - 365 * DAY_MS);
  const notAfter = derTime(options.notAfterMs ?? NOW_MS + 365 * DAY_MS);
  const fields: CertificateFields = {
    version: der(0xa0, der(TAG.integer, Uint8Array.of(2))),
    serial: derUnsigned(serialBytes(options.serial ?? nextSerial++)),
    algorithm: derAlgorithm(algorithm.identifier),
    issuer,
    validity: der(TAG.sequence, notBefore, notAfter),
    subject: nameBytes(subject),
    spki: keys.publicKey.export({ format: "der", type: "spki" }),
    extensions:
      extensions.length === 0 ? new Uint8Array(0) : der(0xa3, der(TAG.sequence, ...extensions)),
    ...options.fields,
  };
  return signedBytes(Object.values(fields) as Uint8Array[], issuerKey, algorithm);
}

/** SEQUENCE of a SEQUENCE, an algorithm and a signature, as certificates and CRLs are. */
export function signedBytes(
  fields: readonly Uint8Array[],
  key: KeyObject,
  { identifier, hash }: SigningAlgorithm = ECDSA_SHA256,
): Uint8Array {
  const tbs = der(TAG.sequence, ...fields);
  const signature = sign(hash, tbs, key);
  return der(TAG.sequence, tbs, derAlgorithm(identifier), bitString(signature));
}

type Personal = Required<Pick<CertificateOptions, "subject" | "extensions">>;

/** What a certificate says that is a person's: a name, a mail address at example.org, usages. */
export function personal(CN: string, ...usages: readonly KeyUsage[]): Personal {
  const mail = generalName.email(`${CN}@example.org`);
  return {
    subject: { O: "Example", CN },
    extensions: [keyUsage(...usages), subjectAltNames(mail)],
  };
}

export function newKeys(): KeyPair {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

export function nameBytes(parts: NameParts, tag: number = TAG.utf8String): Uint8Array {
  const attribute = ([key, text]: [string, string]): Uint8Array =>
    der(
      TAG.set,
      der(
        TAG.sequence,
        derOid(ATTRIBUTES[key as keyof typeof ATTRIBUTES]),
        der(key === "emailAddress" || key === "DC" ? TAG.ia5String : tag, ascii(text)),
      ),
    );
  return der(TAG.sequence, ...Object.entries(parts).map(attribute));
}

// ── Extensions ──

export function extension(oid: string, value: Uint8Array, critical = false): Uint8Array {
  const flag = critical ? der(TAG.boolean, Uint8Array.of(0xff)) : new Uint8Array(0);
  return der(TAG.sequence, derOid(oid), flag, der(TAG.octetString, value));
}

export function basicConstraints(ca: boolean, pathLength?: number, critical = true): Uint8Array {
  const flag = ca ? der(TAG.boolean, Uint8Array.of(0xff)) : new Uint8Array(0);
  const length = pathLength === undefined ? new Uint8Array(0) : smallInteger(pathLength);
  return extension(EXTENSION.basicConstraints, der(TAG.sequence, flag, length), critical);
}

export function keyUsage(...usages: readonly KeyUsage[]): Uint8Array {
  return extension(
    EXTENSION.keyUsage,
    namedBits(usages.map((usage) => USAGES.indexOf(usage))),
    true,
  );
}

export function extendedKeyUsage(...purposes: readonly string[]): Uint8Array {
  return extension(EXTENSION.extendedKeyUsage, der(TAG.sequence, ...purposes.map(derOid)));
}

export function subjectAltNames(...names: readonly Uint8Array[]): Uint8Array {
  return extension(EXTENSION.subjectAltName, der(TAG.sequence, ...names));
}

export function nameConstraints(
  permitted: readonly Uint8Array[],
  excluded: readonly Uint8Array[] = [],
): Uint8Array {
  const subtrees = (tag: number, names: readonly Uint8Array[]): Uint8Array =>
    names.length === 0
      ? new Uint8Array(0)
      : der(tag, ...names.map((name) => der(TAG.sequence, name)));
  const value = der(TAG.sequence, subtrees(0xa0, permitted), subtrees(0xa1, excluded));
  return extension(EXTENSION.nameConstraints, value, true);
}

export function policies(...oids: readonly string[]): Uint8Array {
  const all = oids.map((oid) => der(TAG.sequence, derOid(oid)));
  return extension(EXTENSION.certificatePolicies, der(TAG.sequence, ...all));
}

export function policyMappings(...pairs: readonly (readonly [string, string])[]): Uint8Array {
  const all = pairs.map(([from, to]) => der(TAG.sequence, derOid(from), derOid(to)));
  return extension(EXTENSION.policyMappings, der(TAG.sequence, ...all), true);
}

export function policyConstraints(requireExplicit?: number, inhibitMapping?: number): Uint8Array {
  const field = (tag: number, value: number | undefined): Uint8Array =>
    value === undefined ? new Uint8Array(0) : der(tag, Uint8Array.of(value));
  const value = der(TAG.sequence, field(0x80, requireExplicit), field(0x81, inhibitMapping));
  return extension(EXTENSION.policyConstraints, value, true);
}

/** GeneralNames. */
export const generalName = {
  email: (text: string) => der(0x81, ascii(text)),
  dns: (text: string) => der(0x82, ascii(text)),
  uri: (text: string) => der(0x86, ascii(text)),
  ip: (...bytes: number[]) => der(0x87, Uint8Array.from(bytes)),
  directory: (parts: NameParts) => der(0xa4, nameBytes(parts)),
  registeredId: (oid: string) => der(0x88, derOid(oid).subarray(2)),
  other: (oid: string, value: Uint8Array) => der(0xa0, derOid(oid), der(0xa0, value)),
} as const;

/** RFC 5280 §4.2.1.2, method 1: SHA-1 of the key's bits, which end the SubjectPublicKeyInfo. */
export function keyIdentifier(spki: Uint8Array): Uint8Array {
  const info = new DerReader(spki, "key").sequence();
  info.skip();
  return createHash("sha1").update(info.bitString()).digest();
}

export function smallInteger(value: number): Uint8Array {
  return derUnsigned(serialBytes(value));
}

export function bitString(bytes: Uint8Array): Uint8Array {
  return der(TAG.bitString, Uint8Array.of(0), bytes);
}

/** BIT STRING of named bits in DER: without zeros at its end. */
export function namedBits(bits: readonly number[], tag: number = TAG.bitString): Uint8Array {
  if (bits.length === 0) return der(tag, Uint8Array.of(0));
  const highest = Math.max(...bits);
  const bytes = new Uint8Array((highest >> 3) + 1);
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] as number) | (0x80 >> (bit & 7));
  return der(tag, Uint8Array.of(7 - (highest & 7)), bytes);
}

export function pemOf(label: string, ...all: readonly Uint8Array[]): string {
  return all
    .map((bytes) => {
      const lines = Buffer.from(bytes)
        .toString("base64")
        .replace(/.{1,64}/g, "$&\n");
      return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
    })
    .join("");
}

/** A PKCS#7 file with certificates and CRLs, and nothing else. */
export function pkcs7(certificates: readonly Uint8Array[], crls: readonly Uint8Array[] = []) {
  const signedData = der(
    TAG.sequence,
    smallInteger(1),
    der(TAG.set),
    der(TAG.sequence, derOid("1.2.840.113549.1.7.1")),
    certificates.length === 0 ? new Uint8Array(0) : der(0xa0, ...certificates),
    crls.length === 0 ? new Uint8Array(0) : der(0xa1, ...crls),
    der(TAG.set),
  );
  return der(TAG.sequence, derOid("1.2.840.113549.1.7.2"), der(0xa0, signedData));
}

function serialBytes(value: number): Uint8Array {
  return concat(
    Uint8Array.of(
      Math.floor(value / 2 ** 24) & 0xff,
      (value >> 16) & 0xff,
      (value >> 8) & 0xff,
      value & 0xff,
    ),
  );
}

let nextSerial = 1000;

const ATTRIBUTES = {
  C: "2.5.4.6",
  O: "2.5.4.10",
  OU: "2.5.4.11",
  CN: "2.5.4.3",
  DC: "0.9.2342.19200300.100.1.25",
  emailAddress: "1.2.840.113549.1.9.1",
} as const;

const USAGES: readonly KeyUsage[] = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
];

export const AUTHORITY_EXTENSIONS: readonly Uint8Array[] = [
  basicConstraints(true),
  keyUsage("keyCertSign", "cRLSign"),
];
export const LEAF_EXTENSIONS: readonly Uint8Array[] = [keyUsage("digitalSignature")];
