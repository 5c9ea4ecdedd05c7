/**
 * An age file's header for other recipients. The stanzas that stay are kept byte for byte; the body
 * stays as it is, since its key comes from the file key and a nonce of its own.
 */
import { equal, unshared } from "../../bytes.js";
import { PolicyError, UnsupportedError } from "../../errors.js";
import type { ExchangePublicKey, KnownPublicKey } from "../../keys/key.js";
import type { Reader } from "../../stream.js";
import { isUnnamed, openByKey, type WrappedKey } from "../../wrap/opener.js";
import { wholeHeader } from "../detached-header.js";
import type { Receiver } from "../receiver.js";
import type { RewrapOptions, RewrappedHeader } from "../rewrapping.js";
import { recipientsOnce } from "../recipients-once.js";
import { isAmong, nobodyLeft, notAsPlanned } from "../rewrapped-recipients.js";
import { VerifiedAgeHeader } from "./age-file-key.js";
import {
  AGE,
  encodeAgeHeader,
  MAX_STANZAS,
  readAgeHeader,
  stanzaText,
  tooLong,
  transcriptOf,
  type RawHeader,
  type RawStanza,
} from "./age-header.js";
import { ageInfo } from "./age-info.js";
import { sealableKeys } from "./age-recipients.js";
import { wrappedBy, wrapFor } from "./age-wrap.js";
import { passphraseStanza } from "./passphrase.js";
import { encodeStanza, FILE_KEY_BYTES, parseStanzas, type Stanza } from "./stanzas.js";

/** The stanza that a key opened; undefined: somebody else did, and did not say which. */
interface OpenedStanza {
  readonly key: KnownPublicKey;
  readonly stanza: Stanza | undefined;
}

/** @throws as `Envelope.rewrap` */
export async function rewrap(
  header: Reader,
  receiver: Receiver,
  options: RewrapOptions,
): Promise<RewrappedHeader> {
  const raw = await readAgeHeader(header);
  const stanzas = parseStanzas(raw.stanzas);
  if (passphraseStanza(stanzas) !== undefined) throw withPassphrase();
  const add = options.add.length === 0 ? [] : toAdd(options, stanzas);
  await receiver.authenticate(undefined);

  const info = ageInfo(raw, stanzas);
  const bytes = encodeAgeHeader(raw.transcript, raw.mac);
  const elsewhere = await receiver.rewrapped?.({ format: AGE, bytes, info }, options);
  if (elsewhere !== undefined) {
    const { header: made, openedBy } = elsewhere;
    const gone = { key: openedBy.publicKey, stanza: undefined };
    await requirePlanned(made, keptOf(raw, stanzas, options, gone), add);
    return { info, oldHeaderBytes: raw.bytes, header: unshared(made), identity: openedBy };
  }
  const stanzaOf = new Map<WrappedKey, Stanza>();
  const { identity, contentKey, wrap } = await openByKey(await receiver.identities(info), {
    keyBytes: FILE_KEY_BYTES,
    for: (key) =>
      stanzas.flatMap((stanza) => {
        const wrapped = wrappedBy(stanza, key);
        if (wrapped === undefined) return [];
        stanzaOf.set(wrapped, stanza);
        return [wrapped];
      }),
  });
  const verified = VerifiedAgeHeader.verify(raw, contentKey);

  const opened = { key: identity.publicKey, stanza: stanzaOf.get(wrap) };
  const kept = keptOf(raw, stanzas, options, opened);
  if (kept.length + add.length === 0) throw nobodyLeft();
  const made = await verified.rewrap(async (fileKey) => {
    const added = await Promise.all(add.map((key) => wrapFor(key, fileKey)));
    return transcriptOf([...kept, ...added.map(encodeStanza)]);
  });
  return { info, oldHeaderBytes: raw.bytes, header: unshared(made), identity };
}

/** The stanzas that stay. @throws UnsupportedError `ERR_REWRAP` */
function keptOf(
  raw: RawHeader,
  stanzas: readonly Stanza[],
  { remove }: Pick<RewrapOptions, "remove">,
  opened: OpenedStanza,
): RawStanza[] {
  const removed = new Set(remove.flatMap((key) => stanzasOf(key, stanzas, opened)));
  return raw.stanzas.filter((_, at) => !removed.has(stanzas[at] as Stanza));
}

