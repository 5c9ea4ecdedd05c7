/**
 * Opens one message. Read `openAndDeliver` top-down: what a policy demands is settled before any
 * key is looked for. `delivering.ts` has the second half, what happens to the plaintext.
 */
import { createHash } from "node:crypto";
import { ascii } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import { AuthenticationError, NoMatchError, P11SealError, TokenError } from "../../../errors.js";
import { around, titleOf } from "../../../keys/around.js";
import type { MessageInfo } from "../../../envelope/message-info.js";
import type { OpenOptions } from "../../../envelope/open-options.js";
import type { Identity, KnownPublicKey } from "../../../keys/key.js";
import { Secret } from "../../../secret.js";
import type { Context } from "../../command.js";
import { AGENT, type OpeningAgent } from "../../find/agent.js";
import { beginOpeningOf } from "../../io/bulk.js";
import { openInput, type Input } from "../../io/inputs.js";
import { finishOverwriting } from "../../io/unfinished.js";
import type { Output } from "../../io/output.js";
import { fileOutput, noteExposed, standardOutput } from "../../io/outputs.js";
import { progress } from "../../io/progress.js";
import { Spool } from "../../io/spool.js";
import { noteUnauthenticated, rejectionSecret, requireAway } from "./allowed.js";
import { Admission, AlreadyDecrypted } from "./admission.js";
import { deliver, deliverAdmitted, deliverDecrypted, type Delivery } from "./delivering.js";
import { OpeningLog } from "./opening-log.js";
import { receiptOutput } from "./receipt-output.js";
import { ruledOpening } from "./ruled-opening.js";
import { sealedFrom, type Closable, type CloseLater } from "./sealed-input.js";
import type { Task } from "../file-tasks.js";
import type { Attempt, OpenSettings } from "./settings.js";
import { Abandoned, type Turn } from "./turns.js";

/**
 * Not an error: a message failed at a token that others were using too. Open it again, alone.
 */
export class NotAlone extends Error {}

/**
 * @throws `NotAlone`; `Abandoned`; whatever kept the message from being opened, after logging it
 */
export async function openOne(
  task: Task,
  settings: OpenSettings,
  { turn, alone }: Attempt,
  context: Context,
): Promise<void> {
  const log = new OpeningLog(context);
  const toClose: Closable[] = [];
  const closeLater: CloseLater = (opened) => {
    toClose.push(opened);
    return opened;
  };
  try {
    await openAndDeliver({ task, settings, turn, context, log, closeLater });
  } catch (error) {
    if (error instanceof Abandoned) throw error;
    // Another message may have upset the token, so this says nothing about ours.
    if (error instanceof TokenError && !alone) throw new NotAlone();
    await turn.come();
    await log.failed(error);
    throw error;
  } finally {
    for (const opened of toClose.reverse()) await opened.close();
  }
}

interface Opening {
  readonly task: Task;
  readonly settings: OpenSettings;
  readonly turn: Turn;
  readonly context: Context;
  readonly log: OpeningLog;
  readonly closeLater: CloseLater;
}

async function openAndDeliver(opening: Opening): Promise<void> {
  const { task, settings, turn, context, log, closeLater } = opening;
  const { io, report } = context;

  const { keyBlob } = settings;
  for (const path of [task.source, ...(keyBlob === undefined ? [] : [keyBlob])]) {
    await finishOverwriting(path, context);
  }
  const input = closeLater(await openInput(task.source, io));
  if (input.size === undefined || input.size > AHEAD_OF_TURN_BYTES) await turn.come();
  const blob = keyBlob === undefined ? undefined : closeLater(await openInput(keyBlob, io));
  const inputs = [input, ...(blob === undefined ? [] : [blob])];
  const output = closeLater(await outputFor(task, inputs, settings, context));
  const receipt =
    settings.receipt && closeLater(await receiptOutput(settings.receipt, inputs, settings.force));
  const hash = receipt && createHash("sha256");
  const spooled = settings.gate !== undefined && output.isWhole !== true && !settings.stream;
  const sealed = await sealedFrom(input, blob, { hash, spooled, log }, closeLater);

  const ruled = await ruledOpening(
    [keyBlob ?? task.source, task.source],
    settings.asPath,
    settings.rules,
  );
  const admission = new Admission(settings, output, closeLater);
  let checked: Promise<void> | undefined;
  // Once, though an agent may be asked before keys are looked for here.
  const beforeKeys = (info: MessageInfo): Promise<void> => (checked ??= check(info));
  const check = async (info: MessageInfo): Promise<void> => {
    log.headerRead();
    await ruled.requireRecipients(info, context);
    requireAway(info, settings.allows, output.isWhole !== true && io.stdout.isTTY === true);
    await sealed.verify?.();
  };
  const meter = progress(io, { size: input.size, quiet: report.quiet });
  try {
    const opened = await beginOpeningOf(
      sealed.input,
      {
        ...defined({ header: sealed.header }),
        authenticate: async (sender) => {
          log.headerRead();
          log.signedBy(sender);
          ruled.requireSender(sender, context);
          await admission.demand(sender);
          // Of several who signed, the one whose signature counts.
          if (admission.admitted !== undefined) log.signedBy(admission.admitted.sender);
        },
        passedOn: async (record, sender) => {
          log.headerRead();
          log.signedBy(sender);
          await admission.takeFrom(record);
        },
        alsoSigned: (insider) => admission.alsoSigned(insider),
        ...openingOptions(settings, output, context),
        ...defined({
          bodyKey: settings.agent && askingAgent(settings.agent, opening, beforeKeys, output),
        }),
        identities: async (info) => {
          await beforeKeys(info);
          const identities = await settings.identities.find(info, () => turn.come());
          return identities.map((identity) => attended(identity, settings, turn, log));
        },
        passphrase: async () => {
          await sealed.verify?.();
          await turn.come();
          return messagePassphrase(input.name, context);
        },
      },
      meter,
    ).catch((error: unknown) => {
      if (error instanceof AuthenticationError && log.identity !== undefined) {
        settings.shared.guesses.failed(log.identity);
      }
      throw error;
    });
    const { identity } = opened;
    report.trace(
      `${input.name}: opened with ${identity === undefined ? "a passphrase" : titleOf(identity)}`,
    );
    meter.start();
    if (identity !== undefined) settings.shared.used.add(identity.name);
    const delivery = { opened, output, receipt, hash, task, settings, log, turn, context };
    await delivered(delivery, admission).catch((error: unknown) => {
      if (isGuess(error) && log.identity !== undefined) {
        settings.shared.guesses.failed(log.identity);
      }
      throw error;
    });
    noteUnauthenticated(opened.atEnd, context);
  } catch (error) {
    if (error instanceof NoMatchError && error.code === "ERR_NO_MATCH")
      throw await settings.identities.whyNone(error);
    if (!(error instanceof AlreadyDecrypted)) throw error;
    await deliverDecrypted(error, output, log, context);
  } finally {
    meter.stop();
  }
  if (admission.admitted !== undefined) {
    const { noteAdmitted } = await import("./gate.js");
    await noteAdmitted(admission.admitted, context);
  }
}

