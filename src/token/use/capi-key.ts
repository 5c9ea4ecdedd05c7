/**
 * CryptoAPI's exchange keys on a token: PKCS#1 v1.5 and OAEP with SHA-1 undone, in the order of
 * preference:
 *
 * 1. `C_UnwrapKey`: the key may only unwrap, and can't be abused to decrypt.
 * 2. `C_Decrypt`, for keys that may decrypt.
 * 3. `C_Decrypt` with CKM_RSA_X_509, raw RSA, and the padding undone on the host.
 *
 * Whoever learns whether a block was well formed can decrypt others with such questions (Bleichenbacher
 * 1998, Manger 2001). So a way is settled with a block of our own before the token sees the sender's;
 * and C_UnwrapKey is given one of our own each time, whose key takes the place of one that did not come:
 * a good block and a bad one are as many calls, and the caller goes on with a random key.
 */
import { randomBytes } from "node:crypto";
import type { Mechanism } from "pkcs11js";
import { equal } from "../../bytes.js";
import type { CapiPrivateKey } from "../../capi/private-key.js";
import { TokenError } from "../../errors.js";
import { oaepDecode, oaepEncrypt } from "../../wrap/rsa-oaep.js";
import { pkcs1Decode, pkcs1Encrypt } from "../../wrap/rsa-pkcs1.js";
import type { RsaPublicKey, Using } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import { call, dependsOnCiphertext, refusesTemplate } from "../modules/call.js";
import { CKK, CKM, CKO, MECHANISM_FLAG } from "../modules/constants.js";
import type { Session } from "../session/session.js";
import {
  type AttributeValues,
  oaepMechanism,
  plainMechanism,
  template,
} from "../modules/template.js";
import type { Token } from "../session/token.js";

/** What the key's own attributes allow. */
export interface RsaUses {
  readonly unwrap: boolean;
  readonly decrypt: boolean;
}

/** An RSA exchange key on a token that is logged in. */
export class TokenCapiKey implements CapiPrivateKey {
  readonly publicKey: RsaPublicKey;
  readonly #token: Token;
  readonly #object: Buffer;
  readonly #trace: (line: string) => void;
  readonly #pkcs1: readonly Way[];
  readonly #oaep: readonly Way[];
  /** Ways that were tried with a block of our own: true works, false does not. */
  readonly #works = new Map<Way, boolean>();
  /** Templates worth trying. */
  #wanted = UNWRAP_TEMPLATES;

  constructor(
    token: Token,
    object: Buffer,
    publicKey: RsaPublicKey,
    uses: RsaUses,
    trace: (line: string) => void,
  ) {
    this.publicKey = publicKey;
    this.#token = token;
    this.#object = object;
    this.#trace = trace;
    this.#pkcs1 = this.#ways(PKCS1, uses);
    this.#oaep = this.#ways(OAEP_SHA1, uses);
  }

  /** @throws TokenError `ERR_MECHANISM`: no way on this token; or the token failed. */
  decryptPkcs1v15(ciphertext: Uint8Array, using?: Using): Promise<Secret | null> {
    return this.#undo(this.#pkcs1, PKCS1, ciphertext, using);
  }

  /** Throws as `decryptPkcs1v15`. */
  decryptOaepSha1(ciphertext: Uint8Array, using?: Using): Promise<Secret | null> {
    return this.#undo(this.#oaep, OAEP_SHA1, ciphertext, using);
  }

