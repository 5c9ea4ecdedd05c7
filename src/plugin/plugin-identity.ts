/**
 * Identities of the age plugin: `AGE-PLUGIN-P11-1…`, in Bech32. Without data, one stands for any
 * token present. The data of one for a key is the key's `pkcs11:` URI with the name of the module
 * it was seen through, which spares looking through the others. None of it is secret.
 *
 * Such a string comes from a file, so it may choose neither the code that is loaded nor where a PIN
 * is read: its module's name only chooses among the modules that are found without it.
 */
import { FormatError, PolicyError } from "../errors.js";
import { formatAgeRecipient } from "../keys/formats/age-keys.js";
import { decodeBech32, encodeBech32 } from "../keys/formats/bech32.js";
import type { PublicKey } from "../keys/key.js";
import { oneLine } from "../printable.js";
import type { KeyInfo } from "../token/values.js";
import { formatUri, parseUri, type Pkcs11Uri } from "../token/uri.js";
import { moduleNameOf } from "../token/uri-match.js";

/** Chooses `age-plugin-p11`. */
const PREFIX = "AGE-PLUGIN-P11-";

export interface PluginIdentity {
  /** Matches the key; undefined: all keys of all tokens. */
  readonly uri?: Pkcs11Uri;
  /** The module to look at first, as in RFC 7512's `module-name`. */
  readonly moduleName?: string;
}

/** The identity string of a key. */
export function formatPluginIdentity(key: Pick<KeyInfo, "uri" | "token">): string {
  const moduleName = moduleNameOf(key.token.module);
  const uri = formatUri({ ...parseUri(key.uri), moduleName });
  return encodeBech32(PREFIX, Buffer.from(uri, "latin1"));
}

/**
 * The file for `age -i`, with what senders need as a comment.
 *
 * @throws UnsupportedError `ERR_KEY_TYPE`: age can't address such a key
 */
export function formatIdentityFile(
  key: Pick<KeyInfo, "uri" | "token" | "label">,
  publicKey: PublicKey,
): string {
  return [
    `# key "${oneLine(key.label)}" on token "${oneLine(key.token.label)}"`,
    `# recipient: ${formatAgeRecipient(publicKey)}`,
    formatPluginIdentity(key),
    "",
  ].join("\n");
}

/**
 * The key that an identity string stands for.
 *
 * @throws FormatError `ERR_BECH32`, `ERR_AGE_IDENTITY`, and as `parseUri`; PolicyError
 *   `ERR_URI_IN_FILE`; UsageError as `parseUri`
 */
export function parsePluginIdentity(text: string): PluginIdentity {
  const { prefix, bytes } = decodeBech32(text);
  if (prefix !== PREFIX) {
    throw new FormatError("ERR_AGE_IDENTITY", "the identity is not one of age-plugin-p11");
  }
  if (bytes.length === 0) return {};
  // A URI is ASCII, so any other byte is refused as a character that it can't have.
  const { moduleName, ...uri } = parseUri(Buffer.from(bytes).toString("latin1"));
  if (uri.modulePath !== undefined || uri.pinSource !== undefined) {
    const name = uri.modulePath === undefined ? "pin-source" : "module-path";
    throw new PolicyError("ERR_URI_IN_FILE", `an identity may not have ${name}=`, {
      hint: "make it anew with: p11seal keys export --format age-identity",
    });
  }
  if (uri.id === undefined && uri.object === undefined) {
    throw new FormatError("ERR_AGE_IDENTITY", "the identity's URI does not name a key");
  }
  return moduleName === undefined ? { uri } : { uri, moduleName };
}
