/**
 * `p11seal open`: messages in, plaintext out. Several files share one login. If one fails, the
 * others are still opened, unless the PIN was the reason. `opening.ts` opens one.
 */
import { statSync } from "node:fs";
import { basename } from "node:path";
import { UsageError } from "../../../errors.js";
import type { Identity, SigningPublicKey } from "../../../keys/key.js";
import { isPkcs11Uri } from "../../../token/uri.js";
import type { Arguments } from "../../arguments/arguments.js";
import { allowancesOf } from "./allowed.js";
import { AcceptedCustodians } from "../../find/accepted-custodians.js";
import { certificatesAt } from "../../find/certificate-files.js";
import { trustFiles } from "../../find/trust-options.js";
import { threadsOf } from "../../io/bulk.js";
import { openingAgent } from "../../find/agent.js";
import { OutputRules } from "../../find/output-rules.js";
import { prepareIdentities } from "../../find/identities.js";
import { requireOneStdin } from "../../io/inputs.js";
import { NotAlone, openOne } from "./opening.js";
import {
  endsAsSealed,
  endsRun,
  mayPass,
  openedName,
  planTasks,
  targetsOf,
  type Task,
} from "../file-tasks.js";
import type { Attempt, OpenSettings, ReceiptSettings } from "./settings.js";
import { requireDistinct } from "../../io/outputs.js";
import { gateOf } from "./demands.js";
import { Guesses } from "./guesses.js";
import { EXIT } from "../../io/report.js";
import { stdoutIsStderr } from "../../io/standard-streams.js";
import { withTokens, type Tokens } from "../../find/tokens.js";
import { inTurns, type Turn } from "./turns.js";
import type { Context } from "../../command.js";

export async function openCommand(args: Arguments, context: Context): Promise<number> {
  const files = args.operands.length === 0 ? ["-"] : args.operands;
  const keyBlob = args.text("key-blob");
  const several = files.length > 1;
  if (several && keyBlob !== undefined) {
    throw new UsageError("ERR_USAGE", "a key blob belongs to one message, and several were given");
  }
  requireOneStdin([
    ...files,
    ...args.texts("identity"),
    ...args.texts("cert"),
    ...trustFiles(args),
    ...args.texts("receipt-key"),
    ...(keyBlob === undefined ? [] : [keyBlob]),
  ]);
  if (files[0] === "-" && !several && context.io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no file was given, and stdin is the terminal");
  }
  const allows = allowancesOf(args, files);
  const threads = threadsOf(args.text("threads"));
  const tasks = await planTasks(files, args.text("output"), openedName);
  noteOneToStdout(args, tasks, context);

  const receipt = receiptPaths(args, tasks);
  if (receipt !== undefined) await requireDistinct([...targetsOf(tasks), receipt.path]);
  const asPath = args.text("as-path");
  if (asPath !== undefined && !files.includes("-") && keyBlob !== "-") {
    throw new UsageError("ERR_USAGE", "--as-path is for a message that comes from stdin", {
      hint: "of a file, the rules are those for the place where it lies",
    });
  }
  const gate = await gateOf(args, context);
  const custodians = await AcceptedCustodians.of(args, context);
  const given = await certificatesAt(args.texts("cert"), context.io);
  const certificates = given.map(({ der }) => der);

  try {
    return await withTokens(args, context, async (tokens) => {
      const identities = await prepareIdentities(args.texts("identity"), tokens, context);
      const agent = await openingAgent(args, identities.onTokens, context);
      tokens.atEnd(() => agent?.close());
      const settings: OpenSettings = {
        shared: { used: new Set(), toBeAlone: 0, guesses: new Guesses(), hasAgentOpened: false },
        ...{ keyBlob, threads, gate, custodians, tokens, certificates, allows },
        ...{ identities, agent },
        receipt: await receiptSettings(receipt, tokens, context),
        ...{ asPath, rules: new OutputRules(context) },
        force: args.flag("force"),
        durable: args.flag("sync"),
        anyBytes: args.text("output") === "-",
        stream: args.flag("stream"),
      };
      return openAll(tasks, settings, context);
    });
  } finally {
    await gate?.close(context);
  }
}

/**
 * With one file, `open *.p11s` writes to stdout. Says so where the plaintext may come unexpected:
 * if stdout goes where messages go too, such as a terminal or a job's log.
 */
function noteOneToStdout(args: Arguments, tasks: readonly Task[], { io, report }: Context): void {
  const [only, more] = tasks;
  if (only === undefined || more !== undefined || args.text("output") !== undefined) return;
  if (!endsAsSealed(only.source) || !stdoutIsStderr(io.descriptors?.stdout)) return;
  report.note("one file is opened to stdout; -o FOLDER writes it to a file, as with several");
}

