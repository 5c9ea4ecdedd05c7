/**
 * One message opened. Read `openOne` top-down: what a policy demands is settled before any key is
 * looked for, and what the ledger is told, it is told between the whole message and its delivery.
 */
import { createHash, type Hash } from "node:crypto";
import { dirname } from "node:path";
import { equal } from "../../../bytes.js";
import type { Piece } from "../../../envelope/native/body.js";
import type { OpenOptions } from "../../../envelope/native/native.js";
import type { SenderInfo } from "../../../envelope/native/signature.js";
import { PolicyError, TokenError } from "../../../errors.js";
import type { Identity } from "../../../keys/key.js";
import type { SigningIdentity } from "../../../keys/signing.js";
import type { Acceptance } from "../../../records/ledger/ledger.js";
import { makeReceipt } from "../../../records/audit/receipt.js";
import { syncFolder } from "../../../store/files.js";
import { OpeningLog } from "./opening-log.js";
import { beginOpeningOf, writeOnce, type OpeningBody } from "../../io/bulk.js";
import type { FindIdentities } from "../../find/identities.js";
import { openInput, type Input } from "../../io/inputs.js";
import type { Output } from "../../io/output.js";
import { commit, fileOutput, placeAll, standardOutput } from "../../io/outputs.js";
import { noteAdmitted, type Admitted, type Gate } from "./gate.js";
import { progress } from "../../io/progress.js";
import { BrokenPipe } from "../../io/report.js";
import { sealedFrom, type Closed, type Closing } from "./sealed-input.js";
import { noteSender } from "../../find/sender.js";
import { TextOnly } from "../../io/terminal-guard.js";
import type { Tokens } from "../../find/tokens.js";
import { Abandoned, type Turn } from "./turns.js";
import type { Context } from "../../command.js";

export interface Task {
  /** A path, or `-`. */
  readonly source: string;
  /** A path, or undefined for stdout. */
  readonly target: string | undefined;
}

/** What all messages of a command are opened with. */
export interface Means {
  readonly keyBlob: string | undefined;
  readonly threads: number | undefined;
  readonly identities: FindIdentities;
  /** What is demanded of a message; absent: nothing. */
  readonly gate: Gate | undefined;
  readonly receipt: ReceiptMeans | undefined;
  readonly force: boolean;
  /** The plaintext is to be on the disk when the run is over; under a policy it always is. */
  readonly durable: boolean;
  /** `-o -`: a terminal gets whatever it is. */
  readonly anyBytes: boolean;
  /** Under a policy, to a pipe: each segment as its tag was checked. */
  readonly stream: boolean;
  readonly tokens: Tokens;
  readonly company: Company;
}

/** What messages that are opened side by side know of one another. */
interface Company {
  /** Names of the identities that a message was opened with. */
  readonly used: Set<string>;
  /** So many are to be alone with the token: until they have been, the others wait for their turn. */
  toBeAlone: number;
}

/** How a message is opened now. */
export interface Attempt {
  readonly turn: Turn;
  /** No other message uses the token meanwhile. */
  readonly alone: boolean;
}

export interface ReceiptMeans {
  readonly path: string;
  /** Looks for the key, on a token too; called when the message is whole. */
  readonly identity: () => Promise<SigningIdentity>;
}

/** Not an error: a message failed at a token that others use too, and is to be opened again, alone. */
export class NotAlone extends Error {}

