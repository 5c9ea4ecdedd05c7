/**
 * `p11seal sign`: files in, signatures out, beside each file or with its content. Files share one
 * login. If one fails, the others are still signed, unless the token was the reason.
 */
import { basename, dirname, join } from "node:path";
import { UsageError } from "../../../errors.js";
import { signMessage, type CmsSigner } from "../../../envelope/signatures.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { signerAt } from "../../find/identity-at.js";
import { certificateToSignWith } from "../../find/own-certificate.js";
import { withTokens } from "../../find/tokens.js";
import { openInput, requireOneStdin } from "../../io/inputs.js";
import { commit, fileOutput, requireDistinct, standardOutput } from "../../io/outputs.js";
import { progress } from "../../io/progress.js";
import { readAhead } from "../../io/read-ahead.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";
import { inTurn, planTasks, targetsOf, type Task } from "../file-tasks.js";

interface SignSettings {
  readonly signer: Omit<CmsSigner, "signingTimeMs">;
  readonly detached: boolean;
  /** As text. */
  readonly armor: boolean;
  /** Replace existing files. */
  readonly force: boolean;
  /** The signature must be on the disk when the run ends. */
  readonly durable: boolean;
}

export async function signCommand(args: Arguments, context: Context): Promise<number> {
  const files = args.operands.length === 0 ? ["-"] : args.operands;
  const key = args.required("key");
  const certificates = args.texts("cert");
  const detached = !args.flag("opaque");
  const armor = args.flag("armor");
  requireOneStdin([...files, key, ...certificates]);
  const tasks = await tasksOf(files, args.text("output"), detached);
  const toTerminal = targetsOf(tasks).length === 0 && context.io.stdout.isTTY === true;
  if (toTerminal && !armor && args.text("output") === undefined) {
    throw binaryToTerminal("a signature");
  }
  return withTokens(args, context, async (tokens) => {
    const identity = await signerAt(key, tokens, context);
    const own = await certificateToSignWith(identity, certificates, context);
    const signer = {
      ...own,
      key: await identity.unlock(),
      ...(args.flag("pss") && { pss: true }),
    };
    const how = { detached, armor, force: args.flag("force"), durable: args.flag("sync") };
    const settings = { signer, ...how };
    return inTurn(tasks, (task) => signOne(task, settings, context), "signed", context);
  });
}

/** One file, too, gets a signature beside it: whoever checks it looks for it there. */
async function tasksOf(
  files: readonly string[],
  output: string | undefined,
  detached: boolean,
): Promise<Task[]> {
  const rename = (source: string): string => {
    if (source !== "-") return basename(source) + (detached ? ".p7s" : ".p7m");
    throw new UsageError("ERR_USAGE", "stdin has no name that a signature could be named after", {
      hint: "sign it alone, with -o FILE",
    });
  };
  const [only] = files;
  if (files.length === 1 && only !== undefined && only !== "-" && output === undefined) {
    return [{ source: only, target: join(dirname(only), rename(only)) }];
  }
  const tasks = await planTasks(files, output, rename);
  await requireDistinct(targetsOf(tasks));
  return tasks;
}

async function signOne(
  { source, target }: Task,
  { signer, detached, armor, force, durable }: SignSettings,
  { io, report }: Context,
): Promise<void> {
  const input = await openInput(source, io);
  const meter = progress(io, { size: input.size, quiet: report.quiet });
  try {
    const output =
      target === undefined
        ? standardOutput(io, [input])
        : await fileOutput(target, {
            force,
            durable,
            mode: detached ? "public" : "private",
            inputs: [input],
          });
    try {
      meter.start();
      const content = meter.through(readAhead(input));
      const signed = signMessage(content, { ...signer, signingTimeMs: Date.now() }, { detached });
      for await (const chunk of armor ? signed.armored() : signed.stream()) {
        await output.write(chunk);
      }
      await commit(output);
    } finally {
      await output.close();
    }
  } finally {
    meter.stop();
    await input.close();
  }
}
