/**
 * RSA-OAEP undone by a token (RFC 8017 §7.1.2), in the order of preference:
 *
 * 1. `C_UnwrapKey` with CKM_RSA_PKCS_OAEP: the key may only unwrap, and can't be abused to decrypt.
 * 2. `C_Decrypt` with CKM_RSA_PKCS_OAEP, for keys that may decrypt.
 * 3. `C_Decrypt` with CKM_RSA_X_509, raw RSA, and the padding undone on the host with any hash.
 */
import { randomBytes } from "node:crypto";
import { equal } from "../bytes.js";
import { oaepDecode, oaepEncrypt } from "../exchange/rsa-oaep.js";
import type { OaepHash, RsaPrivateKey, RsaPublicKey } from "../keys/key.js";
import type { Secret } from "../secret.js";
import { call, refusesTemplate } from "./call.js";
import { CKK, CKM, CKO, MECHANISM_FLAG } from "./constants.js";
import { oaepHashesInHardware } from "./quirks.js";
import type { Session } from "./session.js";
import { type AttributeValues, oaepMechanism, plainMechanism, template } from "./template.js";
import type { Token } from "./token.js";
import { type Way, Ways } from "./ways.js";

/** Best first: this is also the order in which hashes are proposed to senders. */
export const OAEP_HASHES = ["sha256", "sha384", "sha512", "sha1"] as const satisfies OaepHash[];

/** What the key's own attributes allow. */
export interface RsaUses {
  readonly unwrap: boolean;
  readonly decrypt: boolean;
}

/** An RSA key on a token that is logged in. */
export class TokenRsaKey implements RsaPrivateKey {
  readonly type = "rsa";
  readonly oaepHashes: readonly OaepHash[];
  readonly #token: Token;
  readonly #object: Buffer;
  readonly #publicKey: RsaPublicKey;
  readonly #uses: RsaUses;
  readonly #trace: (line: string) => void;
  readonly #ways = new Map<OaepHash, Ways>();
  /** The template that this token took last. */
  #rung = 0;

  constructor(
    token: Token,
    object: Buffer,
    publicKey: RsaPublicKey,
    uses: RsaUses,
    trace: (line: string) => void,
  ) {
    this.#token = token;
    this.#object = object;
    this.#publicKey = publicKey;
    this.#uses = uses;
    this.#trace = trace;
    const inHardware = oaepHashesInHardware(token.details);
    this.oaepHashes = OAEP_HASHES.filter(
      (hash) => this.#waysOf(hash).length > 0 && (this.#mayRaw() || inHardware.includes(hash)),
    );
  }

  async decryptOaep(ciphertext: Uint8Array, hash: OaepHash): Promise<Secret | null> {
    // Checked here, so that no return value about them needs to be understood.
    const { modulus } = this.#publicKey;
    if (ciphertext.length !== modulus.length) return null;
    if (Buffer.compare(ciphertext, modulus) >= 0) return null;
    return this.#waysFor(hash).use(ciphertext);
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
      const what = `undo RSA-OAEP with ${hash}`;
      ways = new Ways(this.#token, what, this.#waysOf(hash), this.#trace);
      this.#ways.set(hash, ways);
    }
    return ways;
  }

