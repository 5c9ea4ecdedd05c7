/**
 * The file of Microsoft's samples "Encrypting a File" and "Decrypting a File": the blob's length as
 * a DWORD, the SIMPLEBLOB, the ciphertext to the end. The three-phase exchange's second message has
 * the same shape, with a hash value in the ciphertext's place.
 *
 * The sample, given a password, writes the ciphertext alone: RC4 with 128 bits and
 * `deriveSessionKey` over MD5. Its Unicode build hashes only the first half of the password's
 * UTF-16 bytes (it passes the length in characters).
 */
import { concat } from "../bytes.js";
import { FormatError } from "../errors.js";
import { type ByteSource, ByteStream, Reader } from "../stream.js";
import { u32le } from "../keys/formats/little-endian.js";
import { readRest } from "./reading.js";

export interface SdkFile {
  /** The SIMPLEBLOB's bytes; not parsed yet. */
  readonly blob: Uint8Array;
  /** The rest, once. */
  readonly ciphertext: ByteStream;
}

/**
 * Reads length and blob; the ciphertext is read from the result.
 *
 * @throws FormatError `ERR_SDK_FILE`: no such file; `ERR_TRUNCATED`.
 */
export async function readSdkFile(source: ByteSource): Promise<SdkFile> {
  const reader = new Reader(source);
  try {
    const head = await exactly(reader, 4);
    const length = new DataView(head.buffer, head.byteOffset, 4).getUint32(0, true);
    if (length < MIN_BLOB_BYTES || length > MAX_BLOB_BYTES) {
      throw new FormatError(
        "ERR_SDK_FILE",
        `the file starts with a blob length of ${length} bytes`,
        {
          hint: "Blob and ciphertext may be two files, or the key was made from a password.",
        },
      );
    }
    const blob = await exactly(reader, length);
    return { blob, ciphertext: new ByteStream(readRest(reader), () => reader.close()) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** What stands before the ciphertext. */
export function sdkFileHead(blob: Uint8Array): Uint8Array {
  return concat(u32le(blob.length), blob);
}

async function exactly(reader: Reader, length: number): Promise<Uint8Array> {
  const bytes = await reader.upTo(length);
  if (bytes.length === length) return bytes;
  throw new FormatError("ERR_TRUNCATED", `the file ends ${length - bytes.length} bytes too early`);
}

/** A SIMPLEBLOB under 512 bits, and under 16,384. */
const MIN_BLOB_BYTES = 12 + 64;
const MAX_BLOB_BYTES = 12 + 2048;
