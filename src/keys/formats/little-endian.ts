/** CryptoAPI's byte order: all integers are little-endian, including RSA's numbers. */
import type { Cursor } from "../../bytes.js";

/** The bytes reversed: converts an RSA number between CryptoAPI's order and PKCS#1's. */
export function reversed(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes).reverse();
}

/** A DWORD. */
export function u32le(value: number): Uint8Array<ArrayBuffer> {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw new RangeError("u32le");
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** A ULONGLONG; `value` is 0 to 2^64 - 1. */
export function u64le(value: bigint): Uint8Array<ArrayBuffer> {
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw new RangeError("u64le");
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

export function readU32le(cursor: Cursor): number {
  return viewOf(cursor.take(4)).getUint32(0, true);
}

export function readU64le(cursor: Cursor): bigint {
  return viewOf(cursor.take(8)).getBigUint64(0, true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
