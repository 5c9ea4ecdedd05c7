/**
 * Signatures made by a token: C_Sign with CKM_ECDSA or CKM_RSA_PKCS_PSS over a digest made on the
 * host, which every token that signs at all can do, or CKM_EDDSA over the message; and for CryptoAPI
 * with CKM_RSA_PKCS.
 */
import type { Mechanism } from "pkcs11js";
import type { CapiSigningKey } from "../../capi/hash-signature.js";
import { TokenError } from "../../errors.js";
import type { RsaPublicKey } from "../../keys/key.js";
import {
  messageDigest,
  signatureAlgorithm,
  signatureBytes,
  type SigningKey,
  type SigningPublicKey,
} from "../../keys/signing.js";
import { call } from "../modules/call.js";
import { CKM, MECHANISM_FLAG } from "../modules/constants.js";
import { type Plan, reasonsAgainst, stepsToTry } from "./plan.js";
import type { KeyObjectOnToken } from "./rsa.js";
import { plainMechanism, pssMechanism } from "../modules/template.js";

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
    const { token, publicKey } = this.#key;
    const { name } = signatureAlgorithm(publicKey);
    if (stepsToTry(this.#plan).length === 0) {
      throw new TokenError(
        "ERR_MECHANISM",
        `token "${token.info.label}" cannot sign with ${name}: ${reasonsAgainst(this.#plan)}`,
        { hint: "another type of signing key, or a key made for signing, may work on this token" },
      );
    }
    return signOnToken(this.#key, messageDigest(publicKey, message), {
      name,
      mechanism: mechanismFor(publicKey),
      length: signatureBytes(publicKey),
    });
  }
}

/** A CryptoAPI signature key on a token that is logged in. */
export class TokenCapiSigningKey implements CapiSigningKey {
  readonly publicKey: RsaPublicKey;
  readonly #key: KeyObjectOnToken<RsaPublicKey>;

  constructor(key: KeyObjectOnToken<RsaPublicKey>) {
    this.publicKey = key.publicKey;
    this.#key = key;
  }

  /**
   * C_Sign with CKM_RSA_PKCS, which every token that signs has (PKCS#11 v2.40 §2.1.6).
   *
   * @throws TokenError `ERR_MECHANISM` when the token can't sign so, or gives another length.
   */
  signPkcs1v15(payload: Uint8Array): Promise<Uint8Array> {
    const { token } = this.#key;
    if (!token.can(CKM.RSA_PKCS, MECHANISM_FLAG.SIGN)) {
      throw new TokenError(
        "ERR_MECHANISM",
        `token "${token.info.label}" cannot sign with PKCS#1 v1.5`,
        { hint: "another type of signing key may work on this token" },
      );
    }
    return signOnToken(this.#key, payload, {
      name: "PKCS#1 v1.5",
      mechanism: plainMechanism(CKM.RSA_PKCS),
      length: this.publicKey.modulus.length,
    });
  }
}

/**
 * C_Sign over `input`, which is a digest for most mechanisms.
 *
 * @throws TokenError `ERR_MECHANISM` when the token gives another length.
 */
async function signOnToken(
  { token, object, trace }: KeyObjectOnToken<SigningPublicKey>,
  input: Uint8Array,
  how: {
    /** For messages. */
    readonly name: string;
    readonly mechanism: Mechanism;
    /** Of the signature, bytes. */
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
