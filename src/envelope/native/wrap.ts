/**
 * The file key in a stanza for each recipient, and a message's stanzas as the opener takes them.
 */
import { ascii, concat } from "../../bytes.js";
import { PolicyError, UnsupportedError } from "../../errors.js";
import type { ExchangePublicKey, OaepHash, KnownPublicKey, Recipient } from "../../keys/key.js";
import { HYBRID_PARTS } from "../../keys/public-key.js";
import { requireExchange } from "../../keys/recipient-strength.js";
import type { Secret } from "../../secret.js";
import { hpkeSeal, kemOf } from "../../wrap/hpke.js";
import type { WrappedKey, WrappedKeys } from "../../wrap/opener.js";
import { oaepEncrypt } from "../../wrap/rsa-oaep.js";
import { recipientsOnce } from "../recipients-once.js";
import { MAX_RECIPIENTS } from "./core.js";
import { FILE_KEY_BYTES, hasStanzaType, MIN_RSA_BYTES, stanzaTag, type Stanza } from "./recips.js";

/**
 * Each recipient once, in their order.
 *
 * @throws UsageError `ERR_NO_RECIPIENTS`; PolicyError `ERR_TOO_MANY_RECIPIENTS`, `ERR_WEAK_KEY`;
 * UnsupportedError `ERR_KEY_SIZE`, `ERR_KEY_TYPE`
 */
export function uniqueRecipients(recipients: readonly Recipient[]): Recipient[] {
  const unique = recipientsOnce(recipients, MAX_RECIPIENTS, "a message");
  for (const { publicKey } of unique) requireSealable(publicKey);
  return unique;
}

/**
 * Refuses a key that no stanza can be made for. What else is wrong with a key is policy, and the
 * caller's (`requireExchange`); but a message that nobody can read must not be written.
 */
function requireSealable(key: ExchangePublicKey): void {
  requireExchange(key, { allowWeak: true });
  if (key.type === "hybrid" && !hasStanzaType(key.kem)) {
    const name = HYBRID_PARTS[key.kem].name;
    throw new UnsupportedError("ERR_KEY_TYPE", `messages have no stanza for ${name} keys`, {
      hint: "such keys receive age files: --format age",
    });
  }
  if (key.type === "rsa" && key.modulus.length < MIN_RSA_BYTES) {
    const least = 8 * MIN_RSA_BYTES;
    throw new PolicyError("ERR_WEAK_KEY", `RSA key has ${key.bits} bits, a message wants ${least}`);
  }
}

/**
 * Stanzas for all recipients, in their order.
 *
 * @param oaep - OAEP hash for RSA recipients, over what is recorded with their keys
 */
export async function wrapFileKey(
  fileKey: Secret,
  messageId: Uint8Array,
  recipients: readonly Recipient[],
  oaep: OaepHash | undefined,
): Promise<Stanza[]> {
  const wraps = recipients.map(({ publicKey, oaep: recorded }) =>
    wrapFor(publicKey, fileKey.expose(), messageId, oaep ?? recorded),
  );
  return (await Promise.all(wraps)).flat();
}

async function wrapFor(
  key: ExchangePublicKey,
  fileKey: Uint8Array,
  messageId: Uint8Array,
  oaep: OaepHash | undefined,
): Promise<Stanza[]> {
  const tag = stanzaTag(messageId, key);
  if (key.type === "rsa") {
    // Nobody has said what the holder's token can unwrap: some know only SHA-1 (SoftHSM up to
    // 2.7.0), some policies forbid it. With one stanza for each the message opens anywhere.
    const hashes: readonly OaepHash[] = oaep === undefined ? ["sha256", "sha1"] : [oaep];
    return hashes.map((hash) => ({
      type: "rsa-oaep",
      tag,
      hash,
      ciphertext: oaepEncrypt(key.object, fileKey, { hash }),
    }));
  }
  const wrapped = await hpkeSeal(key, fileKey, hpkeInfo(messageId), key.fingerprint);
  return [{ type: "hpke", tag, kem: kemOf(key), ...wrapped }];
}

/** What the opener is told of a message's stanzas. */
export function wrappedKeys(
  messageId: Uint8Array,
  stanzas: readonly Stanza[],
  admit: (key: KnownPublicKey) => void,
): WrappedKeys {
  return {
    for: (key) =>
      key.type === "ed25519" || key.type === "ml-kem"
        ? []
        : stanzasFor(key, messageId, stanzas).map((stanza) => wrappedBy(stanza, key, messageId)),
    keyBytes: FILE_KEY_BYTES,
    admit,
  };
}

type KnownStanza = Exclude<Stanza, { type: "unknown" }>;

/** The stanzas made for `key`: its tag, and a type that a key of its kind can undo. */
export function stanzasFor(
  key: ExchangePublicKey,
  messageId: Uint8Array,
  stanzas: readonly Stanza[],
): KnownStanza[] {
  const tag = stanzaTag(messageId, key).join();
  return stanzas.filter((stanza): stanza is KnownStanza => {
    if (stanza.tag.join() !== tag) return false;
    if (stanza.type === "rsa-oaep") {
      return key.type === "rsa" && stanza.ciphertext.length === key.modulus.length;
    }
    if (stanza.type === "unknown") return false;
    return key.type !== "rsa" && stanza.kem === kemOf(key);
  });
}

function wrappedBy(stanza: KnownStanza, key: ExchangePublicKey, messageId: Uint8Array): WrappedKey {
  const { ciphertext } = stanza;
  if (stanza.type === "rsa-oaep") {
    return { type: "rsa-oaep", parameters: { hash: stanza.hash }, ciphertext };
  }
  const { kem, enc } = stanza;
  const [info, aad] = [hpkeInfo(messageId), key.fingerprint];
  return { type: "hpke", kem, enc, ciphertext, info, aad };
}

function hpkeInfo(messageId: Uint8Array): Uint8Array {
  return concat(ascii("p11seal/v1 hpke"), messageId);
}
