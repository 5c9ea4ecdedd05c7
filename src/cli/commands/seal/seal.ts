/**
 * `p11seal seal`: plaintext in, messages out, one for each file; a message is one file or, with
 * `--key-blob`, two. Files are sealed in their order, to the same recipients. If one fails, the
 * others are still sealed, unless the reason would hold for them too.
 */
import { defined } from "../../../defined.js";
import { UsageError } from "../../../errors.js";
import type { OaepHash, Recipient } from "../../../keys/key.js";
import type { Governance } from "../../../records/rules/governance.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { recipientJudge } from "../../find/recipient-certificates.js";
import { OutputRules } from "../../find/output-rules.js";
import { resolveRecipients } from "../../find/recipients.js";
import { signingOptions } from "../../find/sender.js";
import { trustFiles } from "../../find/trust-options.js";
import { withTokens, type Tokens } from "../../find/tokens.js";
import { sealInto, threadsOf, type SealedForm } from "../../io/bulk.js";
import { openInput, requireOneStdin } from "../../io/inputs.js";
import type { Output } from "../../io/output.js";
import { commit, fileOutput, requireDistinct, standardOutput } from "../../io/outputs.js";
import { progress } from "../../io/progress.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";
import {
  inTurn,
  planTasks,
  requireNoSourceReplaced,
  sealedName,
  targetsOf,
  type Task,
} from "../file-tasks.js";
import type { CmsChoices } from "./cms-choices.js";
import { requireInFormat, type SealFormat } from "./format-options.js";
import type { MessageSigner } from "./message-signer.js";
import type { RuledMessage, Wanted } from "./ruled-sealing.js";

/** What all files of a command are sealed with. */
interface SealSettings {
  readonly messages: ReadonlyMap<Task, RuledMessage>;
  readonly oaep: OaepHash | undefined;
  readonly signer: MessageSigner | undefined;
  /** Of a message in CMS. */
  readonly cms: CmsChoices | undefined;
  /** Where the header goes, if not into the message's file. */
  readonly keyBlob: string | undefined;
  readonly format: SealFormat;
  readonly form: SealedForm;
  /** The value of `--threads`. */
  readonly threads: number | undefined;
  /** Replace existing files. */
  readonly force: boolean;
  /** The message must be on the disk when the run ends. */
  readonly durable: boolean;
}

export async function sealCommand(args: Arguments, context: Context): Promise<number> {
  const files = args.operands.length === 0 ? ["-"] : args.operands;
  const output = args.text("output");
  const keyBlob = args.text("key-blob");
  const armor = args.flag("armor");
  const threads = threadsOf(args.text("threads"));
  const oaep = args.text("oaep") as OaepHash | undefined;
  const format = (args.text("format") ?? "p11seal") as SealFormat;
  requireInFormat(format, args);
  const cms = format === "cms" ? (await import("./cms-choices.js")).cmsChoices(args) : undefined;
  const form: SealedForm = armor ? "armor" : cms?.smime === true ? "mail" : "bytes";
  const signing = signingOptions(args);
  if (files.length > 1 && keyBlob !== undefined) {
    throw new UsageError("ERR_USAGE", "a key blob belongs to one message, and several were given");
  }
  requireOneStdin([
    ...files,
    ...args.texts("recipients-file"),
    ...(signing === undefined ? [] : [signing.key]),
    ...args.texts("cert"),
    ...trustFiles(args),
  ]);
  const kind = form === "mail" ? "mail" : format;
  const tasks = await planTasks(files, output, (source) => sealedName(source, kind));
  const toStdout = targetsOf(tasks).length === 0;
  if (toStdout && keyBlob === "-") {
    throw new UsageError("ERR_USAGE", "message and key blob would both go to stdout", {
      hint: "name a file for one of them, with -o or --key-blob",
    });
  }
  if (armor && keyBlob !== undefined) {
    throw new UsageError(
      "ERR_USAGE",
      "--armor is for whole messages, not for a key blob and a body",
    );
  }
  if (toStdout && form === "bytes" && output === undefined && context.io.stdout.isTTY === true) {
    throw binaryToTerminal("a sealed message");
  }
  if (files.length > 1) requireNoSourceReplaced(tasks);
  if (keyBlob !== undefined && keyBlob !== "-") {
    await requireDistinct([...targetsOf(tasks), keyBlob]);
  }

  const asPath = args.text("as-path");
  if (asPath !== undefined && !toStdout && keyBlob !== "-") {
    throw new UsageError("ERR_USAGE", "--as-path is for a message that goes to stdout", {
      hint: "of a file, the rules are those for the place where it is written",
    });
  }
  const rules = new OutputRules(context);
  const ruled = new Map<Task, readonly Governance[]>();
  for (const task of tasks) {
    ruled.set(task, await rulesForParts([keyBlob ?? task.target, task.target], asPath, rules));
  }

  return withTokens(args, context, async (tokens) => {
    const named = await namedRecipients(args, cms !== undefined, ruled, tokens, context);
    const signer =
      signing &&
      (await (await import("./message-signer.js")).signerOf(args, signing, cms, tokens, context));
    const wanted = { recipients: named, oaep, signer: signer?.publicKey, format };
    const messages = await messagesOf(ruled, wanted, rules);
    const recipients = [...messages.values()].flatMap((message) => message.recipients);
    if (oaep !== undefined && !recipients.some(({ publicKey }) => publicKey.type === "rsa")) {
      context.report.note("--oaep has no effect: no recipient has an RSA key");
    }
    for (const { recipients: all } of new Set(messages.values())) {
      if (format === "p11seal") noteMixed(all, context);
      cms?.noteLimits(all, signing !== undefined, context);
    }
    const [force, durable] = [args.flag("force"), args.flag("sync")];
    const how = { format, cms, form, threads, force, durable };
    const settings = { messages, oaep, signer, keyBlob, ...how };
    return inTurn(tasks, (task) => sealOne(task, settings, context), "sealed", context);
  });
}

