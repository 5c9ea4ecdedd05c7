/**
 * The header of a message in p11seal's own format, version 1 (docs/format.md is normative):
 *
 *     PRELUDE  magic 8 ‖ version 1 ‖ suite 1 ‖ segLog2 1 ‖ flags 1 ‖ core length 4
 *     CORE     the message's own description            permanent …
 *     SIG      the sender's signature, if signed        … these three are bound into the body
 *     EXT      typed extension blocks                   replaceable by re-wrapping …
 *     RECIPS   wrapped keys                             … with these two
 *     MAC      HMAC-SHA-256 under the file key, over everything before it
 * This file only converts bytes to values and back. It uses no keys.
 */
import { concat, concatAll, Cursor, equal, fromHex, u16, u32 } from "../../bytes.js";
import { UnsupportedError } from "../../errors.js";
import { Reader } from "../../stream.js";
import type { Refuse } from "./cbor-map.js";
import { encodeCore, MAX_CORE_BYTES, parseCore, type Core } from "./core.js";
import { malformed } from "./malformed.js";
import { requireBlankPadding } from "./padding.js";
import { encodeRecips, MAX_RECIPS_BYTES, parseRecips, type Stanza } from "./recips.js";

/** The format's name. */
export const FORMAT = "p11seal";

export const MAGIC = fromHex("8b5031310d0a1a0a");
export const VERSION = 1;
/** FLOE with AES-256-GCM and HKDF-Expand-SHA-384; HMAC-SHA-256; HKDF-SHA-256. */
export const SUITE = 1;
const PRELUDE_BYTES = 16;
export const MAC_BYTES = 32;
export const MIN_SEG_LOG2 = 12;
export const MAX_SEG_LOG2 = 22;
/** 256 KiB: docs/performance.md has the measurement. */
export const DEFAULT_SEG_LOG2 = 18;
const FLAG_SIGNED = 1;
const MAX_SIG_BYTES = 16_384;
/** Longest EXT, bytes, without its length field. */
export const MAX_EXT_BYTES = 65_536;
/** Extension types with this bit may be skipped by readers that don't know them. */
const EXT_SKIPPABLE = 0x8000;

/** A long-term key's signature, as SIG and re-wrap records have it. */
export interface KeySignature {
  readonly algorithm: number;
  readonly spki: Uint8Array;
  readonly signature: Uint8Array;
}

export interface Extension {
  readonly type: number;
  readonly body: Uint8Array;
}

export interface Header {
  /** A segment of the body has 2^segLog2 bytes. */
  readonly segLog2: number;
  readonly core: Core;
  /** Present exactly when the message is signed. */
  readonly signature?: KeySignature;
  readonly extensions: readonly Extension[];
  readonly stanzas: readonly Stanza[];
}

/** A header with the exact bytes it came from, since the bytes are what is authenticated. */
export interface ParsedHeader extends Header {
  /** PRELUDE ‖ CORE: what the sender's signature covers. */
  readonly signedPart: Uint8Array;
  /** PRELUDE ‖ CORE ‖ SIG, to which the body is bound. */
  readonly immutablePart: Uint8Array;
  /** RECIPS with its length field; the signed claims hold its hash. */
  readonly recipsBlock: Uint8Array;
  /** Everything before the MAC. */
  readonly transcript: Uint8Array;
  readonly mac: Uint8Array;
}

/** PRELUDE ‖ CORE. */
export function encodeSignedPart(segLog2: number, core: Core): Uint8Array {
  const encoded = encodeCore(core);
  const flags = core.claims === undefined ? 0 : FLAG_SIGNED;
  return concat(MAGIC, Uint8Array.of(VERSION, SUITE, segLog2, flags), u32(encoded.length), encoded);
}

/**
 * SIG: len u32 ‖ algorithm u16 ‖ spkiLen u16 ‖ SPKI ‖ sigLen u16 ‖ signature. Empty in
 * an unsigned message.
 */
export function encodeSignature(signature: KeySignature | undefined): Uint8Array {
  if (signature === undefined) return new Uint8Array(0);
  return withLength(
    u16(signature.algorithm),
    u16(signature.spki.length),
    signature.spki,
    u16(signature.signature.length),
    signature.signature,
  );
}

/** EXT: len u32 ‖ (type u16 ‖ bodyLen u32 ‖ body)*. */
export function encodeExtensions(extensions: readonly Extension[]): Uint8Array {
  return withLength(...extensions.flatMap(({ type, body }) => [u16(type), u32(body.length), body]));
}

/** Everything before the MAC. `encodeTranscript(parse(bytes))` gives the same bytes. */
export function encodeTranscript(header: Header): Uint8Array {
  return concat(
    encodeSignedPart(header.segLog2, header.core),
    encodeSignature(header.signature),
    encodeExtensions(header.extensions),
    encodeRecips(header.stanzas),
  );
}

/**
 * Reads a header from the start of `reader`, and no byte of the body.
 *
 * @throws FormatError `ERR_NOT_A_MESSAGE`; UnsupportedError `ERR_VERSION`, `ERR_SUITE`,
 * `ERR_EXTENSION`; AuthenticationError `ERR_TRUNCATED`, `ERR_HEADER`.
 */
