/** `p11seal capi send`: steps 1 to 4 of the article, for one recipient or several. */
import { sdkFileHead, sendMessage, type SendOptions } from "../../../capi/index.js";
import { requireSigning } from "../../../capi/hash-signature.js";
import { UsageError } from "../../../errors.js";
import type { Arguments } from "../../arguments/arguments.js";
import { CapiKeys } from "./capi-keys.js";
import { publicOutput } from "./capi-message.js";
import {
  cipherParameters,
  keyPadding,
  sessionKeyOptions,
  signatureForm,
} from "./capi-parameters.js";
import { openInput, requireOneStdin, type Input } from "../../io/inputs.js";
import type { Output } from "../../io/output.js";
import { commit, requireDistinct } from "../../io/outputs.js";
import { progress } from "../../io/progress.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";
import { withTokens, type Tokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";
import { noteBetterWay } from "./capi-receive.js";

export async function capiSendCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const [file = "-"] = args.operands;
  const targets = targetsOf(args);
  const signWith = signingKey(args, targets);
  requireOneStdin([file, ...args.texts("to"), ...(signWith === undefined ? [] : [signWith])]);
  if (file === "-" && io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no file was given, and stdin is the terminal");
  }
  if (targets.body === undefined && io.stdout.isTTY === true) throw binaryToTerminal("ciphertext");
  const { body, blobs, signatures } = targets;
  await requireDistinct(
    [body, ...blobs, ...signatures].filter(
      (path) => path !== undefined && path !== "-",
    ) as string[],
  );

  await withTokens(args, context, async (tokens) => {
    const input = await openInput(file, io);
    const outputs = new Outputs(input, args, context);
    const meter = progress(io, { size: input.size, quiet: context.report.quiet });
    try {
      const options = await sendOptions(args, signWith, tokens, context);
      const ciphertext = await outputs.open(body);
      const blobFiles = await outputs.openAll(blobs);
      const signatureFiles = await outputs.openAll(signatures);
      meter.start();
      const sent = sendMessage(meter.through(input.chunks), options);
      const [only] = sent.blobs;
      if (targets.isSdkFile && only !== undefined) await ciphertext.write(sdkFileHead(only));
      for await (const chunk of sent.ciphertext) await ciphertext.write(chunk);
      await writeEach(blobFiles, sent.blobs);
      await writeEach(signatureFiles, await sent.signatures());
      await commit(...outputs.all);
    } finally {
      meter.stop();
      await outputs.close();
      await input.close();
    }
    noteBetterWay(context);
  });
}

// ── What goes where ──

interface Targets {
  /** The ciphertext, or the one file of both; undefined and `-` are stdout. */
  readonly body: string | undefined;
  readonly blobs: readonly string[];
  readonly signatures: readonly string[];
  readonly isSdkFile: boolean;
}

function targetsOf(args: Arguments): Targets {
  const count = args.texts("to").length;
  if (count === 0) {
    throw new UsageError("ERR_NO_RECIPIENTS", "no recipient was given", { hint: "use --to" });
  }
  const blobs = args.texts("blob");
  const signatures = args.texts("signature");
  const sdkFile = args.text("sdk-file");
  if (signatures.length > 0 && signatures.length !== count) {
    throw each("--signature", signatures.length, count);
  }
  if (sdkFile !== undefined) {
    if (blobs.length > 0 || args.text("cipher") !== undefined) {
      throw new UsageError("ERR_USAGE", "--sdk-file stands for both --blob and --cipher", {
        hint: "leave out --blob and --cipher, or --sdk-file",
      });
    }
    if (count > 1) {
      throw new UsageError("ERR_USAGE", "--sdk-file is for one recipient", {
        hint: "use --blob for each, and --cipher",
      });
    }
    return { body: sdkFile, blobs, signatures, isSdkFile: true };
  }
  if (blobs.length !== count) throw each("--blob", blobs.length, count);
  if ([...blobs, ...signatures].includes("-")) {
    throw new UsageError("ERR_USAGE", "blobs and signatures are written to files");
  }
  return { body: args.text("cipher"), blobs, signatures, isSdkFile: false };
}

function each(option: string, given: number, recipients: number): UsageError {
  return new UsageError(
    "ERR_USAGE",
    `${option} was given ${given} times, for ${recipients} recipients`,
    { hint: `give one for each --to, in the same order` },
  );
}

/** `--sign-with` and `--signature`: both or neither. */
function signingKey(args: Arguments, { signatures }: Targets): string | undefined {
  const key = args.text("sign-with");
  if ((key === undefined) !== (signatures.length === 0)) {
    throw new UsageError("ERR_USAGE", "--sign-with and --signature go together");
  }
  if (key !== undefined) requireSigning(signatureForm(args));
  return key;
}

async function sendOptions(
  args: Arguments,
  signWith: string | undefined,
  tokens: Tokens,
  context: Context,
): Promise<SendOptions> {
  const allowWeak = args.flag("allow-weak");
  const keys = new CapiKeys(tokens, context, allowWeak);
  const recipients = [];
  for (const text of args.texts("to")) recipients.push(await keys.recipient(text, "--to"));
  // The PIN is asked for before the work begins.
  const signer = signWith && {
    key: await (await keys.signing(signWith)).unlock(),
    form: signatureForm(args),
  };
  return {
    recipients,
    ...sessionKeyOptions(args),
    parameters: cipherParameters(args),
    padding: keyPadding(args),
    allowWeak,
    ...(signer ? { signer } : {}),
  };
}

/** The output files of one run, which get their names together. */
class Outputs {
  readonly all: Output[] = [];
  readonly #input: Input;
  readonly #args: Arguments;
  readonly #context: Context;

  constructor(input: Input, args: Arguments, context: Context) {
    this.#input = input;
    this.#args = args;
    this.#context = context;
  }

  async open(path: string | undefined): Promise<Output> {
    const output = await publicOutput(path, [this.#input], this.#args, this.#context);
    this.all.push(output);
    return output;
  }

  async openAll(paths: readonly string[]): Promise<Output[]> {
    const opened = [];
    for (const path of paths) opened.push(await this.open(path));
    return opened;
  }

  async close(): Promise<void> {
    for (const output of this.all) await output.close();
  }
}

async function writeEach(
  outputs: readonly Output[],
  contents: readonly Uint8Array[],
): Promise<void> {
  for (const [index, output] of outputs.entries()) {
    await output.write(contents[index] ?? new Uint8Array(0));
  }
}
