/**
 * Diffie-Hellman on a token: C_DeriveKey with CKM_ECDH1_DERIVE, always without the token's own KDF
 * (OpenSC ignores the one it is given), and always for the full length of the field. The plan says
 * how to encode the peer's point: first raw, as OpenSC expects it, then in DER.
 */
import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from "node:crypto";
import { equal } from "../../bytes.js";
import { defined } from "../../defined.js";
import { FormatError, type TokenError } from "../../errors.js";
import { der, TAG } from "../../asn1/der.js";
import type { EcPublicKey, UseOptions, X25519PublicKey } from "../../keys/key.js";
import { publicKeyFromSpki, validatePoint } from "../../keys/public-key.js";
import { CURVES } from "../../keys/formats/spki.js";
import type { Secret } from "../../secret.js";
import { dependsOnCiphertext, refusesTemplate } from "../modules/call.js";
import type { KeyObjectOnToken } from "./key-object.js";
import { type Plan, type PlanStep, stepsToTry, unlistedIn } from "./plan.js";
import { secretTemplate } from "./secret-template.js";
import type { Session } from "../session/session.js";
import { type AttributeValues, ecdhMechanism, template } from "../modules/template.js";
import { type Way, Ways } from "./ways.js";

/** An EC or X25519 key on a token that is logged in. */
export class TokenEcKey {
  readonly #key: KeyObjectOnToken<EcPublicKey | X25519PublicKey>;
  readonly #ways: Ways;
  /** Index of the template that this token accepted last. */
  #rung = 0;

  constructor(key: KeyObjectOnToken<EcPublicKey | X25519PublicKey>, plan: Plan) {
    this.#key = key;
    const ways = stepsToTry(plan).map((step): Way => {
      const use = (peer: Uint8Array): Promise<Uint8Array | null> => this.#derive(peer, step);
      const unlisted = unlistedIn(step);
      return { name: step.way, use, selfTest: () => this.#selfTest(use), ...defined({ unlisted }) };
    });
    this.#ways = new Ways(key.token, "derive a shared secret", ways, key.trace);
  }

  async agree(peer: Uint8Array, { using }: UseOptions = {}): Promise<Secret | null> {
    // The caller has checked the point; a private key on a token deserves a second check.
    const { publicKey } = this.#key;
    try {
      validatePoint(publicKey.type === "ec" ? publicKey.curve : "X25519", peer);
    } catch (error) {
      if (error instanceof FormatError) return null;
      throw error;
    }
    return this.#ways.use(peer, using);
  }

  /** True when the token and the host derive the same secret. */
  isProven(): Promise<boolean> {
    return this.#ways.isPossible();
  }

  /**
   * Tries the templates until one yields a secret of the right length; `null` when none does.
   */
  #derive(
    peer: Uint8Array,
    { point, templates = [], unlisted }: PlanStep,
  ): Promise<Uint8Array | null> {
    const encoded = point === "der" ? der(TAG.octetString, peer) : peer;
    return this.#key.token.session("read", async (session) => {
      let failure: TokenError | undefined;
      for (let i = 0; i < templates.length; i++) {
        const rung = (this.#rung + i) % templates.length;
        const name = templates[rung];
        if (name === undefined) continue;
        try {
          const values = secretTemplate(name, this.#secretBytes());
          const secret = await this.#deriveWith(session, encoded, values);
          if (secret.length === this.#secretBytes()) {
            this.#rung = rung;
            return this.#key.publicKey.type === "x25519" && isZero(secret) ? null : secret;
          }
        } catch (error) {
          if (!dependsOnCiphertext(error)) throw error;
          // No template makes up for a mechanism that is not there.
          if (unlisted === true && !refusesTemplate(error)) throw error;
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
      return null;
    });
  }

  async #deriveWith(
    session: Session,
    point: Uint8Array,
    values: AttributeValues,
  ): Promise<Uint8Array> {
    const mechanism = ecdhMechanism(point);
    const wanted = template(values);
    const { object: key, trace } = this.#key;
    const object = await session.module.run("C_DeriveKey", [mechanism, wanted], (native) =>
      native.C_DeriveKeyAsync(session.handle, mechanism, key, wanted),
    );
    return session.take(object, trace);
  }

  async #selfTest(use: Way["use"]): Promise<boolean> {
    const { publicKey } = this.#key;
    const { privateKey, point } = ephemeral(publicKey);
    const ours = diffieHellman({ privateKey, publicKey: publicKey.object });
    const theirs = await use(point);
    return theirs !== null && equal(theirs, ours);
  }

  /** Length of the shared secret, in bytes: that of the field. */
  #secretBytes(): number {
    const { publicKey } = this.#key;
    return publicKey.type === "ec" ? CURVES[publicKey.curve].fieldBytes : 32;
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
