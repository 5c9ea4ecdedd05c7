/**
 * The status of one certificate by revocation lists (RFC 5280 §6.3): complete and delta, by its
 * issuer or by somebody whom it names, each for all reasons of a revocation or for some.
 */
import { equal } from "../bytes.js";
import { defined } from "../defined.js";
import type { Certificate } from "../x509/certificate.js";
import type { Crl } from "../x509/crl.js";
import { REMOVE_FROM_CRL } from "../x509/crl.js";
import type { DistributionPoint, DistributionPointName } from "../x509/distribution-point.js";
import { EXTENSION } from "../x509/extensions.js";
import type { GeneralName } from "../x509/general-name.js";
import { nameBelow, sameName, type Name } from "../x509/name.js";
import type { Effort } from "./effort.js";
import { CLOCK_SKEW_MS, type RevocationStatus } from "./revocation-status.js";

/** Why a list is not signed by one who may sign it, if so. `point` is where it was found. */
export type CrlJudge = (crl: Crl, point: DistributionPoint) => string | undefined;

/** @param judge - asked only about lists that would count. */
export function crlStatus(
  certificate: Certificate,
  crls: readonly Crl[],
  atMs: number,
  judge: CrlJudge,
  effort: Effort,
): RevocationStatus {
  let covered = 0;
  let asOfMs = Number.POSITIVE_INFINITY;
  let why: string | undefined;
  // The newest first: an older one may be passed on by somebody who was revoked since.
  const complete = crls.filter(({ baseNumber }) => baseNumber === undefined);
  complete.sort((a, b) => b.thisUpdateMs - a.thisUpdateMs);
  for (const point of pointsOf(certificate)) {
    for (const crl of complete) {
      const doubt = unfitness(crl, certificate, point, atMs, effort);
      if (doubt !== undefined) {
        if (doubt !== OTHER_LIST) why ??= doubt;
        continue;
      }
      const reasons = (point.reasons ?? ALL_REASONS) & (crl.scope.onlySomeReasons ?? ALL_REASONS);
      if ((reasons & ~covered) === 0) continue;
      const unsigned = judge(crl, point);
      if (unsigned !== undefined) {
        why ??= unsigned;
        continue;
      }
      const delta = newestDelta(crl, crls, (one) => {
        return (
          unfitness(one, certificate, point, atMs, effort) === undefined &&
          judge(one, point) === undefined
        );
      });
      const entry = find(delta, certificate) ?? find(crl, certificate);
      if (entry !== undefined && entry.reason !== REMOVE_FROM_CRL) {
        const { revokedMs } = entry;
        return { status: "revoked", ...defined({ revokedMs }) };
      }
      covered |= reasons;
      asOfMs = Math.min(asOfMs, (delta ?? crl).thisUpdateMs);
      if ((covered & ALL_REASONS) === ALL_REASONS) return { status: "good", asOfMs };
    }
  }
  if (covered !== 0) why = "the lists at hand don't cover all reasons";
  return { status: "unknown", ...defined({ why }) };
}

function find(crl: Crl | undefined, { issuer, serial }: Certificate) {
  return crl?.entries.find(issuer, serial);
}

/**
 * Where the certificate says that its lists are, and last the list of its own issuer without a
 * name.
 */
function pointsOf({ crlDistributionPoints = [], issuer }: Certificate): DistributionPoint[] {
  const own: DistributionPoint = { name: { full: [{ type: "directory", name: issuer }] } };
  return [...crlDistributionPoints, own];
}

// ── Is the list about the certificate? ──

const OTHER_LIST = "a list about other certificates";

/** Why a list can't be used for a certificate, by anything but its signature. */
function unfitness(
  crl: Crl,
  certificate: Certificate,
  point: DistributionPoint,
  atMs: number,
  effort: Effort,
): string | undefined {
  const { scope } = crl;
  if (!isFromIssuer(crl, certificate, point)) return OTHER_LIST;
  if (scope.name !== undefined && !isNamed(scope.name, crl, certificate, point, effort))
    return OTHER_LIST;
  const isAuthority = certificate.basicConstraints?.ca === true;
  if (scope.onlyAttributeCertificates) return OTHER_LIST;
  if (isAuthority ? scope.onlyUserCertificates : scope.onlyAuthorities) return OTHER_LIST;
  if (hasUnknownCritical(crl)) return "the list at hand has a critical extension not understood";
  const { thisUpdateMs, nextUpdateMs } = crl;
  if (thisUpdateMs > atMs + CLOCK_SKEW_MS) return "the list at hand is of a later time";
  if (nextUpdateMs === undefined) return "the list at hand doesn't say how long it holds";
  if (nextUpdateMs < atMs) return "the list at hand is out of date";
  return undefined;
}

