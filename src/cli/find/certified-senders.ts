/**
 * Whose signature counts: a sender whose key the user keeps under a name, or the holder of a
 * certificate below an authority that the user trusts, by the mail address or name that the user
 * gives. What the user says of a key counts before what an authority says of its holder.
 */
import { P11SealError, PolicyError } from "../../errors.js";
import type { PublicKey } from "../../keys/key.js";
import {
  ANY_SENDER,
  findEntry,
  holderOf,
  trustedSender,
  type DirectoryEntry,
} from "../../records/directory/directory.js";
import { DerReader } from "../../asn1/der.js";
import type { TrustAccount } from "../../trust/verify-certificate.js";
import type { SenderCertificates } from "../../envelope/message-info.js";
import { printable } from "../../printable.js";
import { parseX509, type Certificate } from "../../x509/certificate.js";
import { parseCrl } from "../../x509/crl.js";
import { parseOcspResponse } from "../../x509/ocsp-response.js";
import { ATTRIBUTE, attributeTexts, nameText, readName, sameName } from "../../x509/name.js";
import { nameFromText } from "../../x509/name-from-text.js";
import type { Context } from "../command.js";
import { keptTrust, type CertificateCase, type CertificateTrust } from "./certificate-trust.js";
import { readableCertificates } from "../../x509/certificate-file.js";

/** Who signed, from a signature that holds. */
export interface SignedBy {
  readonly publicKey: PublicKey;
  /** When; where the signature does not say, the time of the check. */
  readonly createdMs: number;
  /** What the message brings along about the key, in formats with certificates. */
  readonly certified?: Omit<CertificateCase, "use"> | undefined;
}

/** What the user demands. */
export interface SenderDemands {
  readonly senders: readonly DirectoryEntry[];
  /** Names of senders, mail addresses, names in certificates; or `any`. */
  readonly from: readonly string[] | typeof ANY_SENDER;
  readonly nowMs: number;
  /** Undefined for formats without certificates. */
  readonly trust?: CertificateTrust | undefined;
}

/** A sender whose signature counts. */
export interface AcceptedSender {
  /** The user's name for them; or the name in the certificate. */
  readonly name: string;
  /** Why the certificate is believed, if that is what counted. */
  readonly account?: TrustAccount;
}

/**
 * What a message brings along, as values.
 *
 * @throws FormatError `ERR_CERTIFICATE`, `ERR_CRL`, `ERR_OCSP`
 */
export function certifiedCase(carried: SenderCertificates): Omit<CertificateCase, "use"> {
  return {
    certificate: parseX509(carried.signer),
    // One that can't be read leads nowhere.
    others: readableCertificates(carried.others),
    crls: carried.crls.map((der) => parseCrl(der)),
    ocsp: carried.ocsp.map((der) => parseOcspResponse(der)),
  };
}

/**
 * @throws PolicyError as `trustedSender`; `ERR_SENDER_UNEXPECTED`, `ERR_CERTIFICATE_…`: somebody
 *   else's certificate, or one that is not believed; FormatError `ERR_NAME_TEXT`
 */
export function acceptedSender(signed: SignedBy, demands: SenderDemands): AcceptedSender {
  const { senders, from, nowMs, trust } = demands;
  const isKept = (name: string): boolean => findEntry(senders, name) !== undefined;
  const kept = from === ANY_SENDER ? from : from.filter(isKept);
  const others = from === ANY_SENDER ? from : from.filter((name) => !isKept(name));
  if (signed.certified === undefined || trust?.isEmpty !== false) {
    return { name: keptName(signed, demands, trust !== undefined) };
  }
  let refusal: unknown;
  if (kept === ANY_SENDER || kept.length > 0) {
    try {
      return { name: trustedSender(senders, signed, { from: kept, nowMs }).name };
    } catch (error) {
      // A limit that the user set for the key holds, whatever an authority says.
      const isUnknown = holderOf(senders, signed) === undefined || isUnexpected(error);
      if (!isUnknown || others.length === 0) throw error;
      refusal = error;
    }
  }
  try {
    return certifiedSender(signed.certified, signed.createdMs, others, trust);
  } catch (error) {
    // That no sender has the key says less than what is wrong with its certificate.
    throw isUnexpected(refusal) ? refusal : error;
  }
}

