/**
 * `p11seal inspect`: what a message shows to anyone. What the signature at its start covers is
 * verified, without any key; everything else is only what somebody wrote.
 */
import { defined } from "../../../defined.js";
import type { MessageInfo } from "../../../envelope/message-info.js";
import { inspectMessage } from "../../../envelope/messages.js";
import { UsageError } from "../../../errors.js";
import { moment } from "../../../records/duration.js";
import { titleOf } from "../../../keys/around.js";
import type { Arguments } from "../../arguments/arguments.js";
import { openInput, requireOneStdin, type Input } from "../../io/inputs.js";
import { certificatesAt } from "../../find/certificate-files.js";
import { prepareIdentities } from "../../find/identities.js";
import { write } from "../../io/io.js";
import { humanSize } from "../../io/progress.js";
import { type Prospect, prospectData, prospectLines, prospectsOf } from "../../find/prospects.js";
import { printable } from "../../../printable.js";
import { json } from "../../io/table.js";
import { passedOnData, passedOnText, unsignedText } from "../../find/passed-on-text.js";
import { knownSender, senderData, signerText, type KnownSigner } from "../../find/sender.js";
import { withTokens } from "../../find/tokens.js";
import type { Context } from "../../command.js";

export async function inspectCommand(args: Arguments, context: Context): Promise<undefined> {
  const { io } = context;
  const [file = "-"] = args.operands;
  const keyBlob = args.text("key-blob");
  requireOneStdin([file, ...args.texts("cert"), ...(keyBlob === undefined ? [] : [keyBlob])]);
  if (args.texts("cert").length > 0 && args.texts("identity").length === 0) {
    throw new UsageError("ERR_USAGE", "--cert needs -i", { hint: "name the certificate's key" });
  }
  if (file === "-" && io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no file was given, and stdin is the terminal");
  }
  const input = await openInput(file, io);
  const blob = keyBlob === undefined ? undefined : await openInput(keyBlob, io);
  try {
    const info = await inspectMessage((blob ?? input).chunks);
    const sizes = sizesOf(info, input, blob !== undefined);
    const known =
      info.sender?.signature === "holds" ? await knownSender(info.sender, context) : undefined;
    const prospects = await prospectsWith(args, info, context);
    const passedOn = await passedOnIn(info, context);
    const text = args.flag("json")
      ? json(asJson(file, info, sizes, { known, passedOn: passedOn?.data }, prospects))
      : describe(file, info, sizes, { known, passedOn: passedOn?.text }) +
        describeProspects(prospects);
    await write(io.stdout, text);
  } finally {
    await input.close();
    await blob?.close();
  }
}

/** What the user's directory says of those whom a message names. */
interface Names<T> {
  readonly known: KnownSigner | undefined;
  /** Who passed it on. */
  readonly passedOn: T | undefined;
}

/** A record that changes nothing, as the recipients are the sender's own, is passed over. */
async function passedOnIn(
  { sender, passedOn: record }: MessageInfo,
  context: Context,
): Promise<{ readonly text: string; readonly data: object } | undefined> {
  const passedOn = sender === undefined ? record : sender.passedOn;
  if (passedOn === undefined) return undefined;
  const text =
    sender === undefined
      ? await unsignedText(passedOn, context)
      : await passedOnText(passedOn, await signerText(sender, context), context);
  return { text, data: await passedOnData(passedOn, context) };
}

/** In bytes; null where the input's size is not known beforehand. */
interface Sizes {
  readonly sealedBytes: number | null;
  /** How much plaintext opening will yield; null also if that can't be told from the size. */
  readonly contentBytes: number | null;
}

function sizesOf(info: MessageInfo, input: Input, detached: boolean): Sizes {
  if (input.size === undefined) return { sealedBytes: null, contentBytes: null };
  const bodyBytes = input.size - (detached ? 0 : info.headerBytes);
  return { sealedBytes: input.size, contentBytes: info.plaintextBytes(bodyBytes) ?? null };
}

function asJson(
  file: string,
  info: MessageInfo,
  sizes: Sizes,
  { known, passedOn }: Names<object>,
  prospects: readonly Prospect[] | undefined,
): object {
  const { format, version, suite, cipher, authenticated, segmentBytes } = info;
  const { messageId, signed, headerBytes, recipients, recordFault } = info;
  const sender = info.sender && {
    ...info.sender,
    ...senderData(known),
    ...(info.sender.passedOn && defined({ passedOn })),
  };
  const keys = prospects?.map(prospectData);
  return {
    file,
    ...sizes,
    ...defined({
      format,
      version,
      suite,
      cipher,
      authenticated,
      segmentBytes,
      messageId,
      signed,
      headerBytes,
      recipients,
      sender,
      passedOn: info.sender === undefined ? passedOn : undefined,
      recordFault,
    }),
    ...standing(info),
    ...defined({ keys }),
  };
}

/** What the keys that `-i` names would do with the message; undefined without `-i`. */
async function prospectsWith(
  args: Arguments,
  info: MessageInfo,
  context: Context,
): Promise<Prospect[] | undefined> {
  const given = args.texts("identity");
  if (given.length === 0) return undefined;
  return withTokens(args, context, async (tokens) => {
    const identities = await prepareIdentities(given, tokens, context);
    const certificates = await certificatesAt(args.texts("cert"), context.io);
    const prospects = await prospectsOf(info, await identities.find(info), certificates, tokens);
    for (const { label } of identities.unseen()) {
      context.report.note(`open would log in to token "${label}" to look for more keys`);
    }
    return prospects;
  });
}

