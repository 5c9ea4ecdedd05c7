/**
 * Signatures made by a token. C_Sign runs with CKM_ECDSA or CKM_RSA_PKCS_PSS over a digest made on
 * the host, which every signing token supports; with CKM_EDDSA over the message; or with
 * CKM_RSA_PKCS over the data to be padded (PKCS#11 v2.40 §2.1.6).
 */
import { TokenError } from "../../errors.js";
import type { PrivateKey, RsaPublicKey, SigningPublicKey } from "../../keys/key.js";
import { messageDigest, signatureAlgorithm, signatureBytes } from "../../keys/signing.js";
import type { Mechanism } from "../modules/binding.js";
import { call } from "../modules/call.js";
import { CKM } from "../modules/constants.js";
import { plainMechanism, pssMechanism } from "../modules/template.js";
import type { KeyObjectOnToken } from "./key-object.js";

/**
 * Signs messages with the key's algorithm (`signatureAlgorithm`).
 *
 * @throws TokenError `ERR_MECHANISM` when the token returns a signature of the wrong length
 */
export function messageSigner(
  key: KeyObjectOnToken<SigningPublicKey>,
): NonNullable<PrivateKey["sign"]> {
  const { publicKey } = key;
  const how = {
    name: signatureAlgorithm(publicKey).name,
    mechanism: mechanismFor(publicKey),
    length: signatureBytes(publicKey),
  };
  return (message) => signOnToken(key, messageDigest(publicKey, message), how);
}

/** Pads with PKCS#1 v1.5 and signs. Throws as `messageSigner`. */
export function pkcs1Signer(
  key: KeyObjectOnToken<RsaPublicKey>,
): NonNullable<PrivateKey["signPkcs1"]> {
  const how = {
    name: "PKCS#1 v1.5",
    mechanism: plainMechanism(CKM.RSA_PKCS),
    length: key.publicKey.modulus.length,
  };
  return (payload) => signOnToken(key, payload, how);
}

/** Runs C_Sign over `input`, which is a digest for most mechanisms. */
async function signOnToken(
  { token, object, trace }: KeyObjectOnToken,
  input: Uint8Array,
  how: {
    /** For messages. */
    readonly name: string;
    readonly mechanism: Mechanism;
    /** Of the signature, in bytes. */
    readonly length: number;
  },
): Promise<Uint8Array> {
  const { name, mechanism, length } = how;
  const data = Buffer.from(input);
  return token.session("read", async (session) => {
    const output = Buffer.alloc(length);
    const { handle } = session;
    call("C_SignInit", () => {
      session.module.native.C_SignInit(handle, mechanism, object);
    });
    await token.authenticate(session, object);
    const signature = await session.module.run("C_Sign", [data, output], (native) =>
      native.C_SignAsync(handle, data, output),
    );
    if (signature.length !== length) {
      throw new TokenError(
        "ERR_MECHANISM",
        `C_Sign: a signature of ${signature.length} bytes instead of ${length}`,
        { fn: "C_Sign" },
      );
    }
    trace(`sign: C_Sign ${name} on token "${token.info.label}"`);
    return new Uint8Array(signature);
  });
}

function mechanismFor({ type }: SigningPublicKey): Mechanism {
  switch (type) {
    case "rsa":
      return pssMechanism();
    case "ec":
      return plainMechanism(CKM.ECDSA);
    case "ed25519":
      return plainMechanism(CKM.EDDSA);
  }
}
