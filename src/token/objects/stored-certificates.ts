/**
 * Certificates beside their keys on a token: stored, replaced and found (PKCS#11 v2.40 §4.6.3).
 */
import { equal } from "../../bytes.js";
import { der, TAG } from "../../asn1/der.js";
import { TokenError } from "../../errors.js";
import { keyInSpki } from "../../keys/public-key.js";
import { parseX509 } from "../../x509/certificate.js";
import { origin } from "../modules/call.js";
import { CKC_X_509, CKO } from "../modules/constants.js";
import type { Session } from "../session/session.js";
import type { KeyInfo, StoredCertificate, WithOthers } from "../values.js";
import { keyName, publicHalf } from "./halves.js";
import { contentOf, objectsOf, type KeyObject } from "./pairs.js";

/**
 * Stores a certificate with the id and label of its key. The new one is there before others go. The
 * session must be read-write and logged in.
 *
 * @param bytes - DER
 * @throws FormatError `ERR_CERTIFICATE`; TokenError `ERR_PUBLIC_KEY_MISSING`,
 *   `ERR_CERTIFICATE_MISMATCH`: it is another key's; `ERR_CERTIFICATE_EXISTS`;
 *   `ERR_CERTIFICATE_LOST`: the token took it and does not show it; as C_CreateObject fails
 */
export function storeCertificate(
  session: Session,
  key: KeyInfo,
  bytes: Uint8Array,
  withOthers: WithOthers,
): StoredCertificate {
  const { spki, subject, issuer, serial } = parseX509(bytes);
  const half = publicHalf(key);
  if (!equal(keyInSpki(spki).publicKey.fingerprint, half.fingerprint)) {
    throw new TokenError(
      "ERR_CERTIFICATE_MISMATCH",
      `the certificate is not one of ${keyName(key)}: it has another public key`,
    );
  }
  const others = certificatesOf(session, key);
  if (others.some((one) => isOf(one, bytes))) return { done: "nothing" };
  if (others.length > 0 && withOthers === "refuse") {
    throw new TokenError(
      "ERR_CERTIFICATE_EXISTS",
      `${keyName(key)} has a certificate on token "${key.token.label}" already`,
    );
  }
  const object = created(session, key, {
    ...{ CLASS: CKO.CERTIFICATE, TOKEN: true, PRIVATE: false, CERTIFICATE_TYPE: CKC_X_509 },
    LABEL: key.label,
    ...(key.id.length > 0 && { ID: key.id }),
    ...{ SUBJECT: subject.der, ISSUER: issuer.der, SERIAL_NUMBER: der(TAG.integer, serial) },
    VALUE: bytes,
  });
  if (!certificatesOf(session, key).some((one) => isOf(one, bytes))) {
    session.destroy(object);
    throw new TokenError(
      "ERR_CERTIFICATE_LOST",
      `token "${key.token.label}" took the certificate and does not show it`,
    );
  }
  if (withOthers !== "replace" || others.length === 0) return { done: "added" };
  for (const { handle } of others) session.destroy(handle);
  return { done: "replaced", others: others.length };
}

/** Destroys the certificates of a key and returns how many there were. */
export function destroyCertificates(session: Session, key: KeyInfo): number {
  const found = certificatesOf(session, key);
  for (const { handle } of found) session.destroy(handle);
  return found.length;
}

/** All that have the key's public half, whatever their id. */
function certificatesOf(session: Session, key: KeyInfo): KeyObject[] {
  const content = contentOf(key.publicKey);
  if (content === undefined) return [];
  return objectsOf(session, "certificate").filter((one) => one.content === content);
}

function isOf({ certificate }: KeyObject, bytes: Uint8Array): boolean {
  return certificate !== undefined && equal(certificate, bytes);
}

/** Cards that other tools write refuse objects from PKCS#11, each in its way. */
function created(session: Session, key: KeyInfo, values: Parameters<Session["create"]>[0]): Buffer {
  try {
    return session.create(values);
  } catch (error) {
    if (!(error instanceof TokenError) || error.code === "ERR_TOKEN_REMOVED") throw error;
    throw new TokenError(
      error.code,
      `token "${key.token.label}" does not store the certificate: ${error.message}`,
      {
        hint: "the card's own tool may write it; until then, name the certificate's file",
        ...origin(error),
      },
    );
  }
}
