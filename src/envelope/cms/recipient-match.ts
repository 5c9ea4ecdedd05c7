/**
 * Whether a message's recipient is the holder of a key: by the key's certificates, or by the
 * identifiers that are made of the key itself. Public values alone; no key is ever tried.
 */
import { createHash } from "node:crypto";
import { DerReader } from "../../asn1/der.js";
import { equal } from "../../bytes.js";
import type { KnownPublicKey } from "../../keys/key.js";
import type { Certificate } from "../../x509/certificate.js";
import { readName, sameName } from "../../x509/name.js";
import type { RecipientId } from "./recipient-infos.js";

/** True if `rid` names one of the certificates, which are the key's, or the key itself. */
export function namesKey(
  rid: RecipientId,
  key: KnownPublicKey,
  certificates: readonly Certificate[],
): boolean {
  if (rid.type === "subjectKeyId") {
    return (
      certificates.some(({ subjectKeyId }) => subjectKeyId && equal(subjectKeyId, rid.id)) ||
      isKeyId(rid.id, key)
    );
  }
  const issuer = readName(new DerReader(rid.issuer, "a recipient of the CMS message"));
  return certificates.some(
    (certificate) =>
      sameInteger(certificate.serial, rid.serial) && sameName(certificate.issuer, issuer),
  );
}

/**
 * Whether an identifier is made of the key, in one of the ways that standards have: from the SHA-1
 * of the BIT STRING's content (RFC 5280 §4.2.1.2, both methods), 160 bits of a SHA-2 of it (RFC
 * 7093 §2 methods 1 to 3), or the SHA-256 of the whole (method 4). A certificate may have any other
 * one.
 */
function isKeyId(id: Uint8Array, { spki }: KnownPublicKey): boolean {
  if (id.length === 32) return equal(id, hashOf("sha256", spki));
  const outer = new DerReader(spki, "public key").sequence();
  outer.skip();
  const bits = outer.bitString();
  if (id.length === 8) {
    const short = hashOf("sha1", bits).slice(-8);
    short[0] = 0x40 | ((short[0] ?? 0) & 0x0f);
    return equal(id, short);
  }
  return ["sha1", "sha256", "sha384", "sha512"].some((hash) =>
    equal(id, hashOf(hash, bits).subarray(0, 20)),
  );
}

function hashOf(hash: string, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(hash).update(bytes).digest());
}

/** Of two INTEGERs' contents, as numbers: some write needless zeros. */
function sameInteger(a: Uint8Array, b: Uint8Array): boolean {
  return equal(minimal(a), minimal(b));
}

/** X.690 §8.3.2: without first bytes that only repeat the sign. */
function minimal(integer: Uint8Array): Uint8Array {
  let start = 0;
  while (start + 1 < integer.length) {
    const [first, second] = [integer[start] as number, integer[start + 1] as number];
    const isNeedless = (first === 0 && second < 0x80) || (first === 0xff && second >= 0x80);
    if (!isNeedless) break;
    start++;
  }
  return integer.subarray(start);
}
