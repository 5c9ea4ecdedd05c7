/**
 * `p11seal verify`: whose signatures are over a file. A signature that holds proves that somebody
 * has a key; only a signer whom the user knows makes this command succeed.
 */
import { stat } from "node:fs/promises";
import { defined } from "../../../defined.js";
import { PolicyError, UsageError } from "../../../errors.js";
import {
  openSigned,
  verifyDetached,
  type SignedParts,
  type VerifyOptions,
} from "../../../envelope/signatures.js";
import { readDirectory } from "../../../records/directory/directory-file.js";
import { ANY_SENDER } from "../../../records/directory/directory.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";
import { certificateTrust } from "../../find/certificate-trust.js";
import { certificatesAt } from "../../find/certificate-files.js";
import { judgeSigners, signerData, signerRows, type JudgedSigner } from "../../find/signers.js";
import { trustFiles } from "../../find/trust-options.js";
import { passing } from "../../../stream.js";
import { homeOf } from "../../io/home.js";
import { openInput, requireOneStdin } from "../../io/inputs.js";
import { write, type Io } from "../../io/io.js";
import type { Output } from "../../io/output.js";
import { commit, fileOutput, noteExposed } from "../../io/outputs.js";
import { progress } from "../../io/progress.js";
import { Spool } from "../../io/spool.js";
import { json, table } from "../../io/table.js";
import { TextOnly } from "../../io/terminal-guard.js";

/** A message whose signatures hold. */
interface Verified {
  readonly parts: SignedParts;
  /** Where the content was, if apart from the signature. */
  readonly content?: string;
  /** Of a mail: the addresses in its `From`. */
  readonly from?: readonly string[];
}

export async function verifyCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const [path = "-"] = args.operands;
  const output = args.text("output");
  const certificates = args.texts("cert");
  const content = args.text("content") ?? (await contentBeside(path));
  requireOneStdin([
    ...[path, ...certificates, ...trustFiles(args)],
    ...(content === undefined ? [] : [content]),
  ]);
  if (content !== undefined && output !== undefined) {
    throw new UsageError("ERR_USAGE", "-o is for content that is in the message", {
      hint: `the content is in ${content} already`,
    });
  }
  const senders = await readDirectory(homeOf(io), "senders");
  const given = await certificatesAt(certificates, io);
  const trust = await certificateTrust(args, context);
  const options = {
    certificates: given.map(({ der }) => der),
    allowLegacy: args.flag("allow-legacy"),
  };
  const names = args.texts("from");
  const from = names.length === 0 || names.includes(ANY_SENDER) ? ANY_SENDER : names;

  const report = async ({ parts, content: where, from: mailFrom = [] }: Verified) => {
    const nowMs = Date.now();
    const judged = judgeSigners(
      { ...parts, certificates: [...parts.certificates, ...given] },
      { senders, from, nowMs, trust },
      options.allowLegacy,
    );
    const isToStdout = output === "-";
    const text = args.flag("json")
      ? json({ file: path, content: where ?? null, signers: judged.map(signerData) })
      : judged.map((one) => table(signerRows(one))).join("\n");
    if (isToStdout) for (const line of text.trimEnd().split("\n")) context.report.note(line);
    else await write(io.stdout, text);
    noteOtherFrom(mailFrom, judged, context);
    requireKnown(judged, args.flag("any-signer"), context);
  };
  if (content !== undefined) {
    await report(await verifyApart(path, content, options, context));
    return;
  }
  await verifyWhole(path, { output, force: args.flag("force") }, options, report, context);
}

/** The file that `FILE.p7s` lies beside, if there is one. */
async function contentBeside(path: string): Promise<string | undefined> {
  if (!path.endsWith(".p7s")) return undefined;
  const beside = path.slice(0, -".p7s".length);
  return stat(beside).then(
    (stats) => (stats.isFile() ? beside : undefined),
    () => undefined,
  );
}

