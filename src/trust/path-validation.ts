/**
 * The rules for a path whose signatures and names fit (RFC 5280 §6.1), and for its anchor, whose
 * own constraints hold as well (RFC 5937).
 */
import { isSelfIssued, type Certificate } from "../x509/certificate.js";
import { EXTENSION } from "../x509/extensions.js";
import { isEmptyName } from "../x509/name.js";
import type { Effort } from "./effort.js";
import { certificateLabel, day, trustFault } from "./faults.js";
import { ConstraintSet } from "./name-constraints.js";
import { ANY_POLICY, PolicyGraph } from "./policy-graph.js";

/** What is asked of a path's policies (RFC 5280 §6.1.1 c to g). */
export interface PolicyDemands {
  /** Dotted OIDs; absent if any policy will do. */
  readonly policies?: readonly string[];
  /** The path must be valid for one of these policies. */
  readonly requirePolicy?: boolean;
  readonly ignoreMappings?: boolean;
  readonly ignoreAnyPolicy?: boolean;
}

export interface PathDemands extends PolicyDemands {
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/**
 * Checks a path, the certificate first and the anchor last.
 *
 * @returns the policies that it is valid for, dotted; `[ANY_POLICY]` if for all.
 * @throws PolicyError `ERR_CERTIFICATE_TIME`, `ERR_CERTIFICATE_RULE`, `ERR_CERTIFICATE_NAME`,
 *   `ERR_CERTIFICATE_POLICY`, `ERR_CERTIFICATE_EFFORT`.
 */
export function validatePath(
  path: readonly Certificate[],
  demands: PathDemands,
  effort: Effort,
): string[] {
  const [anchor, ...below] = [...path].reverse() as [Certificate, ...Certificate[]];
  requireCommon(anchor, demands.atMs);
  if (below.length === 0) return [ANY_POLICY];
  requireAuthority(anchor);

  const state = initialState(anchor, below.length, demands, effort);
  for (const [index, certificate] of below.entries()) {
    const isLast = index === below.length - 1;
    requireCommon(certificate, demands.atMs);
    if (isEmptyName(certificate.issuer)) throw rule(certificate, "has no issuer");
    const selfIssued = isSelfIssued(certificate);
    if (!selfIssued || isLast) state.constraints.check(certificate);
    state.graph.add(certificate, state.anyPolicy > 0 || (selfIssued && !isLast));
    if (isLast) finish(state, certificate);
    else prepareNext(state, certificate, selfIssued);
  }
  // §6.1.3 f refuses earlier what is refused here: once it is empty, the graph stays so.
  const policies = state.graph.policies(wantedPolicies(anchor, demands));
  if (state.explicit === 0 && policies.length === 0) {
    throw trustFault(
      "ERR_CERTIFICATE_POLICY",
      `${certificateLabel(path[0] as Certificate)} is not valid for a policy that is required`,
    );
  }
  return policies;
}

// ── The state of §6.1.2 ──

interface State {
  readonly graph: PolicyGraph;
  readonly constraints: ConstraintSet;
  /** How many more certificates may go without an acceptable policy, mappings, anyPolicy. */
  explicit: number;
  mappings: number;
  anyPolicy: number;
  /** How many more intermediate certificates there may be. */
  pathLength: number;
}

function initialState(
  anchor: Certificate,
  length: number,
  demands: PolicyDemands,
  effort: Effort,
): State {
  const { policyConstraints = {}, inhibitAnyPolicy, basicConstraints, nameConstraints } = anchor;
  const off = length + 1;
  const constraints = new ConstraintSet(effort);
  if (nameConstraints !== undefined) constraints.add(nameConstraints, anchor);
  const required =
    demands.requirePolicy === true || policyConstraints.requireExplicit !== undefined;
  const unmapped =
    demands.ignoreMappings === true || policyConstraints.inhibitMapping !== undefined;
  const withoutAny = demands.ignoreAnyPolicy === true || inhibitAnyPolicy !== undefined;
  return {
    graph: new PolicyGraph(),
    constraints,
    explicit: required ? 0 : off,
    mappings: unmapped ? 0 : off,
    anyPolicy: withoutAny ? 0 : off,
    pathLength: basicConstraints?.pathLength ?? off,
  };
}

/** §6.1.4. */
function prepareNext(state: State, certificate: Certificate, selfIssued: boolean): void {
  const { policyMappings = [], nameConstraints, basicConstraints } = certificate;
  if (policyMappings.some(({ issuer, subject }) => [issuer, subject].includes(ANY_POLICY))) {
    throw rule(certificate, "maps a policy to or from anyPolicy");
  }
  state.graph.map(certificate, state.mappings > 0);
  if (nameConstraints !== undefined) state.constraints.add(nameConstraints, certificate);
  if (!selfIssued) countDown(state);
  limitPolicies(state, certificate);
  requireAuthority(certificate);
  if (!selfIssued) {
    if (state.pathLength === 0) {
      throw rule(certificate, "is one intermediate certificate more than an authority allowed");
    }
    state.pathLength--;
  }
  state.pathLength = Math.min(state.pathLength, basicConstraints?.pathLength ?? state.pathLength);
}

/** §6.1.5. */
function finish(state: State, certificate: Certificate): void {
  if (state.explicit > 0) state.explicit--;
  if (certificate.policyConstraints?.requireExplicit === 0) state.explicit = 0;
  const isAuthority = certificate.basicConstraints?.ca === true;
  if (!isAuthority && certificate.keyUsage?.has("keyCertSign") === true) {
    throw rule(certificate, "may sign certificates but is no authority");
  }
  if (!isAuthority && certificate.nameConstraints !== undefined) {
    throw rule(certificate, "has name constraints but is no authority");
  }
}

function countDown(state: State): void {
  if (state.explicit > 0) state.explicit--;
  if (state.mappings > 0) state.mappings--;
  if (state.anyPolicy > 0) state.anyPolicy--;
}

function limitPolicies(state: State, { policyConstraints, inhibitAnyPolicy }: Certificate): void {
  const { requireExplicit, inhibitMapping } = policyConstraints ?? {};
  state.explicit = Math.min(state.explicit, requireExplicit ?? state.explicit);
  state.mappings = Math.min(state.mappings, inhibitMapping ?? state.mappings);
  state.anyPolicy = Math.min(state.anyPolicy, inhibitAnyPolicy ?? state.anyPolicy);
}

// ── Rules for one certificate ──

/** For every certificate of a path, the anchor among them. */
function requireCommon(certificate: Certificate, atMs: number): void {
  const { notBeforeMs, notAfterMs, subject, extensions } = certificate;
  // Times in certificates are whole seconds; the last of them lasts until the next begins.
  const at = Math.floor(atMs / 1000) * 1000;
  if (at < notBeforeMs) {
    throw trustFault(
      "ERR_CERTIFICATE_TIME",
      `${certificateLabel(certificate)} is not valid before ${day(notBeforeMs)}`,
    );
  }
  if (at > notAfterMs) {
    throw trustFault(
      "ERR_CERTIFICATE_TIME",
      `${certificateLabel(certificate)} expired on ${day(notAfterMs)}`,
      "ask its holder for the current certificate",
    );
  }
  for (const [oid, { critical }] of extensions) {
    if (!critical || PROCESSED.has(oid)) continue;
    throw rule(certificate, `has a critical extension that is not understood, ${oid}`);
  }
  if (isEmptyName(subject) && extensions.get(EXTENSION.subjectAltName)?.critical !== true) {
    throw rule(certificate, "names its subject neither by a name nor in a critical extension");
  }
}

/** §6.1.4 k, n. */
function requireAuthority(certificate: Certificate): void {
  if (certificate.basicConstraints?.ca !== true) {
    throw rule(certificate, "issued another one but is no authority's");
  }
  if (isEmptyName(certificate.subject)) throw rule(certificate, "is an authority's without a name");
  if (certificate.keyUsage?.has("keyCertSign") === false) {
    throw rule(certificate, "issued another one although its key usage has no keyCertSign");
  }
}

function rule(certificate: Certificate, fact: string) {
  return trustFault("ERR_CERTIFICATE_RULE", `${certificateLabel(certificate)} ${fact}`);
}

function wantedPolicies(anchor: Certificate, demands: PolicyDemands): ReadonlySet<string> {
  const wanted = demands.policies ?? [ANY_POLICY];
  const own = anchor.policies;
  if (own === undefined || own.includes(ANY_POLICY)) return new Set(wanted);
  if (wanted.includes(ANY_POLICY)) return new Set(own);
  return new Set(own.filter((policy) => wanted.includes(policy)));
}

/** Extensions that are processed, so that they may be critical. */
const PROCESSED: ReadonlySet<string> = new Set([
  EXTENSION.keyUsage,
  EXTENSION.subjectAltName,
  EXTENSION.basicConstraints,
  EXTENSION.nameConstraints,
  EXTENSION.crlDistributionPoints,
  EXTENSION.certificatePolicies,
  EXTENSION.policyMappings,
  EXTENSION.policyConstraints,
  EXTENSION.extendedKeyUsage,
  EXTENSION.inhibitAnyPolicy,
]);
