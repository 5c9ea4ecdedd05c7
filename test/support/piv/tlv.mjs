/** BER-TLV (ISO 7816-4 §5.2.2) as PIV uses it; the same lengths serve DER. */

/**
 * One data object.
 * @param {number} tag one to three bytes, as in 0x5f2f
 * @param {...Uint8Array} parts its value
 * @returns {Buffer}
 */
export function tlv(tag, ...parts) {
  const value = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(hex(tag), "hex"), length(value.length), value]);
}

/**
 * The data objects in `bytes`, one level deep.
 * @param {Buffer} bytes
 * @returns {Map<number, Buffer>} by tag
 * @throws Error when `bytes` is anything else
 */
export function readTlv(bytes) {
  const found = new Map();
  let at = 0;
  const next = () => {
    const byte = bytes[at++];
    if (byte === undefined) throw new Error("a data object is cut off");
    return byte;
  };
  while (at < bytes.length) {
    let tag = next();
    if ((tag & 0x1f) === 0x1f) {
      let more;
      do {
        more = next();
        tag = tag * 256 + more;
      } while ((more & 0x80) !== 0);
    }
    let size = next();
    if (size > 0x80) {
      const octets = size & 0x7f;
      size = 0;
      for (let i = 0; i < octets; i++) size = size * 256 + next();
    }
    if (at + size > bytes.length) throw new Error("a data object is cut off");
    found.set(tag, bytes.subarray(at, at + size));
    at += size;
  }
  return found;
}

/** @param {number} value */
function length(value) {
  if (value < 0x80) return Buffer.of(value);
  const bytes = Buffer.from(hex(value), "hex");
  return Buffer.concat([Buffer.of(0x80 | bytes.length), bytes]);
}

/** @param {number} value */
function hex(value) {
  const digits = value.toString(16);
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}
