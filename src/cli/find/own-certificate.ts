/** The certificate that a key signs with: from files, or from beside the key. */
import { equal } from "../../bytes.js";
import { UsageError } from "../../errors.js";
import type { Identity, KnownPublicKey, SigningPublicKey } from "../../keys/key.js";
import { canonicalSpki } from "../../keys/public-key.js";
import { formatMoment } from "../../records/directory/directory.js";
import { isPkcs11Uri } from "../../token/uri.js";
import { sameCertificate, type Certificate } from "../../x509/certificate.js";
import { readCertificateFile, readableCertificates } from "../../x509/certificate-file.js";
import { sameName } from "../../x509/name.js";
import { readSmall } from "../io/inputs.js";
import type { Context } from "../command.js";
import { certificatesAt } from "./certificate-files.js";
import { lastIssued } from "./certificates.js";

/** A key's certificate, and those that readers may need for a path to their anchor. */
export interface OwnCertificate {
  readonly certificate: Certificate;
  readonly chain: readonly Certificate[];
}

/**
 * The key's certificate among those in `files` or, without files, among those beside the key: in
 * its file, or on its token. Of several, it is the one issued last. What speaks against
 * signing with it is noted.
 *
 * @throws UsageError `ERR_NO_CERTIFICATE`: there is none of that key; FormatError; FileError
 */
export async function certificateToSignWith(
  identity: Identity<SigningPublicKey>,
  files: readonly string[],
  context: Context,
): Promise<OwnCertificate> {
  const { publicKey, name } = identity;
  const all =
    files.length > 0
      ? await certificatesAt(files, context.io)
      : await certificatesBeside(identity, context);
  const certificate = lastIssued(all.filter((one) => isOf(one, publicKey)));
  if (certificate === undefined) {
    const where = files.length > 0 ? `in ${files.join(", ")}` : "beside it";
    throw new UsageError("ERR_NO_CERTIFICATE", `${name}: no certificate of this key is ${where}`, {
      hint: "name the file with --cert; `p11seal keys csr` writes a request for one",
    });
  }
  for (const doubt of doubts(certificate, Date.now())) context.report.note(doubt);
  const chain = all.filter((one) => !sameCertificate(one, certificate) && !isRoot(one));
  return { certificate, chain };
}

/** An identity has its key's certificates alone; a file may hold those of its issuers as well. */
async function certificatesBeside(
  { name, certificates = [] }: Identity,
  { io }: Context,
): Promise<Certificate[]> {
  if (certificates.length === 0 || isPkcs11Uri(name) || name === "-")
    return readableCertificates(certificates);
  const bytes = await readSmall(name, io);
  try {
    return readableCertificates(readCertificateFile(bytes).certificates);
  } finally {
    bytes.fill(0);
  }
}

/** True if the certificate is one of the key. */
export function isOf({ spki }: Certificate, { spki: own }: KnownPublicKey): boolean {
  return equal(spki, own) || equal(canonicalSpki(spki), own);
}

/** Whoever trusts it has it. */
function isRoot({ issuer, subject }: Certificate): boolean {
  return sameName(issuer, subject);
}

function doubts({ notBeforeMs, notAfterMs, keyUsage }: Certificate, nowMs: number): string[] {
  const found: string[] = [];
  if (nowMs > notAfterMs) found.push(`the certificate expired ${formatMoment(notAfterMs)}`);
  if (nowMs < notBeforeMs) {
    found.push(`the certificate is not valid before ${formatMoment(notBeforeMs)}`);
  }
  const mayNot =
    keyUsage !== undefined && !keyUsage.has("digitalSignature") && !keyUsage.has("nonRepudiation");
  if (mayNot) found.push("the certificate's key usage does not include signatures");
  return found.map((fact) => `${fact}: readers may refuse what is signed with it`);
}
