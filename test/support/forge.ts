/**
 * Writes valid and invalid messages byte by byte, with a known file key: what a malicious
 * recipient, or a faulty program, could write. Only the segments are made by p11seal.
 */
import { createHash, createHmac, hkdfSync } from "node:crypto";
import { floeSeal } from "../../src/body/floe.js";
import { ascii, concat, fromHex, u16, u32 } from "../../src/bytes.js";
import type { ExchangePublicKey, Identity } from "../../src/keys/key.js";
import { Secret } from "../../src/secret.js";
import { answering, identityOf } from "./identities.js";

/** The file key of every forged message. */
export const FILE_KEY = Uint8Array.from({ length: 32 }, (_, i) => 0x40 + i);
export const MESSAGE_ID = new Uint8Array(16).fill(0x11);
export const SEG_LOG2 = 12;
export const SEGMENT_BYTES = 2 ** SEG_LOG2;
/** Bytes of plaintext in a full segment. */
export const FULL = SEGMENT_BYTES - 32;

/** The holder of an RSA-2048 key, who always returns the file key, without the arithmetic. */
export const holder: Identity<ExchangePublicKey> = answering(identityOf("rsa2048").publicKey, () =>
  Promise.resolve(new Secret(FILE_KEY.slice())),
);

/** The fields of a header. Each can be set alone, so that each can be false. */
export interface HeaderFields {
  readonly magic: Uint8Array;
  readonly version: number;
  readonly suite: number;
  readonly segLog2: number;
  readonly flags: number;
  readonly core: Uint8Array;
  readonly coreLength: number;
  /** With its length field; empty in an unsigned message. */
  readonly sig: Uint8Array;
  /** With its length field. */
  readonly ext: Uint8Array;
  /** With its length field. */
  readonly recips: Uint8Array;
  readonly mac: Uint8Array;
  /** The key from which everything is derived. */
  readonly fileKey: Uint8Array;
}

/** CORE of an unsigned message: a map of one key, 1, to the message id. */
export const CORE = concat(fromHex("a10150"), MESSAGE_ID);

/** `len u32 ‖ parts`. */
export function block(...parts: Uint8Array[]): Uint8Array {
  const content = concat(...parts);
  return concat(u32(content.length), content);
}

export interface StanzaFields {
  readonly type: number;
  readonly tag: Uint8Array;
  readonly body: Uint8Array;
  readonly bodyLength: number;
}

/** A stanza for `holder`: RSA-OAEP with SHA-256. */
export function stanza(fields: Partial<StanzaFields> = {}): Uint8Array {
  const {
    type = 1,
    tag = tagOf(holder.publicKey.fingerprint),
    body = concat(Uint8Array.of(2, 2), new Uint8Array(256).fill(0x77)),
  } = fields;
  return concat(u16(type), tag, u32(fields.bodyLength ?? body.length), body);
}

export function tagOf(fingerprint: Uint8Array): Uint8Array {
  const mac = createHmac("sha256", concat(ascii("p11seal/v1 tag"), MESSAGE_ID));
  return new Uint8Array(mac.update(fingerprint).digest().subarray(0, 8));
}

export function recips(stanzas: readonly Uint8Array[], count = stanzas.length): Uint8Array {
  return block(u16(count), ...stanzas);
}

/** EXT with the given blocks. */
export function ext(...blocks: { type: number; body: Uint8Array; bodyLength?: number }[]) {
  return block(
    ...blocks.flatMap(({ type, body, bodyLength }) => [
      u16(type),
      u32(bodyLength ?? body.length),
      body,
    ]),
  );
}

/** PRELUDE ‖ CORE ‖ SIG. */
function immutablePart(fields: Partial<HeaderFields>): Uint8Array {
  const { core = CORE } = fields;
  return concat(
    fields.magic ?? fromHex("8b5031310d0a1a0a"),
    Uint8Array.of(
      fields.version ?? 1,
      fields.suite ?? 1,
      fields.segLog2 ?? SEG_LOG2,
      fields.flags ?? 0,
    ),
    u32(fields.coreLength ?? core.length),
    core,
    fields.sig ?? new Uint8Array(0),
  );
}

/** PRELUDE to MAC; the MAC is valid unless one is given. */
export function headerBytes(fields: Partial<HeaderFields> = {}): Uint8Array {
  const transcript = concat(
    immutablePart(fields),
    fields.ext ?? ext(),
    fields.recips ?? recips([stanza()]),
  );
  const mac = createHmac("sha256", derived(fields, "p11seal/v1 header mac"))
    .update(transcript)
    .digest();
  return concat(transcript, fields.mac ?? mac);
}

/** A body for a header, with one segment for each entry. */
export function bodyBytes(
  plaintexts: readonly Uint8Array[],
  fields: Partial<HeaderFields> = {},
): Uint8Array {
  const aad = createHash("sha384").update(immutablePart(fields)).digest();
  const segmentBytes = 2 ** (fields.segLog2 ?? SEG_LOG2);
  const { header, segments } = floeSeal(derived(fields, "p11seal/v1 floe"), aad, { segmentBytes });
  const last = plaintexts.length - 1;
  return concat(
    header,
    ...plaintexts.flatMap((plaintext, i) => [...segments.seal(i, i === last, plaintext)]),
  );
}

/** Header and body of a message to `holder`. */
export function messageBytes(
  fields: Partial<HeaderFields> = {},
  plaintexts: readonly Uint8Array[] = [ascii("a message")],
): Uint8Array {
  return concat(headerBytes(fields), bodyBytes(plaintexts, fields));
}

function derived({ fileKey = FILE_KEY }: Partial<HeaderFields>, info: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", fileKey, new Uint8Array(0), info, 32));
}
