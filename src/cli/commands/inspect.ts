/** `p11seal inspect`: what a message shows to anyone. Nothing of it is verified without the key. */
import { FLOE_HEADER_BYTES, SEGMENT_OVERHEAD } from "../../body/floe.js";
import { UsageError } from "../../errors.js";
import { TRAILER_BYTES } from "../../envelope/native/signature.js";
import { inspect, type MessageInfo } from "../../index.js";
import type { Arguments } from "../arguments.js";
import { openInput, requireOneStdin, type Input } from "../inputs.js";
import { write } from "../io.js";
import { humanSize } from "../progress.js";
import { printable } from "../report.js";
import type { Context } from "../usage.js";

export async function inspectCommand(args: Arguments, { io }: Context): Promise<undefined> {
  const [file = "-", ...more] = args.operands;
  if (more.length > 0) throw new UsageError("ERR_USAGE", "one file is inspected at a time");
  const keyBlob = args.text("key-blob");
  requireOneStdin([file, ...(keyBlob === undefined ? [] : [keyBlob])]);
  if (file === "-" && io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no file was given, and stdin is the terminal");
  }
  const input = await openInput(file, io);
  const blob = keyBlob === undefined ? undefined : await openInput(keyBlob, io);
  try {
    const info = await inspect((blob ?? input).chunks);
    const sizes = sizesOf(info, input, blob !== undefined);
    const text = args.flag("json")
      ? JSON.stringify({ file, ...sizes, ...info }, undefined, 2) + "\n"
      : describe(file, info, sizes);
    await write(io.stdout, text);
  } finally {
    await input.close();
    await blob?.close();
  }
}

/** All in bytes; null where the input's size is not known beforehand, or the body is elsewhere. */
interface Sizes {
  readonly sealedBytes: number | null;
  /** What opening will yield, if the message is whole. */
  readonly contentBytes: number | null;
}

function sizesOf(info: MessageInfo, input: Input, detached: boolean): Sizes {
  const sealedBytes = input.size ?? null;
  const bodyBytes = (input.size ?? 0) - (detached ? 0 : info.headerBytes);
  const trailer = info.signed ? TRAILER_BYTES : 0;
  const segments = bodyBytes - FLOE_HEADER_BYTES - trailer;
  // FLOE: every segment has its overhead, and there is at least one.
  const overhead = SEGMENT_OVERHEAD * Math.ceil(segments / info.segmentBytes);
  const content = segments - overhead;
  return { sealedBytes, contentBytes: segments <= 0 || content < 0 ? null : content };
}

function describe(file: string, info: MessageInfo, { sealedBytes, contentBytes }: Sizes): string {
  const rows: [string, string][] = [
    ["file", file === "-" ? "stdin" : file],
    ["format", `p11seal, version ${info.version}, suite ${info.suite}`],
    ["message", info.messageId],
    ["sender", senderOf(info)],
    ["size", sealedBytes === null ? "not known before the end" : exact(sealedBytes)],
    ["header", exact(info.headerBytes)],
    ["content", contentBytes === null ? "not here, or not known" : exact(contentBytes)],
    ["segments", `of ${humanSize(info.segmentBytes)}`],
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(9)} ${printable(value)}`);
  const wrapped = info.recipients.map(
    ({ type, tag, operation }, index) =>
      `  ${String(index + 1).padStart(2)}  ${type.padEnd(11)}  tag ${tag}  ${operation}`,
  );
  const keys = `${info.recipients.length} wrapped ${info.recipients.length === 1 ? "key" : "keys"}`;
  return [...lines, `${keys}, and what the holder's token will do:`, ...wrapped, ""].join("\n");
}

/** A claim: only opening checks all of it, and whose the key is stands in no message. */
function senderOf({ signed, sender }: MessageInfo): string {
  if (!signed) return "not signed";
  if (sender === undefined) return "signed";
  return `signed by key ${sender.keyId}; the signature ${sender.signature}`;
}

function exact(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${humanSize(bytes)} (${bytes} bytes)`;
}
