/**
 * Who signs, and who signed: from an identity to the sender of one message, and from a key in a
 * message to the name that the user gave it.
 */
import { join } from "node:path";
import { toHex } from "../../bytes.js";
import { readDirectory } from "../../records/directory/directory-file.js";
import {
  holderOf,
  senderLimit,
  spokenFingerprint,
  type DirectoryKind,
} from "../../records/directory/directory.js";
import { custodianLimit } from "../../records/directory/trusted-custodian.js";
import { defined } from "../../defined.js";
import type { SenderCertificates, SenderInfo } from "../../envelope/message-info.js";
import type { Sender } from "../../envelope/seal-options.js";
import { P11SealError, UsageError } from "../../errors.js";
import type { PublicKey, SigningPublicKey } from "../../keys/key.js";
import { moment, parseDuration } from "../../records/duration.js";
import type { Arguments } from "../arguments/arguments.js";
import type { Context } from "../command.js";
import { homeOf } from "../io/home.js";

/** What a command line says about signing a message. */
export interface SigningOptions {
  /** `--sign-with`. */
  readonly key: string;
  readonly expiresMs: number | undefined;
  readonly streamName: string | undefined;
}

/**
 * The options of `seal` about its sender; undefined if the message is not signed.
 *
 * @throws UsageError
 */
export function signingOptions(args: Arguments): SigningOptions | undefined {
  const key = args.text("sign-with");
  const expires = args.text("expires");
  const streamName = args.text("stream-name");
  if (key === undefined) {
    const without = expires === undefined ? "stream-name" : "expires";
    if (expires === undefined && streamName === undefined) return undefined;
    throw new UsageError("ERR_USAGE", `--${without} needs --sign-with`, {
      hint: "without a signature, others could change it",
    });
  }
  const expiresMs = expires === undefined ? undefined : parseDuration(expires);
  if (expiresMs === 0) throw new UsageError("ERR_DURATION", "the message would be expired at once");
  return { key, expiresMs, streamName };
}

/** What can reach a sender's private key, or somebody who has it. */
export interface SenderIdentity {
  readonly publicKey: SigningPublicKey;
  /** May ask for a PIN. */
  unlock(): Promise<Sender["key"]>;
}

/**
 * The sender of one message. The PIN is asked for first, because a serial that was taken is used
 * up.
 *
 * @throws as `unlock` and `nextSerial`
 */
export async function senderOf(
  identity: SenderIdentity,
  options: SigningOptions,
  { io }: Context,
): Promise<Sender> {
  const key = await identity.unlock();
  // Loaded here, so that unsigned messages need no database.
  const { nextSerial } = await import("../../records/ledger/serials.js");
  const { publicKey } = identity;
  const counters = join(homeOf(io), "serials.db");
  const serial = await nextSerial(counters, toHex(publicKey.fingerprint), options.streamName);
  const createdMs = Date.now();
  return {
    publicKey,
    key,
    ...serial,
    createdMs,
    ...defined({ expiresMs: options.expiresMs && createdMs + options.expiresMs }),
  };
}

/** A sender, or a custodian, whom the user knows. */
export interface KnownSigner {
  readonly name: string;
  /** Why the key does not count for that name, as in `the key of "zoe" was valid until …`. */
  readonly limit?: string;
}

/** A key that signed something. */
export type Signer = ({ readonly publicKey: PublicKey } | { readonly keyId: string }) & {
  /** When it signed, milliseconds since 1970-01-01T00:00Z; absent: not known. */
  readonly createdMs?: number;
};

/** The sender in the user's directory who has that key, if any: see `knownSigner`. */
export function knownSender(key: Signer, context: Context): Promise<KnownSigner | undefined> {
  return knownSigner(key, "senders", context);
}

/**
 * Who has that key in one of the directory's lists, if anybody has. A list that can't be read is
 * noted, and counts as empty: nothing is decided by this name.
 */
export async function knownSigner(
  key: Signer,
  kind: Exclude<DirectoryKind, "recipients">,
  { io, report }: Context,
): Promise<KnownSigner | undefined> {
  try {
    const entries = await readDirectory(homeOf(io), kind);
    const entry =
      "publicKey" in key
        ? holderOf(entries, key)
        : entries.find(({ publicKey }) => toHex(publicKey.fingerprint) === key.keyId);
    if (entry === undefined) return undefined;
    const nowMs = Date.now();
    const { createdMs = nowMs } = key;
    const limit =
      kind === "custodians"
        ? custodianLimit(entry, createdMs)?.fact
        : senderLimit(entry, createdMs, nowMs)?.fact;
    return { name: entry.name, ...defined({ limit }) };
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    report.note(error.message);
    return undefined;
  }
}

/** A known signer as JSON has it: a name stands there only if the key counts for it. */
export function senderData(known: KnownSigner | undefined): {
  readonly name: string | null;
  readonly limit?: string;
} {
  if (known?.limit === undefined) return { name: known?.name ?? null };
  return { name: null, limit: known.limit };
}

/** A sender for people, by what a message claims under a signature that holds. */
export async function signerText(
  sender: { readonly keyId: string; readonly createdMs: number },
  context: Context,
): Promise<string> {
  const known = await knownSender(sender, context);
  if (known === undefined) return "an unknown key";
  return known.limit === undefined ? `"${known.name}"` : `a key that is not valid: ${known.limit}`;
}

/**
 * A signer for people: the sender's name, or else the key's fingerprint.
 *
 * @param holder - what is said instead of an unknown key
 */
export async function nameOrFingerprint(
  key: { readonly publicKey: PublicKey; readonly createdMs?: number },
  context: Context,
  holder?: string,
): Promise<string> {
  const known = await knownSender(key, context);
  const fingerprint = spokenFingerprint(key.publicKey);
  if (known === undefined) return holder ?? `an unknown key, ${fingerprint}`;
  if (known.limit === undefined) return `"${known.name}"`;
  return `a key that is not valid, ${fingerprint}: ${known.limit}`;
}

/**
 * The note on a signed message that was opened without a policy, after its signatures were checked.
 */
export async function noteSender(sender: SenderInfo, context: Context): Promise<void> {
  const { certificates, createdMs } = sender;
  const known = certificates && (await certificateFact(certificates, createdMs, context));
  const holder = known?.isBelieved === true ? known.holder : undefined;
  const who = await nameOrFingerprint(sender, context, holder);
  const when = sender.createdMs === undefined ? "" : `, ${moment(sender.createdMs)}`;
  context.report.note(`signed by ${who}${when}; the signature holds`);
  if (known !== undefined) {
    context.report.note(`the signer's certificate is of ${known.holder}: ${known.verdict}`);
  }
  context.report.note("whether it was opened before was not checked; --from does that");
}

/** Loaded here, as most formats have no certificates. */
async function certificateFact(
  certificates: SenderCertificates,
  createdMs: number | undefined,
  context: Context,
) {
  const { certificateNote } = await import("./certified-senders.js");
  return certificateNote(certificates, createdMs, context);
}
