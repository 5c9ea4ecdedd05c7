/**
 * Holds every format to the order that keeps keys and PINs out of a forger's reach: the sender
 * first, then the keys.
 */
import { AuthenticationError } from "../errors.js";
import type { ExchangePublicKey, Identity, KnownPublicKey } from "../keys/key.js";
import type { Secret } from "../secret.js";
import type { MessageInfo, SenderInfo } from "./message-info.js";
import type { OpenOptions } from "./open-options.js";
import type { BodyKey, ElsewhereRewrapped, Receiver, WholeHeader } from "./receiver.js";

export class OrderedReceiver implements Receiver {
  readonly allows: Receiver["allows"];
  readonly keepsUntilEnd: Receiver["keepsUntilEnd"];
  readonly spool?: NonNullable<Receiver["spool"]>;
  readonly rejectionSecret?: NonNullable<Receiver["rejectionSecret"]>;
  readonly passedOn?: NonNullable<Receiver["passedOn"]>;
  readonly bodyKey?: NonNullable<Receiver["bodyKey"]>;
  readonly rewrapped?: NonNullable<Receiver["rewrapped"]>;
  readonly #options: OpenOptions;
  #isAuthenticated = false;
  #isLater = false;

  constructor(options: OpenOptions) {
    const { allows, keepsUntilEnd, spool, rejectionSecret, passedOn, bodyKey } = options;
    this.allows = allows;
    this.keepsUntilEnd = keepsUntilEnd;
    if (spool !== undefined) this.spool = spool;
    if (rejectionSecret !== undefined) this.rejectionSecret = rejectionSecret;
    if (passedOn !== undefined) this.passedOn = passedOn;
    if (bodyKey !== undefined) {
      this.bodyKey = async (header: WholeHeader): Promise<BodyKey | undefined> => {
        this.requireAuthenticated();
        const found = await bodyKey(header);
        if (found !== undefined) requireRecipient(header, found.openedBy.publicKey);
        return found;
      };
    }
    const { rewrapped } = options;
    if (rewrapped !== undefined) {
      this.rewrapped = async (header, wanted): Promise<ElsewhereRewrapped | undefined> => {
        this.requireAuthenticated();
        const found = await rewrapped(header, wanted);
        if (found !== undefined) requireRecipient(header, found.openedBy.publicKey);
        return found;
      };
    }
    this.#options = options;
  }

  async authenticate(sender: SenderInfo | undefined): Promise<void> {
    await this.#options.authenticate?.(sender);
    this.#isAuthenticated = true;
  }

  async alsoSigned(insider: SenderInfo): Promise<void> {
    await this.#options.alsoSigned?.(insider);
  }

  authenticateLater(): boolean {
    if (this.#options.signatureInside !== true) return false;
    this.#isLater = true;
    return true;
  }

  async identities(info: MessageInfo): Promise<readonly Identity<KnownPublicKey>[]> {
    this.requireAuthenticated();
    const { identities } = this.#options;
    return typeof identities === "function" ? identities(info) : identities;
  }

  async passphrase(): Promise<Secret | undefined> {
    this.requireAuthenticated();
    return this.#options.passphrase?.();
  }

  async certificates(): Promise<readonly Uint8Array[]> {
    this.requireAuthenticated();
    return (await this.#options.certificates?.()) ?? [];
  }

  requireAuthenticated(): void {
    if (!this.#isAuthenticated && !this.#isLater)
      throw new TypeError("the sender was not authenticated");
  }
}

/** Refuses a key that the message was not sealed to, though somebody says that it opened it. */
function requireRecipient({ info }: WholeHeader, key: ExchangePublicKey): void {
  if (info.recipients.some((recipient) => recipient.matches(key))) return;
  throw new AuthenticationError(
    "ERR_NOT_AUTHENTIC",
    "the message is said to have been opened with a key that it was not sealed to",
    { hint: "open it without the agent: --no-agent" },
  );
}
