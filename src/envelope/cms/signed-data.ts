/**
 * SignedData (RFC 5652 §5) as it passes: first what it is digested with, then the content, of any
 * length, and at the end certificates and signatures. So first `begin`, then `content` to its end,
 * then `rest`; `checkSigned` judges.
 */
import { readAlgorithm } from "../../asn1/algorithm-identifier.js";
import { toDer } from "../../asn1/ber.js";
import type { BerReader } from "../../asn1/ber-reader.js";
import { DerReader, TAG } from "../../asn1/der.js";
import { oidText } from "../../asn1/oid.js";
import { toHex } from "../../bytes.js";
import { FormatError, P11SealError, PolicyError, UnsupportedError } from "../../errors.js";
import { signatureDigest, type SignatureDigest } from "../../keys/signature-scheme.js";
import { parseX509, type Certificate } from "../../x509/certificate.js";
import { checkSigner, signerText, type SignaturePolicy, type Signer } from "./check-signer.js";
import type { ContentWatch, SeenContent } from "./signed-content.js";
import { readSignerInfo, type SignerInfo } from "./signer-info.js";

/** All that a SignedData holds besides its content; every signature in it holds. */
export interface SignedParts {
  /** At least one. */
  readonly signers: readonly Signer[];
  /** Every certificate in the message; nothing is known of them. */
  readonly certificates: readonly Certificate[];
  /** CertificateLists, DER. */
  readonly crls: readonly Uint8Array[];
  /** OCSPResponses (RFC 5940 §2.1), DER. */
  readonly ocsp: readonly Uint8Array[];
}

export interface SignedOptions extends SignaturePolicy {
  /** Certificates to look for a signer's in, besides those in the message. */
  readonly certificates?: readonly Certificate[] | undefined;
}

/** As `SignedParts`, before anything was checked. */
export interface UncheckedParts extends Omit<SignedParts, "signers"> {
  readonly signers: readonly SignerInfo[];
  /** What is wrong with certificates that can't be read: they may be of no importance. */
  readonly unreadable: readonly FormatError[];
}

export class SignedData {
  /** The type of the content, dotted; id-data for any file. */
  readonly contentType: string;
  /** True if the content is not in the message. */
  readonly isDetached: boolean;
  /** The hashes that the message announces, if signatures over them may count. */
  readonly digests: readonly SignatureDigest[];
  readonly #ber: BerReader;

  private constructor(
    ber: BerReader,
    digests: readonly SignatureDigest[],
    encapsulated: { readonly contentType: string; readonly isDetached: boolean },
  ) {
    this.#ber = ber;
    this.digests = digests;
    this.contentType = encapsulated.contentType;
    this.isDetached = encapsulated.isDetached;
  }

  /**
   * Reads up to the content. `ber` has the SignedData next, inside a ContentInfo.
   *
   * @throws FormatError; UnsupportedError `ERR_VERSION`, `ERR_CONTENT_TYPE`; AuthenticationError
   *   `ERR_TRUNCATED`
   */
  static async begin(ber: BerReader, policy: SignaturePolicy = {}): Promise<SignedData> {
    await ber.enter(TAG.sequence);
    const version = new DerReader(await ber.der(TAG.integer), "message").unsigned();
    if (version.length !== 1 || !VERSIONS.has(version[0] ?? 0)) {
      throw new UnsupportedError("ERR_VERSION", "SignedData of an unknown version");
    }
    const digests = await readDigestAlgorithms(ber, policy);
    await ber.enter(TAG.sequence);
    const contentType = oidText(new DerReader(await ber.der(TAG.oid), "message").read(TAG.oid));
    const isDetached = (await ber.tag()) === undefined;
    if (isDetached) {
      await ber.leave();
    } else {
      await ber.enter(CONTEXT_0);
      const tag = await ber.tag();
      if (tag !== TAG.octetString && tag !== CONSTRUCTED_OCTETS) {
        throw new UnsupportedError(
          "ERR_CONTENT_TYPE",
          `signed content of type ${contentType} is not an octet string`,
          { hint: "only PKCS #7 of before 1999 has such content, and Authenticode" },
        );
      }
    }
    return new SignedData(ber, digests, { contentType, isDetached });
  }

  /**
   * The content that is in the message, which `watch` sees as well: to be read to its end, once,
   * before `rest`.
   *
   * @param reuse - a chunk holds only until the next one is asked for
   */
  async *content(watch: ContentWatch, reuse: boolean): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#ber.content(TAG.octetString, reuse)) {
      watch.see(chunk);
      yield chunk;
    }
    await this.#ber.leave();
    await this.#ber.leave();
  }

  /**
   * Reads what follows the content, to the end of the SignedData.
   *
   * @throws FormatError `ERR_TOO_MANY_SIGNERS`, `ERR_TOO_MANY_CERTIFICATES` and others;
   *   AuthenticationError `ERR_TRUNCATED`
   */
  async rest(): Promise<UncheckedParts> {
    const ber = this.#ber;
    const { certificates, unreadable } = await readCertificates(ber);
    const { crls, ocsp } = await readRevocation(ber);
    const signers: SignerInfo[] = [];
    await ber.enter(TAG.set);
    while ((await ber.tag()) !== undefined) {
      if (signers.length === MAX_SIGNERS) {
        throw new FormatError("ERR_TOO_MANY_SIGNERS", `more than ${MAX_SIGNERS} signers`);
      }
      const sent = await ber.sent(TAG.sequence);
      signers.push(readSignerInfo(sent, toDer(sent, "signer")));
    }
    await ber.leave();
    await ber.leave();
    return { signers, certificates, unreadable, crls, ocsp };
  }
}

