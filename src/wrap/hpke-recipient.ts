/** A public key as the `hpke` package passes it around: it never looks inside. */
import type { Key } from "hpke";
import type { EcPublicKey, HybridPublicKey, X25519PublicKey } from "../keys/key.js";

/** Whom HPKE seals to. */
export type HpkeRecipient = EcPublicKey | X25519PublicKey | HybridPublicKey;

class RecipientKey implements Key {
  readonly algorithm = { name: "ECDH" };
  readonly extractable = true;
  readonly type = "public";
  readonly recipient: HpkeRecipient;

  constructor(recipient: HpkeRecipient) {
    this.recipient = recipient;
  }
}

/** The package's view of a recipient. */
export function recipientKey(recipient: HpkeRecipient): Key {
  return new RecipientKey(recipient);
}

/** The recipient that the package was given. */
export function recipientOf<T extends HpkeRecipient["type"]>(
  key: Key,
  ...types: readonly T[]
): Extract<HpkeRecipient, { type: T }> {
  if (key instanceof RecipientKey && (types as readonly string[]).includes(key.recipient.type)) {
    return key.recipient as Extract<HpkeRecipient, { type: T }>;
  }
  throw new TypeError("a key that is not one of ours");
}
