/**
 * `p11seal capi three-phase`: the exchange that is safe from replay, message by message through
 * files. A step is done once: putting back an older copy of a run's file brings no second answer.
 */
import { createHash } from "node:crypto";
import { toHex } from "../../../bytes.js";
import {
  formatPhase2,
  parsePhase2,
  ThreePhase,
  type RunOptions,
  type SessionAlgorithm,
  type Terms,
} from "../../../capi/index.js";
import { P11SealError, PolicyError, UsageError } from "../../../errors.js";
import type { RsaPrivateKey } from "../../../keys/key.js";
import type { Arguments } from "../../arguments/arguments.js";
import { CapiKeys } from "./capi-keys.js";
import { publicOutput, smallInput } from "./capi-message.js";
import { hexBytes, keyPadding } from "./capi-parameters.js";
import { CapiUse } from "./capi-use.js";
import { requireOneStdin, type Input } from "../../io/inputs.js";
import type { Output } from "../../io/output.js";
import { commit, fileOutput, noteExposed, requireDistinct } from "../../io/outputs.js";
import { binaryToTerminal } from "../../io/terminal-guard.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";
import { readState } from "./capi-three-phase-run.js";

// ── The four steps ──

export async function beginCommand(args: Arguments, context: Context): Promise<undefined> {
  requireOneStdin([args.required("identity"), args.required("peer")]);
  await withStep(args, context, undefined, async ({ keys, state, output }) => {
    const terms = await termsOf(args, keys);
    const { run, phase1 } = ThreePhase.begin(terms, { allowWeak: args.flag("allow-weak") });
    const leave = await handOut(run, state, { output, bytes: phase1 });
    await leave();
    context.report.note("the run is awaiting phase 2");
  });
}

export async function answerCommand(args: Arguments, context: Context): Promise<undefined> {
  const path = messagePath(args, context);
  requireOneStdin([path, args.required("identity"), args.required("peer")]);
  await withStep(args, context, path, async ({ keys, use, state, output, message: phase1 }) => {
    use.received(phase1);
    await use.record(async () => {
      const own = await keys.exchange(args.required("identity"));
      const terms = await termsOf(args, keys);
      let reserved: string | undefined;
      let leave: Leave;
      const reserve = async (id: string): Promise<boolean> => {
        const first = `phase 1 ${toHex(own.publicKey.fingerprint)} ${id}`;
        if (!(await use.home.reserve(first))) return false;
        reserved = first;
        return true;
      };
      try {
        const options = {
          reserve,
          allowWeak: args.flag("allow-weak"),
          rejectionSecret: await use.home.rejectionSecret(),
        };
        const key = use.privateKey(own);
        const { run, phase2 } = await ThreePhase.answer(terms, phase1, key, options);
        leave = await handOut(run, state, { output, bytes: formatPhase2(phase2) });
      } catch (error) {
        // No answer left this machine.
        if (reserved !== undefined) await use.home.release(reserved);
        throw error;
      }
      await leave();
    });
    context.report.note("the run is awaiting phase 3");
  });
}

export async function confirmCommand(args: Arguments, context: Context): Promise<undefined> {
  await nextStep(args, context, (run, bytes, key, options) =>
    run.confirm(parsePhase2(bytes, run.terms), key, options),
  );
}

export async function finishCommand(args: Arguments, context: Context): Promise<undefined> {
  await nextStep(args, context, async (run, bytes, key, options) => {
    await run.finish(bytes, key, options);
    return undefined;
  });
}

type Work = (
  run: ThreePhase,
  message: Uint8Array,
  key: RsaPrivateKey,
  options: RunOptions,
) => Promise<Uint8Array | undefined>;

/** A step of an existing run. Its file is replaced whenever the run went on or ended. */
async function nextStep(args: Arguments, context: Context, work: Work): Promise<void> {
  const path = messagePath(args, context);
  requireOneStdin([path, args.required("identity")]);
  await withStep(args, context, path, async ({ keys, use, state, output, message }) => {
    const before = await readState(args);
    const run = ThreePhase.resume(before);
    use.received(message);
    await use.record(async () => {
      const own = await keys.exchange(args.required("identity"));
      const rejectionSecret = await use.home.rejectionSecret();
      const step = `step ${toHex(createHash("sha256").update(before).digest())}`;
      const { status } = run;
      const isNew = !status.startsWith("awaiting") || (await use.home.reserve(step));
      if (!isNew) throw takenBefore();
      let leave: Leave;
      try {
        const result = await work(run, message, use.privateKey(own), { rejectionSecret });
        const answer = result === undefined ? undefined : { output, bytes: result };
        leave = await handOut(run, state, answer);
      } catch (error) {
        if (run.status === "ended" && status !== "ended") await keepEnded(run, state, context);
        // The step was not done, or its result was not delivered: it may be tried again.
        else if (status.startsWith("awaiting")) await use.home.release(step);
        throw error;
      }
      await leave();
    });
    context.report.note("the run is complete");
  });
}

