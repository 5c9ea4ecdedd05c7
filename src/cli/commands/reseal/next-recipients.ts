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

/** The user's own keys, which stay without being listed anywhere. */
export interface OwnKeys {
  /** Called only if somebody's key is not known otherwise: it may look at tokens. */
  readonly keys: () => Promise<readonly KnownPublicKey[]> | readonly KnownPublicKey[];
  /** An agent opens the message: its key may be none of those. */
  readonly mayLackOpener: boolean;
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
  /** The opener may be one of those that are unknown so far. */
  readonly #lacksOpener: boolean;

  static async of(info: MessageInfo, own: OwnKeys, wishes: Wishes): Promise<NextRecipients> {
    const { keys, mayLackOpener } = own;
    const byOthers = new NextRecipients(info, [], mayLackOpener, wishes);
    if (byOthers.#unknown.length === 0) return byOthers;
    return new NextRecipients(info, await keys(), mayLackOpener, wishes);
  }

  private constructor(
    info: MessageInfo,
    own: readonly KnownPublicKey[],
    mayLackOpener: boolean,
    wishes: Wishes,
  ) {
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
    const showsOwn = info.recipients.some((stanza) =>
      own.some((publicKey) => canReceive(publicKey) && isFor(stanza, { publicKey })),
    );
    this.#lacksOpener = mayLackOpener && !showsOwn && this.#unknown.length > 0;
  }

  /** True if the key that opens the message has to tell. */
  get dependsOnOpener(): boolean {
    return this.#lacksOpener || this.#unnamed.length > 0;
  }

  /**
   * Refuses what no key can mend. Needs none.
   *
   * @throws PolicyError `ERR_UNKNOWN_RECIPIENTS`, `ERR_RECIPIENT_EXPIRED`; UsageError
   *   `ERR_NO_RECIPIENTS`
   */
  requirePossible(): void {
    // The opener explains one of those that are not named; an agent's, one that nobody here knows.
    const [unnamed, unknown] = [this.#unnamed.length, this.#unknown.length];
    const mayBeOpener = this.#lacksOpener && unnamed + unknown === 1;
    if (!mayBeOpener) this.#requireKnown(Math.max(0, unnamed - 1));
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
    const isNamed = this.#kept.has(nameOf(opener)) || this.#removed.has(nameOf(opener));
    if (!isNamed && canReceive(opener)) {
      this.#explain(this.#unknown, opener);
      this.#explain(this.#unnamed, opener);
    }
    this.#requireKnown(this.#unnamed.length);
    const recipients = this.all();
    this.#requireSome(recipients);
    return { recipients, removed: this.#removed.size };
  }

  /** Takes the opener's wrapped key out of those whose holders were not known. */
  #explain(among: RecipientInfo[], opener: ExchangePublicKey): void {
    const stanza = among.find((one) => one.matches(opener));
    if (stanza === undefined) return;
    among.splice(among.indexOf(stanza), 1);
    const isGone = this.#wishes.remove.some((key) => nameOf(key) === nameOf(opener));
    if (isGone) this.#removed.add(nameOf(opener));
    else this.#keep({ recipient: { publicKey: opener } }, stanza);
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
