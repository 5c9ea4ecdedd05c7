/**
 * Who signed a CMS message, and whether that is somebody the user knows: by the key, or by a
 * certificate below an authority that the user trusts.
 */
import { P11SealError } from "../../errors.js";
import type { SignedParts, Signer } from "../../envelope/signatures.js";
import { fingerprintText } from "../../keys/public-key.js";
import { formatMoment } from "../../records/directory/directory.js";
import { moment } from "../../records/duration.js";
import { nameText } from "../../x509/name.js";
import type { TrustAccount } from "../../trust/verify-certificate.js";
import { parseCrl } from "../../x509/crl.js";
import { parseOcspResponse } from "../../x509/ocsp-response.js";
import type { CertificateCase } from "./certificate-trust.js";
import { acceptedSender, believedText, type SenderDemands } from "./certified-senders.js";
import { certificateData, type CertificateData } from "./certificates.js";

/** One signer, judged. */
export interface JudgedSigner {
  readonly signer: Signer;
  /** The user's name for the signer, or the certificate's; absent: nobody vouches for them. */
  readonly name?: string;
  /** Why the certificate is believed. */
  readonly account?: TrustAccount;
  /** Why not. */
  readonly refusal?: P11SealError;
}

/** Each of the signers, as `acceptedSender` judges them. */
export function judgeSigners(
  { signers, certificates, crls, ocsp }: SignedParts,
  demands: SenderDemands,
  allowSha1: boolean,
): JudgedSigner[] {
  const carried = {
    others: certificates,
    crls: crls.map((der) => parseCrl(der)),
    ocsp: ocsp.map((der) => parseOcspResponse(der)),
    allowSha1,
  };
  return signers.map((signer) => judgeSigner(signer, carried, demands));
}

function judgeSigner(
  signer: Signer,
  carried: Omit<CertificateCase, "certificate" | "use">,
  demands: SenderDemands,
): JudgedSigner {
  const { publicKey, certificate, signingTimeMs: createdMs = demands.nowMs } = signer;
  const signed = { publicKey, createdMs, certified: { ...carried, certificate } };
  try {
    return { signer, ...acceptedSender(signed, demands) };
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    return { signer, refusal: error };
  }
}

/** For people: a row for each thing that is known. */
export function signerRows({ signer, name, account, refusal }: JudgedSigner): [string, string][] {
  const { certificate, publicKey, algorithm, signingTimeMs, lineEnds } = signer;
  const { subject, issuer, notBeforeMs, notAfterMs, mailAddresses } = certificate;
  const mail = mailAddresses.map((address): [string, string] => ["mail", address]);
  const time = signingTimeMs === undefined ? "not said" : moment(signingTimeMs);
  return [
    ["signed by", nameText(subject) || "(no name)"],
    ...mail,
    ["known as", name ?? `nobody: ${refusal?.message ?? "not looked for"}`],
    ["key", fingerprintText(publicKey)],
    ["issued by", nameText(issuer)],
    ["valid", `${formatMoment(notBeforeMs)} to ${formatMoment(notAfterMs)}`],
    [
      "certificate",
      account === undefined ? "not believed for what it says" : believedText(account),
    ],
    ["signed", time],
    ["signature", `${algorithm}, holds${lineEnds === "crlf" ? ", with line ends CR LF" : ""}`],
  ];
}

/** As JSON has it. */
export interface SignerData {
  readonly name: string | null;
  /** Why the certificate is believed; null: it is not what counted. */
  readonly trust: TrustAccount | null;
  readonly refusal?: string;
  readonly fingerprint: string;
  readonly certificate: CertificateData;
  readonly algorithm: string;
  readonly signed: string | null;
  readonly lineEnds: Signer["lineEnds"];
  /** True if the signature names this very certificate. */
  readonly bound: boolean;
}

export function signerData({ signer, name, account, refusal }: JudgedSigner): SignerData {
  const { certificate, publicKey, algorithm, signingTimeMs, lineEnds, bound } = signer;
  return {
    name: name ?? null,
    trust: account ?? null,
    ...(refusal !== undefined && { refusal: refusal.message }),
    fingerprint: fingerprintText(publicKey),
    certificate: certificateData(certificate),
    ...{ algorithm, lineEnds, bound },
    signed: signingTimeMs === undefined ? null : formatMoment(signingTimeMs),
  };
}
