/**
 * Diffie-Hellman done by a token: C_DeriveKey with CKM_ECDH1_DERIVE, always without a KDF of the
 * token's (OpenSC ignores the one it is told), always for the full length of the field.
 */
import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from "node:crypto";
import { equal } from "../bytes.js";
import { FormatError, type TokenError } from "../errors.js";
import { der, TAG } from "../keys/der.js";
import type { EcPrivateKey, EcPublicKey, X25519PublicKey } from "../keys/key.js";
import { publicKeyFromSpki, validatePoint } from "../keys/public-key.js";
import { CURVES } from "../keys/spki.js";
import type { Secret } from "../secret.js";
import { dependsOnCiphertext } from "./call.js";
import { CKK, CKM, CKO, MECHANISM_FLAG } from "./constants.js";
import type { Session } from "./session.js";
import { type AttributeValues, ecdhMechanism, template } from "./template.js";
import type { Token } from "./token.js";
import { Ways } from "./ways.js";

/** An EC or X25519 key on a token that is logged in. */
export class TokenEcKey implements EcPrivateKey {
  readonly type: "ec" | "x25519";
  readonly #token: Token;
  readonly #object: Buffer;
  readonly #publicKey: EcPublicKey | X25519PublicKey;
  readonly #trace: (line: string) => void;
  readonly #ways: Ways;
  /** The attempt that this token took last. */
  #attempt = 0;

  constructor(
    token: Token,
    object: Buffer,
    publicKey: EcPublicKey | X25519PublicKey,
    mayDerive: boolean,
    trace: (line: string) => void,
  ) {
    this.type = publicKey.type;
    this.#token = token;
    this.#object = object;
    this.#publicKey = publicKey;
    this.#trace = trace;
    const ways = [
      {
        name: "C_DeriveKey CKM_ECDH1_DERIVE",
        use: (peer: Uint8Array) => this.#derive(peer),
        selfTest: () => this.#selfTest(),
      },
    ];
    const isOffered = mayDerive && token.can(CKM.ECDH1_DERIVE, MECHANISM_FLAG.DERIVE);
    this.#ways = new Ways(token, "derive a shared secret", isOffered ? ways : [], trace);
  }

  async agree(peer: Uint8Array): Promise<Secret | null> {
    // The caller has checked the point; a private key on a token deserves a second look.
    try {
      validatePoint(this.#publicKey.type === "ec" ? this.#publicKey.curve : "X25519", peer);
    } catch (error) {
      if (error instanceof FormatError) return null;
      throw error;
    }
    return this.#ways.use(peer);
  }

  /** True when the token agrees with the host on a secret. */
  isProven(): Promise<boolean> {
    return this.#ways.isPossible();
  }

  /**
   * Tries the encodings of the point (bare, as OpenSC wants it, then DER) with the templates, until a
   * secret of the right length comes out. `null` when lengths were wrong throughout.
   */
  #derive(peer: Uint8Array): Promise<Uint8Array | null> {
    const attempts = this.#attempts(peer);
    return this.#token.session("read", async (session) => {
      let failure: TokenError | undefined;
      for (let i = 0; i < attempts.length; i++) {
        const at = (this.#attempt + i) % attempts.length;
        const attempt = attempts[at];
        if (attempt === undefined) continue;
        try {
          const secret = await this.#deriveWith(session, attempt.point, attempt.values);
          if (secret.length === this.#secretBytes()) {
            this.#attempt = at;
            return this.type === "x25519" && isZero(secret) ? null : secret;
          }
        } catch (error) {
          if (!dependsOnCiphertext(error)) throw error;
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
      return null;
    });
  }

  #attempts(peer: Uint8Array): { point: Uint8Array; values: AttributeValues }[] {
    const bare = { CLASS: CKO.SECRET_KEY, KEY_TYPE: CKK.GENERIC_SECRET, TOKEN: false };
    const readable = { ...bare, SENSITIVE: false, EXTRACTABLE: true };
    const templates = [{ ...readable, VALUE_LEN: this.#secretBytes() }, readable, bare];
    const points = [peer, der(TAG.octetString, peer)];
    return points.flatMap((point) => templates.map((values) => ({ point, values })));
  }

  async #deriveWith(
    session: Session,
    point: Uint8Array,
    values: AttributeValues,
  ): Promise<Uint8Array> {
    const mechanism = ecdhMechanism(point);
    const wanted = template(values);
    const object = await session.module.run("C_DeriveKey", [mechanism, wanted], (native) =>
      native.C_DeriveKeyAsync(session.handle, mechanism, this.#object, wanted),
    );
    return session.take(object, this.#trace);
  }

  async #selfTest(): Promise<boolean> {
    const { privateKey, point } = ephemeral(this.#publicKey);
    const ours = diffieHellman({ privateKey, publicKey: this.#publicKey.object });
    const theirs = await this.#derive(point);
    return theirs !== null && equal(theirs, ours);
  }

  /** Length of the shared secret: the field's. */
  #secretBytes(): number {
    return this.#publicKey.type === "ec" ? CURVES[this.#publicKey.curve].fieldBytes : 32;
  }
}

/** A fresh key pair on the same curve. */
function ephemeral(publicKey: EcPublicKey | X25519PublicKey): {
  privateKey: KeyObject;
  point: Uint8Array;
} {
  const { privateKey } =
    publicKey.type === "ec"
      ? generateKeyPairSync("ec", { namedCurve: publicKey.curve })
      : generateKeyPairSync("x25519");
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const fresh = publicKeyFromSpki(new Uint8Array(spki));
  if (fresh.type !== "ec" && fresh.type !== "x25519") throw new TypeError("not an exchange key");
  return { privateKey, point: fresh.point };
}

/** RFC 7748 §6.1: an all-zero secret means a peer of small order. */
function isZero(secret: Uint8Array): boolean {
  return secret.every((byte) => byte === 0);
}
