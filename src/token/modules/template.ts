/**
 * The only builder of attribute templates and mechanism parameters.
 *
 * When an element of a template has the wrong type, pkcs11js frees memory that it never allocated,
 * and the process crashes. So pkcs11js gets only values that were checked here against the type
 * that PKCS#11 v2.40 §4 gives each attribute.
 */
import { bytesOfText } from "../byte-text.js";
import { defined } from "../../defined.js";
import type { OaepHash, OaepParameters } from "../../keys/key.js";
import { PSS_SALT_BYTES } from "../../keys/signing.js";
import type { Attribute, Mechanism } from "./binding.js";
import { CKD_NULL, CKG, CKM, CKZ_DATA_SPECIFIED, PARAMS } from "./constants.js";

/** Values for attributes, by name without `CKA_`. Bytes are copied; order is kept. */
export type AttributeValues = {
  readonly [Name in AttributeName]?: KindValue[(typeof ATTRIBUTES)[Name]["kind"]] | undefined;
};

export type AttributeName = keyof typeof ATTRIBUTES;

interface KindValue {
  readonly bool: boolean;
  /** CK_ULONG; pkcs11js carries 32 bits of it. */
  readonly ulong: number;
  /** UTF-8. */
  readonly text: string;
  readonly bytes: Uint8Array;
}

/**
 * A template. Attributes that are `undefined` are left out.
 *
 * @throws TypeError when a name is unknown or a value is not of the attribute's type: a programming
 *   error, never caused by input.
 */
export function template(values: AttributeValues): Attribute[] {
  const attributes: Attribute[] = [];
  for (const [name, value] of Object.entries(values) as [string, unknown][]) {
    if (value === undefined) continue;
    const { type, kind } = attributeRow(name);
    attributes.push({ type, value: nativeValue(name, kind, value) });
  }
  return attributes;
}

/** The number of an attribute. @throws TypeError for an unknown name. */
export function attributeType(name: AttributeName): number {
  return attributeRow(name).type;
}

/** An attribute's name, as in `CKA_LABEL`; `CKA_0x…` for one that is not in the table. */
export function attributeName(type: number): string {
  const known = Object.entries(ATTRIBUTES).find(([, row]) => row.type === type);
  return `CKA_${known?.[0] ?? `0x${type.toString(16).toUpperCase().padStart(8, "0")}`}`;
}

/**
 * RSA-OAEP (PKCS#11 v2.40 §2.1.8). The label is copied.
 *
 * @throws TypeError when a hash is not in the table or the label is not bytes
 */
export function oaepMechanism({ hash, mgfHash = hash, label }: OaepParameters): Mechanism {
  const { hashAlg } = oaepRow(hash);
  const { mgf } = oaepRow(mgfHash);
  if (label !== undefined && !(label instanceof Uint8Array))
    throw wrongType("OAEP's label", "bytes");
  // An empty label means no source data. `source` must be 1 all the same: SoftHSM and NSS reject 0.
  const sourceData = label === undefined || label.length === 0 ? undefined : Buffer.from(label);
  return {
    mechanism: CKM.RSA_PKCS_OAEP,
    parameter: {
      type: PARAMS.RSA_OAEP,
      ...{ hashAlg, mgf, source: CKZ_DATA_SPECIFIED },
      ...defined({ sourceData }),
    },
  };
}

function oaepRow(hash: OaepHash): { hashAlg: number; mgf: number } {
  const row = Object.hasOwn(OAEP, hash) ? OAEP[hash] : undefined;
  if (row === undefined) throw new TypeError("OAEP hash is not in the table");
  return row;
}

/** Diffie-Hellman on an elliptic curve without a KDF (PKCS#11 v2.40 §2.3.8); `peer` is copied. */
export function ecdhMechanism(peer: Uint8Array): Mechanism {
  if (!(peer instanceof Uint8Array) || peer.length === 0 || peer.length > 1024) {
    throw new TypeError("peer's public point is not a byte array of 1 to 1024 bytes");
  }
  return {
    mechanism: CKM.ECDH1_DERIVE,
    parameter: { type: PARAMS.EC_DH, kdf: CKD_NULL, publicData: Buffer.from(peer) },
  };
}

/** RSASSA-PSS over a SHA-256 digest, MGF1 over the same hash (PKCS#11 v2.40 §2.1.10). */
export function pssMechanism(): Mechanism {
  return {
    mechanism: CKM.RSA_PKCS_PSS,
    parameter: {
      type: PARAMS.RSA_PSS,
      hashAlg: CKM.SHA256,
      mgf: CKG.MGF1_SHA256,
      saltLen: PSS_SALT_BYTES,
    },
  };
}

/** A mechanism without parameters. */
export function plainMechanism(mechanism: number): Mechanism {
  requireUlong("mechanism", mechanism);
  return { mechanism };
}