  async #undo(
    ways: readonly Way[],
    padding: Padding,
    input: Uint8Array,
    using: Using | undefined,
  ): Promise<Secret | null> {
    // Said first: it must not depend on the input.
    if (ways.length === 0) throw this.#noWay(ways, padding);
    // Public facts, checked here so that no return value about them needs to be understood.
    const { modulus } = this.publicKey;
    if (input.length !== modulus.length || Buffer.compare(input, modulus) >= 0) return null;

    for (const way of ways) {
      if (this.#works.get(way) === false) continue;
      this.#trace(`unwrap: ${way.name} on token "${this.#token.info.label}"`);
      using?.(way.name);
      try {
        await this.#requireWorking(way, padding);
        return await this.#use(way, input);
      } catch (error) {
        if (!(error instanceof WayFailed)) throw error;
        this.#trace(`unwrap: ${way.name} does not work here`);
        this.#works.set(way, false);
      }
    }
    throw this.#noWay(ways, padding);
  }

  #noWay(ways: readonly Way[], padding: Padding): TokenError {
    const tried = ways.map(({ name }) => name).join(", ");
    return new TokenError(
      "ERR_MECHANISM",
      `this key cannot undo ${padding.name} on token "${this.#token.info.label}"`,
      {
        hint:
          tried === ""
            ? "neither the key's attributes nor the token's mechanisms allow it"
            : `tried, without success: ${tried}`,
      },
    );
  }

  async #use(way: Way, input: Uint8Array): Promise<Secret | null> {
    const message = await way.use(input);
    // Asked in both cases: a token that went away answers as one that dislikes its input.
    if (this.#token.isPresent()) return message === null ? null : new Secret(message);
    message?.fill(0);
    throw new TokenError("ERR_TOKEN_REMOVED", `token "${this.#token.info.label}" is gone`, {
      hint: "insert the token and try again",
    });
  }

  /** @throws WayFailed: it does not undo a block of our own. */
  async #requireWorking(way: Way, padding: Padding): Promise<void> {
    if (way.triesItself || this.#works.has(way)) return;
    const own = new OwnBlock(padding, this.publicKey);
    const found = await way.use(own.ciphertext);
    if (found === null || !own.isMessage(found)) throw new WayFailed();
    this.#works.set(way, true);
  }

  #ways(padding: Padding, uses: RsaUses): Way[] {
    const token = this.#token;
    const { mechanism } = padding;
    const { unwrap, decrypt } = uses;
    const ways: Way[] = [];
    if (unwrap && token.can(mechanism.mechanism, MECHANISM_FLAG.UNWRAP)) {
      ways.push({
        name: `C_UnwrapKey, ${padding.name}`,
        triesItself: true,
        use: (input) => this.#unwrap(input, padding),
      });
    }
    if (decrypt && token.can(mechanism.mechanism, MECHANISM_FLAG.DECRYPT)) {
      ways.push({
        name: `C_Decrypt, ${padding.name}`,
        triesItself: false,
        use: (input) => this.#decrypt(input, mechanism),
      });
    }
    if (decrypt && token.can(CKM.RSA_X_509, MECHANISM_FLAG.DECRYPT)) {
      ways.push({
        name: `C_Decrypt CKM_RSA_X_509, ${padding.name} on the host`,
        triesItself: false,
        use: (input) => this.#raw(input, padding),
      });
    }
    return ways;
  }

  /** Two keys are unwrapped, or one and as many calls made. Both are destroyed. */
  #unwrap(ciphertext: Uint8Array, padding: Padding): Promise<Uint8Array | null> {
    return this.#token.session("read", async (session) => {
      const own = await this.#unwrapOwn(session, padding);
      try {
        const theirs = await this.#unwrapWith(session, ciphertext, padding, own.wanted);
        return session.take(theirs, this.#trace);
      } catch (error) {
        if (!dependsOnCiphertext(error)) throw error;
        // As many calls as taking their key is.
        session.bytes(own.object, "VALUE")?.fill(0);
        session.bytes(this.#object, "ID");
        return null;
      } finally {
        this.#discard(session, own.object);
      }
    });
  }

  /** A key of our own, with the first template under which the token shows its value. */
  async #unwrapOwn(session: Session, padding: Padding): Promise<OwnKey> {
    const block = new OwnBlock(padding, this.publicKey);
    for (const wanted of this.#wanted) {
      let object: Buffer;
      try {
        object = await this.#unwrapWith(session, block.ciphertext, padding, wanted);
      } catch (error) {
        if (refusesTemplate(error)) continue;
        throw dependsOnCiphertext(error) ? new WayFailed() : error;
      }
      const value = session.bytes(object, "VALUE");
      if (value !== undefined && block.isMessage(value)) {
        this.#wanted = [wanted];
        return { object, wanted };
      }
      this.#discard(session, object);
    }
    throw new WayFailed();
  }

  #unwrapWith(
    session: Session,
    ciphertext: Uint8Array,
    { mechanism }: Padding,
    values: AttributeValues,
  ): Promise<Buffer> {
    const wrapped = Buffer.from(ciphertext);
    const wanted = template(values);
    return session.module.run("C_UnwrapKey", [mechanism, wrapped, wanted], (native) =>
      native.C_UnwrapKeyAsync(session.handle, mechanism, this.#object, wrapped, wanted),
    );
  }

  #discard(session: Session, object: Buffer): void {
    try {
      session.destroy(object);
    } catch (error) {
      // It goes with the session, which ends now.
      this.#trace(`unwrap: a session object was not destroyed: ${(error as Error).message}`);
    }
  }

  async #raw(ciphertext: Uint8Array, padding: Padding): Promise<Uint8Array | null> {
    const raw = await this.#decrypt(ciphertext, plainMechanism(CKM.RSA_X_509));
    const length = this.publicKey.modulus.length;
    if (raw === null || raw.length > length) return null;
    // Some tokens return the number without its leading zeros.
    const encoded = new Uint8Array(length);
    encoded.set(raw, length - raw.length);
    const message = padding.decode(encoded);
    raw.fill(0);
    encoded.fill(0);
    return message;
  }

  #decrypt(ciphertext: Uint8Array, mechanism: Mechanism): Promise<Uint8Array | null> {
    return this.#token.session("read", async (session) => {
      const { native } = session.module;
      const input = Buffer.from(ciphertext);
      // As long as the modulus: SoftHSM refuses less, whatever the result's length.
      const output = Buffer.alloc(this.publicKey.modulus.length);
      try {
        call("C_DecryptInit", () => {
          native.C_DecryptInit(session.handle, mechanism, this.#object);
        });
        await this.#token.authenticate(session, this.#object);
        const result = await session.module.run("C_Decrypt", [input, output], (native) =>
          native.C_DecryptAsync(session.handle, input, output),
        );
        return new Uint8Array(result);
      } catch (error) {
        if (dependsOnCiphertext(error)) return null;
        throw error;
      } finally {
        output.fill(0);
      }
    });
  }
}

