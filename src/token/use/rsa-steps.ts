/**
 * Carries out the steps of a plan for RSA decryption: the token unwraps, or it decrypts, or it does
 * raw RSA and the host undoes the padding.
 */
import { randomBytes } from "node:crypto";
import { equal } from "../../bytes.js";
import { defined } from "../../defined.js";
import type { RsaPublicKey } from "../../keys/key.js";
import type { Mechanism } from "../modules/binding.js";
import { call, dependsOnCiphertext, refusesTemplate } from "../modules/call.js";
import { CKM } from "../modules/constants.js";
import { type AttributeValues, plainMechanism, template } from "../modules/template.js";
import type { Session } from "../session/session.js";
import type { KeyObjectOnToken } from "./key-object.js";
import { type PlanStep, unlistedIn } from "./plan.js";
import type { RsaPadding } from "./rsa-padding.js";
import { namesLength, secretTemplate, type TemplateName } from "./secret-template.js";
import { type Way, WayFailed } from "./ways.js";

export class RsaSteps {
  readonly #key: KeyObjectOnToken<RsaPublicKey>;
  /**
   * The template that the token is known to accept; until one is refused, the plan's first is used.
   */
  #template: TemplateName | undefined;
  /** The same among the templates that give no length. */
  #lengthless: TemplateName | undefined;

  constructor(key: KeyObjectOnToken<RsaPublicKey>) {
    this.#key = key;
  }

