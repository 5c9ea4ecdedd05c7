/**
 * Keys and certificates for a new test token, made on it through its own module. Unlike the keys of
 * `p11seal keys generate` they may do all that their kind can, since tests of other programs need
 * it.
 */
import { createHash, randomBytes } from "node:crypto";
import { concat } from "../bytes.js";
import { der, derUnsigned, TAG } from "../asn1/der.js";
import { UsageError } from "../errors.js";
import type { EcCurve, SinglePublicKey } from "../keys/key.js";
import { publicKeyFromEcPoint, publicKeyFromRsa, publicKeyFromSpki } from "../keys/public-key.js";
import type { Cryptoki } from "../token/modules/binding.js";
import { CKC_X_509, CKM, CKO } from "../token/modules/constants.js";
import {
  attributeType,
  type AttributeValues,
  plainMechanism,
  template,
} from "../token/modules/template.js";
import { CURVE25519_PARAMS, ecParams, pointOf } from "../token/objects/public-half.js";

/** A kind of key. X25519 keys are SoftHSM's own kind (docs/tokens.md). */
export type TestKeyType =
  `rsa:${number}` | "ec:p256" | "ec:p384" | "ec:p521" | "ed25519" | "x25519";

/** A key with what it may do. */
export interface TestKeyOptions {
  readonly type: TestKeyType;
  /** By default all that the kind can: RSA signs, decrypts and unwraps, EC signs and derives. */
  readonly uses?: readonly TestKeyUse[];
}

export type TestKeyUse = "sign" | "decrypt" | "unwrap" | "derive";

/** A new key pair. */
export interface MadeKey {
  /** CKA_ID, in hexadecimal. */
  readonly id: string;
  readonly spkiPem: string;
  /** PEM, if it has one. */
  readonly certificate?: string;
}

/**
 * Makes a key pair, and a self-signed certificate if asked for. The session is read-write and
 * logged in.
 *
 * @throws UsageError for a kind of key that there is not, or that signs no certificate
 */
export function makeKey(
  native: Cryptoki,
  session: Buffer,
  label: string,
  { type, uses = usesOf(type) }: TestKeyOptions,
  hasCertificate: boolean,
): MadeKey {
  const id = randomBytes(8);
  const common = { TOKEN: true, LABEL: label, ID: id };
  const may = (use: TestKeyUse): boolean => uses.includes(use);
  const { generator, numbers } = kindOf(type);
  const pair = native.C_GenerateKeyPair(
    session,
    plainMechanism(generator),
    template({
      ...{ ...common, PRIVATE: false, ...numbers },
      ...{
        VERIFY: may("sign"),
        ENCRYPT: may("decrypt"),
        WRAP: may("unwrap"),
        DERIVE: may("derive"),
      },
    }),
    template({
      ...{ ...common, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, SIGN_RECOVER: false },
      ...{ SIGN: may("sign"), DECRYPT: may("decrypt") },
      ...{ UNWRAP: may("unwrap"), DERIVE: may("derive") },
    }),
  );
  const { object, spki } = publicKeyOf(native, session, pair.publicKey, type);
  const spkiPem = object.export({ type: "spki", format: "pem" }).toString();
  const made = { id: id.toString("hex"), spkiPem };
  if (!hasCertificate) return made;
  const sign = (data: Uint8Array): Uint8Array =>
    signedBy(native, session, pair.privateKey, type, data);
  const certificate = selfSigned(label, spki, signatureAlgorithm(type), sign);
  native.C_CreateObject(
    session,
    template({
      ...{ CLASS: CKO.CERTIFICATE, CERTIFICATE_TYPE: CKC_X_509, PRIVATE: false, ...common },
      ...{ SUBJECT: certificate.name, ISSUER: certificate.name },
      ...{ SERIAL_NUMBER: certificate.serial, VALUE: certificate.value },
    }),
  );
  return { ...made, certificate: pem("CERTIFICATE", certificate.value) };
}

function usesOf(type: TestKeyType): TestKeyUse[] {
  if (type === "x25519") return ["derive"];
  if (type === "ed25519") return ["sign"];
  return type.startsWith("rsa:") ? ["sign", "decrypt", "unwrap"] : ["sign", "derive"];
}

/** The mechanism that makes such keys, and the numbers that it needs. */
function kindOf(type: TestKeyType): { generator: number; numbers: AttributeValues } {
  const bits = Number(/^rsa:([0-9]{3,5})$/.exec(type)?.[1] ?? 0);
  if (bits >= 512 && bits <= 16_384) {
    return {
      generator: CKM.RSA_PKCS_KEY_PAIR_GEN,
      numbers: { MODULUS_BITS: bits, PUBLIC_EXPONENT: Uint8Array.of(1, 0, 1) },
    };
  }
  const curve = CURVES.get(type);
  if (curve !== undefined) {
    return { generator: CKM.EC_KEY_PAIR_GEN, numbers: { EC_PARAMS: ecParams(curve) } };
  }
  if (type === "ed25519" || type === "x25519") {
    const params = CURVE25519_PARAMS[type];
    return { generator: CKM.EC_EDWARDS_KEY_PAIR_GEN, numbers: { EC_PARAMS: params[1] } };
  }
  throw new UsageError("ERR_TEST_KEY", `there is no kind of key "${type}"`, {
    hint: `the kinds: rsa:BITS, ${[...CURVES.keys()].join(", ")}, ed25519, x25519`,
  });
}

