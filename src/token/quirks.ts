/**
 * What is known of single libraries and can't be asked of them. One entry a quirk, with its source;
 * everything else is found out by behaviour.
 */
import type { OaepHash } from "../keys/key.js";
import type { TokenDetails } from "./token-info.js";

/**
 * OAEP hashes that the token itself undoes, as far as known. It decides what is proposed without a
 * try; a try settles it.
 */
export function oaepHashesInHardware(details: TokenDetails): readonly OaepHash[] {
  // SoftHSM up to 2.7.0 refuses every OAEP hash but SHA-1 with CKR_ARGUMENTS_BAD (measured on 2.6.1;
  // softhsm/SoftHSMv2 issue 474). Its tokens carry the library's version as firmware version, also
  // when p11-kit stands between.
  const { info, firmware } = details;
  const isSoftHsm = info.manufacturer === "SoftHSM project";
  if (isSoftHsm && (firmware.major < 2 || (firmware.major === 2 && firmware.minor <= 7))) {
    return ["sha1"];
  }
  return ["sha1", "sha256", "sha384", "sha512"];
}
