/**
 * The two paddings of RSA encryption. Each knows how a token undoes it, how the host undoes it, and
 * how to make a block to try the token with.
 */
import type { OaepParameters, RsaPublicKey } from "../../keys/key.js";
import { oaepDecode, oaepEncrypt } from "../../wrap/rsa-oaep.js";
import { pkcs1Decode, pkcs1Encrypt } from "../../wrap/rsa-pkcs1.js";
import type { Mechanism } from "../modules/binding.js";
import { CKM } from "../modules/constants.js";
import { oaepMechanism, plainMechanism } from "../modules/template.js";

export interface RsaPadding {
  readonly mechanism: Mechanism;
  readonly encrypt: (key: RsaPublicKey, message: Uint8Array) => Uint8Array;
  /** Takes an encoded message as long as the modulus and returns the message. */
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