/**
 * The rules for the files that a message's header and body go to. What has no place, stdout, is
 * under those for `asPath`.
 *
 * @param paths - the header's first; undefined or `-`: stdout
 */
async function rulesForParts(
  paths: readonly (string | undefined)[],
  asPath: string | undefined,
  rules: OutputRules,
): Promise<readonly Governance[]> {
  const found = new Map<string, Governance>();
  for (const path of new Set(paths.map((one) => (one === "-" ? undefined : one) ?? asPath))) {
    const governance = path === undefined ? undefined : await rules.of(path);
    if (governance === undefined) await rules.requireNotRequired(path);
    else found.set(governance.path, governance);
  }
  return [...found.values()];
}

/** The recipients that the command line names; none if the rules have some for every file. */
async function namedRecipients(
  args: Arguments,
  needsCertificates: boolean,
  ruled: ReadonlyMap<Task, readonly Governance[]>,
  tokens: Tokens,
  context: Context,
): Promise<readonly Recipient[]> {
  const [texts, files] = [args.texts("recipient"), args.texts("recipients-file")];
  const isLeftToRules = [...ruled.values()].every((governances) => governances.length > 0);
  if (texts.length + files.length === 0 && isLeftToRules) return [];
  return resolveRecipients(texts, files, tokens, context, {
    allowSigning: args.flag("allow-signing-key"),
    judge: recipientJudge(args, needsCertificates, context),
  });
}

/** How each file is sealed. @throws as `underRules` */
async function messagesOf(
  ruled: ReadonlyMap<Task, readonly Governance[]>,
  wanted: Wanted,
  rules: OutputRules,
): Promise<ReadonlyMap<Task, RuledMessage>> {
  const messages = new Map<Task, RuledMessage>();
  const unruled = { recipients: wanted.recipients };
  for (const [task, governances] of ruled) {
    if (governances.length === 0) {
      messages.set(task, unruled);
    } else {
      const { underRules } = await import("./ruled-sealing.js");
      messages.set(task, await underRules(wanted, governances, rules));
    }
  }
  for (const { notes = [] } of messages.values()) for (const note of notes) rules.note(note);
  return messages;
}

/** One recipient whose key a quantum computer breaks is enough for it to read the message. */
function noteMixed(recipients: readonly Recipient[], { report }: Context): void {
  const hybrids = recipients.filter(({ publicKey }) => publicKey.type === "hybrid").length;
  if (hybrids === 0 || hybrids === recipients.length) return;
  report.note(
    `only ${hybrids} of ${recipients.length} recipients have post-quantum keys: a quantum computer ` +
      "could open the message with the others",
  );
}

/** Both outputs are checked before a signed message's serial number is taken. */
async function sealOne(task: Task, settings: SealSettings, context: Context): Promise<void> {
  const { oaep, signer, keyBlob, format, form, threads, force, durable } = settings;
  const message = settings.messages.get(task);
  if (message === undefined) throw new TypeError("nobody said how the file is sealed");
  const { recipients, rulesHash } = message;
  const { io, report } = context;
  const input = await openInput(task.source, io);
  const outputs: Output[] = [];
  const meter = progress(io, { size: input.size, quiet: report.quiet });
  const outputAt = async (path: string | undefined): Promise<Output> => {
    const isFile = path !== undefined && path !== "-";
    const opened = isFile
      ? await fileOutput(path, { force, durable, mode: "public", inputs: [input] })
      : standardOutput(io, [input]);
    outputs.push(opened);
    return opened;
  };
  try {
    const body = await outputAt(task.target);
    const header = keyBlob === undefined ? body : await outputAt(keyBlob);
    const signature = await signer?.sign(context, rulesHash);
    const cms = settings.cms && { ...settings.cms.of(task.source), ...signature?.cms };
    const sender = signature?.sender;
    const padHeader = isPadded(task, settings, input.size);
    const options = { recipients, format, form, padHeader, ...defined({ oaep, sender, cms }) };
    await sealInto(input, { header, body }, options, meter, threads);
    await commit(...outputs);
  } finally {
    meter.stop();
    for (const opened of outputs) await opened.close();
    await input.close();
  }
}

/**
 * Whether the header is padded: in a large file, the body then keeps its place when the header is
 * replaced, and a copy of it costs nothing where the file system shares blocks.
 */
function isPadded(
  { target }: Task,
  { format, form, keyBlob }: SealSettings,
  plaintextBytes: number | undefined,
): boolean {
  const isOneFile = target !== undefined && keyBlob === undefined && form === "bytes";
  return format === "p11seal" && isOneFile && (plaintextBytes ?? 0) >= PADDED_FROM_BYTES;
}

/** 4,096 bytes more are then 0.4 % at most. */
const PADDED_FROM_BYTES = 2 ** 20;
