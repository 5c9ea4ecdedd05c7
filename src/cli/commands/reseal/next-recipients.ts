/**
 * Whom a message is sealed to anew. A wrapped key can't be made again from the old one: that takes
 * the recipient's public key. So each old recipient must be known here, or be removed. Nobody is
 * left out, and nobody kept, without the user's word.
 */
import { toHex } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import type { MessageInfo, RecipientInfo } from "../../../envelope/message-info.js";
import { nobodyLeft } from "../../../envelope/rewrapped-recipients.js";
import { PolicyError } from "../../../errors.js";
import type {
  ExchangePublicKey,
  KnownPublicKey,
  OaepHash,
  PublicKey,
  Recipient,
} from "../../../keys/key.js";
import { formatMoment } from "../../../records/directory/directory.js";
import { isFor } from "../../find/explained.js";
import type { KnownRecipient } from "../../find/known-names.js";

/** What is known here, and what the user wants. */
export interface Wishes {
  readonly add: readonly Recipient[];
  readonly remove: readonly ExchangePublicKey[];
  readonly known: readonly KnownRecipient[];
  readonly dropUnknown: boolean;
  readonly nowMs: number;
}

/** Somebody who may be an old recipient. */
interface Candidate {
  readonly recipient: Recipient;
  /** Why nothing is sealed to the key any more. */
  readonly limit?: string;
}

export class NextRecipients {
  /** Those to be sealed to, as far as the header tells. */
  readonly #kept = new Map<string, { candidate: Candidate; stanzas: RecipientInfo[] }>();
  readonly #wishes: Wishes;
  readonly #format: string;
  /** Wrapped keys that the header names nobody for, as those of age for X25519. */
  readonly #unnamed: RecipientInfo[] = [];
  readonly #unknown: RecipientInfo[] = [];
  readonly #count: number;
  readonly #removed = new Set<string>();

  /** @param own - the public keys of the user's identities */
  constructor(info: MessageInfo, own: readonly KnownPublicKey[], wishes: Wishes) {
    const { add, remove, known, nowMs } = wishes;
    const candidates: Candidate[] = [
      ...add.map((recipient) => ({ recipient })),
      ...known.flatMap((one) => candidateOf(one, nowMs)),
      ...own.flatMap((key) => (canReceive(key) ? { recipient: { publicKey: key } } : [])),
    ];
    this.#wishes = wishes;
    this.#format = info.format;
    this.#count = info.recipients.length;
    for (const stanza of info.recipients) {
      const gone = remove.find((publicKey) => isFor(stanza, { publicKey }));
      const found = candidates.find(({ recipient }) => isFor(stanza, recipient));
      if (gone !== undefined) this.#removed.add(nameOf(gone));
      else if (found !== undefined) this.#keep(found, stanza);
      else if (stanza.tag === undefined) this.#unnamed.push(stanza);
      else this.#unknown.push(stanza);
    }
  }

  /** True if the key that opens the message has to tell. */
  get dependsOnOpener(): boolean {
    return this.#unnamed.length > 0;
  }

  /**
   * Refuses what no key can mend. Needs none.
   *
   * @throws PolicyError `ERR_UNKNOWN_RECIPIENTS`, `ERR_RECIPIENT_EXPIRED`; UsageError
   *   `ERR_NO_RECIPIENTS`
   */
  requirePossible(): void {
    // The opener explains one of those that are not named.
    this.#requireKnown(Math.max(0, this.#unnamed.length - 1));
    for (const { candidate } of this.#kept.values()) {
      if (candidate.limit !== undefined) throw expired(candidate.limit);
    }
    if (!this.dependsOnOpener) this.#requireSome(this.all());
  }

  /**
   * @param opener - whose private key opened the message
   * @throws as `requirePossible`
   */
  settled(opener: KnownPublicKey): { readonly recipients: Recipient[]; readonly removed: number } {
    const { remove } = this.#wishes;
    const isNamed = this.#kept.has(nameOf(opener)) || this.#removed.has(nameOf(opener));
    const own = isNamed || !canReceive(opener) ? undefined : opener;
    const stanza = own && this.#unnamed.find((one) => one.matches(own));
    if (own !== undefined && stanza !== undefined) {
      this.#unnamed.splice(this.#unnamed.indexOf(stanza), 1);
      const isGone = remove.some((key) => nameOf(key) === nameOf(own));
      if (isGone) this.#removed.add(nameOf(own));
      else this.#keep({ recipient: { publicKey: own } }, stanza);
    }
    this.#requireKnown(this.#unnamed.length);
    const recipients = this.all();
    this.#requireSome(recipients);
    return { recipients, removed: this.#removed.size };
  }

  #keep(candidate: Candidate, stanza: RecipientInfo): void {
    const name = nameOf(candidate.recipient.publicKey);
    const kept = this.#kept.get(name) ?? { candidate, stanzas: [] };
    kept.stanzas.push(stanza);
    this.#kept.set(name, kept);
  }

  /** The old ones in their order, then the new; without the opener, where that has to tell. */
  all(): Recipient[] {
    const kept = [...this.#kept.values()].map(({ candidate: { recipient }, stanzas }) => {
      // What its holder could open the old message with.
      const [only, more] = stanzas;
      const before = more === undefined && this.#format === "p11seal" ? only?.oaep : undefined;
      const oaep: OaepHash | undefined = recipient.oaep ?? before;
      return { ...recipient, ...defined({ oaep }) };
    });
    return [...kept, ...this.#wishes.add.filter((one) => !this.#kept.has(nameOf(one.publicKey)))];
  }

  #requireKnown(unnamed: number): void {
    if (this.#wishes.dropUnknown || this.#unknown.length + unnamed === 0) return;
    const named = this.#unknown.map(({ type, tag = "" }) => `${type} ${tag}`);
    const nameless = unnamed === 0 ? [] : [`${unnamed} that the file does not name`];
    const which = [...named, ...nameless].join(", ");
    throw new PolicyError(
      "ERR_UNKNOWN_RECIPIENTS",
      `of ${this.#count} wrapped keys, these are for keys not known here: ${which}`,
      {
        hint: "name their keys with -r, or p11seal recipients add; --drop-unknown leaves out who is not named",
      },
    );
  }

  #requireSome({ length }: readonly Recipient[]): void {
    if (length === 0) throw nobodyLeft();
  }
}

function nameOf({ fingerprint }: KnownPublicKey): string {
  return toHex(fingerprint);
}

function canReceive(key: KnownPublicKey | PublicKey): key is ExchangePublicKey {
  return key.type !== "ed25519" && key.type !== "ml-kem";
}

function candidateOf(one: KnownRecipient, nowMs: number): Candidate[] {
  const { name, publicKey, oaep, notAfterMs } = one;
  if (!canReceive(publicKey)) return [];
  const recipient = { publicKey, ...defined({ oaep }) };
  if (notAfterMs === undefined || nowMs <= notAfterMs) return [{ recipient }];
  return [{ recipient, limit: `the key of "${name}" was valid until ${formatMoment(notAfterMs)}` }];
}

function expired(fact: string): PolicyError {
  return new PolicyError("ERR_RECIPIENT_EXPIRED", fact, {
    hint: "remove it with --remove, and add its owner's new key with -r",
  });
}
