/**
 * What this receiver demands of a message before any key is touched, on the command line and in
 * `config.toml`. The ledger is opened once, when the first message gets that far.
 */
import { openPolicy, readConfig, type OpenPolicy } from "../../../records/config.js";
import { readDirectory } from "../../../records/directory/directory-file.js";
import { trustedSender } from "../../../records/directory/directory.js";
import type { SenderInfo } from "../../../envelope/envelope.js";
import { defined } from "../../../defined.js";
import { P11SealError, UsageError } from "../../../errors.js";
import { moment, parseDuration } from "../../../records/duration.js";
import type { Ledger, OutputPaths, Reservation } from "../../../records/ledger/ledger.js";
import { admit, requireSigned } from "../../../records/policy.js";
import type { Arguments } from "../../arguments/arguments.js";
import { homeFolder } from "../../../store/home.js";
import type { Context } from "../../command.js";

/** A sender whose signature says when it was made. */
export type TimedSender = SenderInfo & { readonly createdMs: number };

/** A message that this process, and no other, may open. */
export interface Admitted {
  /** The user's name for its sender. */
  readonly name: string;
  readonly sender: TimedSender;
  readonly reservation: Reservation;
}

/**
 * The gate that a command's messages have to pass; undefined where nothing is demanded.
 *
 * @throws UsageError; FormatError `ERR_CONFIG`
 */
export async function gateOf(args: Arguments, context: Context): Promise<Gate | undefined> {
  const home = homeFolder(context.io.env);
  const window = args.text("window");
  const policy = openPolicy(await readConfig(home), {
    from: args.texts("from"),
    windowMs: window === undefined ? undefined : parseDuration(window),
  });
  if (policy !== undefined) return new Gate(home, policy, args.flag("in-order"));
  for (const name of ["in-order", "stream", "receipt", "receipt-key"]) {
    const given = name.startsWith("receipt") ? args.text(name) !== undefined : args.flag(name);
    if (given) {
      throw new UsageError("ERR_USAGE", `--${name} has no meaning without --from`, {
        hint: "say whose messages you accept with --from NAME, or any trusted sender's: --from any",
      });
    }
  }
  return undefined;
}

export class Gate {
  readonly #home: string;
  readonly #policy: OpenPolicy;
  readonly #inOrder: boolean;
  #ledger: Promise<Ledger> | undefined;

  constructor(home: string, policy: OpenPolicy, inOrder: boolean) {
    this.#home = home;
    this.#policy = policy;
    this.#inOrder = inOrder;
  }

  /**
   * Admits a message, or refuses it. `sender` is what its signature says, undefined without one;
   * `output` is where its plaintext will be, if that is a file.
   *
   * @throws PolicyError, and see `trustedSender`, `admit`, `openLedger`
   */
  async admit(sender: SenderInfo | undefined, output: OutputPaths | undefined): Promise<Admitted> {
    const signed = requireSigned(sender);
    const { from, windowMs, skewMs } = this.#policy;
    const nowMs = Date.now();
    const senders = await readDirectory(this.#home, "senders");
    const { name } = trustedSender(senders, signed, { from, nowMs });
    const reservation = await admit(signed, await this.#opened(), {
      nowMs,
      windowMs,
      skewMs,
      inOrder: this.#inOrder,
      ...defined({ output }),
    });
    return { name, sender: signed, reservation };
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

/** Says who sent a message that has been opened, and what its serial shows. */
export function noteAdmitted({ name, sender, reservation }: Admitted, { report }: Context): void {
  const { serial, createdMs } = sender;
  report.note(`from "${name}", sealed ${moment(createdMs)}, serial ${serial}`);
  const { place, gap } = reservation;
  if (place === "gap") {
    const which =
      gap === 1 ? "message of this stream before it was" : "messages of this stream before it were";
    report.note(`${gap} ${which} not opened here`);
  }
  if (place === "late") report.note("a later message of this stream was opened before it");
}