function takenBefore(): PolicyError {
  return new PolicyError("ERR_REPLAYED", "this step of the run was done before", {
    hint: "an older copy of the run's file was put back, or another process is using it; start a new run",
  });
}

/** The step counts as done even if the file can't be written: nobody gets a second answer. */
async function keepEnded(run: ThreePhase, state: Output, { report }: Context): Promise<void> {
  try {
    await handOut(run, state, undefined);
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    report.note(`the run has ended, but that could not be written to its file: ${error.message}`);
  }
}

// ── What all steps share ──

interface Step {
  readonly keys: CapiKeys;
  readonly use: CapiUse;
  readonly state: Output;
  /** Where this step's message goes; the last step has none. */
  readonly output: Output | undefined;
  /** The other side's message; nothing before the first. */
  readonly message: Uint8Array;
}

async function withStep(
  args: Arguments,
  context: Context,
  path: string | undefined,
  work: (step: Step) => Promise<void>,
): Promise<undefined> {
  const statePath = args.required("state");
  const makesState = args.has("peer");
  const target = args.has("output") ? args.text("output") : undefined;
  const toStdout = args.has("output") && target === undefined;
  if (toStdout && context.io.stdout.isTTY === true) throw binaryToTerminal("the message");
  if (statePath === "-")
    throw new UsageError("ERR_USAGE", "a run is kept in a file, not on stdout");
  if (target !== undefined && target !== "-") await requireDistinct([statePath, target]);

  await withTokens(args, context, async (tokens) => {
    const inputs: Input[] = [];
    const outputs: Output[] = [];
    const opened = async (output: Promise<Output>): Promise<Output> => {
      outputs.push(await output);
      return output;
    };
    try {
      const received = path === undefined ? undefined : await smallInput(path, context.io);
      if (received !== undefined) inputs.push(received.input);
      const output = args.has("output")
        ? await opened(publicOutput(target, inputs, args, context))
        : undefined;
      const force = args.flag("force") || !makesState;
      const state = await opened(
        fileOutput(statePath, {
          ...{ force, mode: "private", inputs, durable: true },
          exposed: noteExposed(context),
        }),
      );
      await work({
        keys: new CapiKeys(tokens, context, args.has("allow-weak") && args.flag("allow-weak")),
        use: new CapiUse("three-phase", context),
        ...{ state, output, message: received?.bytes ?? new Uint8Array(0) },
      });
    } finally {
      for (const output of outputs) await output.close();
      for (const input of inputs) await input.close();
    }
  });
}

/** The last thing a step does. From then on the other side may have the message. */
type Leave = () => Promise<void>;

/**
 * Writes the run and its message, both or neither. A message to a stream leaves after the run is
 * kept.
 */
async function handOut(
  run: ThreePhase,
  state: Output,
  answer: { readonly output: Output | undefined; readonly bytes: Uint8Array } | undefined,
): Promise<Leave> {
  await state.write(run.serialize());
  const output = answer?.output;
  if (answer === undefined || output === undefined) {
    await commit(state);
  } else if (output.paths === undefined) {
    await commit(state);
    return () => output.write(answer.bytes);
  } else {
    await output.write(answer.bytes);
    await commit(state, output);
  }
  return () => Promise.resolve();
}

function messagePath(args: Arguments, { io }: Context): string {
  const [path = "-"] = args.operands;
  if (path === "-" && io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no message was given, and stdin is the terminal");
  }
  return path;
}

async function termsOf(args: Arguments, keys: CapiKeys): Promise<Terms> {
  const own = await keys.exchange(args.required("identity"));
  const peer = await keys.recipient(args.required("peer"), "--peer");
  return {
    own: { name: nameOf(args.required("name"), "--name"), publicKey: own.publicKey },
    peer: { name: nameOf(args.required("peer-name"), "--peer-name"), publicKey: peer },
    algorithm: args.required("algorithm") as SessionAlgorithm,
    hash: args.required("hash") as Terms["hash"],
    padding: keyPadding(args),
  };
}

/** Text, or with `hex:` the bytes that the other side hashes. */
function nameOf(text: string, option: string): string | Uint8Array {
  return text.startsWith("hex:") ? hexBytes(text.slice("hex:".length), option) : text;
}
