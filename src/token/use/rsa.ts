/**
 * RSA-OAEP undone by a token (RFC 8017 §7.1.2), by the steps of its plan: the token unwraps, or it
 * decrypts, or it does raw RSA and the padding is undone on the host with any hash.
 */
import { randomBytes } from "node:crypto";
import { equal } from "../../bytes.js";
import { oaepDecode, oaepEncrypt } from "../../wrap/rsa-oaep.js";
import type { OaepHash, RsaPrivateKey, RsaPublicKey, Using } from "../../keys/key.js";
import type { Secret } from "../../secret.js";
import { call, refusesTemplate } from "../modules/call.js";
import { CKM } from "../modules/constants.js";
import {
  OAEP_HASHES,
  type Plan,
  type PlanStep,
  secretTemplate,
  stepsToTry,
  type TemplateName,
} from "./plan.js";
import type { Session } from "../session/session.js";
import { oaepMechanism, plainMechanism, template } from "../modules/template.js";
import type { Token } from "../session/token.js";
import { type Way, Ways } from "./ways.js";

/** A private key object on a token that is logged in. */
export interface KeyObjectOnToken<PublicHalf> {
  readonly token: Token;
  /** CK_OBJECT_HANDLE. */
  readonly object: Buffer;
  readonly publicKey: PublicHalf;
  readonly trace: (line: string) => void;
}

/** An RSA key on a token that is logged in. */
export class TokenRsaKey implements RsaPrivateKey {
  readonly type = "rsa";
  readonly oaepHashes: readonly OaepHash[];
  readonly #key: KeyObjectOnToken<RsaPublicKey>;
  readonly #plan: Plan;
  readonly #ways = new Map<OaepHash, Ways>();
  /** The template that the token is known to take; until one is refused, the plan's first will do. */
  #template: TemplateName | undefined;

  constructor(key: KeyObjectOnToken<RsaPublicKey>, plan: Plan) {
    this.#key = key;
    this.#plan = plan;
    this.oaepHashes = plan.oaep ?? [];
  }

  async decryptOaep(ciphertext: Uint8Array, hash: OaepHash, using?: Using): Promise<Secret | null> {
    // Checked here, so that no return value about them needs to be understood.
    const { modulus } = this.#key.publicKey;
    if (ciphertext.length !== modulus.length) return null;
    if (Buffer.compare(ciphertext, modulus) >= 0) return null;
    return this.#waysFor(hash).use(ciphertext, using);
  }

