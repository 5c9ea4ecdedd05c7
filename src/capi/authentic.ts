/**
 * The proof that a message's sender signed it: over the key blob and then the ciphertext
 * (`CryptHashData` of each, one `CryptSignHash`). The article leaves authentication out; its
 * siblings sign. Only a proof of this type, or saying outright that none is wanted, lets
 * exchange.ts decrypt.
 */
import { createHash } from "node:crypto";
import { equal } from "../bytes.js";
import { doesNotHold } from "./signature-doubts.js";
import { AuthenticationError, PolicyError } from "../errors.js";
import type { RsaPrivateKey, RsaPublicKey } from "../keys/key.js";
import { type ByteSource, chunks } from "../stream.js";
import {
  hashData,
  requireVerifiable,
  signDigest,
  type SignatureForm,
  verifyDigest,
} from "./hash-signature.js";

/**
 * Blob and ciphertext were signed by `signer`; whether to trust that key is the caller's policy.
 */
export class AuthenticMessage {
  readonly signer: RsaPublicKey;
  readonly #blob: Uint8Array;
  readonly #ciphertextHash: Uint8Array;

  private constructor(signer: RsaPublicKey, blob: Uint8Array, ciphertextHash: Uint8Array) {
    this.signer = signer;
    this.#blob = new Uint8Array(blob);
    this.#ciphertextHash = ciphertextHash;
  }

  /**
   * Checks the signature over `blob` and `ciphertext`; reads the ciphertext to its end.
   *
   * @throws AuthenticationError `ERR_SENDER_SIGNATURE`; PolicyError `ERR_WEAK_HASH`: MD5.
   */
  static async verify(
    message: { readonly blob: Uint8Array; readonly ciphertext: ByteSource },
    signature: Uint8Array,
    signer: RsaPublicKey,
    form: SignatureForm,
  ): Promise<AuthenticMessage> {
    requireVerifiable(form);
    const ciphertextHash = createHash("sha256");
    const digest = await hashData(
      inOrder(message.blob, message.ciphertext, (chunk) => ciphertextHash.update(chunk)),
      form,
    );
    if (!verifyDigest(signer, digest, signature, form)) {
      throw doesNotHold(
        "the sender's signature does not hold",
        "It must be over the key blob followed by the ciphertext; if it was, don't use them.",
        { bytes: signature, by: signer, form },
      );
    }
    return new AuthenticMessage(signer, message.blob, new Uint8Array(ciphertextHash.digest()));
  }

  /** SHA-256 over the hashes of blob and ciphertext: no other message of any key blob has it. */
  get id(): Uint8Array {
    const blobHash = createHash("sha256").update(this.#blob).digest();
    const id = createHash("sha256").update(blobHash).update(this.#ciphertextHash).digest();
    return new Uint8Array(id);
  }

  /**
   * Refuses another blob than the signed one.
   *
   * @throws AuthenticationError `ERR_SENDER_SIGNATURE`.
   */
  requireBlob(blob: Uint8Array): void {
    if (!equal(blob, this.#blob)) throw changed();
  }

  /**
   * The ciphertext, read a second time: the same chunks, and an error before the end where it is no
   * longer what was signed.
   */
  async *recheck(ciphertext: ByteSource): AsyncGenerator<Uint8Array, void, undefined> {
    const hash = createHash("sha256");
    for await (const chunk of chunks(ciphertext)) {
      hash.update(chunk);
      yield chunk;
    }
    if (!equal(hash.digest(), this.#ciphertextHash)) throw changed();
  }
}

/** What `AuthenticMessage.verify` checks. Throws as `signData`. */
export async function signMessage(
  key: RsaPrivateKey,
  message: { readonly blob: Uint8Array; readonly ciphertext: ByteSource },
  form: SignatureForm,
): Promise<Uint8Array> {
  const digest = await hashData(inOrder(message.blob, message.ciphertext), form);
  return signDigest(key, digest, form);
}

/** Refuses to go on without a proof, unless the caller asked for that in as many words. */
export function requireAuthentic(
  authentic: AuthenticMessage | undefined,
  allowUnauthenticated: boolean | undefined,
): void {
  if (authentic !== undefined || allowUnauthenticated === true) return;
  throw new PolicyError(
    "ERR_UNAUTHENTICATED",
    "nothing shows who made this message, or that it is whole",
    {
      hint:
        "CryptoAPI's format has no authentication. Ask for a signature over blob and ciphertext, or " +
        "for the message in p11seal's own format or CMS; --allow-unauthenticated takes it as it is.",
    },
  );
}

async function* inOrder(
  blob: Uint8Array,
  ciphertext: ByteSource,
  seen: (chunk: Uint8Array) => void = () => undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield blob;
  for await (const chunk of chunks(ciphertext)) {
    seen(chunk);
    yield chunk;
  }
}

function changed(): AuthenticationError {
  return new AuthenticationError(
    "ERR_SENDER_SIGNATURE",
    "the message changed after its signature was checked",
    { hint: "Something writes to the file meanwhile; copy it first." },
  );
}
