/**
 * Whose keys a message's wrapped keys are, as the user's directory and recipients file know them,
 * and the rules for its place. A run reads the lists once. Those that explained the last messages
 * are tried first: most messages of a tree are for the same few, and each try costs a hash.
 */
import { toHex } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import type { MessageInfo, RecipientInfo } from "../../../envelope/message-info.js";
import { P11SealError } from "../../../errors.js";
import type { ExchangePublicKey, PublicKey } from "../../../keys/key.js";
import { requireExchange } from "../../../keys/recipient-strength.js";
import { formatMoment } from "../../../records/directory/directory.js";
import type { RuledKey } from "../../../records/rules/ruled-keys.js";
import { isFor } from "../../find/explained.js";
import type { KnownRecipient } from "../../find/known-names.js";

/** A key that the user knows, and what is wrong with it. */
export interface Holder {
  readonly name: string;
  readonly fingerprint: string;
  readonly publicKey: ExchangePublicKey;
  /** DER; CMS messages name keys by certificates. */
  readonly certificates: readonly Uint8Array[];
  /** Why nothing may be sealed to it any more. */
  readonly retired?: string;
  /** Why it is weak. */
  readonly weak?: string;
}

/** @param nowMs - milliseconds since 1970-01-01T00:00Z: when keys must be valid */
export function holderFrom(known: KnownRecipient, nowMs: number): Holder | undefined {
  const { name, publicKey, certificate, notAfterMs = Infinity } = known;
  if (publicKey.type === "ed25519") return undefined;
  const certificates = certificate === undefined ? [] : [certificate];
  const retired = nowMs > notAfterMs ? `was valid until ${formatMoment(notAfterMs)}` : undefined;
  return {
    ...{ name, publicKey, certificates, fingerprint: toHex(publicKey.fingerprint) },
    ...defined({ retired, weak: weaknessOf(publicKey) }),
  };
}

/** The same of a key that rules name; undefined: nobody here has it. */
export function ruledHolder({
  name,
  fingerprint,
  recipient,
  certificates = [],
}: RuledKey): Holder | undefined {
  if (recipient === undefined) return undefined;
  const { publicKey } = recipient;
  return {
    name,
    fingerprint,
    publicKey,
    certificates,
    ...defined({ weak: weaknessOf(publicKey) }),
  };
}

function weaknessOf(publicKey: PublicKey): string | undefined {
  try {
    requireExchange(publicKey);
    return undefined;
  } catch (error) {
    if (error instanceof P11SealError) return error.message;
    throw error;
  }
}

/** Whose a message's wrapped keys are. */
export interface Explanation {
  /** With the places of their wrapped keys, from 0. */
  readonly holders: readonly { readonly holder: Holder; readonly places: readonly number[] }[];
  /** Places of wrapped keys that name a key which nobody here knows. */
  readonly unknown: readonly number[];
  /** Places of those that name none. */
  readonly unnamed: readonly number[];
}

export class Holders {
  /** The one that explained a message last comes first. */
  #inOrder: Holder[];

  constructor(holders: readonly Holder[]) {
    this.#inOrder = [...holders];
  }

  /** @param others - keys that are known for this message, tried after those of the lists */
  explain({ recipients }: MessageInfo, others: () => readonly Holder[] = () => []): Explanation {
    const open = new Map(recipients.entries());
    const unnamed: number[] = [];
    for (const [place, { tag, type, passphrase }] of open) {
      if (tag !== undefined || type === "unknown") continue;
      // One that names nobody matches every key of its kind: no key explains it.
      if (passphrase !== true) unnamed.push(place);
      open.delete(place);
    }
    const found = takeOut(open, this.#inOrder);
    if (found.length > 0) this.#putFirst(found.map(({ holder }) => holder));
    const more = open.size === 0 ? [] : takeOut(open, others());
    return { holders: [...found, ...more], unknown: [...open.keys()], unnamed };
  }

  #putFirst(holders: readonly Holder[]): void {
    if (holders.every((holder, at) => this.#inOrder[at] === holder)) return;
    const others = this.#inOrder.filter((one) => !holders.includes(one));
    this.#inOrder = [...holders, ...others];
  }
}

/** Finds the wrapped keys of these holders among those that nobody has so far. */
function takeOut(
  open: Map<number, RecipientInfo>,
  holders: readonly Holder[],
): Explanation["holders"][number][] {
  const found: Explanation["holders"][number][] = [];
  for (const holder of holders) {
    if (open.size === 0) break;
    const places = [...open].filter(([, recipient]) => isFor(recipient, holder));
    if (places.length === 0) continue;
    found.push({ holder, places: places.map(([place]) => place) });
    for (const [place] of places) open.delete(place);
  }
  return found;
}