function delivered(delivery: Delivery, admission: Admission): Promise<void> {
  const { gate } = delivery.settings;
  return gate === undefined ? deliver(delivery) : deliverAdmitted(delivery, admission);
}

/** True where a body failed as it does under a wrong key, which CMS shows only at its end. */
function isGuess(error: unknown): boolean {
  return error instanceof P11SealError && WRONG_KEY.has(error.code);
}

const WRONG_KEY: ReadonlySet<string> = new Set(["ERR_NOT_AUTHENTIC", "ERR_UNAUTHENTICATED"]);

/** Asks the agent before keys are looked for: in the message's turn, as it may ask for a PIN. */
function askingAgent(
  agent: OpeningAgent,
  { settings: { shared }, turn, log, context }: Opening,
  beforeKeys: (info: MessageInfo) => Promise<void>,
  output: Output,
): NonNullable<OpenOptions["bodyKey"]> {
  return async (header) => {
    await beforeKeys(header.info);
    if (shared.toBeAlone > 0 || !shared.hasAgentOpened) await turn.come();
    shared.guesses.requireFew(AGENT);
    const asked = agent.open(header).catch((error: unknown) => {
      if (error instanceof AuthenticationError) shared.guesses.failed(AGENT);
      throw error;
    });
    output.ahead?.();
    const found = await asked;
    if (found === undefined) {
      context.report.trace("the agent has no key for the message");
      return undefined;
    }
    shared.hasAgentOpened = true;
    log.unlocking(found.openedBy);
    log.usedBy(`agent${found.path === undefined ? "" : `, ${found.path}`}`);
    return found;
  };
}

/** What formats of other programs need besides keys. */
function openingOptions(
  { certificates, allows }: OpenSettings,
  output: Output,
  context: Context,
): Pick<
  OpenOptions,
  "allows" | "certificates" | "keepsUntilEnd" | "signatureInside" | "spool" | "rejectionSecret"
> {
  return {
    allows,
    certificates: () => Promise.resolve(certificates),
    // A file gets its name at the end.
    keepsUntilEnd: output.isWhole === true,
    signatureInside: true,
    spool: async (chunks) => {
      const spool = await Spool.of(chunks);
      await spool.finish();
      return spool;
    },
    ...(allows.legacy === true ? { rejectionSecret: () => rejectionSecret(context) } : {}),
  };
}

/** A message up to this size may be opened before its turn, beside others. */
const AHEAD_OF_TURN_BYTES = 1024 * 1024;

/**
 * Logs the use of an identity, which asks for a PIN only in its message's turn, and only once.
 */
function attended(
  identity: Identity<KnownPublicKey>,
  { shared }: OpenSettings,
  turn: Turn,
  log: OpeningLog,
): Identity<KnownPublicKey> {
  return around(identity, {
    before: async () => {
      log.unlocking(identity);
      shared.guesses.requireFew(identity);
      if (shared.toBeAlone > 0 || !shared.used.has(identity.name)) await turn.come();
    },
    using: (path) => {
      log.usedBy(path);
    },
  });
}

/** @throws NoMatchError `ERR_PASSPHRASE` without a terminal */
async function messagePassphrase(name: string, context: Context): Promise<Secret> {
  const { askPassphrase } = await import("../../find/identity-at.js");
  const passphrase = await askPassphrase(name, context);
  if (passphrase !== undefined) return new Secret(ascii(passphrase));
  throw new NoMatchError(
    "ERR_PASSPHRASE",
    `${name}: sealed with a passphrase, and there is no terminal to ask at`,
  );
}

function outputFor(
  { target }: Task,
  inputs: readonly Input[],
  { force, gate, durable }: OpenSettings,
  context: Context,
): Output | Promise<Output> {
  if (target === undefined) return standardOutput(context.io, inputs);
  return fileOutput(target, {
    force,
    mode: "private",
    exposed: noteExposed(context),
    inputs,
    durable: durable || gate !== undefined,
    inLedger: gate !== undefined,
  });
}
