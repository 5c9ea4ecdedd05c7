/**
 * Whether a certificate is believed: a path of signatures from it to an authority that the user
 * trusts, every rule of RFC 5280 on the way, the use that is asked for, and revocation.
 *
 * Nothing is fetched and no clock is read. All that is needed is given, and what a check may cost
 * is bounded (`effort.ts`).
 */
import { PolicyError } from "../errors.js";
import type { Certificate } from "../x509/certificate.js";
import type { Crl } from "../x509/crl.js";
import type { OcspResponse } from "../x509/ocsp-response.js";
import { requireUse, type CertificateUse } from "./certificate-usage.js";
import { Effort } from "./effort.js";
import { CertificatePool, pathsOf, type PathSearch } from "./path-building.js";
import { validatePath, type PathDemands } from "./path-validation.js";
import { requireUnrevoked, type KnownStatus, type RevocationSources } from "./revocation.js";
import { SignatureChecker } from "./signature-check.js";

export interface TrustDemands extends PathDemands {
  /** The authorities that the user trusts. A certificate may be an anchor itself. */
  readonly anchors: readonly Certificate[];
  /** Other certificates that paths may lead over. None of them is believed for being here. */
  readonly others?: readonly Certificate[];
  readonly use: CertificateUse;
  readonly crls?: readonly Crl[];
  readonly ocsp?: readonly OcspResponse[];
  /**
   * `required`: of each certificate of the path it must be known that it was not revoked; the
   * default where a list or a response is given. `if-known`: a revocation that is known counts; the
   * default otherwise.
   */
  readonly revocation?: "required" | "if-known";
  /** Accept signatures with SHA-1. */
  readonly allowSha1?: boolean;
  /** How many intermediate certificates a path may have, apart from self-issued ones: 8. */
  readonly maxIntermediates?: number;
}

/** A certificate that is believed, and why. */
export interface TrustedPath {
  /** The certificate first, the anchor last. */
  readonly path: readonly Certificate[];
  /** Policies that the path is valid for, dotted; `2.5.29.32.0` stands for all. */
  readonly policies: readonly string[];
  /** What is known about revocation; of certificates that are not here, nothing. */
  readonly unrevoked: readonly KnownStatus[];
}

/**
 * Finds a path that fulfils all demands.
 *
 * @throws PolicyError with a `TrustCode`: the certificate is not believed; of several paths, the
 *   fault of the first one.
 */
export function requireTrusted(certificate: Certificate, demands: TrustDemands): TrustedPath {
  return new TrustCheck(certificate, demands).run();
}

class TrustCheck {
  readonly #certificate: Certificate;
  readonly #demands: TrustDemands;
  readonly #effort = new Effort();
  readonly #sources: RevocationSources;
  readonly #search: PathSearch;
  /** Signers of revocation lists: whether they are believed; undefined while that is checked. */
  readonly #signers = new Map<Certificate, boolean | undefined>();

  constructor(certificate: Certificate, demands: TrustDemands) {
    this.#certificate = certificate;
    this.#demands = demands;
    const signatures = new SignatureChecker(this.#effort, demands);
    const { anchors, others = [], crls = [], ocsp = [], maxIntermediates = 8 } = demands;
    this.#search = {
      anchors: new CertificatePool(anchors),
      others: new CertificatePool(others),
      ...{ maxIntermediates, effort: this.#effort, signatures },
    };
    this.#sources = {
      ...{ crls, ocsp, atMs: demands.atMs, signatures, effort: this.#effort },
      others: new CertificatePool([certificate, ...others]),
      isTrusted: (signer, anchor) => this.#isTrustedSigner(signer, anchor),
    };
  }

  run(): TrustedPath {
    return this.#firstValid(this.#certificate, this.#search, this.#demands, (path) => {
      requireUse(path, this.#demands.use);
    });
  }

  /** `require` makes demands of its own on a path. */
  #firstValid(
    certificate: Certificate,
    search: PathSearch,
    demands: PathDemands,
    require?: (path: readonly Certificate[]) => void,
  ): TrustedPath {
    let first: PolicyError | undefined;
    const paths = pathsOf(certificate, search);
    for (let next = paths.next(); ; next = paths.next()) {
      if (next.done === true) throw first ?? next.value;
      const path = next.value;
      try {
        const policies = validatePath(path, demands, this.#effort);
        require?.(path);
        return { path, policies, unrevoked: this.#requireUnrevoked(path) };
      } catch (error) {
        if (!(error instanceof PolicyError) || error.code === "ERR_CERTIFICATE_EFFORT") throw error;
        first ??= error;
      }
    }
  }

  #requireUnrevoked(path: readonly Certificate[]): KnownStatus[] {
    const { crls, ocsp } = this.#sources;
    const isGiven = crls.length + ocsp.length > 0;
    const mode = this.#demands.revocation ?? (isGiven ? "required" : "if-known");
    if (!isGiven && mode === "if-known") return [];
    return requireUnrevoked(path, this.#sources, mode === "if-known");
  }

  /**
   * A signer of a list needs a path to the same anchor, of which nothing was revoked. One whose own
   * check led here can't vouch for itself.
   */
  #isTrustedSigner(signer: Certificate, anchor: Certificate): boolean {
    if (this.#signers.has(signer)) return this.#signers.get(signer) ?? false;
    this.#signers.set(signer, undefined);
    const search = { ...this.#search, anchors: new CertificatePool([anchor]) };
    let trusted = true;
    try {
      this.#firstValid(signer, search, { atMs: this.#demands.atMs });
    } catch (error) {
      if (!(error instanceof PolicyError) || error.code === "ERR_CERTIFICATE_EFFORT") throw error;
      trusted = false;
    }
    this.#signers.set(signer, trusted);
    return trusted;
  }
}
