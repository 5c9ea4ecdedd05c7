/** Whom an age file can be sealed to, and with what. */
import { PolicyError, UsageError } from "../../errors.js";
import type { ExchangePublicKey, OaepHash, Recipient } from "../../keys/key.js";
import { formatAgeRecipient } from "../../keys/formats/age-keys.js";
import { requireExchange } from "../../keys/recipient-strength.js";
import type { SealOptions } from "../seal-options.js";
import { recipientsOnce } from "../recipients-once.js";
import { MAX_STANZAS } from "./age-header.js";
import { MIN_RSA_BYTES } from "./stanzas.js";

/**
 * Each recipient's key once, in their order.
 *
 * @throws UsageError `ERR_NO_RECIPIENTS`, `ERR_FORMAT_OPTION`: an option that age has no place for;
 *   PolicyError `ERR_TOO_MANY_RECIPIENTS`, `ERR_MIXED_RECIPIENTS`, `ERR_WEAK_KEY`,
 *   `ERR_OAEP_HASH`; UnsupportedError `ERR_KEY_SIZE`, `ERR_KEY_TYPE`
 */
export function addressed(options: SealOptions): ExchangePublicKey[] {
  requireNone(options.sender, "a sender", "age files are not signed");
  requireNone(options.segLog2, "a segment size", "age's chunks have 64 KiB");
  const unique = recipientsOnce(options.recipients, MAX_STANZAS, "an age file");
  const keys = sealableKeys(unique, options.oaep);
  requireUnmixed(keys);
  return keys;
}

/**
 * The recipients' keys.
 *
 * @throws UsageError `ERR_FORMAT_OPTION`; PolicyError `ERR_WEAK_KEY`, `ERR_OAEP_HASH`;
 *   UnsupportedError `ERR_KEY_SIZE`, `ERR_KEY_TYPE`
 */
export function sealableKeys(
  recipients: readonly Recipient[],
  oaep: OaepHash | undefined,
): ExchangePublicKey[] {
  requireNone(oaep === "sha256" ? undefined : oaep, "another OAEP hash", OAEP);
  return recipients.map((recipient) => sealable(recipient, oaep !== undefined));
}

/**
 * A file is as safe from a quantum computer as its weakest recipient, so age keeps the two kinds
 * apart (C2SP, "age", §"The tagged recipient types").
 */
function requireUnmixed(keys: readonly ExchangePublicKey[]): void {
  const hybrids = keys.filter(({ type }) => type === "hybrid").length;
  if (hybrids === 0 || hybrids === keys.length) return;
  throw new PolicyError(
    "ERR_MIXED_RECIPIENTS",
    `${hybrids} of ${keys.length} recipients are post-quantum; age files don't mix them with others`,
    { hint: "seal one file to the post-quantum recipients, and another to the rest" },
  );
}

/**
 * The recipient's key. Refuses one that could not open what is sealed to it, as far as is known.
 *
 * @param insisted - the record of what its token undoes doesn't count
 */
function sealable({ publicKey, oaep }: Recipient, insisted: boolean): ExchangePublicKey {
  requireExchange(publicKey, { allowWeak: true });
  formatAgeRecipient(publicKey); // Throws where age has no form for the key.
  if (publicKey.type !== "rsa") return publicKey;
  if (publicKey.modulus.length < MIN_RSA_BYTES) {
    const least = 8 * MIN_RSA_BYTES;
    throw new PolicyError("ERR_WEAK_KEY", `RSA key has ${publicKey.bits} bits, age wants ${least}`);
  }
  if (oaep !== undefined && oaep !== "sha256" && !insisted) {
    throw new PolicyError("ERR_OAEP_HASH", `the key's token can only undo RSA-OAEP ${oaep}`, {
      hint: `${OAEP}; seal in p11seal's own format or, if the key may also decrypt, with --oaep sha256`,
    });
  }
  return publicKey;
}

const OAEP = "age uses RSA-OAEP with sha256 and a label";

function requireNone(value: unknown, what: string, why: string): void {
  if (value === undefined) return;
  throw new UsageError("ERR_FORMAT_OPTION", `${what} for an age file`, { hint: why });
}
