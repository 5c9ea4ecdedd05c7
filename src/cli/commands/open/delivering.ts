/**
 * What happens to a message's plaintext once its header is authentic. Under a policy, the message
 * is in the ledger and the audit log before anyone has its plaintext.
 */
import type { Hash } from "node:crypto";
import type { BodyChunk } from "../../../body/segment-stream.js";
import type { MessageInfo, SenderInfo } from "../../../envelope/message-info.js";
import { PolicyError } from "../../../errors.js";
import type { Acceptance } from "../../../records/ledger/ledger.js";
import type { Context } from "../../command.js";
import { writeOnce, type OpenedMessage } from "../../io/bulk.js";
import type { Output } from "../../io/output.js";
import { commit, flushNames, placeAll } from "../../io/outputs.js";
import { BrokenPipe } from "../../io/io.js";
import { TextOnly } from "../../io/terminal-guard.js";
import type { Admission, AlreadyDecrypted } from "./admission.js";
import type { OpeningLog } from "./opening-log.js";
import { writeReceipt } from "./receipt-output.js";
import type { Task } from "../file-tasks.js";
import type { OpenSettings } from "./settings.js";
import type { Turn } from "./turns.js";

export interface Delivery {
  readonly opened: OpenedMessage;
  readonly output: Output;
  readonly receipt: Output | undefined;
  /** Of all that is read of the sealed message, where there is a receipt. */
  readonly hash: Hash | undefined;
  readonly task: Task;
  readonly settings: OpenSettings;
  readonly log: OpeningLog;
  readonly turn: Turn;
  readonly context: Context;
}

/** Without a policy: to a file once the message is whole, to a pipe segment by segment. */
export async function deliver(delivery: Delivery): Promise<void> {
  const { opened, output, log, turn, context } = delivery;
  await writePlaintext(delivery);
  await turn.come();
  await commit(output);
  await noteOrigin(opened.sender ?? opened.atEnd?.sender, opened.info, context);
  turn.pass();
  await log.openedIfPossible({ moreFollow: !turn.isLast });
}

/** Says who signed a message, and who passed it on. Loaded here, as many messages have neither. */
async function noteOrigin(
  sender: SenderInfo | undefined,
  info: MessageInfo,
  context: Context,
): Promise<void> {
  if (sender !== undefined) {
    const { noteSender } = await import("../../find/sender.js");
    await noteSender(sender, context);
  }
  if ((sender ?? info).passedOn === undefined) return;
  const { notePassedOn } = await import("../../find/passed-on-text.js");
  await notePassedOn(sender, info, context);
}

/** Under a policy. */
export async function deliverAdmitted(delivery: Delivery, admission: Admission): Promise<void> {
  if (delivery.output.paths === undefined) await deliverToPipe(delivery, admission);
  else await deliverToFile(delivery, admission);
}

async function deliverToFile(delivery: Delivery, admission: Admission): Promise<void> {
  const { output, context } = delivery;
  await writePlaintext(delivery);
  await output.prepare();
  const acceptance = await accept(delivery, admission);
  placeAll(outputsOf(delivery));
  await flushNames(outputsOf(delivery));
  await markDelivered(acceptance, context);
}

/**
 * The whole message is known to be good before its first byte leaves, and accepted by then; with
 * `--stream` it is accepted before its last segment leaves, which is what makes the plaintext
 * whole.
 */
async function deliverToPipe(delivery: Delivery, admission: Admission): Promise<void> {
  const { opened, output, settings, context } = delivery;
  if (settings.stream) {
    context.report.note("segments leave as they come: take them back unless the status is 0");
  }
  let acceptance: Acceptance | undefined;
  const acceptOnce = async (): Promise<void> => {
    acceptance ??= await accept(delivery, admission);
  };
  // Of a message that is signed inside, the first chunk comes once the sender was admitted.
  const isLate = admission.admitted === undefined;
  if (!settings.stream && !isLate) await acceptOnce();
  const chunks = opened.chunksFor(output, settings.threads, acceptOnce);
  await pour(isLate ? after(chunks, acceptOnce) : chunks, delivery);
  await output.prepare();
  placeAll(outputsOf(delivery));
  await flushNames(outputsOf(delivery));
  if (acceptance !== undefined) await markDelivered(acceptance, context);
}

/**
 * Delivers the plaintext that an earlier run accepted, and left whole under its temporary name when
 * it crashed. No key is needed.
 */
export async function deliverDecrypted(
  { temporary, admitted }: AlreadyDecrypted,
  output: Output,
  log: OpeningLog,
  context: Context,
): Promise<void> {
  const { paths } = output;
  if (paths === undefined) throw new TypeError("only files are delivered later");
  const acceptance = await admitted.reservation.commit({ temporary, final: paths.final });
  await log.opened(acceptance.witness);
  output.adopt?.(temporary);
  placeAll([output]);
  await flushNames([output]);
  await markDelivered(acceptance, context);
}

/** Writes the receipt, and tells the ledger and the audit log. */
async function accept(
  { opened, output, receipt, hash, settings, log }: Delivery,
  admission: Admission,
): Promise<Acceptance> {
  const { reservation, sender } = admission.required();
  if (receipt !== undefined && hash !== undefined && settings.receipt !== undefined) {
    const openedWith = opened.identity?.publicKey;
    await writeReceipt(settings.receipt, receipt, { sender, openedWith, hash });
  }
  const acceptance = await reservation.commit(output.paths);
  admission.isAccepted = true;
  await log.opened(acceptance.witness);
  return acceptance;
}

/**
 * Tells the ledger that the plaintext is where it belongs. If that fails, the plaintext is there
 * all the same: the next run recognises a file, and may deliver once more what went to stdout.
 */
async function markDelivered(acceptance: Acceptance, { report }: Context): Promise<void> {
  try {
    await acceptance.delivered();
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    report.note(`delivered, but the ledger could not note that: ${error.message}`);
  }
}

/**
 * In the order in which they get their names, and in which these get to the disk: once the
 * plaintext has its own, the message is not opened again, so a run that is killed in between must
 * not have left its receipt unnamed.
 */
function outputsOf({ output, receipt }: Delivery): Output[] {
  return receipt === undefined ? [output] : [receipt, output];
}

/** The same chunks, the first of them after `done`. */
async function* after(
  chunks: AsyncIterable<BodyChunk>,
  done: () => Promise<void>,
): AsyncGenerator<BodyChunk, void, undefined> {
  for await (const chunk of chunks) {
    await done();
    yield chunk;
  }
}

/** The whole plaintext, by threads where that is possible. */
async function writePlaintext(delivery: Delivery): Promise<void> {
  const { opened, output, settings } = delivery;
  if (await opened.intoFile(output, settings.threads)) return;
  await pour(opened.chunksFor(output, settings.threads), delivery);
}

async function pour(
  plaintext: AsyncIterable<BodyChunk>,
  { output, task, settings, context }: Delivery,
): Promise<void> {
  const { io, report } = context;
  const toTerminal = task.target === undefined && io.stdout.isTTY === true;
  const guard = toTerminal && !settings.anyBytes ? new TextOnly() : undefined;
  let delivered = 0;
  try {
    for await (const chunk of plaintext) {
      for (const part of chunk.parts) guard?.check(part);
      await writeOnce(output, chunk);
      delivered += chunk.bytes;
    }
  } catch (error) {
    if (task.target === undefined && delivered > 0 && !(error instanceof BrokenPipe)) {
      report.note(`the ${delivered} bytes on stdout are not the whole message`);
    }
    throw error;
  }
}
