/**
 * One opening's entry in the audit log: gathered while the message is read, and written once, when
 * the outcome is known. A message whose header can't be read counts as not opened; it is not
 * logged.
 */
import { defined } from "../../../defined.js";
import type { SenderInfo } from "../../../envelope/message-info.js";
import { inspectMessage } from "../../../envelope/messages.js";
import { P11SealError } from "../../../errors.js";
import { toHex } from "../../../bytes.js";
import type { KnownPublicKey, NamedKey } from "../../../keys/key.js";
import { passedOnBy } from "../../../records/audit/passed-on.js";
import {
  appendAudit,
  appendAuditWithOthers,
  auditFiles,
  type AuditEvent,
} from "../../../records/audit/audit-log.js";
import type { LedgerWitness } from "../../../records/ledger/ledger.js";
import { isPkcs11Uri, parseUri } from "../../../token/uri.js";
import { tapped } from "../../../stream.js";
import type { Context } from "../../command.js";
import { homeOf } from "../../io/home.js";
import { outcomeOf } from "../../io/report.js";

export class OpeningLog {
  readonly #context: Context;
  /** The chunks read so far. They are bounded, because the length of a header is. */
  #header: Uint8Array[] = [];
  #headerBytes = 0;
  #recording = true;
  #identity: NamedKey<KnownPublicKey> | undefined;
  #sender: SenderInfo | undefined;
  /** How the token was asked, as in `C_UnwrapKey …`. */
  #path: string | undefined;
  #written = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Passes all chunks on, and keeps a copy of those that come before `headerRead`, as far as a
   * header can reach: a signature outside is read to the message's end first.
   */
  recorded(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    return tapped(chunks, (chunk) => {
      if (!this.#recording) return;
      this.#header.push(chunk.slice());
      this.#headerBytes += chunk.length;
      this.#recording = this.#headerBytes < MAX_HEADER_BYTES;
    });
  }

  /** The header was read whole. */
  headerRead(): void {
    this.#recording = false;
  }

  /** A signature over the message holds. Some come to light only while it is opened. */
  signedBy(sender: SenderInfo | undefined): void {
    this.#sender = sender;
  }

  /** The identity that was unlocked for the message, or is about to be. */
  get identity(): NamedKey<KnownPublicKey> | undefined {
    return this.#identity;
  }

  /** An identity is about to be unlocked for the message. */
  unlocking(identity: NamedKey<KnownPublicKey>): void {
    this.#identity = identity;
  }

  /** How its token is asked. */
  usedBy(path: string): void {
    this.#path = path;
  }

  /** The message was opened. @throws PolicyError `ERR_AUDIT_LOG_WRITE`, `ERR_UNSAFE_FILE` */
  async opened(ledger?: LedgerWitness): Promise<void> {
    await this.#append("opened", ledger);
  }

  /**
   * As `opened`, but without a policy: if the log can't be written, there is only a note.
   *
   * @param options - `moreFollow`: the line may wait some ms for theirs.
   */
  async openedIfPossible(options: { readonly moreFollow: boolean }): Promise<void> {
    await this.#try("opened", options);
  }

  /** The message was not opened, or only in part. */
  async failed(error: unknown): Promise<void> {
    if (!this.#written) await this.#try(outcomeOf(error));
  }

  async #try(outcome: string, options?: { readonly moreFollow: boolean }): Promise<void> {
    try {
      await this.#append(outcome, undefined, options);
    } catch (error) {
      if (!(error instanceof P11SealError)) throw error;
      this.#context.report.note(`this opening is not in the audit log: ${error.message}`);
    }
  }

  async #append(
    outcome: string,
    ledger?: LedgerWitness,
    options?: { readonly moreFollow: boolean },
  ): Promise<void> {
    const message = this.#sender ?? (await this.#inHeader());
    if (message === undefined) return;
    const { messageId, keyId: sender, passedOn } = message;
    const event: AuditEvent = {
      event: "open",
      outcome,
      messageId,
      ...defined({ sender, passedOn: passedOn && passedOnBy(passedOn) }),
      ...this.#keyUsed(),
      ...defined({ ledger }),
    };
    const append = options?.moreFollow === true ? appendAuditWithOthers : appendAudit;
    await append(auditFiles(homeOf(this.#context.io)), event, Date.now());
    this.#written = true;
  }

  #keyUsed(): Pick<AuditEvent, "recipient" | "tokenSerial" | "path"> {
    if (this.#identity === undefined) return {};
    const { name, publicKey } = this.#identity;
    const recipient = toHex(publicKey.fingerprint);
    if (!isPkcs11Uri(name)) return { recipient, path: "key file" };
    const { serial } = parseUri(name);
    return { recipient, ...defined({ tokenSerial: serial, path: this.#path }) };
  }

  /** What the header says of the message, and of its sender, if their signature holds. */
  async #inHeader(): Promise<
    (Pick<SenderInfo, "messageId" | "passedOn"> & { readonly keyId?: string }) | undefined
  > {
    try {
      const { messageId, sender } = await inspectMessage(this.#header);
      if (sender?.signature !== "holds") return { messageId };
      return { messageId, keyId: sender.keyId, ...defined({ passedOn: sender.passedOn }) };
    } catch (error) {
      if (error instanceof P11SealError) return undefined;
      throw error;
    }
  }
}

/**
 * More than the longest header of any format, also in base64: p11seal's own has wrapped keys of up
 * to 4 MiB and 144 KiB besides, CMS up to 4 MiB besides the content. Whoever writes a message must
 * not be able to keep its opening out of the log.
 */
const MAX_HEADER_BYTES = 8 * 1024 * 1024;
