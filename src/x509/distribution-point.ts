/**
 * Where a CRL is to be had, and which certificates it is for (RFC 5280 §4.2.1.13, §5.2.5).
 * Nothing is fetched: the names say which CRL goes with which certificate.
 */
import type { DerReader } from "../asn1/der.js";
import { defined } from "../defined.js";
import { FormatError } from "../errors.js";
import { readGeneralNames, type GeneralName } from "./general-name.js";
import { readRdn, type Attribute } from "./name.js";

/** A name of its own, or what is to be added to the name of the CRL's issuer. */
export type DistributionPointName =
  { readonly full: readonly GeneralName[] } | { readonly relative: readonly Attribute[] };

export interface DistributionPoint {
  readonly name?: DistributionPointName;
  /** The reasons that the CRL covers, as `namedBits`; absent if it covers all. */
  readonly reasons?: number;
  /** Set if somebody other than the certificate's issuer signs the CRL. */
  readonly crlIssuer?: readonly GeneralName[];
}

/** Reads a SEQUENCE OF DistributionPoint, which must not be empty. */
export function readDistributionPoints(reader: DerReader): DistributionPoint[] {
  const list = reader.sequence();
  const points: DistributionPoint[] = [];
  do {
    if (points.length === MAX_POINTS) {
      throw new FormatError("ERR_DER", "a certificate has over 256 distribution points");
    }
    points.push(readDistributionPoint(list.sequence()));
  } while (list.peek() !== undefined);
  return points;
}

function readDistributionPoint(fields: DerReader): DistributionPoint {
  const name = readDistributionPointName(fields);
  const reasons = fields.peek() === 0x81 ? fields.namedBits(0x81) : undefined;
  const crlIssuer = fields.peek() === 0xa2 ? readGeneralNames(fields, 0xa2) : undefined;
  fields.end();
  if (name === undefined && crlIssuer === undefined) {
    throw new FormatError("ERR_DER", "a distribution point has no name");
  }
  return defined({ name, reasons, crlIssuer });
}

/** `[0] DistributionPointName`, if it comes next. */
export function readDistributionPointName(fields: DerReader): DistributionPointName | undefined {
  // A CHOICE, so its tag is explicit.
  const wrapper = fields.optional(0xa0);
  if (wrapper === undefined) return undefined;
  const name =
    wrapper.peek() === 0xa1
      ? { relative: readRdn(wrapper, 0xa1) }
      : { full: readGeneralNames(wrapper, 0xa0) };
  wrapper.end();
  return name;
}

const MAX_POINTS = 256;
