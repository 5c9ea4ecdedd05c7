/**
 * What `config.toml` demands of a message of a CryptoAPI peer: a signature of a sender that it
 * takes, and that the message was not received before. Only then is a key looked for.
 */
import { join } from "node:path";
import { toHex } from "../../../bytes.js";
import type { AuthenticMessage } from "../../../capi/index.js";
import { defined } from "../../../defined.js";
import { PolicyError } from "../../../errors.js";
import type { OpenPolicy } from "../../../records/config.js";
import { readDirectory } from "../../../records/directory/directory-file.js";
import { trustedSender } from "../../../records/directory/directory.js";
import type { Reservation } from "../../../records/ledger/ledger.js";
import { MessageFolder } from "../../../records/ledger/message-folder.js";
import type { Context } from "../../command.js";
import { homeOf } from "../../io/home.js";
import type { Output } from "../../io/output.js";
import { place } from "./capi-message.js";
import type { CapiUse } from "./capi-use.js";

/** A message that this process, and no other, may receive. */
export class ReceivedOnce {
  readonly #reservation: Reservation;
  readonly #output: Output;
  readonly #use: CapiUse;
  /** Others whose message with the same key blob was received. */
  readonly #others: readonly string[];
  #delivered: (() => Promise<void>) | undefined;

  private constructor(
    reservation: Reservation,
    output: Output,
    use: CapiUse,
    others: readonly string[],
  ) {
    this.#reservation = reservation;
    this.#output = output;
    this.#use = use;
    this.#others = others;
  }

  /**
   * @throws PolicyError `ERR_UNSIGNED`, `ERR_REPLAYED`, `ERR_IN_PROGRESS`, and as `trustedSender`
   */
  static async admit(
    message: { readonly authentic: AuthenticMessage | undefined; readonly blob: Uint8Array },
    policy: OpenPolicy,
    output: Output,
    use: CapiUse,
    { io }: Context,
  ): Promise<ReceivedOnce> {
    const { authentic, blob } = message;
    if (authentic === undefined) {
      throw new PolicyError("ERR_UNSIGNED", "config.toml takes signed messages only", {
        hint: "ask for a signature over blob and ciphertext, or for a message in p11seal's format",
      });
    }
    const home = homeOf(io);
    const nowMs = Date.now();
    const sender = { publicKey: authentic.signer, createdMs: nowMs };
    trustedSender(await readDirectory(home, "senders"), sender, { from: policy.from, nowMs });
    const folder = new MessageFolder(join(home, "capi", "received"));
    const one = { sender: toHex(authentic.signer.fingerprint), blob, id: authentic.id };
    const reservation = await folder.reserve(one, { nowMs, ...defined({ output: output.paths }) });
    try {
      return new ReceivedOnce(reservation, output, use, await folder.othersWith(one));
    } catch (error) {
      await reservation.release();
      throw error;
    }
  }

  /**
   * Gives its name to the plaintext that an earlier run accepted, and left whole when it was
   * killed. No key is needed. False: there is none for this output.
   */
  async deliverDecrypted(): Promise<boolean> {
    const { redelivery } = this.#reservation;
    const final = this.#output.paths?.final;
    if (redelivery?.kind !== "waiting" || redelivery.output.final !== final) return false;
    await this.#commit(redelivery.output);
    this.#output.adopt?.(redelivery.output.temporary);
    await place(this.#output);
    return true;
  }

  /** The message is whole, and a plaintext file is on the disk: it is received, for good. */
  accept(): Promise<void> {
    return this.#commit(this.#output.paths);
  }

  /** Notes that the plaintext is where it belongs, and what is strange about the message. */
  async noteDelivered({ report }: Context): Promise<void> {
    try {
      await this.#delivered?.();
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      report.note(`delivered, but that could not be recorded: ${error.message}`);
    }
    for (const sender of this.#others) {
      report.note(
        `a message with the same key blob was signed by SHA256:${sender}: ` +
          "one of the two senders copied it, and may not know what it says",
      );
    }
  }

  /** Call it whether or not the message was received. */
  release(): Promise<void> {
    return this.#reservation.release();
  }

  async #commit(output: Output["paths"]): Promise<void> {
    const acceptance = await this.#reservation.commit(output);
    this.#delivered = () => acceptance.delivered();
    await this.#use.opened();
  }
}