export async function openOne(
  task: Task,
  means: Means,
  { turn, alone }: Attempt,
  context: Context,
): Promise<void> {
  const { io, report } = context;
  const log = new OpeningLog(context);
  const closing: Closing[] = [];
  const closed: Closed = (opened) => {
    closing.push(opened);
    return opened;
  };
  try {
    const input = closed(await openInput(task.source, io));
    if (input.size === undefined || input.size > SMALL_BYTES) await turn.come();
    const blob = means.keyBlob === undefined ? undefined : await openInput(means.keyBlob, io);
    const inputs = [input, ...(blob === undefined ? [] : [closed(blob)])];
    const output = closed(await outputFor(task, inputs, means, context));
    const receipt = means.receipt && closed(await receiptOutput(means.receipt, inputs, means));
    const hash = receipt && createHash("sha256");
    const spooled = means.gate !== undefined && output.paths === undefined && !means.stream;
    const sealed = await sealedFrom(input, blob, { hash, spooled, log }, closed);

    const gated = new Gated(means, output, closing);
    const meter = progress(io, { size: input.size, quiet: report.quiet });
    try {
      const options: OpenOptions = {
        ...(sealed.header === undefined ? {} : { header: sealed.header }),
        authenticate: async (sender) => {
          log.headerRead();
          await gated.admit(sender);
        },
        identities: async () => {
          await sealed.verify?.();
          return log.watched(inTurn(await means.identities(), means, turn));
        },
      };
      const opened = await beginOpeningOf(sealed.input, options, meter);
      report.trace(`${input.name}: opened with ${opened.identity.name}`);
      meter.start();
      means.company.used.add(opened.identity.name);
      const delivery = { opened, output, receipt, hash, task, log, turn };
      if (gated.admitted === undefined) await deliver(delivery, means, context);
      else await deliverAdmitted(delivery, gated.admitted, means, context);
    } catch (error) {
      if (!(error instanceof AlreadyDecrypted) || gated.admitted === undefined) throw error;
      await deliverDecrypted(error.temporary, output, gated.admitted, log, context);
    } finally {
      meter.stop();
    }
    if (gated.admitted !== undefined) noteAdmitted(gated.admitted, context);
  } catch (error) {
    if (error instanceof Abandoned) throw error;
    // What another message did to the token says nothing of this one.
    if (error instanceof TokenError && !alone) throw new NotAlone();
    await turn.come();
    await log.failed(error);
    throw error;
  } finally {
    for (const opened of closing.reverse()) await opened.close();
  }
}

/** A message up to this, bytes, is opened beside others. */
const SMALL_BYTES = 1024 * 1024;

/** Identities that ask for a PIN in the message's turn only; those in use have asked. */
function inTurn(identities: readonly Identity[], { company }: Means, turn: Turn): Identity[] {
  return identities.map((identity) => ({
    ...identity,
    async unlock() {
      if (company.toBeAlone > 0 || !company.used.has(identity.name)) await turn.come();
      return identity.unlock();
    },
  }));
}

// ── Before: the policy ──────────────────────────────────────────────────────────────────────────

/** Not an error: the message was opened by a run that a crash ended, and only needs its name. */
class AlreadyDecrypted extends Error {
  readonly temporary: string;

  constructor(temporary: string) {
    super("opened before a crash");
    this.temporary = temporary;
  }
}

/** The gate before one message. */
class Gated {
  admitted: Admitted | undefined;
  readonly #means: Means;
  readonly #output: Output;
  readonly #closing: Closing[];

  constructor(means: Means, output: Output, closing: Closing[]) {
    this.#means = means;
    this.#output = output;
    this.#closing = closing;
  }

  async admit(sender: SenderInfo | undefined): Promise<void> {
    const { gate, receipt } = this.#means;
    if (gate === undefined) return;
    const { paths } = this.#output;
    const admitted = await gate.admit(sender, paths);
    const { reservation } = admitted;
    this.admitted = admitted;
    this.#closing.push({ close: () => reservation.release() });
    const { redelivery } = reservation;
    // A receipt says what the sealed file was: it has to be read again.
    if (redelivery?.kind !== "waiting" || receipt !== undefined) return;
    if (redelivery.output.final === paths?.final) {
      throw new AlreadyDecrypted(redelivery.output.temporary);
    }
  }
}

// ── After: the plaintext ────────────────────────────────────────────────────────────────────────

interface Delivery {
  readonly opened: OpeningBody;
  readonly output: Output;
  readonly receipt: Output | undefined;
  readonly hash: Hash | undefined;
  readonly task: Task;
  readonly log: OpeningLog;
  readonly turn: Turn;
}

/** Without a policy: to a file when the message was whole, to a pipe as its segments come. */
async function deliver(delivery: Delivery, means: Means, context: Context): Promise<void> {
  const { opened, output, task, log, turn } = delivery;
  if (!(await opened.intoFile(output, means.threads))) {
    await pour(opened.segmentsFor(output, means.threads), output, task, means, context);
  }
  await turn.come();
  await commit(output);
  if (opened.sender !== undefined) await noteSender(opened.sender, context);
  turn.pass();
  await log.openedIfPossible();
}