/** §6.3.3 b 1. */
function isFromIssuer(
  crl: Crl,
  { issuer }: Certificate,
  { crlIssuer }: DistributionPoint,
): boolean {
  if (crlIssuer === undefined) return sameName(crl.issuer, issuer);
  return crl.scope.indirect && directoryNames(crlIssuer).some((name) => sameName(name, crl.issuer));
}

/** §6.3.3 b 2: the list and the distribution point have a name in common. */
function isNamed(
  listName: DistributionPointName,
  crl: Crl,
  certificate: Certificate,
  { name, crlIssuer }: DistributionPoint,
  effort: Effort,
): boolean {
  const own = fullNames(listName, crl.issuer);
  const [pointIssuer = certificate.issuer] = directoryNames(crlIssuer ?? []);
  const others = name === undefined ? (crlIssuer ?? []) : fullNames(name, pointIssuer);
  effort.comparisons(own.length * others.length);
  return own.some((one) => others.some((other) => sameGeneralName(one, other)));
}

function fullNames(name: DistributionPointName, issuer: Name): readonly GeneralName[] {
  if ("full" in name) return name.full;
  return [{ type: "directory", name: nameBelow(issuer, name.relative) }];
}

function directoryNames(names: readonly GeneralName[]): Name[] {
  return names.flatMap((name) => (name.type === "directory" ? [name.name] : []));
}

function sameGeneralName(a: GeneralName, b: GeneralName): boolean {
  if (a.type === "directory") return b.type === "directory" && sameName(a.name, b.name);
  if ("text" in a) return "text" in b && a.type === b.type && a.text === b.text;
  return false;
}

function hasUnknownCritical({ extensions, entries }: Crl): boolean {
  if (entries.unknownCritical.size > 0) return true;
  return [...extensions].some(([oid, { critical }]) => critical && !PROCESSED.has(oid));
}

// ── Deltas ──

/** The newest change to a list (§5.2.4) that `counts`. */
function newestDelta(
  base: Crl,
  crls: readonly Crl[],
  counts: (crl: Crl) => boolean,
): Crl | undefined {
  const deltas = crls.filter((crl) => isDeltaOf(crl, base));
  deltas.sort((a, b) => compare(b.number ?? NOTHING, a.number ?? NOTHING));
  return deltas.find(counts);
}

function isDeltaOf(delta: Crl, base: Crl): boolean {
  const { number } = base;
  if (delta.baseNumber === undefined || delta.number === undefined || number === undefined) {
    return false;
  }
  return (
    sameName(delta.issuer, base.issuer) &&
    sameScope(delta, base) &&
    sameKeyId(delta.authorityKeyId?.keyId, base.authorityKeyId?.keyId) &&
    compare(delta.baseNumber, number) <= 0 &&
    compare(number, delta.number) < 0
  );
}

function sameScope(a: Crl, b: Crl): boolean {
  const flags = ({ scope }: Crl): string => {
    const { onlyUserCertificates, onlyAuthorities, indirect, onlySomeReasons = -1 } = scope;
    return [onlyUserCertificates, onlyAuthorities, indirect, onlySomeReasons].join();
  };
  if (flags(a) !== flags(b)) return false;
  const [own, other] = [a, b].map(
    ({ scope, issuer }) => scope.name && fullNames(scope.name, issuer),
  );
  if (own === undefined || other === undefined) return own === other;
  return own.some((one) => other.some((name) => sameGeneralName(one, name)));
}

function sameKeyId(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equal(a, b);
}

/** Of two unsigned numbers, big-endian without leading zeros. */
function compare(a: Uint8Array, b: Uint8Array): number {
  return a.length - b.length || Buffer.compare(a, b);
}

const NOTHING = new Uint8Array(0);

/** All reasons of ReasonFlags but bit 0, which is unused. */
const ALL_REASONS = 0x1fe;

const PROCESSED: ReadonlySet<string> = new Set([
  EXTENSION.issuingDistributionPoint,
  EXTENSION.deltaCrlIndicator,
]);
