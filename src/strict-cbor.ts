/**
 * How CBOR from outside is decoded (RFC 8949 §4.2.1). The decoder still accepts any order of keys,
 * and floats in place of integers: whoever reads one encoding only encodes again, and compares.
 */
import type { DecodeOptions } from "cborg";

export const STRICT_CBOR: DecodeOptions = {
  strict: true,
  useMaps: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
};