/** With one: the ledger and the audit log know of it before anyone has the plaintext. */
async function deliverAdmitted(
  delivery: Delivery,
  { reservation, sender }: Admitted,
  means: Means,
  context: Context,
): Promise<void> {
  const { opened, output, receipt, task, log } = delivery;
  const accept = async (): Promise<Acceptance> => {
    if (receipt !== undefined) await writeReceipt(delivery, receipt, sender, means);
    const acceptance = await reservation.commit(output.paths);
    await log.opened(acceptance.witness);
    return acceptance;
  };
  const receipts = receipt === undefined ? [] : [receipt];

  if (output.paths !== undefined) {
    if (!(await opened.intoFile(output, means.threads))) {
      await pour(opened.segmentsFor(output, means.threads), output, task, means, context);
    }
    await output.prepare();
    const acceptance = await accept();
    placeAll([output, ...receipts]);
    await syncFolder(dirname(output.paths.final));
    await markDelivered(acceptance, context);
    return;
  }

  if (means.stream) {
    context.report.note("segments leave as they come: take them back unless the status is 0");
  }
  let acceptance = means.stream ? undefined : await accept();
  const beforeLast = async (): Promise<void> => {
    acceptance ??= await accept();
  };
  // The last one tells that the message was whole.
  const segments = opened.segmentsFor(output, means.threads, beforeLast);
  await pour(segments, output, task, means, context);
  await output.prepare();
  placeAll([output, ...receipts]);
  if (acceptance !== undefined) await markDelivered(acceptance, context);
}

/**
 * Tells the ledger that the plaintext is where it belongs. It is, whatever the ledger says now: a file
 * is recognised by the next run, and what went to stdout may be delivered once more.
 */
async function markDelivered(acceptance: Acceptance, { report }: Context): Promise<void> {
  try {
    await acceptance.delivered();
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    report.note(`delivered, but the ledger could not note that: ${error.message}`);
  }
}

/** The plaintext that a crash left whole, and accepted, gets its name. No key is needed. */
async function deliverDecrypted(
  temporary: string,
  output: Output,
  { reservation }: Admitted,
  log: OpeningLog,
  context: Context,
): Promise<void> {
  const { paths } = output;
  if (paths === undefined) throw new TypeError("only files are delivered later");
  const acceptance = await reservation.commit({ temporary, final: paths.final });
  await log.opened(acceptance.witness);
  output.adopt?.(temporary);
  placeAll([output]);
  await syncFolder(dirname(paths.final));
  await markDelivered(acceptance, context);
}

async function pour(
  plaintext: AsyncIterable<Piece>,
  output: Output,
  task: Task,
  means: Means,
  { io, report }: Context,
): Promise<void> {
  const toTerminal = task.target === undefined && io.stdout.isTTY === true;
  const guard = toTerminal && !means.anyBytes ? new TextOnly() : undefined;
  let delivered = 0;
  try {
    for await (const piece of plaintext) {
      for (const part of piece.parts) guard?.check(part);
      await writeOnce(output, piece);
      delivered += piece.bytes;
    }
  } catch (error) {
    if (task.target === undefined && delivered > 0 && !(error instanceof BrokenPipe)) {
      report.note(`the ${delivered} bytes on stdout are not the whole message`);
    }
    throw error;
  }
}

// ── Outputs ─────────────────────────────────────────────────────────────────────────────────────

function outputFor(
  { target }: Task,
  inputs: readonly Input[],
  { force, gate, durable }: Means,
  { io }: Context,
): Output | Promise<Output> {
  if (target === undefined) return standardOutput(io, inputs);
  return fileOutput(target, {
    force,
    mode: "private",
    inputs,
    durable: durable || gate !== undefined,
  });
}

function receiptOutput(
  { path }: ReceiptMeans,
  inputs: readonly Input[],
  { force }: Means,
): Promise<Output> {
  return fileOutput(path, { force, mode: "public", inputs, durable: true });
}

/** Before the message is accepted: where the receipt can't be made, it can be opened again. */
async function writeReceipt(
  { opened, hash }: Delivery,
  output: Output,
  sender: SenderInfo,
  { receipt }: Means,
): Promise<void> {
  if (receipt === undefined || hash === undefined) return;
  const identity = await receipt.identity();
  const { publicKey } = identity;
  if (equal(publicKey.fingerprint, opened.identity.publicKey.fingerprint)) {
    throw new PolicyError("ERR_SAME_KEY", "the receipt key is the key that opened the message", {
      hint: "one key, one purpose: make a signing key with `p11seal keys generate --use sign`",
    });
  }
  const key = await identity.unlock();
  const { messageId, keyId, streamId, serial, createdMs } = sender;
  const statement = {
    ...{ messageId, sender: keyId, streamId, serial, createdMs },
    receivedMs: Date.now(),
    sealedSha256: hash.digest("hex"),
  };
  await output.write(await makeReceipt(statement, publicKey, key));
  await output.prepare();
}
