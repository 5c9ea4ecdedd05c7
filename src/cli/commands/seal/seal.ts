/** `p11seal seal`: plaintext in, a message out, in one file or, with `--key-blob`, in two. */
import { defined } from "../../../defined.js";
import { UsageError } from "../../../errors.js";
import type { OaepHash } from "../../../keys/key.js";
import type { Arguments } from "../../arguments/arguments.js";
import { sealInto, threadsOf } from "../../io/bulk.js";
import { openInput, requireOneStdin, type Input } from "../../io/inputs.js";
import type { Output } from "../../io/output.js";
import { commit, fileOutput, requireDistinct, standardOutput } from "../../io/outputs.js";
import { progress } from "../../io/progress.js";
import { resolveRecipients } from "../../find/recipients.js";
import { signerAt } from "../../find/identity-at.js";
import { senderOf, signingOptions } from "../../find/sender.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function sealCommand(args: Arguments, context: Context): Promise<undefined> {
  const [file = "-"] = args.operands;
  const output = args.text("output");
  const keyBlob = args.text("key-blob");
  const threads = threadsOf(args.text("threads"));
  const oaep = args.text("oaep") as OaepHash | undefined;
  const signing = signingOptions(args);
  requireOneStdin([
    file,
    ...args.texts("recipients-file"),
    ...(signing === undefined ? [] : [signing.key]),
  ]);
  const toStdout = output === undefined || output === "-";
  if (toStdout && keyBlob === "-") {
    throw new UsageError("ERR_USAGE", "message and key blob would both go to stdout", {
      hint: "name a file for one of them, with -o or --key-blob",
    });
  }
  if (output === undefined && context.io.stdout.isTTY === true) {
    throw binaryToTerminal("a sealed message");
  }

  return withTokens(args, context, async (tokens) => {
    const recipients = await resolveRecipients(
      args.texts("recipient"),
      args.texts("recipients-file"),
      tokens,
      context,
      { allowSigning: args.flag("allow-signing-key") },
    );
    if (oaep !== undefined && !recipients.some(({ publicKey }) => publicKey.type === "rsa")) {
      context.report.note("--oaep has no effect: no recipient has an RSA key");
    }
    const signer = signing && {
      identity: await signerAt(signing.key, tokens, context),
      options: signing,
    };

    const input = await openInput(file, context.io);
    const outputs: Output[] = [];
    const meter = progress(context.io, { size: input.size, quiet: context.report.quiet });
    try {
      await requireDistinct(
        [output, keyBlob].filter((path): path is string => path !== undefined && path !== "-"),
      );
      const target = async (path: string | undefined): Promise<Output> => {
        const opened = await outputAt(path ?? "-", input, args, context);
        outputs.push(opened);
        return opened;
      };
      const message = await target(output);
      const blob = keyBlob === undefined ? message : await target(keyBlob);

      const sender = signer && (await senderOf(signer.identity, signer.options, context));
      const options = {
        recipients,
        ...defined({ oaep, sender }),
      };
      await sealInto(input, { header: blob, body: message }, options, meter, threads);
      await commit(...outputs);
    } finally {
      meter.stop();
      for (const opened of outputs) await opened.close();
      await input.close();
    }
    return undefined;
  });
}

function outputAt(
  path: string,
  input: Input,
  args: Arguments,
  { io }: Context,
): Output | Promise<Output> {
  if (path === "-") return standardOutput(io, [input]);
  const [force, durable] = [args.flag("force"), args.flag("sync")];
  return fileOutput(path, { force, durable, mode: "public", inputs: [input] });
}
