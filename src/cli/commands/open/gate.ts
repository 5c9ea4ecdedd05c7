/**
 * The gate that messages pass before any key is touched, where something is demanded of them
 * (`demands.ts`). The ledger is opened once, when the first message gets that far.
 */
import type { OpenPolicy } from "../../../records/config.js";
import { readDirectory } from "../../../records/directory/directory-file.js";
import { trustedSender, type DirectoryEntry } from "../../../records/directory/directory.js";
import type { SenderInfo } from "../../../envelope/message-info.js";
import { defined } from "../../../defined.js";
import { P11SealError, PolicyError } from "../../../errors.js";
import { moment } from "../../../records/duration.js";
import type { Ledger, OutputPaths, Reservation } from "../../../records/ledger/ledger.js";
import { together } from "../../../records/ledger/together.js";
import { admit, requireSigned } from "../../../records/policy.js";
import type { Context } from "../../command.js";
import { passedOnText } from "../../find/passed-on-text.js";
import type { CertificateTrust } from "../../find/certificate-trust.js";

/** A sender whose signature says when it was made. */
export type TimedSender = SenderInfo & { readonly createdMs: number };

/** A message that this process, and no other, may open. */
export interface Admitted {
  /** The user's name for its sender. */
  readonly name: string;
  readonly sender: TimedSender;
  readonly reservation: Reservation;
}

export interface GateOptions {
  readonly inOrder: boolean;
  /** In certificates. */
  readonly allowSha1: boolean;
  readonly trust: () => Promise<CertificateTrust>;
}

export class Gate {
  readonly #home: string;
  readonly #policy: OpenPolicy;
  readonly #options: GateOptions;
  #ledger: Promise<Ledger> | undefined;

  constructor(home: string, policy: OpenPolicy, options: GateOptions) {
    this.#home = home;
    this.#policy = policy;
    this.#options = options;
  }

  /**
   * Admits a message, or refuses it. `sender` is what its signature says, undefined without one;
   * `output` is where its plaintext will be, if that is a file; `custodian`, who passed it on.
   *
   * @throws PolicyError, and see `trustedSender`, `admit`, `openLedger`
   */
  async admit(
    sender: SenderInfo | undefined,
    output: OutputPaths | undefined,
    custodian: DirectoryEntry | undefined,
  ): Promise<Admitted> {
    const { windowMs, skewMs } = this.#policy;
    const { inOrder } = this.#options;
    const nowMs = Date.now();
    const { name, sender: signed } = await this.#accepted(sender, nowMs);
    const options = { nowMs, windowMs, skewMs, inOrder, ...defined({ output, custodian }) };
    const ledger = await this.#opened();
    const reservation = await admit(signed, ledger, options);
    // Without this signature the message would be as good a one, by the others.
    const others = signersOf(sender).filter((one) => one.messageId !== signed.messageId);
    return {
      name,
      sender: signed,
      reservation: await together(reservation, others, ledger, { nowMs }),
    };
  }

  /**
   * The user's name for the sender of a message that is not opened for anybody to read. It is
   * signed by one whom the policy accepts; the ledger is left alone, and its age does not matter.
   *
   * @throws PolicyError, and see `trustedSender`
   */
  async believe(sender: SenderInfo | undefined): Promise<string> {
    return (await this.#accepted(sender, Date.now())).name;
  }

  /**
   * Adds signatures to what was admitted, so that they let the message in no second time.
   *
   * @param state - `isAccepted`: the message is in the ledger already
   * @throws as `Ledger.reserve`
   */
  async admitBeside(
    admitted: Admitted,
    insider: SenderInfo,
    { isAccepted }: { readonly isAccepted: boolean },
  ): Promise<Admitted> {
    const { reservation } = admitted;
    const state = { nowMs: Date.now(), isAccepted };
    const ledger = await this.#opened();
    return {
      ...admitted,
      reservation: await together(reservation, signersOf(insider), ledger, state),
    };
  }

  /** Of those who signed the message, the first whose signature counts. */
  async #accepted(
    sender: SenderInfo | undefined,
    nowMs: number,
  ): Promise<Pick<Admitted, "name" | "sender">> {
    const [first, ...cosigners] = signersOf(sender);
    let refusal: unknown;
    for (const one of [first, ...cosigners]) {
      try {
        const signed = requireSigned(one);
        return { name: await this.#nameOf(signed, nowMs), sender: signed };
      } catch (error) {
        if (!(error instanceof PolicyError)) throw error;
        refusal ??= error;
      }
    }
    throw refusal;
  }

  /** The user's name for the sender or, in formats with certificates, one that is believed. */
  async #nameOf(signed: TimedSender, nowMs: number): Promise<string> {
    const { from } = this.#policy;
    const senders = await readDirectory(this.#home, "senders");
    const { certificates } = signed;
    if (certificates === undefined) return trustedSender(senders, signed, { from, nowMs }).name;
    const { acceptedSender, certifiedCase } = await import("../../find/certified-senders.js");
    const { allowSha1 } = this.#options;
    const certified = { ...certifiedCase(certificates), allowSha1 };
    const trust = await this.#options.trust();
    return acceptedSender({ ...signed, certified }, { senders, from, nowMs, trust }).name;
  }

  async close({ report }: Context): Promise<void> {
    const ledger = await this.#ledger?.catch(() => undefined);
    if (ledger === undefined) return;
    try {
      const { closeHomeLedger } = await import("../../../records/ledger/home-ledger.js");
      await closeHomeLedger(this.#home, ledger);
    } catch (error) {
      if (!(error instanceof P11SealError)) throw error;
      report.note(`the audit log could not note how far the ledger is: ${error.message}`);
    }
  }

  #opened(): Promise<Ledger> {
    this.#ledger ??= this.#open();
    return this.#ledger;
  }

  async #open(): Promise<Ledger> {
    const { openHomeLedger } = await import("../../../records/ledger/home-ledger.js");
    return openHomeLedger(this.#home);
  }
}

function signersOf(sender: SenderInfo | undefined): readonly SenderInfo[] {
  return sender === undefined ? [] : [sender, ...(sender.cosigners ?? [])];
}

/** Says who sent a message that has been opened, and what its serial shows. */
export async function noteAdmitted(
  { name, sender, reservation }: Admitted,
  context: Context,
): Promise<void> {
  const { report } = context;
  const { serial, createdMs, certificates } = sender;
  // A CMS message is the only one of its stream: its serial says nothing.
  const how =
    certificates === undefined
      ? `sealed ${moment(createdMs)}, serial ${serial}`
      : `signed ${moment(createdMs)}`;
  report.note(`from "${name}", ${how}`);
  if (sender.passedOn !== undefined) {
    report.note(await passedOnText(sender.passedOn, `"${name}"`, context));
  }
  const { place, gap } = reservation;
  if (place === "gap") {
    const which =
      gap === 1 ? "message of this stream before it was" : "messages of this stream before it were";
    report.note(`${gap} ${which} not opened here`);
  }
  if (place === "late") report.note("a later message of this stream was opened before it");
}