  #waysOf(hash: OaepHash): Way[] {
    const token = this.#token;
    const ways: Way[] = [];
    const add = (name: string, use: Way["use"]): void => {
      ways.push({ name, use, selfTest: () => this.#selfTest(use, hash) });
    };
    if (this.#uses.unwrap && token.can(CKM.RSA_PKCS_OAEP, MECHANISM_FLAG.UNWRAP)) {
      add(`C_UnwrapKey CKM_RSA_PKCS_OAEP ${hash}`, (input) => this.#unwrap(input, hash));
    }
    if (this.#uses.decrypt && token.can(CKM.RSA_PKCS_OAEP, MECHANISM_FLAG.DECRYPT)) {
      add(`C_Decrypt CKM_RSA_PKCS_OAEP ${hash}`, (input) => this.#decrypt(input, hash));
    }
    if (this.#mayRaw()) {
      add(`C_Decrypt CKM_RSA_X_509, OAEP ${hash} on the host`, (input) => this.#raw(input, hash));
    }
    return ways;
  }

  #mayRaw(): boolean {
    return this.#uses.decrypt && this.#token.can(CKM.RSA_X_509, MECHANISM_FLAG.DECRYPT);
  }

  async #selfTest(use: Way["use"], hash: OaepHash): Promise<boolean> {
    const secret = randomBytes(32);
    const found = await use(oaepEncrypt(this.#publicKey.object, secret, hash));
    return found !== null && equal(found, secret);
  }

  #unwrap(ciphertext: Uint8Array, hash: OaepHash): Promise<Uint8Array> {
    return this.#token.session("read", async (session) => {
      let refusal: unknown;
      for (let i = 0; i < UNWRAP_TEMPLATES.length; i++) {
        const rung = (this.#rung + i) % UNWRAP_TEMPLATES.length;
        try {
          const value = await this.#unwrapWith(session, ciphertext, hash, rung);
          this.#rung = rung;
          return value;
        } catch (error) {
          if (!refusesTemplate(error)) throw error;
          refusal = error;
        }
      }
      throw refusal;
    });
  }

  async #unwrapWith(
    session: Session,
    ciphertext: Uint8Array,
    hash: OaepHash,
    rung: number,
  ): Promise<Uint8Array> {
    const mechanism = oaepMechanism(hash);
    const wrapped = Buffer.from(ciphertext);
    const wanted = template(UNWRAP_TEMPLATES[rung] ?? {});
    const object = await session.module.run("C_UnwrapKey", [mechanism, wrapped, wanted], (native) =>
      native.C_UnwrapKeyAsync(session.handle, mechanism, this.#object, wrapped, wanted),
    );
    return session.take(object, this.#trace);
  }

  #decrypt(ciphertext: Uint8Array, hash: OaepHash): Promise<Uint8Array> {
    return this.#decryptWith(ciphertext, oaepMechanism(hash));
  }

  async #raw(ciphertext: Uint8Array, hash: OaepHash): Promise<Uint8Array | null> {
    const raw = await this.#decryptWith(ciphertext, plainMechanism(CKM.RSA_X_509));
    const length = this.#publicKey.modulus.length;
    if (raw.length > length) return null;
    // Some tokens return the number without its leading zeros.
    const encoded = new Uint8Array(length);
    encoded.set(raw, length - raw.length);
    const message = oaepDecode(encoded, hash);
    raw.fill(0);
    encoded.fill(0);
    return message;
  }

  #decryptWith(
    ciphertext: Uint8Array,
    mechanism: ReturnType<typeof plainMechanism>,
  ): Promise<Uint8Array> {
    return this.#token.session("read", async (session) => {
      const { native } = session.module;
      call("C_DecryptInit", () => {
        native.C_DecryptInit(session.handle, mechanism, this.#object);
      });
      const input = Buffer.from(ciphertext);
      // As long as the modulus: SoftHSM refuses less, whatever the result's length.
      const output = Buffer.alloc(this.#publicKey.modulus.length);
      try {
        const result = await session.module.run("C_Decrypt", [input, output], () =>
          native.C_DecryptAsync(session.handle, input, output),
        );
        return new Uint8Array(result);
      } finally {
        output.fill(0);
      }
    });
  }
}

/**
 * Templates for the unwrapped key, tried in order (docs/tokens.md). SoftHSM makes a key that can be read
 * only when told so; openCryptoki refuses to be told; Luna and MyEID want the length; a few tokens
 * know AES keys only. SENSITIVE and EXTRACTABLE concern the file key's copy, which leaves the token
 * in any case, and lives in a session object for a moment.
 */
const UNWRAP_TEMPLATES: readonly AttributeValues[] = [CKK.GENERIC_SECRET, CKK.AES].flatMap(
  (KEY_TYPE): AttributeValues[] => {
    const bare = { CLASS: CKO.SECRET_KEY, KEY_TYPE, TOKEN: false };
    const readable = { ...bare, SENSITIVE: false, EXTRACTABLE: true };
    return [readable, bare, { ...readable, VALUE_LEN: 32 }];
  },
);
