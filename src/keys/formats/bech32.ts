/**
 * Bech32 (BIP 173) as age has it: of any length, and of one case, which is part of the form. Some
 * of these strings are secret, so no error quotes any of it.
 */
import { bech32 } from "@scure/base";
import { FormatError } from "../../errors.js";

/** What a string holds. */
export interface Bech32 {
  /** What precedes the last `1`, in the case of the whole string. */
  readonly prefix: string;
  readonly bytes: Uint8Array;
}

/** @param prefix - in upper case, the whole string is so */
export function encodeBech32(prefix: string, bytes: Uint8Array): string {
  const text = bech32.encode(prefix, bech32.toWords(bytes), false);
  return isUpper(prefix) ? text.toUpperCase() : text;
}

/** @throws FormatError `ERR_BECH32`: a wrong checksum, or not Bech32 at all */
export function decodeBech32(text: string): Bech32 {
  try {
    const { prefix, bytes } = bech32.decodeToBytes(text, false);
    return { prefix: text.slice(0, prefix.length), bytes };
  } catch {
    throw new FormatError("ERR_BECH32", "not Bech32, or its checksum is wrong", {
      hint: "it was mistyped, or cut off while copying; copy it again, whole",
    });
  }
}

function isUpper(text: string): boolean {
  return text !== text.toLowerCase();
}
