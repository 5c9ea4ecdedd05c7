/**
 * The two paddings of RSA encryption, each as what it takes to have a token undo it, to undo it on
 * the host, and to make a block of one's own to try the token with.
 */
import type { Mechanism } from "pkcs11js";
import type { OaepParameters, RsaPublicKey } from "../../keys/key.js";
import { oaepDecode, oaepEncrypt } from "../../wrap/rsa-oaep.js";
import { pkcs1Decode, pkcs1Encrypt } from "../../wrap/rsa-pkcs1.js";
import { CKM } from "../modules/constants.js";
import { oaepMechanism, plainMechanism } from "../modules/template.js";

export interface RsaPadding {
  readonly mechanism: Mechanism;
  readonly encrypt: (key: RsaPublicKey, message: Uint8Array) => Uint8Array;
  /** An encoded message as long as the modulus → the message. */
  readonly decode: (em: Uint8Array) => Uint8Array | null;
}

export function oaepPadding(parameters: OaepParameters): RsaPadding {
  return {
    mechanism: oaepMechanism(parameters),
    encrypt: (key, message) => oaepEncrypt(key.object, message, parameters),
    decode: (em) => oaepDecode(em, parameters),
  };
}

export const PKCS1_PADDING: RsaPadding = {
  mechanism: plainMechanism(CKM.RSA_PKCS),
  encrypt: (key, message) => pkcs1Encrypt(key.object, message),
  decode: pkcs1Decode,
};