async function openAll(
  tasks: readonly Task[],
  settings: OpenSettings,
  context: Context,
): Promise<number> {
  const several = tasks.length > 1;
  let status: number = EXIT.done;
  const atATime = sideBySide(tasks, settings);
  let lastFault = -2;
  const open = async (index: number, turn: Turn): Promise<void> => {
    const { report, release } = context.report.aside();
    turn.come().then(release, () => undefined);
    const task = tasks[index];
    const attempt = { turn, alone: index === 0 || atATime === 1 };
    if (task !== undefined) await openPatiently(task, settings, attempt, { ...context, report });
  };
  const failed = (index: number, error: unknown): boolean => {
    const about = several ? tasks[index]?.source : undefined;
    const exit = context.report.failure(error, about);
    if (status === EXIT.done) status = exit;
    const isSecondFault = mayPass(error) && lastFault === index - 1;
    if (mayPass(error)) lastFault = index;
    if (!endsRun(error) && !isSecondFault) return true;
    const left = tasks.length - index - 1;
    if (left > 0) context.report.note(`${left} more not opened`);
    return false;
  };
  await inTurns(tasks.length, atATime, open, failed);
  return status;
}

/**
 * How many messages are opened at a time. Only one, if a policy has to decide on each before the
 * next is looked at, if one message's plaintext is another message, or if one can be read just
 * once.
 */
function sideBySide(tasks: readonly Task[], { gate }: OpenSettings): number {
  const sources = new Set(tasks.map(({ source }) => basename(source)));
  const nested = targetsOf(tasks).some((target) => sources.has(basename(target)));
  return gate !== undefined || nested || !tasks.every(canBeReadAgain) ? 1 : AT_A_TIME;
}

/** A file, or a missing one, which is reported when its turn comes. */
function canBeReadAgain({ source }: Task): boolean {
  try {
    return source !== "-" && (statSync(source, { throwIfNoEntry: false })?.isFile() ?? true);
  } catch {
    return true;
  }
}

/**
 * As many requests as the token's process takes at a time, so none waits there for another.
 */
const AT_A_TIME = 4;

/**
 * Opens a message again, alone, if it failed at the token beside others: another one may have
 * crashed the module, or the module can't do two things at once. If the token was removed half-way,
 * opens the message from its beginning once the token is back.
 */
async function openPatiently(
  task: Task,
  settings: OpenSettings,
  attempt: Attempt,
  context: Context,
): Promise<void> {
  const isUsedUp = task.source === "-" || settings.keyBlob === "-";
  const { turn, alone } = attempt;
  for (;;) {
    try {
      await openOne(task, settings, attempt, context);
      return;
    } catch (error) {
      if (error instanceof NotAlone && !alone) {
        settings.shared.toBeAlone += 1;
        try {
          await turn.come();
          await openPatiently(task, settings, { turn, alone: true }, context);
          return;
        } finally {
          settings.shared.toBeAlone -= 1;
        }
      }
      if (isUsedUp || !(await settings.tokens.isBack(error))) throw error;
      context.report.note(`${task.source}: the token is back, once more`);
    }
  }
}

/** `--receipt` and `--receipt-key`: both or neither, and for one message. */
function receiptPaths(
  args: Arguments,
  tasks: readonly Task[],
): { readonly path: string; readonly key: string } | undefined {
  const path = args.text("receipt");
  const key = args.text("receipt-key");
  if (path === undefined && key === undefined) return undefined;
  if (path === undefined || key === undefined) {
    throw new UsageError("ERR_USAGE", "--receipt and --receipt-key go together");
  }
  if (path === "-") throw new UsageError("ERR_USAGE", "a receipt is written to a file");
  if (tasks.length > 1) {
    throw new UsageError("ERR_USAGE", "a receipt is for one message, and several were given");
  }
  return { path, key };
}

async function receiptSettings(
  receipt: { readonly path: string; readonly key: string } | undefined,
  tokens: Tokens,
  context: Context,
): Promise<ReceiptSettings | undefined> {
  if (receipt === undefined) return undefined;
  const { path, key } = receipt;
  const find = async (): Promise<Identity<SigningPublicKey>> => {
    const { signerAt } = await import("../../find/identity-at.js");
    return signerAt(key, tokens, context);
  };
  // A token is left alone until a message has passed. A fault in a file is reported before that.
  if (isPkcs11Uri(key)) return { path, identity: find };
  const identity = await find();
  return { path, identity: () => Promise.resolve(identity) };
}