async function verifyApart(
  path: string,
  content: string,
  options: VerifyOptions,
  { io, report }: Context,
): Promise<Verified> {
  const signature = await openInput(path, io);
  const input = await openInput(content, io);
  const meter = progress(io, { size: input.size, quiet: report.quiet });
  try {
    meter.start();
    const isFile = input.descriptor !== undefined;
    // A file can be read again if its line ends turn out not to be those that were signed.
    const source = isFile ? () => meter.through(again(content, io)) : meter.through(input.chunks);
    const parts = await verifyDetached(signature.chunks, source, options);
    return { parts, content };
  } finally {
    meter.stop();
    await input.close();
    await signature.close();
  }
}

async function* again(path: string, io: Io): AsyncGenerator<Uint8Array, void, undefined> {
  const input = await openInput(path, io);
  try {
    input.readAlone?.();
    yield* passing(input.chunks);
  } finally {
    await input.close();
  }
}

/** Checks a message with its content, which gets its name only once `accept` has not refused. */
async function verifyWhole(
  path: string,
  target: { readonly output: string | undefined; readonly force: boolean },
  options: VerifyOptions,
  accept: (verified: Verified) => Promise<void>,
  context: Context,
): Promise<void> {
  const { io, report } = context;
  const input = await openInput(path, io);
  const meter = progress(io, { size: input.size, quiet: report.quiet });
  const isFile = target.output !== undefined && target.output !== "-";
  let output: Output | undefined;
  try {
    if (isFile) {
      const exposed = noteExposed(context);
      const how = { force: target.force, mode: "private" as const, exposed, inputs: [input] };
      output = await fileOutput(target.output, how);
    }
    meter.start();
    input.readAlone?.();
    const message = await openSigned(meter.through(input.chunks), { ...options, reuse: true });
    const check = async (): Promise<void> => {
      const parts = await message.signatures();
      meter.stop();
      await accept({ parts, ...defined({ from: message.from }) });
    };
    if (target.output === "-") {
      const spool = await Spool.of(message.content);
      try {
        await spool.finish();
        await check();
        await toStdout(spool.chunks(), io);
      } finally {
        await spool.close();
      }
      return;
    }
    for await (const chunk of message.content) await output?.write(chunk);
    await check();
    if (output !== undefined) await commit(output);
  } finally {
    meter.stop();
    await output?.close();
    await input.close();
  }
}

async function toStdout(chunks: AsyncIterable<Uint8Array>, io: Io): Promise<void> {
  const guard = io.stdout.isTTY === true ? new TextOnly() : undefined;
  for await (const chunk of chunks) {
    guard?.check(chunk);
    await write(io.stdout, chunk.slice());
  }
}

/** What a mail says of its sender is not signed. */
function noteOtherFrom(
  from: readonly string[],
  judged: readonly JudgedSigner[],
  { report }: Context,
): void {
  const signed = judged.flatMap(({ signer }) => signer.certificate.mailAddresses);
  const isSame = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
  if (from.length === 0 || from.some((one) => signed.some((other) => isSame(one, other)))) return;
  const who = signed.length === 0 ? "no mail address" : signed.join(", ");
  report.note(
    `the mail says that it is from ${from.join(", ")}; its signer's certificate has ${who}`,
  );
}

/** @throws PolicyError as `trustedSender`: nobody vouches for any of the signers */
function requireKnown(
  judged: readonly JudgedSigner[],
  anySigner: boolean,
  { report }: Context,
): void {
  const known = judged.some(({ name }) => name !== undefined);
  if (known) return;
  if (anySigner) {
    report.note("the signature holds; nobody vouches that it is whose it says");
    return;
  }
  const [refusal] = judged.flatMap((one) => one.refusal ?? []);
  if (refusal instanceof PolicyError && refusal.code === "ERR_SENDER_UNKNOWN") {
    throw new PolicyError(refusal.code, `the signature holds, but ${refusal.message}`, {
      hint:
        "if the signer confirms that fingerprint, add the key with: p11seal senders add; " +
        "--any-signer only says who signed",
    });
  }
  if (refusal !== undefined) throw refusal;
}
