/** Whom the plugin wraps file keys to: recipients of its own kind, and the keys of identities. */
import { TokenError, UnsupportedError } from "../errors.js";
import { wrapFor } from "../envelope/age/age-wrap.js";
import { encodeStanza } from "../envelope/age/stanzas.js";
import { parseAgeRecipient } from "../keys/formats/age-keys.js";
import type { PublicKey } from "../keys/key.js";
import { Secret } from "../secret.js";
import { parsePluginIdentity } from "./plugin-identity.js";
import type { AgeRecipient, RecipientFinder } from "./recipient-v1.js";
import { KeysOfIdentity, type Tokens } from "./token-keys.js";

/**
 * Takes `age1tag1…`, for old clients that look for a plugin of the name `tag`; and identities,
 * for which no PIN is needed.
 */
export class PluginRecipients implements RecipientFinder {
  readonly #tokens: Tokens;

  constructor(tokens: Tokens) {
    this.#tokens = tokens;
  }

  recipient(text: string): AgeRecipient {
    if (text.startsWith("age1p11")) {
      throw new UnsupportedError("ERR_KEY_TYPE", "there are no recipients that begin age1p11", {
        hint: "use what p11seal keys export --format age prints: age1tag1…, age1… or ssh-rsa",
      });
    }
    return recipientFor(parseAgeRecipient(text));
  }

  async recipientOf(identity: string): Promise<AgeRecipient> {
    const parsed = parsePluginIdentity(identity);
    if (parsed.uri === undefined) {
      throw new UnsupportedError("ERR_KEY_TYPE", "an identity without data names no key", {
        hint: "give one that p11seal keys export --format age-identity made",
      });
    }
    const [key] = await new KeysOfIdentity(parsed, this.#tokens).find();
    if (key === undefined) throw new TokenError("ERR_KEY_NOT_FOUND", "the identity has no key");
    return recipientFor(key.publicKey);
  }

  close(): Promise<void> {
    return this.#tokens.close();
  }
}

function recipientFor(key: PublicKey): AgeRecipient {
  return {
    labels: key.type === "hybrid" ? ["postquantum"] : [],
    wrap: async (fileKey) => {
      const secret = new Secret(new Uint8Array(fileKey));
      try {
        return encodeStanza(await wrapFor(key, secret));
      } finally {
        secret.wipe();
      }
    },
  };
}
