/** The keys of the `capi` commands: the user's own, on a token or in a file, and other people's. */
import { blobKind } from "../../../capi/index.js";
import { FormatError, UnsupportedError } from "../../../errors.js";
import { requireRecipient } from "../../../keys/formats/key-file.js";
import type { Identity, RsaPublicKey } from "../../../keys/key.js";
import { naming } from "../../../keys/refusals.js";
import { requireSigner } from "../../../keys/signer-strength.js";
import type { Context } from "../../command.js";
import { identityAt } from "../../find/identity-at.js";
import { PublicKeys, type FoundKey, type KeyPurpose } from "../../find/public-keys.js";
import type { Tokens } from "../../find/tokens.js";
import { quoted } from "../../../store/system-error.js";

/** Finds keys for one command line. */
export class CapiKeys {
  readonly #tokens: Tokens;
  readonly #context: Context;
  readonly #allowWeak: boolean;
  readonly #public: PublicKeys;

  /** `allowWeak` accepts keys of others, and of the user to sign with, from 1,024 bits on. */
  constructor(tokens: Tokens, context: Context, allowWeak: boolean) {
    this.#tokens = tokens;
    this.#context = context;
    this.#allowWeak = allowWeak;
    this.#public = new PublicKeys(tokens, context);
  }

  /** The user's exchange key, `-i`. */
  exchange(text: string): Promise<Identity<RsaPublicKey>> {
    return this.#own(text, "capi-open");
  }

  /** The user's signing key, `--sign-with`. @throws PolicyError `ERR_WEAK_KEY`, `ERR_ROCA` */
  async signing(text: string): Promise<Identity<RsaPublicKey>> {
    const identity = await this.#own(text, "capi-sign");
    naming(identity.name, () => requireSigner(identity.publicKey, { allowWeak: this.#allowWeak }));
    return identity;
  }

  /**
   * Somebody's exchange key, to send session keys to.
   *
   * @throws UnsupportedError `ERR_SIGN_ONLY`, `ERR_KEY_TYPE`; PolicyError `ERR_WEAK_KEY`,
   *   `ERR_ROCA`; as `PublicKeys.find`
   */
  async recipient(text: string, option: string): Promise<RsaPublicKey> {
    const found = await this.#find(text, option, "exchange");
    const publicKey = requireRsa(found);
    naming(found.where, () => requireRecipient(found, { allowWeak: this.#allowWeak }));
    return publicKey;
  }

  /**
   * Somebody's signature key, to check signatures with.
   *
   * @throws UnsupportedError `ERR_KEY_TYPE`; PolicyError `ERR_WEAK_KEY`, `ERR_ROCA`,
   *   `ERR_SENDER_EXPIRED`; as `PublicKeys.find`
   */
  async signer(text: string, option: string): Promise<RsaPublicKey> {
    const found = await this.#find(text, option, "signature");
    const publicKey = requireRsa(found);
    const { where } = found;
    naming(where, () => requireSigner(publicKey, { allowWeak: this.#allowWeak }));
    return publicKey;
  }

  #own(text: string, purpose: "capi-open" | "capi-sign"): Promise<Identity<RsaPublicKey>> {
    return identityAt(text, purpose, this.#tokens, this.#context, (bytes) => {
      refusePrivateBlob(bytes, text);
    });
  }

  async #find(text: string, option: string, purpose: KeyPurpose): Promise<FoundKey> {
    const found = await this.#public.find(text, { purpose, option, names: {} });
    for (const warning of found.warnings) this.#context.report.note(`${found.where}: ${warning}`);
    return found;
  }
}

// ── Details ──

function requireRsa({ publicKey, where }: FoundKey): RsaPublicKey {
  if (publicKey.type === "rsa") return publicKey;
  throw new UnsupportedError("ERR_KEY_TYPE", `${where}: not an RSA key`, {
    hint: "CryptoAPI's exchange and signature keys are RSA keys; p11seal seal takes the others",
  });
}

function refusePrivateBlob(bytes: Uint8Array, path: string): void {
  if (blobKind(bytes) !== "private") return;
  throw new FormatError("ERR_PRIVATE_KEY", `${quoted(path)} is a PRIVATEKEYBLOB`, {
    hint: "make the key on the token instead, and give the peer its PUBLICKEYBLOB",
  });
}