export async function readHeader(reader: Reader): Promise<ParsedHeader> {
  const { segLog2, signed, coreBytes, signedPart } = await readUnparsed(reader);
  const sigBlock = signed ? await readBlock(reader, MAX_SIG_BYTES, "the signature block") : NOTHING;
  const extBlock = await readBlock(reader, MAX_EXT_BYTES, "the extension block");
  const recipsBlock = await readBlock(reader, MAX_RECIPS_BYTES, "the recipient block");
  const mac = await reader.exactly(MAC_BYTES, "the header's MAC");

  const immutablePart = concat(signedPart, sigBlock);
  return {
    segLog2,
    core: parseCore(coreBytes, signed),
    ...(signed ? { signature: parseSignature(sigBlock.subarray(4), malformed) } : {}),
    extensions: parseExtensions(extBlock.subarray(4)),
    stanzas: parseRecips(recipsBlock.subarray(4)),
    signedPart,
    immutablePart,
    recipsBlock,
    transcript: concat(immutablePart, extBlock, recipsBlock),
    mac,
  };
}

/** Reads PRELUDE ‖ CORE alone. Throws as `readHeader`. */
export async function readSignedPart(
  reader: Reader,
): Promise<Pick<ParsedHeader, "core" | "signedPart">> {
  const { signed, coreBytes, signedPart } = await readUnparsed(reader);
  return { core: parseCore(coreBytes, signed), signedPart };
}

/** PRELUDE, and CORE's bytes. */
async function readUnparsed(reader: Reader): Promise<{
  readonly segLog2: number;
  readonly signed: boolean;
  readonly coreBytes: Uint8Array;
  readonly signedPart: Uint8Array;
}> {
  const prelude = await readPrelude(reader);
  const [version, suite, segLog2, flags] = prelude.subarray(8) as unknown as number[];
  if (version !== VERSION) {
    throw new UnsupportedError(
      "ERR_VERSION",
      `format version ${String(version)} is not supported`,
      {
        hint: "a newer p11seal may read it",
      },
    );
  }
  if (suite !== SUITE) {
    throw new UnsupportedError("ERR_SUITE", `cipher suite ${String(suite)} is not supported`, {
      hint: "a newer p11seal may read it",
    });
  }
  if (segLog2 === undefined || segLog2 < MIN_SEG_LOG2 || segLog2 > MAX_SEG_LOG2) {
    throw malformed(`segment size 2^${String(segLog2)}`);
  }
  if (flags !== 0 && flags !== FLAG_SIGNED) throw malformed(`flags ${String(flags)}`);
  const signed = flags === FLAG_SIGNED;

  const coreLength = new Cursor(prelude.subarray(12), "core length").u32();
  if (coreLength > MAX_CORE_BYTES) throw malformed(`a core of ${coreLength} bytes`);
  const coreBytes = await reader.exactly(coreLength, "the core");
  return { segLog2, signed, coreBytes, signedPart: concat(prelude, coreBytes) };
}

async function readPrelude(reader: Reader): Promise<Uint8Array> {
  const prelude = await reader.upTo(PRELUDE_BYTES);
  if (!startsAsMessage(prelude)) {
    const { notAMessage } = await import("../foreign.js");
    throw notAMessage(prelude);
  }
  return new Reader(prelude).exactly(PRELUDE_BYTES, "the start of the message");
}

/** Whether these bytes are the magic number, or the start of it in a message that was cut off. */
export function startsAsMessage(start: Uint8Array): boolean {
  const seen = start.subarray(0, MAGIC.length);
  return seen.length > 0 && equal(seen, MAGIC.subarray(0, seen.length));
}

/** A block, including its length field. */
async function readBlock(reader: Reader, most: number, what: string): Promise<Uint8Array> {
  const field = await reader.exactly(4, what);
  const length = new Cursor(field, what).u32();
  if (length > most) throw malformed(`${what}: ${length} bytes`);
  return concat(field, await reader.exactly(length, what));
}

/**
 * SIG without its length field.
 *
 * @param refuse - makes the error for a block that is malformed
 */
export function parseSignature(block: Uint8Array, refuse: Refuse): KeySignature {
  const cursor = cursorOver(block, "the signature", refuse);
  const algorithm = cursor.u16();
  const spki = cursor.take(cursor.u16());
  const signature = cursor.take(cursor.u16());
  cursor.end();
  return { algorithm, spki, signature };
}

function parseExtensions(block: Uint8Array): Extension[] {
  const cursor = cursorOver(block, "the extensions", malformed);
  const extensions: Extension[] = [];
  while (cursor.left > 0) {
    const type = cursor.u16();
    if ((type & EXT_SKIPPABLE) === 0) {
      throw new UnsupportedError("ERR_EXTENSION", `extension ${type} is not known`, {
        hint: "a newer p11seal may read it",
      });
    }
    extensions.push({ type, body: cursor.take(cursor.u32()) });
  }
  requireBlankPadding(extensions);
  return extensions;
}

function cursorOver(block: Uint8Array, what: string, refuse: Refuse): Cursor {
  return new Cursor(block, what, (_code, message) => refuse(message));
}

function withLength(...parts: Uint8Array[]): Uint8Array {
  const block = concatAll(parts);
  return concat(u32(block.length), block);
}

const NOTHING = new Uint8Array(0);
