/** The content key of an envelope, by the identity that one of its recipients names. */
import { randomBytes } from "node:crypto";
import { NoMatchError, PolicyError } from "../../errors.js";
import type { Identity, KnownPublicKey } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import { openByKey, type OpenedByKey } from "../../wrap/opener.js";
import { parseX509 } from "../../x509/certificate.js";
import { readableCertificates } from "../../x509/certificate-file.js";
import type { MessageInfo } from "../message-info.js";
import type { Receiver } from "../receiver.js";
import type { EnvelopedHeader } from "./enveloped.js";
import { wrappedKeys } from "./wrapped-keys.js";

/**
 * @throws NoMatchError `ERR_NO_MATCH`, and what `wrappedKeys` throws, before any key is unlocked;
 *   TokenError
 */
export async function openRecipient(
  { recipients, cipher }: EnvelopedHeader,
  info: MessageInfo,
  receiver: Receiver,
): Promise<OpenedByKey> {
  const identities = await receiver.identities(info);
  const given = (await receiver.certificates?.()) ?? [];
  const beside = identities.flatMap((one) => one.certificates ?? []);
  const certificates = [...given.map((der) => parseX509(der)), ...readableCertificates(beside)];
  const context = {
    ...{ recipients, certificates, keyBytes: cipher.keyBytes },
    allowsLegacy: receiver.allows?.legacy === true,
    rejectionSecret: (await receiver.rejectionSecret?.()) ?? processSecret(),
  };
  try {
    return await openByKey(identities, wrappedKeys(context));
  } catch (error) {
    if (!(error instanceof NoMatchError)) throw error;
    throw withoutCertificate(error, identities, info);
  }
}

/** @throws PolicyError `ERR_LEGACY`: before any key is looked for */
export function requireCurrent({ cipher }: EnvelopedHeader, { allows }: Receiver): void {
  if (!cipher.isLegacy || allows?.legacy === true) return;
  throw new PolicyError(
    "ERR_LEGACY",
    `the CMS message is encrypted with ${cipher.name}, which is not accepted`,
    { hint: "old messages are opened with --allow-legacy" },
  );
}

/** For callers who keep none: what a wrap gives is the same until the process ends. */
function processSecret(): Secret {
  return (oneSecret ??= new Secret(new Uint8Array(randomBytes(32))));
}

let oneSecret: Secret | undefined;

/** A key of a recipient's kind may be the one, and have a certificate that was not at hand. */
function withoutCertificate(
  error: NoMatchError,
  identities: readonly Identity<KnownPublicKey>[],
  { recipients }: MessageInfo,
): NoMatchError {
  const mayBe = identities.some(
    ({ publicKey }) =>
      publicKey.type !== "ed25519" && recipients.some((one) => one.matches(publicKey)),
  );
  if (!mayBe) return error;
  const advice = "CMS names certificates: give the key's, all that it has, with --cert FILE";
  const hint = error.hint === undefined ? advice : `${error.hint}; ${advice}`;
  return new NoMatchError(error.code, error.message, { hint });
}
