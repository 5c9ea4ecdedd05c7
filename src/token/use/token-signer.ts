/**
 * Signatures made by a token. C_Sign runs with CKM_ECDSA or CKM_RSA_PKCS_PSS over a digest made on
 * the host, which every signing token supports; with CKM_EDDSA over the message; or with
 * CKM_RSA_PKCS over the data to be padded (PKCS#11 v2.40 §2.1.6).
 */
import { TokenError } from "../../errors.js";
import type { PrivateKey, RsaPublicKey, SigningPublicKey } from "../../keys/key.js";
import { messageDigest, signatureAlgorithm, signatureBytes } from "../../keys/signing.js";
import type { Mechanism } from "../modules/binding.js";
import { call, dependsOnCiphertext, origin } from "../modules/call.js";
import { CKM } from "../modules/constants.js";
import { plainMechanism, pssMechanism } from "../modules/template.js";
import type { KeyObjectOnToken } from "./key-object.js";
import type { PlanStep } from "./plan.js";

/**
 * Signs messages with the key's algorithm (`signatureAlgorithm`).
 *
 * @param step - the plan's
 * @throws TokenError `ERR_MECHANISM` when the token returns a signature of the wrong length, or
 *   does not list the mechanism and does not have it either
 */
export function messageSigner(
  key: KeyObjectOnToken<SigningPublicKey>,
  step: PlanStep,
): NonNullable<PrivateKey["sign"]> {
  const { publicKey } = key;
  const how = {
    name: signatureAlgorithm(publicKey).name,
    mechanism: mechanismFor(publicKey),
    length: signatureBytes(publicKey),
    step,
  };
  return (message) => signOnToken(key, messageDigest(publicKey, message), how);
}

/** Pads with PKCS#1 v1.5 and signs. Throws as `messageSigner`. */
export function pkcs1Signer(
  key: KeyObjectOnToken<RsaPublicKey>,
  step: PlanStep,
): NonNullable<PrivateKey["signPkcs1"]> {
  const how = {
    name: "PKCS#1 v1.5",
    mechanism: plainMechanism(CKM.RSA_PKCS),
    length: key.publicKey.modulus.length,
    step,
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
    readonly step: PlanStep;
  },
): Promise<Uint8Array> {
  const { name, mechanism, length, step } = how;
  const data = Buffer.from(input);
  const signed = token.session("read", async (session) => {
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
  try {
    return await signed;
  } catch (error) {
    throw step.unlisted === true ? notThere(error, step, token.info.label) : error;
  }
}

/** A mechanism that was tried although the token does not list it. */
function notThere(error: unknown, { reason, way }: PlanStep, label: string): unknown {
  if (!dependsOnCiphertext(error)) return error;
  return new TokenError("ERR_MECHANISM", `token "${label}" cannot sign with this key: ${reason}`, {
    hint: `tried all the same, without success: ${way} (${error.message})`,
    ...origin(error),
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
