/**
 * The state machine `recipient-v1` (c2sp.org/age-plugin, "Wrapping"): from file keys to stanzas.
 * If one recipient is refused, there are no stanzas at all.
 */
import { FILE_KEY_BYTES } from "../envelope/age/stanzas.js";
import { FormatError, P11SealError, UnsupportedError } from "../errors.js";
import { type AgeClient, requireShape } from "./age-client.js";
import type { Stanza } from "./stanza-stream.js";

/** Whom file keys can be wrapped to. */
export interface AgeRecipient {
  /**
   * Wraps a file key of 16 bytes.
   *
   * @throws P11SealError
   */
  wrap(fileKey: Uint8Array): Stanza | Promise<Stanza>;
  /** As `postquantum`: recipients of one file all have the same labels, or it is not written. */
  readonly labels: readonly string[];
}

export interface RecipientFinder {
  /** @throws P11SealError a recipient that is not known here, or malformed */
  recipient(text: string): AgeRecipient | Promise<AgeRecipient>;
  /** The recipient that belongs to an identity. @throws as `recipient`; TokenError */
  recipientOf(identity: string): Promise<AgeRecipient>;
  /** Ends sessions and modules. */
  close(): Promise<void>;
}

/**
 * Talks to the client until `done`.
 *
 * @throws FormatError `ERR_PLUGIN_PROTOCOL`
 */
export async function recipientV1(client: AgeClient, finder: RecipientFinder): Promise<void> {
  try {
    const request = await readRequest(client);
    await client.grease();
    try {
      const recipients = await findAll(request, client, finder);
      if (recipients !== undefined) await wrapAll(request, recipients, client);
    } finally {
      for (const fileKey of request.fileKeys) fileKey.fill(0);
    }
  } finally {
    await finder.close();
  }
  await client.done();
}

/** A recipient or an identity, as the client numbers them: each kind from 0. */
interface Addressee {
  readonly about: readonly ["recipient" | "identity", string];
  readonly text: string;
}

interface Request {
  readonly addressees: readonly Addressee[];
  readonly fileKeys: readonly Uint8Array[];
  /** The client compares labels. Older ones can't. */
  readonly knowsLabels: boolean;
}

async function readRequest(client: AgeClient): Promise<Request> {
  const addressees: Addressee[] = [];
  const fileKeys: Uint8Array[] = [];
  const counts = { recipient: 0, identity: 0 };
  let knowsLabels = false;
  for await (const command of client.commands()) {
    const [text = ""] = command.args;
    switch (command.type) {
      case "add-recipient":
        requireShape(command, 1);
        addressees.push({ about: ["recipient", `${counts.recipient++}`], text });
        break;
      case "add-identity":
        requireShape(command, 1);
        addressees.push({ about: ["identity", `${counts.identity++}`], text });
        break;
      case "wrap-file-key":
        requireShape({ ...command, body: new Uint8Array(0) }, 0);
        fileKeys.push(command.body);
        break;
      case "extension-labels":
        requireShape(command, 0);
        knowsLabels = true;
        break;
      default: // Of a version to come, or there to see that it is ignored.
    }
  }
  return { addressees, fileKeys, knowsLabels };
}

interface Found {
  readonly about: Addressee["about"];
  readonly recipient: AgeRecipient;
}

/** Undefined if one is refused. */
async function findAll(
  { addressees, knowsLabels }: Request,
  client: AgeClient,
  finder: RecipientFinder,
): Promise<Found[] | undefined> {
  const found: Found[] = [];
  let areAllFound = true;
  for (const { about, text } of addressees) {
    try {
      const isRecipient = about[0] === "recipient";
      const recipient = await (isRecipient ? finder.recipient(text) : finder.recipientOf(text));
      requireLabels(recipient, found[0]?.recipient, knowsLabels);
      found.push({ about, recipient });
    } catch (error) {
      if (!(error instanceof P11SealError)) throw error;
      areAllFound = false;
      await client.refuse(about, error);
    }
  }
  return areAllFound ? found : undefined;
}

/** A file is as safe as its weakest recipient: labels keep weaker ones out. */
function requireLabels(
  { labels }: AgeRecipient,
  first: AgeRecipient | undefined,
  knowsLabels: boolean,
): void {
  const others = first?.labels ?? labels;
  if (labels.join(" ") !== others.join(" ")) {
    const message = "post-quantum and other recipients can't be mixed in one file";
    throw new UnsupportedError("ERR_RECIPIENTS_MIXED", message, {
      hint: "leave out one kind: whoever breaks the weaker recipient's key reads the file",
    });
  }
  if (labels.length > 0 && !knowsLabels) {
    const message = "this age client can't keep post-quantum recipients apart from others";
    throw new UnsupportedError("ERR_RECIPIENTS_MIXED", message, { hint: "use age 1.3 or newer" });
  }
}

async function wrapAll(
  { fileKeys, knowsLabels }: Request,
  recipients: readonly Found[],
  client: AgeClient,
): Promise<void> {
  const wrapped: { readonly file: number; readonly stanza: Stanza }[] = [];
  for (const [file, fileKey] of fileKeys.entries()) {
    if (fileKey.length !== FILE_KEY_BYTES) {
      const message = `a file key has ${fileKey.length} bytes, not ${FILE_KEY_BYTES}`;
      await client.refuse(["internal"], new FormatError("ERR_PLUGIN_PROTOCOL", message));
      return;
    }
    for (const { about, recipient } of recipients) {
      try {
        wrapped.push({ file, stanza: await recipient.wrap(fileKey) });
      } catch (error) {
        if (!(error instanceof P11SealError)) throw error;
        await client.refuse(about, error);
        return;
      }
    }
  }
  if (knowsLabels) await client.deliver("labels", recipients[0]?.recipient.labels ?? []);
  for (const { file, stanza } of wrapped) {
    const { type, args, body } = stanza;
    await client.deliver("recipient-stanza", [`${file}`, type, ...args], body);
  }
}