function attributeRow(name: string): { type: number; kind: keyof KindValue } {
  if (!Object.hasOwn(ATTRIBUTES, name))
    throw new TypeError(`attribute ${name} is not in the table`);
  return ATTRIBUTES[name as AttributeName];
}

function nativeValue(
  name: string,
  kind: keyof KindValue,
  value: unknown,
): boolean | number | Buffer {
  switch (kind) {
    case "bool":
      if (typeof value !== "boolean") throw wrongType(name, "a boolean");
      return value;
    case "ulong":
      return requireUlong(name, value);
    case "text":
      if (typeof value !== "string") throw wrongType(name, "text");
      return bytesOfText(value);
    case "bytes":
      if (!(value instanceof Uint8Array)) throw wrongType(name, "bytes");
      return Buffer.from(value);
  }
}

function requireUlong(name: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw wrongType(name, "a number of 32 bits");
  }
  return value;
}

function wrongType(name: string, wanted: string): TypeError {
  return new TypeError(`${name} is not ${wanted}`);
}

const OAEP: Readonly<Record<OaepHash, { hashAlg: number; mgf: number }>> = {
  sha1: { hashAlg: CKM.SHA_1, mgf: CKG.MGF1_SHA1 },
  sha256: { hashAlg: CKM.SHA256, mgf: CKG.MGF1_SHA256 },
  sha384: { hashAlg: CKM.SHA384, mgf: CKG.MGF1_SHA384 },
  sha512: { hashAlg: CKM.SHA512, mgf: CKG.MGF1_SHA512 },
};

/** PKCS#11 v2.40 §4.4–4.10: number and type of every attribute used here. */
const ATTRIBUTES = {
  CLASS: { type: 0x000, kind: "ulong" },
  TOKEN: { type: 0x001, kind: "bool" },
  PRIVATE: { type: 0x002, kind: "bool" },
  LABEL: { type: 0x003, kind: "text" },
  VALUE: { type: 0x011, kind: "bytes" },
  CERTIFICATE_TYPE: { type: 0x080, kind: "ulong" },
  ISSUER: { type: 0x081, kind: "bytes" },
  SERIAL_NUMBER: { type: 0x082, kind: "bytes" },
  CERTIFICATE_CATEGORY: { type: 0x087, kind: "ulong" },
  KEY_TYPE: { type: 0x100, kind: "ulong" },
  SUBJECT: { type: 0x101, kind: "bytes" },
  ID: { type: 0x102, kind: "bytes" },
  SENSITIVE: { type: 0x103, kind: "bool" },
  ENCRYPT: { type: 0x104, kind: "bool" },
  DECRYPT: { type: 0x105, kind: "bool" },
  WRAP: { type: 0x106, kind: "bool" },
  UNWRAP: { type: 0x107, kind: "bool" },
  SIGN: { type: 0x108, kind: "bool" },
  SIGN_RECOVER: { type: 0x109, kind: "bool" },
  VERIFY: { type: 0x10a, kind: "bool" },
  VERIFY_RECOVER: { type: 0x10b, kind: "bool" },
  DERIVE: { type: 0x10c, kind: "bool" },
  MODULUS: { type: 0x120, kind: "bytes" },
  MODULUS_BITS: { type: 0x121, kind: "ulong" },
  PUBLIC_EXPONENT: { type: 0x122, kind: "bytes" },
  PRIVATE_EXPONENT: { type: 0x123, kind: "bytes" },
  PRIME_1: { type: 0x124, kind: "bytes" },
  PRIME_2: { type: 0x125, kind: "bytes" },
  EXPONENT_1: { type: 0x126, kind: "bytes" },
  EXPONENT_2: { type: 0x127, kind: "bytes" },
  COEFFICIENT: { type: 0x128, kind: "bytes" },
  VALUE_LEN: { type: 0x161, kind: "ulong" },
  EXTRACTABLE: { type: 0x162, kind: "bool" },
  LOCAL: { type: 0x163, kind: "bool" },
  NEVER_EXTRACTABLE: { type: 0x164, kind: "bool" },
  ALWAYS_SENSITIVE: { type: 0x165, kind: "bool" },
  MODIFIABLE: { type: 0x170, kind: "bool" },
  COPYABLE: { type: 0x171, kind: "bool" },
  DESTROYABLE: { type: 0x172, kind: "bool" },
  EC_PARAMS: { type: 0x180, kind: "bytes" },
  PUBLIC_KEY_INFO: { type: 0x129, kind: "bytes" },
  EC_POINT: { type: 0x181, kind: "bytes" },
  ALWAYS_AUTHENTICATE: { type: 0x202, kind: "bool" },
} as const satisfies Record<string, { type: number; kind: keyof KindValue }>;