/** By the key alone: there is no certificate, or no authority to believe it for. */
function keptName(
  signed: SignedBy,
  { senders, from, nowMs }: SenderDemands,
  mayTrust: boolean,
): string {
  try {
    return trustedSender(senders, signed, { from, nowMs }).name;
  } catch (error) {
    const isUnknown = error instanceof PolicyError && error.code === "ERR_SENDER_UNKNOWN";
    if (!isUnknown || !mayTrust || signed.certified === undefined) throw error;
    const hint = "or name the authority of the sender's certificate with --trust";
    throw new PolicyError(error.code, error.message, {
      hint: error.hint === undefined ? hint : `${error.hint}; ${hint}`,
      cause: error,
    });
  }
}

function certifiedSender(
  certified: Omit<CertificateCase, "use">,
  createdMs: number,
  from: readonly string[] | typeof ANY_SENDER,
  trust: CertificateTrust,
): AcceptedSender {
  const { certificate } = certified;
  const shown = subjectOf(certificate);
  const account = trust.judge({ ...certified, use: "sign" });
  if (createdMs < certificate.notBeforeMs || createdMs > certificate.notAfterMs) {
    const when = new Date(createdMs).toISOString();
    throw new PolicyError(
      "ERR_CERTIFICATE_TIME",
      `${shown} signed this on ${when}, when the certificate was not valid`,
    );
  }
  if (from === ANY_SENDER) return { name: shown, account };
  const name = from.find((word) => isNameOf(word, certificate, trust));
  if (name !== undefined) return { name, account };
  throw new PolicyError(
    "ERR_SENDER_UNEXPECTED",
    `${holderText(certificate)} signed this, not ${from.join(", ")}`,
    { hint: "name this sender with --from if the message is wanted" },
  );
}

function subjectOf({ subject, mailAddresses }: Certificate): string {
  const text = nameText(subject) || mailAddresses.join(", ");
  return printable(text) || "a certificate without a name";
}

/** As in `CN=Bob,O=Example <bob@example.org>`. */
function holderText(certificate: Certificate): string {
  const { mailAddresses } = certificate;
  const addresses = mailAddresses.length === 0 ? "" : ` <${printable(mailAddresses.join(", "))}>`;
  return subjectOf(certificate) + addresses;
}

/** Below whom a certificate is believed, and what is known of its revocation. */
export function believedText({ anchor, revocation }: TrustAccount): string {
  const isChecked = revocation.every(({ by }) => by !== "not checked");
  const doubt = isChecked ? "" : "; whether it was revoked is not known";
  return `believed, below ${printable(anchor)}${doubt}`;
}

/**
 * Whose certificate a message brings along for its sender, and whether it is believed below an
 * authority that is kept: a fact for people, where nothing is decided by it.
 */
export async function certificateNote(
  carried: SenderCertificates,
  createdMs: number | undefined,
  context: Context,
): Promise<{ readonly holder: string; readonly isBelieved: boolean; readonly verdict: string }> {
  const certified = certifiedCase(carried);
  const holder = holderText(certified.certificate);
  try {
    const trust = await keptTrust(context);
    const { account } = certifiedSender(certified, createdMs ?? trust.atMs, ANY_SENDER, trust);
    const verdict = account === undefined ? "believed" : believedText(account);
    return { holder, isBelieved: true, verdict };
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    return { holder, isBelieved: false, verdict: `not believed: ${error.message}` };
  }
}

/**
 * A mail address; a whole name, as in `CN=Bob,O=Example`; or, below an authority that the command
 * line names, its common name, which others below another authority may have as well.
 */
function isNameOf(word: string, certificate: Certificate, trust: CertificateTrust): boolean {
  const { mailAddresses, subject } = certificate;
  if (word.includes("=")) {
    return sameName(readName(new DerReader(nameFromText(word), "name")), subject);
  }
  if (word.includes("@")) return mailAddresses.some((address) => isSameAddress(address, word));
  return trust.isNamed && attributeTexts(subject, ATTRIBUTE.commonName).includes(word);
}

/** The case of a domain doesn't matter, that of what stands before it may (RFC 5280 §7.5). */
function isSameAddress(one: string, other: string): boolean {
  const normal = (address: string): string => {
    const at = address.lastIndexOf("@");
    return address.slice(0, at) + address.slice(at).toLowerCase();
  };
  return normal(one) === normal(other);
}

function isUnexpected(error: unknown): boolean {
  return error instanceof PolicyError && error.code === "ERR_SENDER_UNEXPECTED";
}