  /** Makes a step into a way to undo `padding` around a secret of `keyBytes` bytes. */
  way(step: PlanStep, padding: RsaPadding, keyBytes: number): Way {
    const { way: name, fn } = step;
    const use: Way["use"] =
      fn === "C_UnwrapKey"
        ? (input) => this.#unwrap(input, padding, step, keyBytes)
        : step.padding === "host"
          ? (input) => this.#raw(input, padding)
          : (input) => this.#decrypt(input, padding.mechanism);
    const selfTest = async (): Promise<boolean> => {
      const own = new OwnBlock(padding, this.#key.publicKey, keyBytes);
      const found = await use(own.ciphertext);
      return found !== null && own.isMessage(found);
    };
    return {
      ...{ name, use, selfTest },
      ...defined({
        unlisted: unlistedIn(step),
        useEvenly:
          fn === "C_UnwrapKey"
            ? (input: Uint8Array) => this.#unwrapEvenly(input, padding, step)
            : undefined,
      }),
    };
  }

  // ── C_UnwrapKey ──

  /**
   * Unwraps with the template that is known to work. It is first found with a block of our own,
   * because a sender's block must not decide: NSS refuses a secret of more than 256 bytes under all
   * templates but the one with a length, and cuts it to that length.
   */
  async #unwrap(
    ciphertext: Uint8Array,
    padding: RsaPadding,
    { templates = [] }: PlanStep,
    keyBytes: number,
  ): Promise<Uint8Array> {
    const unwrapAs = (name: TemplateName | undefined, wrapped: Uint8Array): Promise<Uint8Array> => {
      if (name === undefined) throw new TypeError("a step that unwraps has no templates");
      return this.#key.token.session("read", async (session) => {
        const object = await this.#unwrapIn(
          session,
          wrapped,
          padding,
          secretTemplate(name, keyBytes),
        );
        return session.take(object, this.#key.trace);
      });
    };
    try {
      return await unwrapAs(this.#template ?? templates[0], ciphertext);
    } catch (error) {
      if (this.#template !== undefined || !refusesTemplate(error)) throw error;
      const own = new OwnBlock(padding, this.#key.publicKey, keyBytes);
      for (const name of templates) {
        try {
          if (!own.isMessage(await unwrapAs(name, own.ciphertext))) continue;
        } catch (refusal) {
          if (!refusesTemplate(refusal)) throw refusal;
          continue;
        }
        this.#template = name;
        return unwrapAs(name, ciphertext);
      }
      throw error;
    }
  }

  /**
   * Also unwraps a block of our own, whose key stands in when the sender's block yields none. So
   * the number of calls is the same whether two keys were unwrapped or one. Both are destroyed.
   *
   * @throws WayFailed when the token does not unwrap even our own block
   */
  #unwrapEvenly(
    ciphertext: Uint8Array,
    padding: RsaPadding,
    step: PlanStep,
  ): Promise<Uint8Array | null> {
    const { token, object, trace } = this.#key;
    return token.session("read", async (session) => {
      const own = await this.#unwrapOwn(session, padding, step);
      try {
        const theirs = await this.#unwrapIn(session, ciphertext, padding, own.wanted);
        return session.take(theirs, trace);
      } catch (error) {
        if (!dependsOnCiphertext(error)) throw error;
        // The same number of calls as it takes to read the sender's key.
        session.bytes(own.object, "VALUE")?.fill(0);
        session.bytes(object, "ID");
        return null;
      } finally {
        this.#discard(session, own.object);
      }
    });
  }

  /**
   * Unwraps a key of our own with the first template under which the token reveals its value.
   * Templates with a length are skipped, since the sender's key may have another length.
   */
  async #unwrapOwn(
    session: Session,
    padding: RsaPadding,
    { templates = [] }: PlanStep,
  ): Promise<OwnKey> {
    const block = new OwnBlock(padding, this.#key.publicKey, EVEN_BYTES);
    const wanted =
      this.#lengthless === undefined
        ? templates.filter((name) => !namesLength(name))
        : [this.#lengthless];
    for (const name of wanted) {
      const values = secretTemplate(name, EVEN_BYTES);
      let object: Buffer;
      try {
        object = await this.#unwrapIn(session, block.ciphertext, padding, values);
      } catch (error) {
        if (refusesTemplate(error)) continue;
        throw dependsOnCiphertext(error) ? new WayFailed() : error;
      }
      const value = session.bytes(object, "VALUE");
      if (value !== undefined && block.isMessage(value)) {
        this.#lengthless = name;
        return { object, wanted: values };
      }
      this.#discard(session, object);
    }
    throw new WayFailed();
  }

  #unwrapIn(
    session: Session,
    ciphertext: Uint8Array,
    { mechanism }: RsaPadding,
    values: AttributeValues,
  ): Promise<Buffer> {
    const wrapped = Buffer.from(ciphertext);
    const wanted = template(values);
    return session.module.run("C_UnwrapKey", [mechanism, wrapped, wanted], (native) =>
      native.C_UnwrapKeyAsync(session.handle, mechanism, this.#key.object, wrapped, wanted),
    );
  }

  #discard(session: Session, object: Buffer): void {
    try {
      session.destroy(object);
    } catch (error) {
      // The object goes with the session, which ends now.
      this.#key.trace(`unwrap: a session object was not destroyed: ${(error as Error).message}`);
    }
  }

  // ── C_Decrypt ──

  async #raw(ciphertext: Uint8Array, padding: RsaPadding): Promise<Uint8Array | null> {
    const raw = await this.#decrypt(ciphertext, plainMechanism(CKM.RSA_X_509));
    const { length } = this.#key.publicKey.modulus;
    if (raw.length > length) return null;
    // Some tokens return the number without leading zeros.
    const encoded = new Uint8Array(length);
    encoded.set(raw, length - raw.length);
    const message = padding.decode(encoded);
    raw.fill(0);
    encoded.fill(0);
    return message;
  }

  #decrypt(ciphertext: Uint8Array, mechanism: Mechanism): Promise<Uint8Array> {
    const { token, object, publicKey } = this.#key;
    return token.session("read", async (session) => {
      const { native } = session.module;
      call("C_DecryptInit", () => {
        native.C_DecryptInit(session.handle, mechanism, object);
      });
      await token.authenticate(session, object);
      const input = Buffer.from(ciphertext);
      // As long as the modulus: SoftHSM refuses a shorter buffer, whatever the length of the
      // result.
      const output = Buffer.alloc(publicKey.modulus.length);
      try {
        const result = await session.module.run("C_Decrypt", [mechanism, input, output], (native) =>
          native.C_DecryptAsync(session.handle, input, output),
        );
        return new Uint8Array(result);
      } finally {
        output.fill(0);
      }
    });
  }
}

/** A key that the token unwrapped from a block of our own. */
interface OwnKey {
  readonly object: Buffer;
  /** The template that the token accepted. */
  readonly wanted: AttributeValues;
}

/** A block of our own and its content. */
class OwnBlock {
  readonly ciphertext: Uint8Array;
  readonly #message: Uint8Array;

  constructor(padding: RsaPadding, publicKey: RsaPublicKey, bytes: number) {
    this.#message = randomBytes(bytes);
    this.ciphertext = padding.encrypt(publicKey, this.#message);
  }

  isMessage(bytes: Uint8Array): boolean {
    return equal(bytes, this.#message);
  }
}

/**
 * Length of our own key when the sender's is unknown, in bytes: an AES-128 key, which any token
 * accepts.
 */
export const EVEN_BYTES = 16;
