/** What becomes of a message that is tried with the test keys, and what was done for it. */
import type { Allowances } from "../../../src/envelope/receiver.js";
import { openMessage } from "../../../src/envelope/messages.js";
import type { EcPublicKey, Identity, RsaPublicKey } from "../../../src/keys/key.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { softwareIdentity } from "../../../src/software/software-identity.js";
import { keyIdentifier } from "../../support/certificates.js";
import { TEST_KEYS } from "../../support/keys.js";
import { transport, type TransportParts } from "./made.js";

export const rsaIdentity = softwareIdentity(TEST_KEYS.rsa2048, "rsa");
export const curveIdentity = softwareIdentity(TEST_KEYS.p256, "curve");
export const rsa = publicKeyFromSpki(rsaIdentity.publicKey.spki) as RsaPublicKey;
export const curve = publicKeyFromSpki(curveIdentity.publicKey.spki) as EcPublicKey;
export const rsaKeyId = keyIdentifier(rsa.spki);
export const curveKeyId = keyIdentifier(curve.spki);

/** The RSA key as a recipient, by OAEP with SHA-1 unless something else is said. */
export const to = (parts: Omit<TransportParts, "keyId"> = {}): Uint8Array =>
  transport(rsa, { ...parts, keyId: rsaKeyId });

export interface Outcome {
  /** Of the refusal; undefined: the message opened. */
  readonly code: string | undefined;
  /** A private key was reached. */
  readonly unlocked: boolean;
}

/** Opens with both keys, or with those that are given. */
export async function tried(
  message: Uint8Array,
  allows: Allowances = {},
  identities: readonly Identity[] = [rsaIdentity, curveIdentity],
): Promise<Outcome> {
  const { error, unlocked } = await opened(message, allows, identities);
  if (error === undefined) return { code: undefined, unlocked };
  return { code: error.code ?? `no code: ${error.message}`, unlocked };
}

/** The same with all that is said of a refusal, or the plaintext. */
export async function opened(
  message: Uint8Array,
  allows: Allowances = {},
  identities: readonly Identity[] = [rsaIdentity, curveIdentity],
): Promise<{
  readonly unlocked: boolean;
  readonly plaintext?: Uint8Array;
  readonly error?: Error & { readonly code?: string; readonly hint?: string };
}> {
  let unlocked = false;
  const watched = identities.map((one): Identity => ({
    ...one,
    unlock() {
      unlocked = true;
      return one.unlock();
    },
  }));
  try {
    const { plaintext } = await openMessage(message, { identities: watched, allows });
    return { plaintext: await plaintext.bytes(), unlocked };
  } catch (error) {
    return { error: error as Error, unlocked };
  }
}
