/** What differs between the versions of Node's OpenSSL. */
import { createPublicKey, verify } from "node:crypto";

/**
 * True if it refuses Ed25519 signatures with a point of small order, as Node 24's does. This is
 * found out by trying: Node 22 comes with an OpenSSL of the same version that takes them. The
 * public key and R are the neutral point here, and s is 0.
 */
export const REFUSES_SMALL_ORDER = !verify(
  null,
  Buffer.of(0),
  createPublicKey({
    key: Buffer.from(`302a300506032b6570032100${neutral()}`, "hex"),
    format: "der",
    type: "spki",
  }),
  Buffer.from(`${neutral()}${"00".repeat(32)}`, "hex"),
);

function neutral(): string {
  return `01${"00".repeat(31)}`;
}
