/**
 * Why a signature does not hold, as far as its bytes tell: CryptoAPI's are bare and little-endian,
 * and other tools write theirs in another order, in text, or over another hash. Nothing here
 * accepts a signature.
 */
import { constants, publicDecrypt } from "node:crypto";
import { equal, fromBase64, fromHex } from "../bytes.js";
import { AuthenticationError } from "../errors.js";
import { reversed } from "../keys/formats/little-endian.js";
import type { RsaPublicKey } from "../keys/key.js";
import type { CapiHash } from "./algorithms.js";
import { DIGEST_BYTES, DIGEST_INFO, type SignatureForm } from "./hash-signature.js";

/**
 * The error for a signature that does not hold.
 *
 * @param fact - says so, and whose it is
 * @param hint - the advice where the bytes tell nothing
 */
export function doesNotHold(
  fact: string,
  hint: string,
  signature: {
    readonly bytes: Uint8Array;
    readonly by: RsaPublicKey;
    readonly form: SignatureForm;
  },
): AuthenticationError {
  const doubt = doubtOf(signature.bytes, signature.by, signature.form);
  return doubt === undefined
    ? new AuthenticationError("ERR_SENDER_SIGNATURE", fact, { hint })
    : new AuthenticationError("ERR_SENDER_SIGNATURE", `${fact}: ${doubt.fact}`, {
        hint: doubt.hint,
      });
}

interface Doubt {
  readonly fact: string;
  readonly hint: string;
}

function doubtOf(bytes: Uint8Array, key: RsaPublicKey, form: SignatureForm): Doubt | undefined {
  const length = key.modulus.length;
  const encoding = bytes.length === length ? undefined : decoded(bytes);
  const signature = encoding?.bytes ?? bytes;
  if (signature.length !== length) {
    return {
      fact: `it has ${bytes.length} bytes, and one by this key has ${length}`,
      hint: "give the signature alone, as CryptSignHash returned it, and the key that made it",
    };
  }
  const isBigEndian = signedHash(signature, key) !== undefined;
  const order = isBigEndian ? "big-endian, as OpenSSL and .NET write it" : undefined;
  if (encoding !== undefined || order !== undefined) {
    const fact = `it is ${[encoding?.name, order].filter((part) => part !== undefined).join(", ")}`;
    const steps = [
      encoding?.command ?? "cat SIG",
      ...(isBigEndian ? ["xxd -p -c1", "tac", "xxd -r -p"] : []),
    ];
    return { fact, hint: `give its bytes in CryptoAPI's order: ${steps.join(" | ")} > NEW` };
  }
  const hash = signedHash(reversed(signature), key);
  if (hash === undefined || hash === (form.noHashOid === true ? "none" : form.hash)) {
    return undefined;
  }
  return hash === "none"
    ? { fact: "it names no hash", hint: "give --no-hash-oid, and --hash as it was signed" }
    : { fact: `it is over ${hash}`, hint: `give --hash ${hash}, without --no-hash-oid` };
}

/** What the text of a signature stands for; undefined for anything but base64 and hexadecimal. */
function decoded(
  bytes: Uint8Array,
): { bytes: Uint8Array; name: string; command: string } | undefined {
  if (bytes.length > MAX_TEXT_BYTES) return undefined;
  const text = Buffer.from(bytes).toString("latin1");
  const bare = text.replaceAll(/-----(?:BEGIN|END) [A-Z0-9 ]{1,40}-----|\s/g, "");
  if (/^(?:[0-9a-fA-F]{2})+$/.test(bare)) {
    return { bytes: fromHex(bare.toLowerCase()), name: "hexadecimal", command: "xxd -r -p SIG" };
  }
  try {
    const command = text.includes("-----") ? "grep -v -- ----- SIG | base64 -d" : "base64 -d SIG";
    return { bytes: fromBase64(bare), name: "base64", command };
  } catch {
    return undefined;
  }
}

/**
 * The hash that a big-endian signature by this key says it is over; "none" without a DigestInfo.
 * Undefined if the key didn't make it. Too lenient for a verification.
 */
function signedHash(signature: Uint8Array, key: RsaPublicKey): CapiHash | "none" | undefined {
  const padding = constants.RSA_PKCS1_PADDING;
  let payload: Uint8Array;
  try {
    payload = publicDecrypt({ key: key.object, padding }, signature);
  } catch {
    return undefined;
  }
  const hashes = Object.keys(DIGEST_BYTES) as CapiHash[];
  const named = hashes.find((hash) => {
    const prefix = fromHex(DIGEST_INFO[hash]);
    const isLong = payload.length === prefix.length + DIGEST_BYTES[hash];
    return isLong && equal(payload.subarray(0, prefix.length), prefix);
  });
  if (named !== undefined) return named;
  return hashes.some((hash) => DIGEST_BYTES[hash] === payload.length) ? "none" : undefined;
}

/** Base64 in lines of any modulus that is read, with room to spare. */
const MAX_TEXT_BYTES = 16_384;
