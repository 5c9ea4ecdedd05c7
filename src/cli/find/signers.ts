/**
 * Who signed a CMS message, and whether that is somebody the user knows: one whose key is among the
 * senders.
 */
import { P11SealError } from "../../errors.js";
import type { Signer } from "../../envelope/signatures.js";
import { fingerprintText } from "../../keys/public-key.js";
import {
  ANY_SENDER,
  formatMoment,
  trustedSender,
  type DirectoryEntry,
} from "../../records/directory/directory.js";
import { moment } from "../../records/duration.js";
import { nameText } from "../../x509/name.js";
import { certificateData, type CertificateData } from "./certificates.js";

/** One signer, judged. */
export interface JudgedSigner {
  readonly signer: Signer;
  /** The user's name for the signer; absent: nobody vouches for them. */
  readonly name?: string;
  /** Why not. */
  readonly refusal?: P11SealError;
}

/**
 * Looks for the signer among the senders.
 *
 * @param from - names, or `any`
 */
export function judgeSigner(
  signer: Signer,
  senders: readonly DirectoryEntry[],
  from: readonly string[] | typeof ANY_SENDER,
  nowMs: number,
): JudgedSigner {
  const { publicKey, signingTimeMs = nowMs } = signer;
  try {
    const sender = { publicKey, createdMs: signingTimeMs };
    return { signer, name: trustedSender(senders, sender, { from, nowMs }).name };
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    return { signer, refusal: error };
  }
}

/** For people: a row for each thing that is known. */
export function signerRows({ signer, name, refusal }: JudgedSigner): [string, string][] {
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
    ["certificate", "not checked: its issuer was not asked for"],
    ["signed", time],
    ["signature", `${algorithm}, holds${lineEnds === "crlf" ? ", with line ends CR LF" : ""}`],
  ];
}

/** As JSON has it. */
export interface SignerData {
  readonly name: string | null;
  readonly refusal?: string;
  readonly fingerprint: string;
  readonly certificate: CertificateData;
  readonly algorithm: string;
  readonly signed: string | null;
  readonly lineEnds: Signer["lineEnds"];
  /** True if the signature names this very certificate. */
  readonly bound: boolean;
}

export function signerData({ signer, name, refusal }: JudgedSigner): SignerData {
  const { certificate, publicKey, algorithm, signingTimeMs, lineEnds, bound } = signer;
  return {
    name: name ?? null,
    ...(refusal !== undefined && { refusal: refusal.message }),
    fingerprint: fingerprintText(publicKey),
    certificate: certificateData(certificate),
    ...{ algorithm, lineEnds, bound },
    signed: signingTimeMs === undefined ? null : formatMoment(signingTimeMs),
  };
}
