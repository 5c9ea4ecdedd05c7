/** Opening CMS messages: `beginOpening` is the story, in the order that it must have. */
import { randomBytes } from "node:crypto";
import { BerReader } from "../../asn1/ber-reader.js";
import { NoMatchError, PolicyError, UnsupportedError, UsageError } from "../../errors.js";
import type { Identity } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import type { Reader } from "../../stream.js";
import { openByKey, type OpenedByKey } from "../../wrap/opener.js";
import type {
  BegunOpening,
  MessageInfo,
  Receiver,
  SealedReaders,
  SenderInfo,
} from "../envelope.js";
import { heldBack } from "../held-back.js";
import { envelopedInfo } from "./cms-info.js";
import { CONTENT_TYPES } from "./cms-oids.js";
import { enterContentInfo } from "./content-info.js";
import { openContent, readEnvelopedHeader, type EnvelopedHeader } from "./enveloped.js";
import { wrappedKeys } from "./wrapped-keys.js";

export async function inspect(header: Reader): Promise<MessageInfo> {
  const { header: parsed } = await parsedHeader(header);
  return envelopedInfo(parsed);
}

export async function beginOpening(
  sealed: SealedReaders,
  receiver: Receiver,
): Promise<BegunOpening> {
  requireWhole(sealed);
  const { ber, header } = await parsedHeader(sealed.header);
  requireAllowed(header, receiver);
  await receiver.authenticate(undefined);
  const info = envelopedInfo(header);
  const { identity, contentKey } = await openRecipient(header, info, receiver);
  const open = (): AsyncIterable<Uint8Array> =>
    heldBack(openContent(ber, header, contentKey), receiver);
  return { info, identity, body: { kind: "stream", open } };
}

export async function verifySender(sealed: SealedReaders): Promise<SenderInfo | undefined> {
  requireWhole(sealed);
  await parsedHeader(sealed.header);
  return undefined;
}

interface ParsedEnvelope {
  /** Stands before the content. */
  readonly ber: BerReader;
  readonly header: EnvelopedHeader;
}

async function parsedHeader(reader: Reader): Promise<ParsedEnvelope> {
  const ber = new BerReader(reader, "the CMS message");
  const type = await enterContentInfo(ber);
  if (type !== CONTENT_TYPES.envelopedData && type !== CONTENT_TYPES.authEnvelopedData) {
    throw notEncrypted(type);
  }
  return { ber, header: await readEnvelopedHeader(ber, type) };
}

/** The content key, by the identity that a recipient names. */
async function openRecipient(
  { recipients, cipher }: EnvelopedHeader,
  info: MessageInfo,
  receiver: Receiver,
): Promise<OpenedByKey> {
  const identities = await receiver.identities(info);
  const given = (await receiver.certificates?.()) ?? [];
  const certificates = [...given, ...identities.flatMap((one) => one.certificates ?? [])];
  const context = {
    ...{ recipients, certificates, keyBytes: cipher.keyBytes },
    allowsLegacy: receiver.allows?.legacy === true,
    rejectionSecret: (await receiver.rejectionSecret?.()) ?? processSecret(),
  };
  try {
    return await openByKey(identities, wrappedKeys(context));
  } catch (error) {
    if (!(error instanceof NoMatchError)) throw error;
    throw withoutCertificate(error, identities, given);
  }
}

/** For callers who keep none: what a wrap gives is the same until the process ends. */
function processSecret(): Secret {
  return (oneSecret ??= new Secret(new Uint8Array(randomBytes(32))));
}

let oneSecret: Secret | undefined;

// ── Refusals ──

/** @throws PolicyError `ERR_LEGACY`, `ERR_UNAUTHENTICATED`: before any key is looked for */
function requireAllowed({ cipher }: EnvelopedHeader, { allows }: Receiver): void {
  if (cipher.isLegacy && allows?.legacy !== true) {
    throw new PolicyError(
      "ERR_LEGACY",
      `the CMS message is encrypted with ${cipher.name}, which is not accepted`,
      { hint: "old messages are opened with --allow-legacy" },
    );
  }
  if (cipher.mode !== "gcm" && allows?.unauthenticated !== true) {
    throw new PolicyError(
      "ERR_UNAUTHENTICATED",
      `the CMS message is encrypted with ${cipher.name}, and nothing shows whether it was altered`,
      {
        hint:
          "ask for AuthEnvelopedData (AES-GCM), or a signature inside; open this one all the same " +
          "with --allow-unauthenticated",
      },
    );
  }
}

function requireWhole({ header, body }: SealedReaders): void {
  if (header === body) return;
  throw new UsageError("ERR_USAGE", "CMS messages have no header that is stored apart", {
    hint: "leave out --key-blob",
  });
}

/** Where the message names certificates, and none was at hand for a key that was tried. */
function withoutCertificate(
  error: NoMatchError,
  identities: readonly Identity[],
  given: readonly Uint8Array[],
): NoMatchError {
  const lacks = identities.some(({ certificates = [] }) => certificates.length === 0);
  if (!lacks || given.length > 0) return error;
  const hint = `${error.hint ?? ""}; CMS names certificates: give the key's with --cert FILE`;
  return new NoMatchError(error.code, error.message, { hint });
}

function notEncrypted(type: string): UnsupportedError {
  const name = Object.entries(CONTENT_TYPES).find(([, oid]) => oid === type)?.[0] ?? type;
  return new UnsupportedError(
    "ERR_CMS_TYPE",
    `the CMS message holds ${name}, which is not something to open`,
    { hint: "what is opened is EnvelopedData and AuthEnvelopedData" },
  );
}