/**
 * Checks every signature.
 *
 * @param contentType - of the SignedData
 * @throws PolicyError `ERR_UNSIGNED`, `ERR_ATTRIBUTES_AS_CONTENT`; and, of the first signature that
 *   fails, which the error names, as `checkSigner`
 */
export function checkSigned(
  contentType: string,
  { signers, unreadable, ...carried }: UncheckedParts,
  { digests, isAttributes }: SeenContent,
  options: SignedOptions = {},
): SignedParts {
  if (signers.length === 0) {
    throw new PolicyError("ERR_UNSIGNED", "the message has no signature in it", {
      hint: "it holds certificates at most; if it was signed, somebody took the signature away",
    });
  }
  if (isAttributes) {
    throw new PolicyError(
      "ERR_ATTRIBUTES_AS_CONTENT",
      "the content is a set of signed attributes",
      { hint: "somebody passes off a signature over other content as one over this" },
    );
  }
  const certificates = distinct([...carried.certificates, ...(options.certificates ?? [])]);
  const check = (info: SignerInfo, index: number): Signer => {
    try {
      return checkSigner(info, { contentType, digests }, certificates, options);
    } catch (error) {
      if (!(error instanceof P11SealError)) throw error;
      const [fault] = unreadable;
      if (error.code === "ERR_SIGNER_CERTIFICATE" && fault !== undefined) throw fault;
      const which = signers.length === 1 ? "signer" : `signer ${index + 1} of ${signers.length}`;
      throw error.at(`${which}, ${signerText(info.id)}`);
    }
  };
  return { ...carried, signers: signers.map(check) };
}

function distinct(certificates: readonly Certificate[]): Certificate[] {
  return [...new Map(certificates.map((one) => [toHex(one.der), one])).values()];
}

/** The hashes that are announced and may count; without a repeated one. */
async function readDigestAlgorithms(
  ber: BerReader,
  { allowLegacy = false }: SignaturePolicy,
): Promise<SignatureDigest[]> {
  const digests = new Set<SignatureDigest>();
  await ber.enter(TAG.set);
  for (let count = 0; (await ber.tag()) !== undefined; count++) {
    if (count === MAX_SIGNERS) {
      throw new FormatError("ERR_TOO_MANY_SIGNERS", `more than ${MAX_SIGNERS} hashes announced`);
    }
    const file = new DerReader(await ber.der(TAG.sequence), "message");
    const digest = signatureDigest(readAlgorithm(file));
    if (digest !== undefined && (digest !== "sha1" || allowLegacy)) digests.add(digest);
  }
  await ber.leave();
  return [...digests];
}

/**
 * CertificateSet (RFC 5652 §10.2.3). Obsolete kinds and attribute certificates are passed over.
 */
async function readCertificates(
  ber: BerReader,
): Promise<{ readonly certificates: Certificate[]; readonly unreadable: FormatError[] }> {
  const [certificates, unreadable]: [Certificate[], FormatError[]] = [[], []];
  if ((await ber.tag()) !== CONTEXT_0) return { certificates, unreadable };
  await ber.enter(CONTEXT_0);
  for (let count = 0; ; count++) {
    const tag = await ber.tag();
    if (tag === undefined) break;
    requireFew(count, "certificates");
    const sent = await ber.sent();
    if (tag !== TAG.sequence) continue;
    try {
      certificates.push(parseX509(toDer(sent, "certificate")));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      unreadable.push(error);
    }
  }
  await ber.leave();
  return { certificates, unreadable };
}

/** RevocationInfoChoices (RFC 5652 §10.2.1). */
async function readRevocation(ber: BerReader): Promise<{ crls: Uint8Array[]; ocsp: Uint8Array[] }> {
  const [crls, ocsp]: [Uint8Array[], Uint8Array[]] = [[], []];
  if ((await ber.tag()) !== CONTEXT_1) return { crls, ocsp };
  await ber.enter(CONTEXT_1);
  for (let count = 0; ; count++) {
    const tag = await ber.tag();
    if (tag === undefined) break;
    requireFew(count, "revocation lists");
    if (tag === TAG.sequence) {
      crls.push(await ber.der());
    } else {
      const response = ocspResponse(await ber.der());
      if (response !== undefined) ocsp.push(response);
    }
  }
  await ber.leave();
  return { crls, ocsp };
}

/** Of OtherRevocationInfoFormat, `[1] IMPLICIT SEQUENCE { type, value }`. */
function ocspResponse(other: Uint8Array): Uint8Array | undefined {
  const file = new DerReader(other, "revocation information");
  const fields = file.optional(CONTEXT_1);
  if (fields === undefined) return undefined;
  const type = oidText(fields.read(TAG.oid));
  const value = fields.any();
  fields.end();
  return type === OCSP_RESPONSE ? value : undefined;
}

function requireFew(count: number, what: string): void {
  if (count < MAX_CERTIFICATES) return;
  throw new FormatError("ERR_TOO_MANY_CERTIFICATES", `more than ${MAX_CERTIFICATES} ${what}`);
}

const MAX_SIGNERS = 64;
const MAX_CERTIFICATES = 128;

const VERSIONS: ReadonlySet<number> = new Set([1, 3, 4, 5]);

/** Context tags, explicit for the content and implicit for what follows it. */
const CONTEXT_0 = 0xa0;
const CONTEXT_1 = 0xa1;
const CONSTRUCTED_OCTETS = 0x24;
/** id-ri-ocsp-response (RFC 5940 §2.1). */
const OCSP_RESPONSE = "1.3.6.1.5.5.7.16.2";
