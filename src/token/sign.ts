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
import { CKM, MECHANISM_FLAG } from "./constants.js";
import { plainMechanism, pssMechanism } from "./template.js";
import type { Token } from "./token.js";

/** A signing key on a token that is logged in. */
export class TokenSigningKey implements SigningKey {
  readonly #token: Token;
  readonly #object: Buffer;
  readonly #publicKey: SigningPublicKey;
  readonly #trace: (line: string) => void;

  constructor(
    token: Token,
    object: Buffer,
    publicKey: SigningPublicKey,
    trace: (line: string) => void,
  ) {
    this.#token = token;
    this.#object = object;
    this.#publicKey = publicKey;
    this.#trace = trace;
  }

  /** @throws TokenError `ERR_MECHANISM` when the token can't sign so, or gives another length */
  async sign(message: Uint8Array): Promise<Uint8Array> {
    const { name } = signatureAlgorithm(this.#publicKey);
    const [number, mechanism] = this.#mechanism();
    if (!this.#token.can(number, MECHANISM_FLAG.SIGN)) {
      throw new TokenError(
        "ERR_MECHANISM",
        `token "${this.#token.info.label}" cannot sign with ${name}`,
        { hint: "another type of signing key may work on this token" },
      );
    }
    const data = Buffer.from(messageDigest(this.#publicKey, message));
    const length = signatureBytes(this.#publicKey);
    return this.#token.session("read", async (session) => {
      const output = Buffer.alloc(length);
      const { handle } = session;
      const signature = await session.module.run("C_Sign", [data, output, mechanism], (native) => {
        call("C_SignInit", () => {
          native.C_SignInit(handle, mechanism, this.#object);
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
      this.#trace(`sign: C_Sign ${name} on token "${this.#token.info.label}"`);
      return new Uint8Array(signature);
    });
  }

  #mechanism() {
    switch (this.#publicKey.type) {
      case "rsa":
        return [CKM.RSA_PKCS_PSS, pssMechanism()] as const;
      case "ec":
        return [CKM.ECDSA, plainMechanism(CKM.ECDSA)] as const;
      case "ed25519":
        return [CKM.EDDSA, plainMechanism(CKM.EDDSA)] as const;
    }
  }
}