const CURVES: ReadonlyMap<string, EcCurve> = new Map([
  ["ec:p256", "P-256"],
  ["ec:p384", "P-384"],
  ["ec:p521", "P-521"],
]);

const COORDINATE_BYTES: Readonly<Record<EcCurve, number>> = {
  "P-256": 32,
  "P-384": 48,
  "P-521": 66,
};

function publicKeyOf(
  native: Cryptoki,
  session: Buffer,
  object: Buffer,
  type: TestKeyType,
): SinglePublicKey {
  const read = (name: "MODULUS" | "EC_POINT"): Uint8Array => {
    const [found] = native.C_GetAttributeValue(session, object, [{ type: attributeType(name) }]);
    return new Uint8Array(found?.value as Buffer);
  };
  if (type.startsWith("rsa:")) return publicKeyFromRsa(read("MODULUS"), Uint8Array.of(1, 0, 1));
  const curve = CURVES.get(type);
  const bytes = curve === undefined ? 32 : 1 + 2 * COORDINATE_BYTES[curve];
  const point = pointOf(read("EC_POINT"), bytes);
  if (point === undefined) throw new TypeError("SoftHSM's point has another length");
  if (curve !== undefined) return publicKeyFromEcPoint(curve, point);
  const algorithm = der(TAG.sequence, CURVE25519_PARAMS[type as "ed25519" | "x25519"][0]);
  const bits = der(TAG.bitString, Uint8Array.of(0), point);
  return publicKeyFromSpki(der(TAG.sequence, algorithm, bits)) as SinglePublicKey;
}

// ── A self-signed certificate (RFC 5280 §4.1) ──

interface SelfSigned {
  readonly value: Uint8Array;
  /** DER, as PKCS#11 has them. */
  readonly name: Uint8Array;
  readonly serial: Uint8Array;
}

function selfSigned(
  commonName: string,
  spki: Uint8Array,
  algorithm: Uint8Array,
  sign: (data: Uint8Array) => Uint8Array,
): SelfSigned {
  const text = der(TAG.utf8String, new TextEncoder().encode(commonName));
  const attribute = der(TAG.sequence, der(TAG.oid, Uint8Array.of(0x55, 0x04, 0x03)), text);
  const name = der(TAG.sequence, der(TAG.set, attribute));
  const serial = derUnsigned(concat(Uint8Array.of(1), randomBytes(15)));
  const info = der(
    TAG.sequence,
    der(0xa0, der(TAG.integer, Uint8Array.of(2))),
    ...[serial, algorithm, name, VALIDITY, name, spki],
  );
  const signature = der(TAG.bitString, Uint8Array.of(0), sign(info));
  return { value: der(TAG.sequence, info, algorithm, signature), name, serial };
}

/** From 2020 to the end of 2049: a token from the cache must not expire. */
const VALIDITY = der(
  TAG.sequence,
  ...["200101000000Z", "491231235959Z"].map((time) =>
    der(TAG.utcTime, Buffer.from(time, "latin1")),
  ),
);

/** RFC 4055 §5, RFC 5758 §3.2, RFC 8410 §3. */
function signatureAlgorithm(type: TestKeyType): Uint8Array {
  const hex = type.startsWith("rsa:")
    ? "300d06092a864886f70d01010b0500"
    : type.startsWith("ec:")
      ? "300a06082a8648ce3d040302"
      : "300506032b6570";
  return Buffer.from(hex, "hex");
}

function signedBy(
  native: Cryptoki,
  session: Buffer,
  key: Buffer,
  type: TestKeyType,
  data: Uint8Array,
): Uint8Array {
  const mechanism = type.startsWith("rsa:")
    ? SHA256_RSA_PKCS
    : type === "ed25519"
      ? CKM.EDDSA
      : CKM.ECDSA;
  const digest = createHash("sha256").update(data).digest();
  native.C_SignInit(session, plainMechanism(mechanism), key);
  const input = mechanism === CKM.ECDSA ? digest : Buffer.from(data);
  const signature = native.C_Sign(session, input, Buffer.alloc(2048));
  if (mechanism !== CKM.ECDSA) return signature;
  const half = signature.length / 2;
  const parts = [signature.subarray(0, half), signature.subarray(half)];
  return der(TAG.sequence, ...parts.map(derUnsigned));
}

const SHA256_RSA_PKCS = 0x40;

function pem(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes).toString("base64").replace(/.{64}/g, "$&\n").trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
