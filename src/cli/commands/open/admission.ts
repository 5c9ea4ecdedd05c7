/** Whether one message may be opened, as the gate decides before any key is looked for. */
import type { PassedOn, SenderInfo } from "../../../envelope/message-info.js";
import type { DirectoryEntry } from "../../../records/directory/directory.js";
import type { Output } from "../../io/output.js";
import type { Admitted } from "./gate.js";
import type { CloseLater } from "./sealed-input.js";
import type { OpenSettings } from "./settings.js";

/**
 * Not an error: an earlier run, which a crash ended, opened and accepted the message. Its plaintext
 * lies whole at `temporary` and only needs its name.
 */
export class AlreadyDecrypted extends Error {
  readonly temporary: string;
  readonly admitted: Admitted;

  constructor(temporary: string, admitted: Admitted) {
    super("opened before a crash");
    this.temporary = temporary;
    this.admitted = admitted;
  }
}

export class Admission {
  /** Set once the message was admitted; never where there is no policy. */
  admitted: Admitted | undefined;
  /** Set once the ledger has accepted it. */
  isAccepted = false;
  /** Who passed the message on, once that was accepted. */
  #custodian: DirectoryEntry | undefined;
  readonly #settings: OpenSettings;
  readonly #output: Output;
  readonly #closeLater: CloseLater;

  constructor(settings: OpenSettings, output: Output, closeLater: CloseLater) {
    this.#settings = settings;
    this.#output = output;
    this.#closeLater = closeLater;
  }

  /** What was admitted, by the end of a message. */
  required(): Admitted {
    if (this.admitted === undefined) throw new TypeError("the message was not admitted");
    return this.admitted;
  }

  /**
   * A custodian passed the message on. Comes before `demand`.
   *
   * @throws PolicyError: refused
   */
  async takeFrom(record: PassedOn): Promise<void> {
    this.#custodian = await this.#settings.custodians.take(record);
  }

  /** @throws PolicyError: refused; `AlreadyDecrypted` */
  async demand(sender: SenderInfo | undefined): Promise<void> {
    const { gate, receipt } = this.#settings;
    if (gate === undefined) return;
    const { paths } = this.#output;
    const admitted = await gate.admit(sender, paths, this.#custodian);
    this.admitted = admitted;
    this.#closeLater({ close: () => this.required().reservation.release() });
    const { redelivery } = admitted.reservation;
    // A receipt names the hash of the sealed file, so the file has to be read again for it.
    if (redelivery?.kind !== "waiting" || receipt !== undefined) return;
    if (redelivery.output.final === paths?.final) {
      throw new AlreadyDecrypted(redelivery.output.temporary, admitted);
    }
  }

  /**
   * A signature came to light inside the sender's, which would be a message by itself.
   *
   * @throws PolicyError: refused
   */
  async alsoSigned(insider: SenderInfo): Promise<void> {
    const { gate } = this.#settings;
    if (gate === undefined) return;
    const admitted = this.required();
    this.admitted = await gate.admitBeside(admitted, insider, { isAccepted: this.isAccepted });
  }
}
