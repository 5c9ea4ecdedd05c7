/**
 * Which keys a message may be sealed to: what is wrong with a key although it is one. Signing keys
 * are judged in `signer-strength.ts`.
 */
import { createPrivateKey, diffieHellman, type KeyObject } from "node:crypto";
import { concat, fromHex, toHex } from "../bytes.js";
import { PolicyError, UnsupportedError } from "../errors.js";
import type { ExchangePublicKey, PublicKey, RsaPublicKey, X25519PublicKey } from "./key.js";
import { bitLength, rsaNumbers } from "./public-key.js";
import { isRoca } from "./roca.js";

/**
 * The key, if a message may be sealed to it.
 *
 * RSA keys need 2,048 to 8,192 bits (SP 800-131A; more slows every opening and gains nothing), an
 * exponent of at least 65,537 (FIPS 186-5 §A.1.1: OAEP survives e = 3, but current standards
 * require more), no small factor, and not to be made by ROCA's generator. `allowWeak` accepts RSA
 * from 1,024 bits, small exponents and ROCA's keys, to open what was once sealed to such a key.
 *
 * @throws PolicyError `ERR_WEAK_KEY`, `ERR_ROCA`.
 * @throws UnsupportedError `ERR_SIGN_ONLY`, `ERR_KEY_SIZE`.
 */
export function requireExchange(
  publicKey: PublicKey,
  options: { allowWeak?: boolean } = {},
): ExchangePublicKey {
  switch (publicKey.type) {
    case "rsa":
      requireSoundRsa(publicKey, options.allowWeak ?? false);
      return publicKey;
    case "ec":
      return publicKey;
    case "hybrid":
      // OpenSSL agrees on nothing with a point of small order: nobody could seal to the key.
      requireExchange(publicKey.dh);
      return publicKey;
    case "x25519":
      if (isSmallOrder(publicKey)) {
        throw new PolicyError(
          "ERR_WEAK_KEY",
          "X25519 key has small order: anyone knows the agreed secret",
        );
      }
      return publicKey;
    case "ed25519":
      throw new UnsupportedError("ERR_SIGN_ONLY", "Ed25519 key can only sign, not receive", {
        hint: "ask the recipient for an RSA, P-256, P-384, P-521 or X25519 key",
      });
  }
}

// ── Details ──

function requireSoundRsa(publicKey: RsaPublicKey, allowWeak: boolean): void {
  const { bits } = publicKey;
  if (bits > POLICY_MAX_BITS) {
    throw new UnsupportedError(
      "ERR_KEY_SIZE",
      `RSA key has ${bits} bits, policy allows at most ${POLICY_MAX_BITS}`,
    );
  }
  const { modulus, exponent } = rsaNumbers(publicKey);
  const factor = smallFactor(modulus);
  if (factor !== undefined) {
    throw new PolicyError("ERR_WEAK_KEY", `RSA modulus is divisible by ${factor}`, {
      hint: "the key is damaged or forged; get it again and compare its fingerprint",
    });
  }
  const minimum = allowWeak ? WEAK_MIN_BITS : POLICY_MIN_BITS;
  if (bits < minimum) {
    throw new PolicyError("ERR_WEAK_KEY", `RSA key has ${bits} bits, policy requires ${minimum}`);
  }
  if (allowWeak) return;
  if (bitLength(exponent) < 17) {
    throw new PolicyError(
      "ERR_WEAK_KEY",
      `RSA public exponent is 0x${toHex(exponent)}, policy requires 0x010001 or more`,
    );
  }
  if (isRoca(modulus)) {
    throw new PolicyError("ERR_ROCA", "RSA key can be factored: it has ROCA's fingerprint", {
      hint: "the token that made it has the fault CVE-2017-15361; its owner needs another key",
    });
  }
}

/** SP 800-89 §5.3.3 d: a modulus has no factor below 752. A damaged one usually does. */
function smallFactor(modulus: Uint8Array): number | undefined {
  // One long division by the product of all primes, then short ones.
  const { all, product } = smallPrimes();
  const rest = BigInt(`0x${toHex(modulus)}`) % product;
  const found = all.find((prime) => rest % prime === 0n);
  return found === undefined ? undefined : Number(found);
}

/** RFC 7748 §6.1: a point of small order gives an all-zero secret with every private key. */
function isSmallOrder(publicKey: X25519PublicKey): boolean {
  try {
    const shared = diffieHellman({ privateKey: anyX25519(), publicKey: publicKey.object });
    return shared.every((byte) => byte === 0);
  } catch {
    return true;
  }
}

const POLICY_MIN_BITS = 2048;
const POLICY_MAX_BITS = 8192;
const WEAK_MIN_BITS = 1024;

/** Made when first needed: most commands never look at an RSA key, and starting is what costs. */
function smallPrimes(): { readonly all: readonly bigint[]; readonly product: bigint } {
  if (primes === undefined) {
    const all = Array.from({ length: 750 }, (_, index) => index + 2)
      .filter((candidate) => {
        for (let divisor = 2; divisor * divisor <= candidate; divisor++) {
          if (candidate % divisor === 0) return false;
        }
        return true;
      })
      .map(BigInt);
    primes = { all, product: all.reduce((product, prime) => product * prime, 1n) };
  }
  return primes;
}
let primes: ReturnType<typeof smallPrimes> | undefined;

/**
 * Any scalar will do, and need not be secret: clamping makes each a multiple of the small orders.
 * Made when first needed, and once, because that takes longer than the agreement.
 */
function anyX25519(): KeyObject {
  return (anyScalar ??= createPrivateKey({
    key: Buffer.from(
      concat(fromHex("302e020100300506032b656e04220420"), new Uint8Array(32).fill(1)),
    ),
    format: "der",
    type: "pkcs8",
  }));
}
let anyScalar: KeyObject | undefined;
