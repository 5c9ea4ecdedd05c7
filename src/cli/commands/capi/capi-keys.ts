/** The keys of the `capi` commands: one's own, on a token or in a file, and those of others. */
import { lstat } from "node:fs/promises";
import {
  blobKind,
  parsePublicKeyBlob,
  requireExchangeBlob,
  softwareCapiKey,
  softwareCapiSigner,
  type CapiPrivateKey,
  type CapiSigningKey,
} from "../../../capi/index.js";
import { readDirectory } from "../../../records/directory/directory-file.js";
import {
  findEntry,
  requireValidRecipient,
  trustedSender,
} from "../../../records/directory/directory.js";
import { isRecipientName, parseRecipient } from "../../../records/directory/recipients-file.js";
import { FormatError, PolicyError, UnsupportedError } from "../../../errors.js";
import type { PublicKey, RsaPublicKey } from "../../../keys/key.js";
import { parsePublicKey } from "../../../keys/formats/key-file.js";
import { needsPassphrase, readPrivateKey } from "../../../keys/formats/private-file.js";
import { requireExchange } from "../../../keys/public-key.js";
import { isPkcs11Uri } from "../../../token/uri.js";
import { homeFolder } from "../../find/home.js";
import { askPassphrase, warnIfReadable } from "../../find/identities.js";
import { readSmall } from "../../io/inputs.js";
import { quoted } from "../../io/system-error.js";
import { publicKeyOnToken } from "../../find/token-key.js";
import type { Tokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

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

  /** `allowWeak`: others' keys from 1,024 bits, and with small exponents, are taken. */
  constructor(tokens: Tokens, context: Context, allowWeak: boolean) {
    this.#tokens = tokens;
    this.#context = context;
    this.#allowWeak = allowWeak;
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
   * @throws UnsupportedError `ERR_SIGN_ONLY`, `ERR_KEY_TYPE`; PolicyError `ERR_WEAK_KEY`, `ERR_ROCA`
   */
  async recipient(text: string, option: string): Promise<RsaPublicKey> {
    const { publicKey, use } = await this.#find(text, option, "recipients");
    const options = { allowWeak: this.#allowWeak };
    return named(text, () => {
      if (use !== undefined) return requireExchangeBlob({ use, publicKey }, options);
      requireExchange(publicKey, options);
      return publicKey;
    });
  }

  /**
   * Somebody's signature key, to check signatures with.
   *
   * @throws UnsupportedError `ERR_KEY_TYPE`; PolicyError `ERR_WEAK_KEY`, `ERR_ROCA`, `ERR_SENDER_EXPIRED`
   */
  async signer(text: string, option: string): Promise<RsaPublicKey> {
    const { publicKey, use } = await this.#find(text, option, "senders");
    if (use === "exchange") {
      this.#context.report.note(`${text}: an exchange key; signatures are made with the other one`);
    }
    // What makes a modulus too weak to encrypt to makes its signatures worthless as well.
    named(text, () => requireExchange(publicKey, { allowWeak: this.#allowWeak }));
    return publicKey;
  }

  async #find(text: string, option: string, kind: "senders" | "recipients"): Promise<Found> {
    const { io, report } = this.#context;
    const known = isRecipientName(text) ? await knownKey(text, kind, this.#context) : undefined;
    if (known !== undefined) return { publicKey: requireRsa(known, text) };

    const given = parseRecipient(text, option);
    switch (given.kind) {
      case "key":
        return { publicKey: requireRsa(given.key.publicKey, option) };
      case "uri":
        return { publicKey: requireRsa(await publicKeyOnToken(given.uri, this.#tokens), text) };
      case "path": {
        const bytes = await readSmall(given.path, io);
        if (blobKind(bytes) !== undefined) return named(text, () => parsePublicKeyBlob(bytes));
        const file = parsePublicKey(bytes, given.path);
        for (const warning of file.warnings) report.note(`${given.path}: ${warning}`);
        return { publicKey: requireRsa(file.publicKey, given.path) };
      }
    }
  }
}

// ── Details ─────────────────────────────────────────────────────────────────────────────────────

interface Found {
  readonly publicKey: RsaPublicKey;
  /** As a PUBLICKEYBLOB says it. */
  readonly use?: "exchange" | "signature";
}

/** A name wins over a file of that name, which somebody may have put into the working folder. */
async function knownKey(
  name: string,
  kind: "senders" | "recipients",
  { io, report }: Context,
): Promise<PublicKey | undefined> {
  const entries = await readDirectory(homeFolder(io.env), kind);
  const entry = findEntry(entries, name);
  if (entry === undefined) return undefined;
  const isFile = await lstat(name).then(
    () => true,
    () => false,
  );
  if (isFile) report.note(`${name}: the one known by that name; write ./${name} for the file here`);
  const nowMs = Date.now();
  const { publicKey } = entry;
  if (kind === "recipients") requireValidRecipient(entry, nowMs);
  else trustedSender(entries, { publicKey, createdMs: nowMs }, { from: [entry.name], nowMs });
  return publicKey;
}

function requireRsa(key: PublicKey, where: string): RsaPublicKey {
  if (key.type === "rsa") return key;
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

/** The same refusal, saying which file it is about. */
function named<T>(where: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    for (const kind of [FormatError, PolicyError, UnsupportedError]) {
      if (error instanceof kind) {
        const { code, message, hint } = error;
        throw new kind(code, `${where}: ${message}`, hint === undefined ? {} : { hint });
      }
    }
    throw error;
  }
}
