/** The keys of the `capi` commands: one's own, on a token or in a file, and those of others. */
import {
  blobKind,
  softwareCapiKey,
  softwareCapiSigner,
  type CapiPrivateKey,
  type CapiSigningKey,
} from "../../../capi/index.js";
import { FormatError, UnsupportedError } from "../../../errors.js";
import { requireRecipient } from "../../../keys/formats/key-file.js";
import { needsPassphrase, readPrivateKey } from "../../../keys/formats/private-file.js";
import type { RsaPublicKey } from "../../../keys/key.js";
import { requireExchange } from "../../../keys/public-key.js";
import { isPkcs11Uri } from "../../../token/uri.js";
import type { Context } from "../../command.js";
import { askPassphrase, warnIfReadable } from "../../find/identities.js";
import { naming, PublicKeys, type FoundKey, type KeyPurpose } from "../../find/public-keys.js";
import type { Tokens } from "../../find/tokens.js";
import { readSmall } from "../../io/inputs.js";
import { quoted } from "../../../store/system-error.js";

/** One's own key: looked for, and not used before `unlock`, which may ask for a PIN. */
export interface CapiOwnKey<K> {
  readonly publicKey: RsaPublicKey;
  /** A `pkcs11:` URI or a file's name. */
  readonly name: string;
  unlock(): Promise<K>;
}

/** Finds keys for one command line. */
export class CapiKeys {
  readonly #tokens: Tokens;
  readonly #context: Context;
  readonly #allowWeak: boolean;
  readonly #public: PublicKeys;

  /** `allowWeak`: others' keys from 1,024 bits, and with small exponents, are taken. */
  constructor(tokens: Tokens, context: Context, allowWeak: boolean) {
    this.#tokens = tokens;
    this.#context = context;
    this.#allowWeak = allowWeak;
    this.#public = new PublicKeys(tokens, context);
  }

  /** The own exchange key of `-i`. */
  async exchange(text: string): Promise<CapiOwnKey<CapiPrivateKey>> {
    if (!isPkcs11Uri(text)) return fromFile(text, this.#context, softwareCapiKey);
    const uri = this.#tokens.uri(text);
    const access = await this.#tokens.access();
    return access.capiKey(await this.#tokens.find(uri, () => access.findKey(uri)));
  }

  /** The own signing key of `--sign-with`. */
  async signing(text: string): Promise<CapiOwnKey<CapiSigningKey>> {
    if (!isPkcs11Uri(text)) return fromFile(text, this.#context, softwareCapiSigner);
    const uri = this.#tokens.uri(text);
    const access = await this.#tokens.access();
    return access.capiSigningKey(await this.#tokens.find(uri, () => access.findKey(uri)));
  }

  /**
   * Somebody's exchange key, to send session keys to.
   *
   * @throws UnsupportedError `ERR_SIGN_ONLY`, `ERR_KEY_TYPE`; PolicyError `ERR_WEAK_KEY`, `ERR_ROCA`; as
   *   `PublicKeys.find`
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
   * @throws UnsupportedError `ERR_KEY_TYPE`; PolicyError `ERR_WEAK_KEY`, `ERR_ROCA`, `ERR_SENDER_EXPIRED`;
   *   as `PublicKeys.find`
   */
  async signer(text: string, option: string): Promise<RsaPublicKey> {
    const found = await this.#find(text, option, "signature");
    const publicKey = requireRsa(found);
    const { where } = found;
    if (found.isBlob === true && found.signOnly !== true) {
      this.#context.report.note(
        `${where}: an exchange key; signatures are made with the other one`,
      );
    }
    // What makes a modulus too weak to encrypt to makes its signatures worthless as well.
    naming(where, () => requireExchange(publicKey, { allowWeak: this.#allowWeak }));
    return publicKey;
  }

  async #find(text: string, option: string, purpose: KeyPurpose): Promise<FoundKey> {
    const found = await this.#public.find(text, { purpose, option, names: {} });
    for (const warning of found.warnings) this.#context.report.note(`${found.where}: ${warning}`);
    return found;
  }
}

// ── Details ─────────────────────────────────────────────────────────────────────────────────────

function requireRsa({ publicKey, where }: FoundKey): RsaPublicKey {
  if (publicKey.type === "rsa") return publicKey;
  throw new UnsupportedError("ERR_KEY_TYPE", `${where}: not an RSA key`, {
    hint: "CryptoAPI's exchange and signature keys are RSA keys; p11seal seal takes the others",
  });
}

async function fromFile<K extends { readonly publicKey: RsaPublicKey }>(
  path: string,
  context: Context,
  make: (key: ReturnType<typeof readPrivateKey>["key"]) => K,
): Promise<CapiOwnKey<K>> {
  const bytes = await readSmall(path, context.io);
  try {
    if (blobKind(bytes) === "private") {
      throw new FormatError("ERR_PRIVATE_KEY", `${quoted(path)} is a PRIVATEKEYBLOB`, {
        hint: "make the key on the token instead, and give the peer its PUBLICKEYBLOB",
      });
    }
    await warnIfReadable(path, context);
    const passphrase = needsPassphrase(bytes, path)
      ? await askPassphrase(path, context)
      : undefined;
    const key = make(readPrivateKey(bytes, path, passphrase).key);
    return { publicKey: key.publicKey, name: path, unlock: () => Promise.resolve(key) };
  } finally {
    bytes.fill(0);
  }
}