/**
 * Refuses a header that somebody else made, unless the stanzas that stay are as they were, and each
 * that is new may be for the key to add at its place.
 *
 * @throws AuthenticationError `ERR_NOT_AUTHENTIC`
 */
async function requirePlanned(
  bytes: Uint8Array,
  kept: readonly RawStanza[],
  added: readonly ExchangePublicKey[],
): Promise<void> {
  const raw = await wholeHeader(bytes, readAgeHeader);
  const stanzas = parseStanzas(raw.stanzas);
  const stay = raw.stanzas.slice(0, kept.length);
  const isPlanned =
    stanzas.length === kept.length + added.length &&
    stay.every((stanza, at) => stanzaText(stanza) === stanzaText(kept[at] as RawStanza)) &&
    added.every((key, at) => wrappedBy(stanzas[kept.length + at] as Stanza, key) !== undefined);
  if (!isPlanned) throw notAsPlanned();
}

/** The keys that no stanza names, or none that stays. @throws PolicyError */
function toAdd(
  { add, remove, oaep }: Pick<RewrapOptions, "add" | "remove" | "oaep">,
  stanzas: readonly Stanza[],
): ExchangePublicKey[] {
  const keys = sealableKeys(recipientsOnce(add, MAX_STANZAS, "an age file"), oaep);
  const isNew = (key: ExchangePublicKey): boolean =>
    isAmong(remove, key) ||
    !stanzas.some((stanza) => {
      const wrapped = wrappedBy(stanza, key);
      return wrapped !== undefined && !isUnnamed(wrapped);
    });
  const added = keys.filter(isNew);
  if (stanzas.length + added.length > MAX_STANZAS) throw tooLong();
  requireSameKind(added, stanzas);
  return added;
}

/**
 * A classic file stays classic, and a post-quantum one post-quantum: whoever kept the header with a
 * classic stanza needs no other (C2SP, "age", §"The tagged recipient types").
 */
function requireSameKind(keys: readonly ExchangePublicKey[], stanzas: readonly Stanza[]): void {
  const kinds = new Set(stanzas.flatMap(({ type }) => kindOf(type) ?? []));
  for (const { type } of keys) {
    const kind = type === "hybrid" ? "post-quantum" : "classic";
    const other = [...kinds].find((one) => one !== kind);
    if (other === undefined) continue;
    throw new PolicyError(
      "ERR_MIXED_RECIPIENTS",
      `the age file is for ${other} recipients, and a ${kind} one can't join them`,
      { hint: "make a new file for it: p11seal reseal" },
    );
  }
}

function kindOf(type: Stanza["type"]): "classic" | "post-quantum" | undefined {
  if (type === "unknown" || type === "scrypt") return undefined;
  return type.startsWith("mlkem") ? "post-quantum" : "classic";
}

/**
 * The stanzas that are for this key for sure. One that names nobody is the one that the key just
 * opened; of another key's, nobody can tell.
 *
 * @throws UnsupportedError `ERR_REWRAP`
 */
function stanzasOf(
  key: ExchangePublicKey,
  stanzas: readonly Stanza[],
  opened: OpenedStanza,
): Stanza[] {
  const possible = stanzas.flatMap((stanza) => {
    const wrapped = wrappedBy(stanza, key);
    return wrapped === undefined ? [] : [{ stanza, named: !isUnnamed(wrapped) }];
  });
  const isOpened = equal(opened.key.fingerprint, key.fingerprint);
  const found = possible.filter(
    ({ stanza, named }) => named || (isOpened && stanza === opened.stanza),
  );
  if (found.length > 0 || possible.length === 0) return found.map(({ stanza }) => stanza);
  throw new UnsupportedError(
    "ERR_REWRAP",
    "the age file does not say which of its recipients is the one to remove",
    { hint: "open it with that recipient's own key (-i), or make a new file: p11seal reseal" },
  );
}

function withPassphrase(): UnsupportedError {
  return new UnsupportedError("ERR_REWRAP", "the age file is sealed with a passphrase", {
    hint: "a passphrase stands alone; open it, and seal it to keys",
  });
}
