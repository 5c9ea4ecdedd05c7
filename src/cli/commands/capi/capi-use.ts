/**
 * What surrounds one use of an exchange key by a `capi` command: failures make the next use wait,
 * and the audit log records the message, its signer and the outcome. Commands get the private half
 * of an exchange key only from here.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { toHex } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import { AuthenticationError, P11SealError } from "../../../errors.js";
import { around } from "../../../keys/around.js";
import type { Identity, RsaPrivateKey, RsaPublicKey } from "../../../keys/key.js";
import { requireCapability } from "../../../keys/purpose.js";
import { appendAudit, auditFiles, type AuditEvent } from "../../../records/audit/audit-log.js";
import { isPkcs11Uri, parseUri } from "../../../token/uri.js";
import { CapiHome } from "./capi-home.js";
import type { Context } from "../../command.js";
import { homeOf } from "../../io/home.js";
import { outcomeOf } from "../../io/report.js";

export class CapiUse {
  readonly home: CapiHome;
  readonly #what: string;
  readonly #context: Context;
  #blob: Uint8Array | undefined;
  #signer: RsaPublicKey | undefined;
  #own: Identity<RsaPublicKey> | undefined;
  /** The asker to whom a failure is counted from now on. */
  #askedBy: string | undefined;
  /** How the token was asked, as in `C_UnwrapKey …`. */
  #path: string | undefined;
  #logged = false;

  /** `what`: the command, for the log. */
  constructor(what: string, context: Context) {
    this.#what = what;
    this.#context = context;
    this.home = new CapiHome(homeOf(context.io));
  }

  /** From now on there is something to log. */
  received(blob: Uint8Array): void {
    this.#blob = blob;
  }

  /** The key whose signature over the message holds. */
  signedBy(signer: RsaPublicKey): void {
    this.#signer = signer;
  }

  /** The private key for src/capi. Its first use waits as long as earlier failures demand. */
  privateKey(own: Identity<RsaPublicKey>): RsaPrivateKey {
    this.#own = own;
    let asker: string;
    const identity = around(own, {
      before: () => {
        asker = this.#asker();
        return this.#brake(asker);
      },
      after: () => {
        this.#askedBy = asker;
      },
      using: (path) => {
        this.#path = path;
      },
    });
    let unlocked: Promise<RsaPrivateKey> | undefined;
    const key = (): Promise<RsaPrivateKey> => (unlocked ??= identity.unlock());
    return {
      publicKey: own.publicKey,
      oaep: {
        hashes: ["sha1"],
        labels: "empty",
        decrypt: async (...args) => requireCapability(await key(), "oaep").decrypt(...args),
      },
      decryptPkcs1: async (...args) => requireCapability(await key(), "decryptPkcs1")(...args),
    };
  }

  /**
   * Logs that the message was opened, before anyone has its plaintext.
   *
   * @throws PolicyError `ERR_AUDIT_LOG_WRITE`, `ERR_UNSAFE_FILE`
   */
  async opened(): Promise<void> {
    await this.#append("opened");
  }

  /** Does the work, and logs its outcome, unless that was done. */
  async record<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      await this.#log("opened");
      return result;
    } catch (error) {
      if (this.#askedBy !== undefined && error instanceof AuthenticationError) {
        await this.home.failed(this.#askedBy, Date.now());
      }
      await this.#log(outcomeOf(error));
      throw error;
    }
  }

  async #brake(asker: string): Promise<void> {
    const { waitMs, failures } = await this.home.turn(asker, Date.now());
    if (waitMs === 0) return;
    const seconds = Math.ceil(waitMs / 1000);
    this.#context.report.note(
      `${failures} messages to this key did not decrypt lately: waiting ${seconds} s`,
    );
    await sleep(waitMs);
  }

  /** Each signer has failures of their own, so that strangers can't slow them down. */
  #asker(): string {
    const own = this.#own === undefined ? "" : toHex(this.#own.publicKey.fingerprint);
    return this.#signer === undefined ? own : `${own} ${toHex(this.#signer.fingerprint)}`;
  }

  async #log(outcome: string): Promise<void> {
    if (this.#logged) return;
    try {
      await this.#append(outcome);
    } catch (error) {
      if (!(error instanceof P11SealError)) throw error;
      this.#context.report.note(`this is not in the audit log: ${error.message}`);
    }
  }

  async #append(outcome: string): Promise<void> {
    if (this.#blob === undefined) return;
    const files = auditFiles(homeOf(this.#context.io));
    await appendAudit(files, { event: "capi", outcome, ...this.#facts(this.#blob) }, Date.now());
    this.#logged = true;
  }

  #facts(blob: Uint8Array): Omit<AuditEvent, "event" | "outcome"> {
    const messageId = createHash("sha256").update(blob).digest("hex").slice(0, 32);
    const sender = this.#signer && toHex(this.#signer.fingerprint);
    const common = { messageId, ...defined({ sender }) };
    if (this.#own === undefined) return { ...common, path: this.#what };
    const { name, publicKey } = this.#own;
    const recipient = toHex(publicKey.fingerprint);
    if (!isPkcs11Uri(name)) return { ...common, recipient, path: `${this.#what}: key file` };
    const { serial } = parseUri(name);
    const way = this.#path;
    return {
      ...common,
      recipient,
      ...defined({ tokenSerial: serial }),
      path: way === undefined ? this.#what : `${this.#what}: ${way}`.slice(0, 128),
    };
  }
}