function describeProspects(prospects: readonly Prospect[] | undefined): string {
  if (prospects === undefined) return "";
  if (prospects.length === 0) return "with -i: it was sealed to none of these keys\n";
  return prospects
    .flatMap((one) => [
      `with ${titleOf(one)}:`,
      ...prospectLines(one).map((line) => `  ${line}`),
      ...causeLines(one).map((line) => `  ${line}`),
    ])
    .map((line) => `${printable(line)}\n`)
    .join("");
}

function causeLines({ cause }: Prospect): string[] {
  if (cause === undefined) return [];
  const remedy = cause.hint === undefined ? [] : [`remedy: ${cause.hint}`];
  return [`will not open: ${cause.message}`, ...remedy];
}

/**
 * Which fields a signature that holds vouches for, the sender's or (of `passedOn`) the custodian's,
 * and which are only what somebody wrote.
 */
function standing(info: MessageInfo): {
  readonly verified: readonly string[];
  readonly claimed: readonly string[];
} {
  const { signed, sender } = info;
  const fields = ["version", "suite", "segmentBytes", "messageId"] as const;
  const core = fields.filter((field) => info[field] !== undefined);
  const own = ["keyId", "streamId", "serial", "createdMs", "addressees"].map(
    (field) => `sender.${field}`,
  );
  if (sender?.expiresMs !== undefined) own.push("sender.expiresMs");
  if (sender?.rulesHash !== undefined) own.push("sender.rulesHash");
  if (sender?.passedOn !== undefined) own.push("sender.passedOn");
  const holds = sender?.signature === "holds";
  const signedFields = [...core, ...(signed ? own : [])];
  const intact = holds && sender.recipientsIntact;
  const verified = [...(holds ? signedFields : []), ...(intact ? ["recipients"] : [])];
  const claimed = [...(holds ? [] : signedFields), ...(intact ? [] : ["recipients"]), "content"];
  return { verified, claimed };
}

function describe(
  file: string,
  info: MessageInfo,
  { sealedBytes, contentBytes }: Sizes,
  names: Names<string>,
): string {
  const rows: Row[] = [
    ["file", file === "-" ? "stdin" : file],
    ["format", formatText(info)],
    ...cipherRows(info),
    ["message", info.messageId],
    ...senderRows(info, names),
    ["size", sealedBytes === null ? "not known before the end" : exact(sealedBytes)],
    ["header", exact(info.headerBytes)],
    ["content", contentBytes === null ? "not here, or not known" : exact(contentBytes)],
    ...segmentRows(info),
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(9)} ${printable(value)}`);
  const wrapped = info.recipients.map(
    ({ type, tag, operation }, index) =>
      `  ${String(index + 1).padStart(2)}  ${type.padEnd(11)}  tag ${tag ?? "none"}  ${operation}`,
  );
  const keys = `${info.recipients.length} wrapped ${info.recipients.length === 1 ? "key" : "keys"}`;
  return [...lines, `${keys}, and what the holder's token will do:`, ...wrapped, ""].join("\n");
}

function formatText({ format, version, suite }: MessageInfo): string {
  const text = `${format}, version ${version}`;
  return suite === undefined ? text : `${text}, suite ${suite}`;
}

type Row = readonly [name: string, value: string];

function cipherRows({ cipher, authenticated }: MessageInfo): readonly Row[] {
  if (cipher === undefined) return [];
  const doubt = "; without a signature inside, nothing shows whether the content was altered";
  return [["cipher", authenticated === false ? cipher + doubt : cipher]];
}

function segmentRows({ segmentBytes }: MessageInfo): readonly Row[] {
  return segmentBytes === undefined ? [] : [["segments", `of ${humanSize(segmentBytes)}`]];
}

/** No message says who owns the sender's key: the name is the user's own for that key. */
function senderRows(
  { signed, sender, cipher, recordFault }: MessageInfo,
  { known, passedOn }: Names<string>,
): readonly Row[] {
  const told = recordFault === undefined ? passedOn : `NOT TO BE OPENED: ${recordFault}`;
  const passedOnRow: readonly Row[] = told === undefined ? [] : [["passed on", told]];
  if (sender === undefined) {
    if (signed) return [["sender", "signed; who signed shows when the message is read to its end"]];
    // Only CMS names a cipher, and only CMS has signatures that the encryption hides.
    const inside = cipher === undefined ? "" : " outside; a signature inside shows on opening";
    return [["sender", `not signed${inside}`], ...passedOnRow];
  }
  const { keyId, serial, streamId, createdMs, expiresMs, recipientsIntact } = sender;
  if (sender.signature !== "holds") {
    return [
      ["sender", `claims to be key ${keyId}`],
      ["verified", "nothing: the signature does not hold; somebody made or altered this"],
    ];
  }
  const name = known === undefined ? "nobody known here" : `"${known.name}"`;
  const who = known?.limit === undefined ? name : `nobody: ${known.limit}`;
  const expires = expiresMs === undefined ? "" : `, expires ${moment(expiresMs)}`;
  return [
    ["sender", `${who}, key ${keyId}`],
    ["sealed", `${moment(createdMs)}${expires}`],
    ["serial", `${serial} of stream ${streamId}`],
    ...passedOnRow,
    [
      "verified",
      recipientsIntact
        ? "sender, times, serial and recipients: the signature holds"
        : passedOn !== undefined
          ? "sender, times and serial: the signature holds; the wrapped keys are the custodian's"
          : "sender, times and serial: the signature holds; the wrapped keys are NOT the sender's",
    ],
    ["claimed", "the content: only opening checks that the sender signed it"],
  ];
}

function exact(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${humanSize(bytes)} (${bytes} bytes)`;
}
