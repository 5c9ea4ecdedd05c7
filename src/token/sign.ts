/**
 * Signatures made by a token: C_Sign with CKM_ECDSA or CKM_RSA_PKCS_PSS over a digest made on the
 * host, which every token that signs at all can do, or CKM_EDDSA over the message.
 */
import { TokenError } from "../errors.js";
import {
  messageDigest,
  signatureAlgorithm,
  signatureBytes,
  type SigningKey,
  type SigningPublicKey,
} from "../keys/signing.js";
import { call } from "./call.js";
import { CKM } from "./constants.js";
import { type Plan, reasonsAgainst, stepsToTry } from "./plan.js";
import type { KeyObjectOnToken } from "./rsa.js";
import { plainMechanism, pssMechanism } from "./template.js";

/** A signing key on a token that is logged in. */
export class TokenSigningKey implements SigningKey {
  readonly #key: KeyObjectOnToken<SigningPublicKey>;
  readonly #plan: Plan;

  constructor(key: KeyObjectOnToken<SigningPublicKey>, plan: Plan) {
    this.#key = key;
    this.#plan = plan;
  }

  /** @throws TokenError `ERR_MECHANISM` when the token can't sign so, or gives another length */
  async sign(message: Uint8Array): Promise<Uint8Array> {
    const { token, object, publicKey, trace } = this.#key;
    const { name } = signatureAlgorithm(publicKey);
    if (stepsToTry(this.#plan).length === 0) {
      throw new TokenError(
        "ERR_MECHANISM",
        `token "${token.info.label}" cannot sign with ${name}: ${reasonsAgainst(this.#plan)}`,
        { hint: "another type of signing key, or a key made for signing, may work on this token" },
      );
    }
    const mechanism = mechanismFor(publicKey);
    const data = Buffer.from(messageDigest(publicKey, message));
    const length = signatureBytes(publicKey);
    return token.session("read", async (session) => {
      const output = Buffer.alloc(length);
      const { handle } = session;
      const signature = await session.module.run("C_Sign", [data, output, mechanism], (native) => {
        call("C_SignInit", () => {
          native.C_SignInit(handle, mechanism, object);
        });
        return native.C_SignAsync(handle, data, output);
      });
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
}

function mechanismFor({ type }: SigningPublicKey): ReturnType<typeof plainMechanism> {
  switch (type) {
    case "rsa":
      return pssMechanism();
    case "ec":
      return plainMechanism(CKM.ECDSA);
    case "ed25519":
      return plainMechanism(CKM.EDDSA);
  }
}