  /** The hashes that a ciphertext of our own comes back with, best first. */
  async provenHashes(): Promise<OaepHash[]> {
    const proven: OaepHash[] = [];
    for (const hash of OAEP_HASHES) {
      if (await this.#waysFor(hash).isPossible()) proven.push(hash);
    }
    return proven;
  }

  #waysFor(hash: OaepHash): Ways {
    let ways = this.#ways.get(hash);
    if (ways === undefined) {
      const { token, trace } = this.#key;
      const tried = stepsToTry(this.#plan, hash).map((step) => this.#wayOf(step, hash));
      ways = new Ways(token, `undo RSA-OAEP with ${hash}`, tried, trace);
      this.#ways.set(hash, ways);
    }
    return ways;
  }

  #wayOf(step: PlanStep, hash: OaepHash): Way {
    const use = (input: Uint8Array): Promise<Uint8Array | null> =>
      step.fn === "C_UnwrapKey"
        ? this.#unwrap(input, hash, step)
        : step.padding === "host"
          ? this.#raw(input, hash)
          : this.#decrypt(input, oaepMechanism(hash));
    return { name: step.way, use, selfTest: () => this.#selfTest(use, hash) };
  }

  async #selfTest(use: Way["use"], hash: OaepHash): Promise<boolean> {
    const secret = randomBytes(SECRET_BYTES);
    const found = await use(oaepEncrypt(this.#key.publicKey.object, secret, hash));
    return found !== null && equal(found, secret);
  }

  /**
   * Unwraps with the template that is known to do. None is known at first: then the one that does is
   * found with a ciphertext of our own. What a sender sent must not choose it: NSS refuses a secret of
   * more than 256 bytes under all templates but the one with a length, and cuts it to that length.
   */
  async #unwrap(ciphertext: Uint8Array, hash: OaepHash, step: PlanStep): Promise<Uint8Array> {
    const [first] = step.templates ?? [];
    try {
      return await this.#unwrapAs(this.#template ?? first, ciphertext, hash);
    } catch (error) {
      if (this.#template !== undefined || !refusesTemplate(error)) throw error;
      this.#template = await this.#fittingTemplate(hash, step, error);
      return this.#unwrapAs(this.#template, ciphertext, hash);
    }
  }

  /** The first template under which the token gives back a secret of ours. Throws `refusal` without. */
  async #fittingTemplate(
    hash: OaepHash,
    { templates = [] }: PlanStep,
    refusal: unknown,
  ): Promise<TemplateName> {
    const secret = randomBytes(SECRET_BYTES);
    const ours = oaepEncrypt(this.#key.publicKey.object, secret, hash);
    for (const name of templates) {
      try {
        if (equal(await this.#unwrapAs(name, ours, hash), secret)) return name;
      } catch (error) {
        if (!refusesTemplate(error)) throw error;
      }
    }
    throw refusal;
  }

  #unwrapAs(
    name: TemplateName | undefined,
    ciphertext: Uint8Array,
    hash: OaepHash,
  ): Promise<Uint8Array> {
    if (name === undefined) throw new TypeError("a step that unwraps has no templates");
    return this.#key.token.session("read", (session) =>
      this.#unwrapWith(session, ciphertext, hash, template(secretTemplate(name, SECRET_BYTES))),
    );
  }

  async #unwrapWith(
    session: Session,
    ciphertext: Uint8Array,
    hash: OaepHash,
    wanted: ReturnType<typeof template>,
  ): Promise<Uint8Array> {
    const mechanism = oaepMechanism(hash);
    const wrapped = Buffer.from(ciphertext);
    const { object: key, trace } = this.#key;
    const object = await session.module.run("C_UnwrapKey", [mechanism, wrapped, wanted], (native) =>
      native.C_UnwrapKeyAsync(session.handle, mechanism, key, wrapped, wanted),
    );
    return session.take(object, trace);
  }

  async #raw(ciphertext: Uint8Array, hash: OaepHash): Promise<Uint8Array | null> {
    const raw = await this.#decrypt(ciphertext, plainMechanism(CKM.RSA_X_509));
    const length = this.#key.publicKey.modulus.length;
    if (raw.length > length) return null;
    // Some tokens return the number without its leading zeros.
    const encoded = new Uint8Array(length);
    encoded.set(raw, length - raw.length);
    const message = oaepDecode(encoded, hash);
    raw.fill(0);
    encoded.fill(0);
    return message;
  }

  #decrypt(
    ciphertext: Uint8Array,
    mechanism: ReturnType<typeof plainMechanism>,
  ): Promise<Uint8Array> {
    const { token, object, publicKey } = this.#key;
    return token.session("read", async (session) => {
      const { native } = session.module;
      call("C_DecryptInit", () => {
        native.C_DecryptInit(session.handle, mechanism, object);
      });
      await token.authenticate(session, object);
      const input = Buffer.from(ciphertext);
      // As long as the modulus: SoftHSM refuses less, whatever the result's length.
      const output = Buffer.alloc(publicKey.modulus.length);
      try {
        const result = await session.module.run("C_Decrypt", [input, output], (native) =>
          native.C_DecryptAsync(session.handle, input, output),
        );
        return new Uint8Array(result);
      } finally {
        output.fill(0);
      }
    });
  }
}

/** What is unwrapped is a file key (docs/format.md), and so is what a self-test wraps. */
const SECRET_BYTES = 32;
