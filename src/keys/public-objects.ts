/**
 * The `KeyObject`s of public keys, kept for a while. OpenSSL takes a quarter of a millisecond to
 * decode a key and to check its point, and whoever reads an archive meets the same senders' keys in
 * most of its messages.
 *
 * Public keys only. A `KeyObject` can't be altered, so one object may serve many readers; what is
 * around it here (its bytes, its fingerprint) is made anew for each.
 */
import { createPublicKey, type KeyObject } from "node:crypto";

/** As many as are given; the one not asked for longest goes first. */
export class PublicObjects {
  readonly #most: number;
  /** By every byte of the SubjectPublicKeyInfo. A `Map` keeps the order of insertion. */
  readonly #objects = new Map<string, KeyObject>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Whether one is there: then OpenSSL has decoded the key before. */
  has(spki: Uint8Array): boolean {
    return this.#objects.has(nameOf(spki));
  }

  /** @throws whatever OpenSSL throws for what is not a key; that is not kept */
  of(spki: Uint8Array): KeyObject {
    const der = Buffer.from(spki);
    const name = nameOf(spki);
    const object =
      this.#objects.get(name) ?? createPublicKey({ key: der, format: "der", type: "spki" });
    this.#objects.delete(name);
    this.#objects.set(name, object);
    if (this.#objects.size > this.#most) this.#forgetOldest();
    return object;
  }

  #forgetOldest(): void {
    const [oldest] = this.#objects.keys();
    if (oldest !== undefined) this.#objects.delete(oldest);
  }
}

function nameOf(spki: Uint8Array): string {
  return Buffer.from(spki.buffer, spki.byteOffset, spki.byteLength).toString("latin1");
}