// ── Details ─────────────────────────────────────────────────────────────────────────────────────

/** One way to undo a padding. `null`: the ciphertext is at fault. */
interface Way {
  readonly name: string;
  /** `use` tries it with a block of our own each time, and throws WayFailed. */
  readonly triesItself: boolean;
  readonly use: (ciphertext: Uint8Array) => Promise<Uint8Array | null>;
}

/** A way does not work with a block of our own, so nothing was learned of the sender's. */
class WayFailed extends Error {}

interface OwnKey {
  readonly object: Buffer;
  /** The template that this token took. */
  readonly wanted: AttributeValues;
}

interface Padding {
  readonly name: string;
  readonly mechanism: Mechanism;
  readonly encrypt: (key: RsaPublicKey, message: Uint8Array) => Uint8Array;
  readonly decode: (em: Uint8Array) => Uint8Array | null;
}

/** A block of our own making, and what is in it. */
class OwnBlock {
  readonly ciphertext: Uint8Array;
  readonly #message = randomBytes(16);

  constructor(padding: Padding, publicKey: RsaPublicKey) {
    this.ciphertext = padding.encrypt(publicKey, this.#message);
  }

  isMessage(bytes: Uint8Array): boolean {
    return equal(bytes, this.#message);
  }
}

const PKCS1: Padding = {
  name: "PKCS#1 v1.5",
  mechanism: plainMechanism(CKM.RSA_PKCS),
  encrypt: (key, message) => pkcs1Encrypt(key.object, message),
  decode: pkcs1Decode,
};

const OAEP_SHA1: Padding = {
  name: "OAEP with SHA-1",
  mechanism: oaepMechanism("sha1"),
  encrypt: (key, message) => oaepEncrypt(key.object, message, "sha1"),
  decode: (em) => oaepDecode(em, "sha1"),
};

/**
 * Templates for the unwrapped key, tried in order. A generic secret may have any length, which the
 * blob's algorithm is held against on the host; CKK_RC4 and the like are refused by many tokens, and
 * none is needed, as the message is decrypted on the host.
 */
const UNWRAP_TEMPLATES: readonly AttributeValues[] = [CKK.GENERIC_SECRET, CKK.AES].flatMap(
  (KEY_TYPE): AttributeValues[] => {
    const bare = { CLASS: CKO.SECRET_KEY, KEY_TYPE, TOKEN: false };
    return [{ ...bare, SENSITIVE: false, EXTRACTABLE: true }, bare];
  },
);
