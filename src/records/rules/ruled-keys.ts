/**
 * From the keys that rules name to keys that can be used. The fingerprint in the rules says which
 * key it is. The key comes from the user's directory, under whatever name, or from the rules
 * themselves; it is the same key then.
 */
import { toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import type { ExchangePublicKey, PublicKey, Recipient } from "../../keys/key.js";
import { requireExchange } from "../../keys/recipient-strength.js";
import { parseX509 } from "../../x509/certificate.js";
import { findEntry, limitAt, type DirectoryEntry } from "../directory/directory.js";
import type { NamedKey } from "./rules-format.js";

/** A recipient that rules name. */
export interface RuledKey {
  readonly name: string;
  /** SHA-256 of the SPKI, hexadecimal. */
  readonly fingerprint: string;
  /** To seal to, and to know its stanzas by; absent: nobody here has the key. */
  readonly recipient?: Recipient;
  /** The key's certificate, then those of its issuers, DER. */
  readonly certificates?: readonly Uint8Array[];
  /** Since when the key exists at the latest, milliseconds since 1970-01-01T00:00Z. */
  readonly sinceMs?: number;
  /** Why nothing can be sealed to it: there is no key, or it is not valid now. */
  readonly problem?: string;
}

/** The keys that a user's directory has, for rules that name some. */
export class RuledKeys {
  readonly #entries: readonly DirectoryEntry[];
  /** By the hexadecimal SHA-256 of their keys. */
  readonly #byFingerprint: ReadonlyMap<string, DirectoryEntry>;
  readonly #nowMs: number;
  #all: readonly RuledKey[] | undefined;

  /** @param recipients - the user's directory */
  constructor(recipients: readonly DirectoryEntry[], nowMs: number) {
    this.#entries = recipients;
    this.#byFingerprint = new Map(
      recipients.map((entry) => [toHex(entry.publicKey.fingerprint), entry]),
    );
    this.#nowMs = nowMs;
  }

  /** Every recipient in the directory; made once, as audits ask for each message. */
  all(): readonly RuledKey[] {
    return (this.#all ??= this.#entries.map(({ name, publicKey }) =>
      this.find({ name, fingerprint: toHex(publicKey.fingerprint) }),
    ));
  }

  find(named: NamedKey): RuledKey {
    const { name, fingerprint } = named;
    const entry = this.#byFingerprint.get(fingerprint);
    const key = entry?.publicKey ?? named.publicKey;
    if (key === undefined) return { name, fingerprint, problem: this.#whyMissing(named) };
    const publicKey = requireExchange(key);
    const { oaep, certificates } = entry ?? {};
    const limit = entry && limitAt(entry, this.#nowMs);
    const [certificate] = certificates ?? [];
    return {
      name,
      fingerprint,
      recipient: { publicKey, ...defined({ oaep, certificate }) },
      ...defined({
        certificates,
        sinceMs: earliest(named.addedMs, this.sinceMs({ publicKey, certificate })),
        problem: limit && `the key ${limit.fact}`,
      }),
    };
  }

  /**
   * Since when a key exists, by the directory and by its certificate: at least as long as the
   * earlier of the two says, since adding a key again, or certifying it anew, makes it no younger.
   *
   * @returns milliseconds since 1970-01-01T00:00Z; undefined: nothing says so
   */
  sinceMs({
    publicKey,
    certificate,
  }: {
    readonly publicKey: PublicKey | ExchangePublicKey;
    readonly certificate?: Uint8Array | undefined;
  }): number | undefined {
    const entry = this.#byFingerprint.get(toHex(publicKey.fingerprint));
    const certified = [certificate, entry?.certificates?.[0]].map(
      (der) => der && parseX509(der).notBeforeMs,
    );
    return earliest(entry?.addedMs, ...certified);
  }

  #whyMissing({ name }: NamedKey): string {
    const other = findEntry(this.#entries, name);
    return other === undefined
      ? "neither the rules nor the directory have its key"
      : `the "${other.name}" of the directory has another key`;
  }
}

function earliest(...moments: readonly (number | undefined)[]): number | undefined {
  const known = moments.filter((ms) => ms !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
