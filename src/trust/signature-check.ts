/**
 * Signatures over certificates, revocation lists and OCSP responses: by which key, and whether
 * algorithm and key are strong enough to be believed.
 */
import { toHex } from "../bytes.js";
import { P11SealError, PolicyError } from "../errors.js";
import type { PublicKey } from "../keys/key.js";
import { publicKeyFromFileSpki } from "../keys/public-key.js";
import { requireExchange } from "../keys/recipient-strength.js";
import { schemeVerifies, signatureScheme } from "../keys/signature-scheme.js";
import type { Certificate } from "../x509/certificate.js";
import type { SignedValue } from "../x509/signed-value.js";
import type { Effort } from "./effort.js";
import { certificateLabel, trustFault } from "./faults.js";

/** Verifies signatures within the limits of one check, each only once. */
export class SignatureChecker {
  readonly #effort: Effort;
  readonly #allowSha1: boolean;
  readonly #results = new Map<SignedValue, Map<string, PolicyError | "good">>();

  constructor(effort: Effort, options: { allowSha1?: boolean } = {}) {
    this.#effort = effort;
    this.#allowSha1 = options.allowSha1 ?? false;
  }

  /**
   * @param what - the value for a message, as in "certificate of CN=Bob".
   * @returns what is wrong with the signature of `value` as one by `issuer`'s key, if anything is.
   * @throws PolicyError `ERR_CERTIFICATE_EFFORT`.
   */
  fault(value: SignedValue, issuer: Certificate, what: string): PolicyError | undefined {
    let results = this.#results.get(value);
    if (results === undefined) {
      results = new Map<string, PolicyError | "good">();
      this.#results.set(value, results);
    }
    // Certificates of one key are many where authorities certify each other.
    const key = toHex(issuer.spki);
    let result = results.get(key);
    if (result === undefined) {
      this.#effort.signature();
      result = this.#verify(value, issuer, what) ?? "good";
      results.set(key, result);
    }
    return result === "good" ? undefined : result;
  }

  /** What is wrong with the algorithm that a value is signed with, whoever signed it. */
  algorithmFault(value: SignedValue, what: string): PolicyError | undefined {
    return faultOf(what, () => {
      const { digest } = signatureScheme(value.signatureAlgorithm);
      if (digest !== "sha1" || this.#allowSha1) return undefined;
      return trustFault(
        "ERR_CERTIFICATE_SIGNATURE",
        `${what} is signed with SHA-1, which can be forged`,
        "its issuer has to issue it anew with SHA-256; --allow-legacy accepts it",
      );
    });
  }

  #verify(value: SignedValue, issuer: Certificate, what: string): PolicyError | undefined {
    const weak = this.algorithmFault(value, what);
    if (weak !== undefined) return weak;
    return faultOf(what, () => {
      const scheme = signatureScheme(value.signatureAlgorithm);
      if (schemeVerifies(scheme, issuerKey(issuer), value.tbs, value.signature)) return undefined;
      return trustFault(
        "ERR_CERTIFICATE_SIGNATURE",
        `${what} is not signed by the key of the ${certificateLabel(issuer)}`,
      );
    });
  }
}

/** The fault that `check` finds, or one of its errors about an algorithm or a key. */
function faultOf(what: string, check: () => PolicyError | undefined): PolicyError | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    return trustFault("ERR_CERTIFICATE_SIGNATURE", `${what}: ${error.message}`, error.hint);
  }
}

const KEYS = new WeakMap<Certificate, PublicKey>();

/** The key of an authority, if it is strong enough. */
function issuerKey(issuer: Certificate): PublicKey {
  let key = KEYS.get(issuer);
  if (key === undefined) {
    key = publicKeyFromFileSpki(issuer.spki);
    if (key.type === "rsa") requireExchange(key);
    KEYS.set(issuer, key);
  }
  return key;
}
