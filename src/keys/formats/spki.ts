/**
 * SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), bytes ↔ values: the algorithm, the curve, and the
 * bare key inside. Knows every kind of key that p11seal supports, and the names of some that it
 * doesn't, so that a refusal can name them.
 */
import { fromHex, toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import { UnsupportedError } from "../../errors.js";
import { der, DerReader, derUnsigned, TAG } from "../../asn1/der.js";
import { oidText } from "../../asn1/oid.js";
import type { EcCurve, HybridKem, OaepHash } from "../key.js";

/** What a SubjectPublicKeyInfo holds; numbers big-endian without leading zeros. */
export type SpkiValue =
  | {
      readonly type: "rsa";
      readonly modulus: Uint8Array;
      readonly exponent: Uint8Array;
      /** Of `id-RSAES-OAEP` (RFC 4055 §4): the hash that the key is restricted to. */
      readonly oaep?: OaepHash;
    }
  | { readonly type: "ec"; readonly curve: EcCurve; readonly point: Uint8Array }
  | { readonly type: "x25519" | "ed25519"; readonly point: Uint8Array }
  /** `key` is the ML-KEM key, then the uncompressed point. */
  | { readonly type: "hybrid"; readonly kem: HybridKem; readonly key: Uint8Array };

/**
 * Parses DER. `id-RSAES-OAEP` is read as RSA with a hash. An `rsaEncryption` key without its NULL
 * parameter is accepted; compare with `encodeSpki` of the result to see whether the encoding was
 * canonical.
 *
 * @throws FormatError `ERR_DER`, `ERR_TRUNCATED`, `ERR_TRAILING`; UnsupportedError `ERR_KEY_TYPE`.
 */
export function parseSpki(spki: Uint8Array): SpkiValue {
  const file = new DerReader(spki, "public key");
  const outer = file.sequence();
  file.end();
  const parameters = outer.sequence();
  const point = outer.bitString();
  outer.end();

  const algorithm = toHex(parameters.read(TAG.oid));
  switch (algorithm) {
    case OID.rsa:
      if (parameters.peek() === TAG.null) parameters.readEmpty(TAG.null);
      parameters.end();
      return { type: "rsa", ...parsePkcs1(point) };
    case OID.rsaOaep: {
      const oaep = parameters.peek() === undefined ? undefined : readOaep(parameters.sequence());
      parameters.end();
      return { type: "rsa", ...parsePkcs1(point), ...defined({ oaep }) };
    }
    case OID.ec:
      return { type: "ec", curve: readCurve(parameters), point };
    case OID.x25519:
    case OID.ed25519:
      parameters.end();
      return { type: algorithm === OID.x25519 ? "x25519" : "ed25519", point };
    default: {
      const kem = HYBRID_KEMS.find((name) => OID[name] === algorithm);
      if (kem === undefined) throw unsupportedAlgorithm(algorithm);
      parameters.end();
      return { type: "hybrid", kem, key: point };
    }
  }
}

/**
 * The canonical encoding. RFC 3279 §2.3.1, RFC 5480 §2, RFC 8410 §4,
 * draft-ietf-lamps-pq-composite-kem §5.1.
 */
export function encodeSpki(value: SpkiValue): Uint8Array<ArrayBuffer> {
  switch (value.type) {
    case "rsa":
      return encode([oid(OID.rsa), der(TAG.null)], encodePkcs1(value));
    case "ec":
      return encode([oid(OID.ec), oid(CURVES[value.curve].oid)], value.point);
    case "x25519":
    case "ed25519":
      return encode([oid(OID[value.type])], value.point);
    case "hybrid":
      return encode([oid(OID[value.kem])], value.key);
  }
}

/** The numbers of a PKCS#1 `RSAPublicKey` (RFC 8017 §A.1.1). Throws as `parseSpki`. */
export function parsePkcs1(bytes: Uint8Array): { modulus: Uint8Array; exponent: Uint8Array } {
  const reader = new DerReader(bytes, "RSA public key");
  const numbers = reader.sequence();
  reader.end();
  const modulus = numbers.unsigned();
  const exponent = numbers.unsigned();
  numbers.end();
  return { modulus, exponent };
}

function encodePkcs1(key: { modulus: Uint8Array; exponent: Uint8Array }): Uint8Array {
  return der(TAG.sequence, derUnsigned(key.modulus), derUnsigned(key.exponent));
}

function encode(algorithm: readonly Uint8Array[], key: Uint8Array): Uint8Array<ArrayBuffer> {
  return der(
    TAG.sequence,
    der(TAG.sequence, ...algorithm),
    der(TAG.bitString, Uint8Array.of(0), key),
  );
}

function oid(hex: string): Uint8Array {
  return der(TAG.oid, fromHex(hex));
}

function readCurve(parameters: DerReader): EcCurve {
  // CVE-2020-0601 worked with explicit parameters instead of a name; RFC 5480 §2.1.1 forbids them.
  if (parameters.peek() !== TAG.oid) {
    throw new UnsupportedError("ERR_KEY_TYPE", "EC key without a named curve");
  }
  const name = toHex(parameters.read(TAG.oid));
  parameters.end();
  for (const curve of EC_CURVES) if (CURVES[curve].oid === name) return curve;
  const other = OTHER_CURVES.get(name) ?? `with OID ${dotted(name)}`;
  throw new UnsupportedError("ERR_KEY_TYPE", `EC key on an unsupported curve, ${other}`, {
    hint: "keys on P-256, P-384 and P-521 are supported",
  });
}

/**
 * RSAES-OAEP-params (RFC 4055 §4): hash, mask generation function and label, each left out where
 * it is the default: SHA-1, MGF1 with SHA-1, and none.
 */
function readOaep(parameters: DerReader): OaepHash {
  const field = (tag: number): DerReader | undefined => {
    const wrapper = parameters.optional(tag);
    const value = wrapper?.sequence();
    wrapper?.end();
    return value;
  };
  const hash = hashIn(field(0xa0));
  const mgf = field(0xa1);
  const isMgf1 = mgf === undefined || toHex(mgf.read(TAG.oid)) === MGF1;
  const mgfHash = isMgf1 ? hashIn(mgf?.sequence()) : undefined;
  if (isMgf1) mgf?.end();
  const source = field(0xa2);
  const hasLabel =
    source !== undefined &&
    (toHex(source.read(TAG.oid)) !== P_SPECIFIED || source.read(TAG.octetString).length > 0);
  if (!hasLabel) source?.end();
  parameters.end();
  if (hash === undefined || !isMgf1 || mgfHash !== hash || hasLabel) {
    throw new UnsupportedError(
      "ERR_KEY_TYPE",
      "RSAES-OAEP key with parameters that are not known",
      {
        hint: "one hash for both, SHA-1 or SHA-2 of 256 bits or more, and no label are supported",
      },
    );
  }
  return hash;
}

/** The hash of an AlgorithmIdentifier, whose parameters are NULL or absent (RFC 4055 §2.1). */
function hashIn(algorithm: DerReader | undefined): OaepHash | undefined {
  if (algorithm === undefined) return "sha1";
  const oid = toHex(algorithm.read(TAG.oid));
  if (algorithm.peek() !== undefined) algorithm.readEmpty(TAG.null);
  algorithm.end();
  return OAEP_OIDS.get(oid);
}

function unsupportedAlgorithm(algorithm: string): UnsupportedError {
  const known = OTHER_ALGORITHMS.get(algorithm);
  const message =
    known === undefined
      ? `unsupported kind of public key, OID ${dotted(algorithm)}`
      : `${known.name} keys are not supported`;
  return new UnsupportedError("ERR_KEY_TYPE", message, defined({ hint: known?.hint }));
}

/** An OID from its DER content, for a message: dotted, unless it is too long to be read. */
function dotted(hex: string): string {
  return hex.length > 64 ? `of ${hex.length / 2} bytes` : oidText(fromHex(hex));
}

/** DER contents of the algorithms' OIDs, in hexadecimal. */
const OID = {
  rsa: "2a864886f70d010101",
  rsaOaep: "2a864886f70d010107",
  ec: "2a8648ce3d0201",
  x25519: "2b656e",
  ed25519: "2b6570",
  /** id-MLKEM768-ECDH-P256-SHA3-256, 1.3.6.1.5.5.7.6.59. */
  "mlkem768-p256": "2b0601050507063b",
  /** id-MLKEM1024-ECDH-P384-SHA3-256, 1.3.6.1.5.5.7.6.63. */
  "mlkem1024-p384": "2b0601050507063f",
  /** id-MLKEM768-X25519-SHA3-256, 1.3.6.1.5.5.7.6.58: X-Wing. */
  "mlkem768-x25519": "2b0601050507063a",
} as const;

const HYBRID_KEMS = [
  "mlkem768-p256",
  "mlkem1024-p384",
  "mlkem768-x25519",
] as const satisfies readonly HybridKem[];

/** RFC 4055 §2.2, §4. */
const MGF1 = "2a864886f70d010108";
const P_SPECIFIED = "2a864886f70d010109";
const OAEP_OIDS: ReadonlyMap<string, OaepHash> = new Map([
  ["2b0e03021a", "sha1"],
  ["608648016503040201", "sha256"],
  ["608648016503040202", "sha384"],
  ["608648016503040203", "sha512"],
]);

export const EC_CURVES = ["P-256", "P-384", "P-521"] as const satisfies readonly EcCurve[];

/** Per curve: its OID's DER content, bytes of a coordinate, and the names other formats give it. */
export const CURVES: Readonly<
  Record<EcCurve, { oid: string; fieldBytes: number; openssl: string; ssh: string }>
> = {
  "P-256": {
    oid: "2a8648ce3d030107",
    fieldBytes: 32,
    openssl: "prime256v1",
    ssh: "nistp256",
  },
  "P-384": { oid: "2b81040022", fieldBytes: 48, openssl: "secp384r1", ssh: "nistp384" },
  "P-521": { oid: "2b81040023", fieldBytes: 66, openssl: "secp521r1", ssh: "nistp521" },
};

const ML_KEM_ALONE = {
  name: "ML-KEM",
  hint: "messages for them can be opened; seal to a hybrid key, as keys generate makes them",
};

/** Kinds of key that occur in practice, so that a refusal can name them. */
const OTHER_ALGORITHMS = new Map<string, { name: string; hint?: string }>([
  [
    "2a864886f70d01010a",
    {
      name: "RSA-PSS",
      hint: "a key marked for PSS alone is nobody's recipient; an ordinary RSA key signs with PSS too",
    },
  ],
  ...["01", "02", "03"].map((set) => [`6086480165030404${set}`, ML_KEM_ALONE] as const),
  ...["11", "12", "13"].map((set) => [`6086480165030403${set}`, { name: "ML-DSA" }] as const),
  ["2a8648ce380401", { name: "DSA" }],
  ["2a8648ce3e0201", { name: "Diffie-Hellman" }],
  ["2b656f", { name: "X448" }],
  ["2b6571", { name: "Ed448" }],
]);

const OTHER_CURVES = new Map([
  ["2b8104000a", "secp256k1"],
  ["2b81040021", "P-224"],
  ["2a8648ce3d030101", "P-192"],
  ["2b2403030208010107", "brainpoolP256r1"],
  ["2b240303020801010b", "brainpoolP384r1"],
  ["2b240303020801010d", "brainpoolP512r1"],
]);
