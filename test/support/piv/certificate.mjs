/** Self-signed X.509 certificates (RFC 5280 §4.1), as a PIV card stores one for each key. */
import { createPublicKey, randomBytes, sign } from "node:crypto";
import { tlv } from "./tlv.mjs";

const RSA_SHA256 = Buffer.from("06092a864886f70d01010b0500", "hex");
const ECDSA_SHA256 = Buffer.from("06082a8648ce3d040302", "hex");

/** keyUsage (RFC 5280 §4.2.1.3), the bit string's last octet count and octet. */
const KEY_USAGE = {
  /** digitalSignature */
  sign: [7, 0x80],
  /** keyEncipherment */
  rsa: [5, 0x20],
  /** keyAgreement */
  ec: [3, 0x08],
};

/**
 * @param {import("node:crypto").KeyObject} privateKey RSA or EC
 * @param {{ name: string, use: "exchange" | "sign" }} subject
 * @returns {Buffer} DER
 */
export function selfSigned(privateKey, { name, use }) {
  const type = privateKey.asymmetricKeyType === "rsa" ? "rsa" : "ec";
  const algorithm = tlv(0x30, type === "rsa" ? RSA_SHA256 : ECDSA_SHA256);
  const commonName = tlv(0x30, Buffer.from("0603550403", "hex"), tlv(0x0c, Buffer.from(name)));
  const distinguished = tlv(0x30, tlv(0x31, commonName));
  const serial = randomBytes(8);
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  const validity = tlv(0x30, utc("250101000000Z"), utc("491231235959Z"));
  const usage = tlv(0x03, Buffer.from(KEY_USAGE[use === "sign" ? "sign" : type]));
  const extension = tlv(0x30, Buffer.from("0603551d0f0101ff", "hex"), tlv(0x04, usage));
  const toBeSigned = tlv(
    0x30,
    tlv(0xa0, Buffer.from("020102", "hex")),
    tlv(0x02, serial),
    algorithm,
    distinguished,
    validity,
    distinguished,
    createPublicKey(privateKey).export({ type: "spki", format: "der" }),
    tlv(0xa3, tlv(0x30, extension)),
  );
  const signature = sign("sha256", toBeSigned, privateKey);
  return tlv(0x30, toBeSigned, algorithm, tlv(0x03, Buffer.of(0), signature));
}

/** @param {string} time */
function utc(time) {
  return tlv(0x17, Buffer.from(time));
}
