/**
 * Programs that speak CMS and are not ours, in one shape: bytes in, bytes out, and an error with
 * the program's words where it refuses. scripts/lib/cms.mjs finds them.
 */
import { describe } from "@jest/globals";
import { skipped } from "../missing.js";
import type { Holder } from "./holders.js";

/** What the environment of the tests says of a program. */
export interface CmsPeer {
  readonly kind: "openssl" | "nss" | "gpgsm" | "bouncycastle" | "mono";
  /** With its version, as in `OpenSSL 3.0.19`. */
  readonly name: string;
  /** Command lines by name. */
  readonly programs: Readonly<Record<string, readonly string[]>>;
  readonly env: Readonly<Record<string, string>>;
}

export interface MissingPeer {
  readonly name: string;
  readonly reason: string;
}

export const CMS_PEERS = JSON.parse(process.env["P11SEAL_TEST_CMS"] ?? "[]") as readonly (
  CmsPeer | MissingPeer
)[];

export const PRESENT_PEERS = CMS_PEERS.filter((one) => "kind" in one);

/** A suite with each peer, called `title` and the peer's name; for a missing one, the reason. */
export function describePeers(title: string, suite: (peer: CmsPeer) => void): void {
  for (const peer of CMS_PEERS) {
    const name = `${title} ${peer.name}`;
    if ("reason" in peer) skipped(name, peer.reason);
    else {
      describe(name, () => {
        suite(peer);
      });
    }
  }
}

/** EnvelopedData; AuthEnvelopedData; AuthEnvelopedData with authenticated attributes. */
export type EnvelopeForm = "enveloped" | "auth-enveloped" | "auth-enveloped-attributes";

/**
 * How the content key reaches the recipient: `rsa-pkcs1`, `rsa-oaep-HASH`, `ecdh-HASH` or
 * `cofactor-HASH` for the hash of X9.63's KDF, `x25519`, `ml-kem`. `+ukm` adds user keying
 * material, `+explicit` writes the originator's curve out, `+ski` names the recipient by the key.
 */
export type RecipientKind = string;

export type Cipher = "aes-128-cbc" | "aes-256-cbc" | "3des-cbc" | "aes-128-gcm" | "aes-256-gcm";

export interface Encryption {
  readonly form: EnvelopeForm;
  readonly recipient: RecipientKind;
  readonly cipher: Cipher;
}

/** Whether the content is in the signed message. */
export type SignedForm = "opaque" | "detached";

export interface CmsProgram {
  readonly name: string;
  encrypt(how: Encryption, to: Holder, content: Uint8Array): Promise<Buffer>;
  decrypt(as: Holder, message: Uint8Array): Promise<Buffer>;
  sign(form: SignedForm, as: Holder, content: Uint8Array): Promise<Buffer>;
  /** The content of an opaque message; `content` is that of a detached signature. */
  verify(by: Holder, message: Uint8Array, content?: Uint8Array): Promise<Buffer>;
  close(): Promise<void>;
}

/** Of a peer that can't be asked to do something. */
export function unsupported(name: string, what: string): never {
  throw new Error(`${name} has no way to ${what}`);
}
