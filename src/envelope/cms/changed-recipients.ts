/** A message's RecipientInfos with some taken away and others added; the rest stay as they are. */
import { der, DerReader, TAG } from "../../asn1/der.js";
import { toHex } from "../../bytes.js";
import { UnsupportedError } from "../../errors.js";
import type { ExchangePublicKey, Recipient } from "../../keys/key.js";
import { parseX509, type Certificate } from "../../x509/certificate.js";
import { isAmong } from "../rewrapped-recipients.js";
import { fitsRecipient } from "./cms-info.js";
import type { RecipientEntry, RecipientInfoValue } from "./recipient-infos.js";
import { namesKey } from "./recipient-match.js";
import { certificatesByKey } from "./wrapped-keys.js";

/** Of the recipients, those whose key a message does not name, or not once others are removed. */
export function notYetIn(
  entries: readonly RecipientEntry[],
  add: readonly Recipient[],
  remove: readonly ExchangePublicKey[],
): readonly Recipient[] {
  const values = entries.flatMap(({ recipients }) => recipients);
  return add.filter(({ publicKey, certificate }) => {
    const own = certificate === undefined ? [] : [parseX509(certificate)];
    return isAmong(remove, publicKey) || !values.some((one) => isFor(one, publicKey, own));
  });
}

/**
 * What is left of the RecipientInfos once the keys' are gone.
 *
 * @param certificates - by which the message may name the keys
 * @throws UnsupportedError `ERR_REWRAP`: whether a recipient is one of the keys can't be told
 */
export function withoutKeys(
  entries: readonly RecipientEntry[],
  keys: readonly ExchangePublicKey[],
  certificates: readonly Certificate[],
): RecipientEntry[] {
  const byKey = certificatesByKey(certificates);
  const gone = new Set<RecipientInfoValue>();
  const values = entries.flatMap(({ recipients }) => recipients);
  for (const key of keys) {
    const own = byKey.get(toHex(key.spki)) ?? [];
    const found = values.filter((one) => isFor(one, key, own));
    for (const one of found) gone.add(one);
    if (found.length > 0 || own.length > 0) continue;
    if (values.some((one) => isByIssuer(one) && fitsRecipient(one, key))) throw unclear();
  }
  return entries.flatMap((entry) => reduced(entry, gone) ?? []);
}

function isFor(
  value: RecipientInfoValue,
  key: ExchangePublicKey,
  certificates: readonly Certificate[],
): boolean {
  return (
    value.type !== "unknown" && fitsRecipient(value, key) && namesKey(value.rid, key, certificates)
  );
}

function isByIssuer(value: RecipientInfoValue): boolean {
  return value.type !== "unknown" && value.rid.type === "issuerAndSerial";
}

function unclear(): UnsupportedError {
  return new UnsupportedError(
    "ERR_REWRAP",
    "the CMS message names recipients by certificates, and the key to remove came without one",
    { hint: "name the recipient by its certificate" },
  );
}

/** The RecipientInfo without those recipients; undefined: none is left. */
function reduced(
  entry: RecipientEntry,
  gone: ReadonlySet<RecipientInfoValue>,
): RecipientEntry | undefined {
  const { der: whole, recipients } = entry;
  const kept = recipients.filter((one) => !gone.has(one));
  if (kept.length === recipients.length) return entry;
  if (kept.length === 0) return undefined;
  // KeyAgreeRecipientInfo (RFC 5652 §6.2.2), the only one for several: its last field lists them.
  const info = new DerReader(whole, "a recipient of the CMS message").constructed(KEY_AGREEMENT);
  const fields: Uint8Array[] = [];
  let last = info.any();
  while (info.peek() !== undefined) {
    fields.push(last);
    last = info.any();
  }
  const keys = new DerReader(last, "a recipient of the CMS message").sequence();
  const left = recipients.flatMap((one) => {
    const key = keys.any();
    return gone.has(one) ? [] : [key];
  });
  return { der: der(KEY_AGREEMENT, ...fields, der(TAG.sequence, ...left)), recipients: kept };
}

const KEY_AGREEMENT = 0xa1;

// ── The envelope's version ──

/**
 * The version that EnvelopedData must have (RFC 5652 §6.1).
 *
 * @param old - the version it had: what stands behind the content is known by that alone
 * @param infos - the RecipientInfos that it gets
 */
export function envelopedVersion(
  { old, hasOriginator }: { readonly old: number; readonly hasOriginator: boolean },
  infos: readonly RecipientEntry[],
): number {
  // Certificates of another kind make it 4, attribute certificates 3, whoever the recipients are.
  if (old === 4 || (old === 3 && hasOriginator)) return old;
  if (infos.some(({ der: [tag] }) => tag === PASSWORD || tag === OTHER)) return 3;
  const areVersion0 = infos.every(({ recipients }) => recipients.every(isVersion0));
  // What was 0 has no attributes behind its content. What was 2 may have some.
  return areVersion0 && old === 0 ? 0 : 2;
}

/** Key transport to a certificate's issuer and serial number. */
function isVersion0(value: RecipientInfoValue): boolean {
  return (value.type === "rsa-oaep" || value.type === "rsa-pkcs1") && isByIssuer(value);
}

const PASSWORD = 0xa3;
const OTHER = 0xa4;
