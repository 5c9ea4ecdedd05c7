/**
 * What the audit log is told of one opening: gathered while the message passes, written once, when it
 * is known how it ended. A message whose header could not be read was not opened and is not logged.
 */
import { inspectMessage, type MessageInfo } from "../../../envelope/native/info.js";
import { Cancelled, P11SealError } from "../../../errors.js";
import { toHex } from "../../../bytes.js";
import type { Identity, PrivateKey, RsaPrivateKey, Using } from "../../../keys/key.js";
import { appendAudit, auditFiles, type AuditEvent } from "../../../records/audit/audit-log.js";
import type { LedgerWitness } from "../../../records/ledger/ledger.js";
import { isPkcs11Uri, parseUri } from "../../../token/uri.js";
import { tapped } from "../../../stream.js";
import { homeFolder } from "../../find/home.js";
import type { Context } from "../../command.js";

export class OpeningLog {
  readonly #context: Context;
  /** What was read of the header; as much as the reader took, which has a limit. */
  #header: Uint8Array[] = [];
  #recording = true;
  #identity: Identity | undefined;
  /** How the token was asked, as in `C_UnwrapKey …`. */
  #path: string | undefined;
  #written = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Passes on the chunks that hold the header, and keeps those up to `headerRead`. */
  recorded(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    return tapped(chunks, (chunk) => {
      if (this.#recording) this.#header.push(chunk.slice());
    });
  }

  /** Called when the header was read, if it can be. */
  headerRead(): void {
    this.#recording = false;
  }

  /** The identities, watched for which of them is used. */
  watched(identities: readonly Identity[]): readonly Identity[] {
    return identities.map((identity) => ({
      publicKey: identity.publicKey,
      name: identity.name,
      unlock: async () => {
        this.#identity = identity;
        return watchedKey(await identity.unlock(), (path) => {
          this.#path = path;
        });
      },
    }));
  }

  /** The message was opened. @throws PolicyError `ERR_AUDIT_LOG_WRITE`, `ERR_UNSAFE_FILE` */
  async opened(ledger?: LedgerWitness): Promise<void> {
    await this.#append("opened", ledger);
  }

  /** As `opened`, where nobody demanded a policy: a log that can't be written is told of, and no more. */
  async openedIfPossible(): Promise<void> {
    await this.#try("opened");
  }

  /** It was not, or not to its end. */
  async failed(error: unknown): Promise<void> {
    if (!this.#written) await this.#try(outcomeOf(error));
  }

  async #try(outcome: string): Promise<void> {
    try {
      await this.#append(outcome);
    } catch (error) {
      if (!(error instanceof P11SealError)) throw error;
      this.#context.report.note(`this opening is not in the audit log: ${error.message}`);
    }
  }

  async #append(outcome: string, ledger?: LedgerWitness): Promise<void> {
    const info = await this.#info();
    if (info === undefined) return;
    const event: AuditEvent = {
      event: "open",
      outcome,
      messageId: info.messageId,
      ...(info.sender?.signature === "holds" ? { sender: info.sender.keyId } : {}),
      ...this.#means(),
      ...(ledger === undefined ? {} : { ledger }),
    };
    await appendAudit(auditFiles(homeFolder(this.#context.io.env)), event, Date.now());
    this.#written = true;
  }

  #means(): Pick<AuditEvent, "recipient" | "tokenSerial" | "path"> {
    if (this.#identity === undefined) return {};
    const { name, publicKey } = this.#identity;
    const recipient = toHex(publicKey.fingerprint);
    if (!isPkcs11Uri(name)) return { recipient, path: "key file" };
    const { serial } = parseUri(name);
    const path = this.#path;
    return {
      recipient,
      ...(serial === undefined ? {} : { tokenSerial: serial }),
      ...(path === undefined ? {} : { path }),
    };
  }

  async #info(): Promise<MessageInfo | undefined> {
    try {
      return await inspectMessage(this.#header);
    } catch (error) {
      if (error instanceof P11SealError) return undefined;
      throw error;
    }
  }
}

function watchedKey(key: PrivateKey, using: Using): PrivateKey {
  if (key.type !== "rsa") return { type: key.type, agree: (peer) => key.agree(peer, using) };
  const { type, oaepHashes } = key;
  const decryptOaep: RsaPrivateKey["decryptOaep"] = (ciphertext, hash) =>
    key.decryptOaep(ciphertext, hash, using);
  return { type, oaepHashes, decryptOaep };
}

function outcomeOf(error: unknown): string {
  if (error instanceof P11SealError) return error.code;
  return error instanceof Cancelled ? "cancelled" : "interrupted";
}
