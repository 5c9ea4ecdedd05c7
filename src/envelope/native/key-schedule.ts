/**
 * Derives the keys in use from the file key (docs/format.md §9): one for the header's MAC, one for
 * the body. The file key itself encrypts nothing and authenticates nothing.
 */
import { createHash, createHmac, hkdfSync } from "node:crypto";
import { equal } from "../../bytes.js";
import { floeOpen, floeSeal, type FloeCipher } from "../../body/floe.js";
import { AuthenticationError } from "../../errors.js";
import { Secret } from "../../secret.js";
import type { ParsedHeader } from "./header.js";

/**
 * Proof that a header's MAC was checked, here or by somebody else who has the file key. Only a
 * verified header opens a body.
 */
export class VerifiedHeader {
  readonly #header: ParsedHeader;
  readonly #floeKey: Uint8Array;

  private constructor(header: ParsedHeader, key: Uint8Array) {
    this.#header = header;
    this.#floeKey = key;
  }

  /**
   * Takes ownership of the file key and wipes it. @throws AuthenticationError `ERR_NOT_AUTHENTIC`
   */
  static verify(header: ParsedHeader, fileKey: Secret): VerifiedHeader {
    try {
      requireMac(header, fileKey);
      return new VerifiedHeader(header, floeKey(fileKey));
    } finally {
      fileKey.wipe();
    }
  }

  /**
   * A header whose MAC somebody else checked, who gave the body's key. Nobody but the body's tags
   * vouches for them, and those are under this key. Takes ownership of the key and wipes it.
   */
  static vouchedFor(header: ParsedHeader, bodyKey: Secret): VerifiedHeader {
    try {
      return new VerifiedHeader(header, bodyKey.expose().slice());
    } finally {
      bodyKey.wipe();
    }
  }

  /** For somebody who has the body and checks the header's origin, and not the file key. */
  bodyKey(): Secret {
    return new Secret(this.#floeKey);
  }

  openBody(floeHeader: Uint8Array): FloeCipher {
    const segmentBytes = 2 ** this.#header.segLog2;
    return floeOpen(
      this.#floeKey,
      bodyAad(this.#header.immutablePart),
      { segmentBytes },
      floeHeader,
    );
  }
}

/**
 * Refuses a header that was not made with this file key.
 *
 * @throws AuthenticationError `ERR_NOT_AUTHENTIC`
 */
export function requireMac(header: ParsedHeader, fileKey: Secret): void {
  const expected = headerMac(fileKey, header.transcript);
  if (equal(expected, header.mac)) return;
  // One error for a stanza that did not unwrap and for an altered header (docs/format.md §13).
  throw new AuthenticationError(
    "ERR_NOT_AUTHENTIC",
    "the message header was altered, or was made with another key",
    { hint: "ask the sender for it again, sealed to the key you export now" },
  );
}

/** Starts a body that opens only together with `immutablePart`. */
export function sealBodyUnder(
  fileKey: Secret,
  immutablePart: Uint8Array,
  segLog2: number,
): { header: Uint8Array; segments: FloeCipher } {
  return floeSeal(floeKey(fileKey), bodyAad(immutablePart), { segmentBytes: 2 ** segLog2 });
}

/** HMAC-SHA-256, under a key derived for it, over everything before the MAC. */
export function headerMac(fileKey: Secret, transcript: Uint8Array): Uint8Array {
  const key = deriveFromFileKey(fileKey, "p11seal/v1 header mac");
  return createHmac("sha256", key).update(transcript).digest();
}

function floeKey(fileKey: Secret): Uint8Array {
  return deriveFromFileKey(fileKey, "p11seal/v1 floe");
}

/** The file key's only use: HKDF-SHA-256 (RFC 5869) with an empty salt, to one key per purpose. */
function deriveFromFileKey(fileKey: Secret, info: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", fileKey.expose(), new Uint8Array(0), info, 32));
}

/** Binds the body: SHA-384 of PRELUDE ‖ CORE ‖ SIG, which re-wrapping never touches. */
function bodyAad(immutablePart: Uint8Array): Uint8Array {
  return createHash("sha384").update(immutablePart).digest();
}
