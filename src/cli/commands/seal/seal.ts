/**
 * `p11seal seal`: plaintext in, messages out, one for each file; a message is one file or, with
 * `--key-blob`, two. Files are sealed in their order, to the same recipients. If one fails, the
 * others are still sealed, unless the reason would hold for them too.
 */
import { defined } from "../../../defined.js";
import { UsageError } from "../../../errors.js";
import type { OaepHash } from "../../../keys/key.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { recipientJudge } from "../../find/recipient-certificates.js";
import { resolveRecipients } from "../../find/recipients.js";
import { signingOptions } from "../../find/sender.js";
import { trustFiles } from "../../find/trust-options.js";
import { withTokens } from "../../find/tokens.js";
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

/** What all files of a command are sealed with. */
interface SealSettings {
  readonly recipients: Awaited<ReturnType<typeof resolveRecipients>>;
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

  return withTokens(args, context, async (tokens) => {
    const recipients = await resolveRecipients(
      args.texts("recipient"),
      args.texts("recipients-file"),
      tokens,
      context,
      {
        allowSigning: args.flag("allow-signing-key"),
        judge: recipientJudge(args, cms !== undefined, context),
      },
    );
    if (oaep !== undefined && !recipients.some(({ publicKey }) => publicKey.type === "rsa")) {
      context.report.note("--oaep has no effect: no recipient has an RSA key");
    }
    if (format === "p11seal") noteMixed(recipients, context);
    cms?.noteLimits(recipients, signing !== undefined, context);
    const signer =
      signing &&
      (await (await import("./message-signer.js")).signerOf(signing, cms, tokens, context));
    const [force, durable] = [args.flag("force"), args.flag("sync")];
    const how = { format, cms, form, threads, force, durable };
    const settings = { recipients, oaep, signer, keyBlob, ...how };
    return inTurn(tasks, (task) => sealOne(task, settings, context), "sealed", context);
  });
}

/** One recipient whose key a quantum computer breaks is enough for it to read the message. */
function noteMixed(recipients: SealSettings["recipients"], { report }: Context): void {
  const hybrids = recipients.filter(({ publicKey }) => publicKey.type === "hybrid").length;
  if (hybrids === 0 || hybrids === recipients.length) return;
  report.note(
    `only ${hybrids} of ${recipients.length} recipients have post-quantum keys: a quantum computer ` +
      "could open the message with the others",
  );
}

/** Both outputs are checked before a signed message's serial number is taken. */
async function sealOne(task: Task, settings: SealSettings, context: Context): Promise<void> {
  const { recipients, oaep, signer, keyBlob, format, form, threads, force, durable } = settings;
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
    const message = await outputAt(task.target);
    const header = keyBlob === undefined ? message : await outputAt(keyBlob);
    const signature = await signer?.(context);
    const cms = settings.cms && { ...settings.cms.of(task.source), ...signature?.cms };
    const sender = signature?.sender;
    const padHeader = isPadded(task, settings, input.size);
    const options = { recipients, format, form, padHeader, ...defined({ oaep, sender, cms }) };
    await sealInto(input, { header, body: message }, options, meter, threads);
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
