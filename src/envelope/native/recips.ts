/**
 * RECIPS: the wrapped keys (docs/format.md §7), one stanza for each. A stanza's tag shows to those
 * who have the public key that the stanza is for it. So the right token is found before a PIN is
 * asked for.
 */
import { createHmac } from "node:crypto";
import { ascii, concat, concatAll, Cursor, toHex, u16, u32 } from "../../bytes.js";
import { encBytes, HPKE_TAG_BYTES, type HpkeKem } from "../../wrap/hpke.js";
import type { OaepHash, PublicKey } from "../../keys/key.js";
import { MAX_RECIPIENTS } from "./core.js";
import { malformed } from "./malformed.js";

/** Length of the file key: the session key of the exchange. */
export const FILE_KEY_BYTES = 32;
/** Bytes of a stanza's tag. */
const TAG_BYTES = 8;
/** Most stanzas: a recipient whose OAEP hash is not known gets two. */
export const MAX_STANZAS = 2 * MAX_RECIPIENTS;
/** Shortest and longest RSA ciphertext: RSA-2048 to RSA-8192. */
export const MIN_RSA_BYTES = 256;
const MAX_RSA_BYTES = 1024;
/** Longest RECIPS block, bytes: room for 2,048 stanzas of RSA-8192. */
export const MAX_RECIPS_BYTES = 4 * 1024 * 1024;

export type Stanza = { readonly tag: Uint8Array } & (
  | { readonly type: "rsa-oaep"; readonly hash: OaepHash; readonly ciphertext: Uint8Array }
  | {
      readonly type: "hpke";
      readonly kem: HpkeKem;
      readonly enc: Uint8Array;
      readonly ciphertext: Uint8Array;
    }
  /** A type that this version does not know: it is for somebody else. */
  | { readonly type: "unknown"; readonly number: number; readonly body: Uint8Array }
);

/** True for a KEM that a stanza can say. */
export function hasStanzaType(kem: HpkeKem): boolean {
  return HPKE_KEMS.includes(kem);
}

/** The tag, 8 bytes, of a stanza for this key in this message. */
export function stanzaTag(messageId: Uint8Array, key: Pick<PublicKey, "fingerprint">): Uint8Array {
  const mac = createHmac("sha256", concat(ascii("p11seal/v1 tag"), messageId));
  return new Uint8Array(mac.update(key.fingerprint).digest().subarray(0, TAG_BYTES));
}

/** len u32 ‖ count u16 ‖ stanzas; `len` counts the bytes after it. */
export function encodeRecips(stanzas: readonly Stanza[]): Uint8Array {
  const parts: Uint8Array[] = [u16(stanzas.length)];
  for (const stanza of stanzas) {
    const [type, body] = encodeBody(stanza);
    parts.push(u16(type), stanza.tag, u32(body.length), body);
  }
  const block = concatAll(parts);
  return concat(u32(block.length), block);
}

/** `block` is everything after the length field. */
export function parseRecips(block: Uint8Array): Stanza[] {
  const cursor = new Cursor(block, "the list of recipients", (_code, message) =>
    malformed(message),
  );
  const count = cursor.u16();
  if (count < 1 || count > MAX_STANZAS) throw malformed(`${count} recipient stanzas`);
  const stanzas: Stanza[] = [];
  for (let i = 0; i < count; i++) {
    const type = cursor.u16();
    const tag = cursor.take(TAG_BYTES);
    stanzas.push({ tag, ...parseBody(type, cursor.take(cursor.u32())) });
  }
  cursor.end();
  // One tag, one recipient, whatever the number and types of its stanzas.
  const recipients = new Set(stanzas.map(({ tag }) => toHex(tag))).size;
  if (recipients > MAX_RECIPIENTS) throw malformed(`${recipients} recipients`);
  return stanzas;
}

function encodeBody(stanza: Stanza): [type: number, body: Uint8Array] {
  switch (stanza.type) {
    case "rsa-oaep": {
      const hash = OAEP_HASHES.indexOf(stanza.hash) + 1;
      return [RSA_OAEP, concat(Uint8Array.of(hash, hash), stanza.ciphertext)];
    }
    case "hpke":
      return [FIRST_HPKE + HPKE_KEMS.indexOf(stanza.kem), concat(stanza.enc, stanza.ciphertext)];
    case "unknown":
      return [stanza.number, stanza.body];
  }
}

type Body = Stanza extends infer S ? (S extends unknown ? Omit<S, "tag"> : never) : never;

/** A known type has exactly one length; a wrapped key of another length is never tried. */
function parseBody(type: number, body: Uint8Array): Body {
  if (type === RSA_OAEP) {
    const hash = OAEP_HASHES[(body[0] ?? 0) - 1];
    const ciphertext = body.subarray(2);
    if (hash === undefined || body[1] !== body[0]) throw malformed("an RSA-OAEP stanza's hash");
    if (ciphertext.length < MIN_RSA_BYTES || ciphertext.length > MAX_RSA_BYTES) {
      throw malformed("an RSA-OAEP stanza's length");
    }
    return { type: "rsa-oaep", hash, ciphertext };
  }
  const kem = HPKE_KEMS[type - FIRST_HPKE];
  if (kem === undefined) return { type: "unknown", number: type, body };
  const encLength = encBytes(kem);
  if (body.length !== encLength + FILE_KEY_BYTES + HPKE_TAG_BYTES) {
    throw malformed("an HPKE stanza's length");
  }
  return {
    type: "hpke",
    kem,
    enc: body.subarray(0, encLength),
    ciphertext: body.subarray(encLength),
  };
}

/** Stanza type 1. */
const RSA_OAEP = 1;
/** Stanza types 2 to 7, in this order. */
const FIRST_HPKE = 2;
const HPKE_KEMS: readonly HpkeKem[] = [
  "P-256",
  "P-384",
  "P-521",
  "X25519",
  "mlkem768-p256",
  "mlkem1024-p384",
];
/** Hash ids 1 to 4. */
const OAEP_HASHES: readonly OaepHash[] = ["sha1", "sha256", "sha384", "sha512"];
