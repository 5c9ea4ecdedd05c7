/**
 * Whose keys a message's wrapped keys are, as the user's directory and recipients file know them. A
 * run reads them once. Those that explained the last messages are tried first: most messages of a
 * tree are for the same few, and each try costs a hash.
 */
import { toHex } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import type { MessageInfo, RecipientInfo } from "../../../envelope/message-info.js";
import { P11SealError } from "../../../errors.js";
import type { ExchangePublicKey, PublicKey } from "../../../keys/key.js";
import { requireExchange } from "../../../keys/recipient-strength.js";
import { formatMoment } from "../../../records/directory/directory.js";
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

  explain({ recipients }: MessageInfo): Explanation {
    const open = new Map(recipients.entries());
    const unnamed: number[] = [];
    for (const [place, { tag, type, passphrase }] of open) {
      if (tag !== undefined || type === "unknown") continue;
      // One that names nobody matches every key of its kind: no key explains it.
      if (passphrase !== true) unnamed.push(place);
      open.delete(place);
    }
    const found: { holder: Holder; places: number[] }[] = [];
    for (const holder of this.#inOrder) {
      if (open.size === 0) break;
      const places = [...open.keys()].filter((place) =>
        isFor(open.get(place) as RecipientInfo, holder),
      );
      if (places.length === 0) continue;
      found.push({ holder, places });
      for (const place of places) open.delete(place);
    }
    if (found.length > 0) this.#putFirst(found.map(({ holder }) => holder));
    return { holders: found, unknown: [...open.keys()], unnamed };
  }

  #putFirst(holders: readonly Holder[]): void {
    if (holders.every((holder, at) => this.#inOrder[at] === holder)) return;
    const others = this.#inOrder.filter((one) => !holders.includes(one));
    this.#inOrder = [...holders, ...others];
  }
}
