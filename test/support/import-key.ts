/**
 * Puts a private key on a token, for tests only: p11seal itself makes keys on the token. Works in a
 * raw, logged-in read-write session of any module.
 */
import type { JsonWebKey, KeyObject } from "node:crypto";
import type { PKCS11 } from "pkcs11js";
import { ecParams } from "../../src/token/objects/public-half.js";
import { type AttributeValues, template } from "../../src/token/modules/template.js";

export interface ImportOptions {
  readonly label: string;
  readonly id: Uint8Array;
  /** Attributes of the private key besides its numbers, such as `UNWRAP: true`. */
  readonly privateHalf?: AttributeValues;
  /** `false` leaves the public key object out. */
  readonly publicHalf?: AttributeValues | false;
}

/** The key pair as two objects, the private one sensitive. RSA and NIST curves. */
export function importPrivateKey(
  native: PKCS11,
  session: Buffer,
  key: KeyObject,
  options: ImportOptions,
): void {
  const { privateHalf, publicHalf } = importValues(key, options);
  native.C_CreateObject(session, template(privateHalf));
  if (options.publicHalf !== false) native.C_CreateObject(session, template(publicHalf));
}

/** The attributes of both objects. */
export function importValues(
  key: KeyObject,
  { label, id, privateHalf = {}, publicHalf = {} }: ImportOptions,
): { readonly privateHalf: AttributeValues; readonly publicHalf: AttributeValues } {
  const numbers = keyNumbers(key.export({ format: "jwk" }));
  const common = { TOKEN: true, LABEL: label, ID: id };
  return {
    privateHalf: {
      CLASS: 3,
      PRIVATE: true,
      SENSITIVE: true,
      EXTRACTABLE: false,
      ...common,
      ...numbers.privateHalf,
      ...privateHalf,
    },
    publicHalf: { CLASS: 2, PRIVATE: false, ...common, ...numbers.publicHalf, ...publicHalf },
  };
}

function keyNumbers(jwk: JsonWebKey): {
  privateHalf: AttributeValues;
  publicHalf: AttributeValues;
} {
  const bytes = (name: keyof JsonWebKey): Uint8Array =>
    new Uint8Array(Buffer.from(jwk[name] as string, "base64url"));
  if (jwk.kty === "RSA") {
    const publicNumbers = { KEY_TYPE: 0, MODULUS: bytes("n"), PUBLIC_EXPONENT: bytes("e") };
    return {
      publicHalf: publicNumbers,
      privateHalf: {
        ...publicNumbers,
        PRIVATE_EXPONENT: bytes("d"),
        PRIME_1: bytes("p"),
        PRIME_2: bytes("q"),
        EXPONENT_1: bytes("dp"),
        EXPONENT_2: bytes("dq"),
        COEFFICIENT: bytes("qi"),
      },
    };
  }
  const params = ecParams(jwk.crv as "P-256" | "P-384" | "P-521");
  const point = Buffer.concat([Uint8Array.of(4), bytes("x"), bytes("y")]);
  const length = point.length < 128 ? [point.length] : [0x81, point.length];
  return {
    publicHalf: {
      KEY_TYPE: 3,
      EC_PARAMS: params,
      EC_POINT: Buffer.concat([Uint8Array.of(4, ...length), point]),
    },
    privateHalf: { KEY_TYPE: 3, EC_PARAMS: params, VALUE: bytes("d") },
  };
}
