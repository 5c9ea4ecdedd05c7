/**
 * The keys in use from an age file's file key (C2SP, "age", §"Header MAC", §"Payload"): one for
 * the header's MAC, and one for the body, with a nonce of its own.
 */
import { createHmac, hkdfSync, randomBytes } from "node:crypto";
import { ChunkCipher } from "../../body/chunks.js";
import { equal } from "../../bytes.js";
import { AuthenticationError } from "../../errors.js";
import { Secret } from "../../secret.js";
import { encodeAgeHeader, type RawHeader } from "./age-header.js";

/** Bytes of the nonce that precedes the chunks. */
export const BODY_NONCE_BYTES = 16;

/**
 * Proof that a header's MAC was checked. Only a verified header opens a body, and only of a
 * verified header is the file key wrapped for others.
 */
export class VerifiedAgeHeader {
  readonly #fileKey: Secret;

  private constructor(fileKey: Secret) {
    this.#fileKey = fileKey;
  }

  /**
   * What opens the body of a header whose MAC somebody else checked. Nobody but the body's tags
   * vouches for them, and those are under this key. Takes ownership of the key.
   */
  static bodyVouchedFor(bodyKey: Secret): ChunkCipher {
    return cipherOf(bodyKey);
  }

  /** Takes ownership of the file key. @throws AuthenticationError `ERR_NOT_AUTHENTIC` */
  static verify(header: RawHeader, fileKey: Secret): VerifiedAgeHeader {
    if (equal(headerMac(fileKey, header.transcript), header.mac)) {
      return new VerifiedAgeHeader(fileKey);
    }
    fileKey.wipe();
    // One error for a wrong stanza and for an altered header: see `wrap/rejection.ts`.
    throw new AuthenticationError(
      "ERR_NOT_AUTHENTIC",
      "the age file's header was altered, or was made with another key",
      { hint: "ask the sender for it again, sealed to the key you export now" },
    );
  }

  /** For the body that begins with this nonce; once. Wipes the file key. */
  openBody(nonce: Uint8Array): ChunkCipher {
    return cipherOf(this.bodyKey(nonce));
  }

  /** The key of that body, for somebody who has not the file key; once. Wipes the file key. */
  bodyKey(nonce: Uint8Array): Secret {
    try {
      return new Secret(derive(this.#fileKey, nonce, "payload"));
    } finally {
      this.#fileKey.wipe();
    }
  }

  /** For one whose body is not wanted. */
  wipe(): void {
    this.#fileKey.wipe();
  }

  /**
   * Another header under the same file key; once. Wipes the file key.
   *
   * @param transcript - makes what the new header's MAC is over
   */
  async rewrap(transcript: (fileKey: Secret) => Promise<Uint8Array>): Promise<Uint8Array> {
    try {
      return finishHeader(this.#fileKey, await transcript(this.#fileKey));
    } finally {
      this.#fileKey.wipe();
    }
  }
}

/** The header whose MAC is over this transcript. */
export function finishHeader(fileKey: Secret, transcript: Uint8Array): Uint8Array {
  return encodeAgeHeader(transcript, headerMac(fileKey, transcript));
}

/** Starts a body under the file key. */
export function sealBodyUnder(fileKey: Secret): { nonce: Uint8Array; cipher: ChunkCipher } {
  const nonce = new Uint8Array(randomBytes(BODY_NONCE_BYTES));
  return { nonce, cipher: bodyCipher(fileKey, nonce) };
}

function headerMac(fileKey: Secret, transcript: Uint8Array): Uint8Array {
  const key = derive(fileKey, new Uint8Array(0), "header");
  return createHmac("sha256", key).update(transcript).digest();
}

function bodyCipher(fileKey: Secret, nonce: Uint8Array): ChunkCipher {
  return cipherOf(new Secret(derive(fileKey, nonce, "payload")));
}

/** Takes the key over: the body is under no other. */
function cipherOf(bodyKey: Secret): ChunkCipher {
  return new ChunkCipher({ kind: "chunks", key: bodyKey.expose() });
}

function derive(fileKey: Secret, salt: Uint8Array, info: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", fileKey.expose(), salt, info, 32));
}
