/**
 * Re-wraps one file, which is open all the time. The header that is planned for is read once more
 * as bytes, and these are what is verified, what is replaced, and what the file must still begin
 * with when it is.
 */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { concatAll, equal } from "../../../bytes.js";
import { defined } from "../../../defined.js";
import { armored } from "../../../envelope/armor.js";
import type { MessageInfo } from "../../../envelope/message-info.js";
import type { RewrappedHeader } from "../../../envelope/rewrapping.js";
import { formatOf } from "../../../envelope/formats.js";
import { rewrapHeader, type RewrapMessageOptions } from "../../../envelope/rewrap-message.js";
import { AuthenticationError, FileError, FormatError, UnsupportedError } from "../../../errors.js";
import type { Identity, KnownPublicKey } from "../../../keys/key.js";
import { fileChunks } from "../../../store/file-chunks.js";
import { replaceHeader, type Replaced } from "../../../store/replace-header.js";
import { fileError, quoted } from "../../../store/system-error.js";
import { NO_FOLLOW, NO_WAITING } from "../../../store/open-flags.js";
import { Reader, remaining } from "../../../stream.js";
import { onInterrupt } from "../../../terminal/interrupts.js";
import { planFor, type Plan, type Target } from "./rewrap-plan.js";

/** What is known of a file before any key is used. */
export interface Examined {
  readonly info: MessageInfo;
  readonly plan: Plan;
  readonly target: Target;
  /** The message is in armour, or otherwise not in the file as it is. */
  readonly isDecoded: boolean;
}

/** A file, open for reading. */
export interface MessageFile {
  readonly path: string;
  /** Its descriptor. */
  readonly fd: number;
}

/** @throws FileError `ERR_READ`; whatever `use` throws */
export async function withMessageFile<T>(
  path: string,
  use: (file: MessageFile) => Promise<T>,
): Promise<T> {
  // What is a link or a FIFO now was none when the files were looked for.
  const flags = constants.O_RDONLY | NO_FOLLOW | NO_WAITING;
  const fd = opened(path, flags);
  try {
    return await use({ path, fd });
  } finally {
    closeSync(fd);
  }
}

/**
 * @param targetOf - what is to become of a message with this header
 * @returns undefined for a file that is no message
 * @throws FileError `ERR_READ`; as `Envelope.inspect`, `targetOf`, `planFor`
 */
export async function examine(
  { path, fd }: MessageFile,
  targetOf: (info: MessageInfo) => Promise<Target>,
): Promise<Examined | undefined> {
  const reader = new Reader(fileChunks(fd, path));
  try {
    const format = await formatOf(reader);
    const info = await format.inspect(reader);
    const target = await targetOf(info);
    return { info, target, plan: planFor(info, target), isDecoded: reader.isDecoded };
  } catch (error) {
    if (error instanceof FormatError && error.code === "ERR_NOT_A_MESSAGE") return undefined;
    throw error;
  }
}

/** How much of a file is in memory while it is re-wrapped, and in several copies. */
export function bytesInMemory({ fd }: MessageFile, { info, isDecoded }: Examined): number {
  return isDecoded ? Math.min(fstatSync(fd).size, MAX_TEXT_BYTES) : info.headerBytes;
}

export interface RewrapHow {
  readonly target: Target;
  readonly inPlace: boolean;
  readonly breakLinks: boolean;
  /** The file holds a header alone. */
  readonly isKeyBlob: boolean;
  /** Called right before the file changes. */
  readonly confirm?: (() => Promise<void>) | undefined;
  /** Runs what uses keys, one at a time. */
  readonly inTurn: <T>(use: () => Promise<T>) => Promise<T>;
  readonly options: RewrapMessageOptions & {
    readonly identities: (info: MessageInfo) => Promise<readonly Identity<KnownPublicKey>[]>;
  };
}

export interface RewrappedFile {
  readonly info: MessageInfo;
  readonly how: Replaced | "unchanged";
}

/** @throws as `rewrapHeader`, `replaceHeader` */
export async function rewrapFile(
  file: MessageFile,
  { info, isDecoded }: Examined,
  how: RewrapHow,
): Promise<RewrappedFile> {
  if (isDecoded) return rewrapText(file, how);
  const { path, fd } = file;
  const expected = await startOf(fd, info.headerBytes, path);
  const rest = fileChunks(fd, path, expected.length);
  const reader = new Reader(joined(expected, rest));
  const made = await rewrapped(path, reader, how);
  if (how.isKeyBlob && (await reader.upTo(1)).length > 0) throw notAlone(path);
  await made.verifyBody?.();
  return replaced(file, { expected, header: made.header }, made.info, how);
}

/**
 * A message in armour is written anew as a whole: every line of it may change.
 *
 * @throws UnsupportedError `ERR_REWRAP`: it is too long for that
 */
async function rewrapText(file: MessageFile, how: RewrapHow): Promise<RewrappedFile> {
  const { path, fd } = file;
  const { size } = fstatSync(fd);
  if (size > MAX_TEXT_BYTES) throw tooLong(path);
  const expected = await startOf(fd, size, path);
  const made = await rewrapped(path, new Reader(expected), how);
  await made.verifyBody?.();
  const old = new Reader(expected);
  const { armorLabel } = await formatOf(old);
  await old.exactly(made.oldHeaderBytes, "the message's header");
  const lines: Uint8Array[] = [];
  const message = joined(made.header, remaining(old));
  for await (const text of armored(message, armorLabel)) lines.push(text);
  const header = concatAll(lines);
  return replaced(file, { expected, header }, made.info, { ...how, inPlace: false });
}

const MAX_TEXT_BYTES = 16 * 1024 * 1024;

/** The header that was read now counts, not the one that was planned for. */
function rewrapped(path: string, reader: Reader, how: RewrapHow): Promise<RewrappedHeader> {
  const { target, options } = how;
  const requireSame = (info: MessageInfo): void => {
    if (planFor(info, target).kind !== "change") throw changed(path);
  };
  return how.inTurn(() =>
    rewrapHeader(reader, {
      ...options,
      rewrapped: (header, wanted) => {
        requireSame(header.info);
        return options.rewrapped?.(header, wanted) ?? Promise.resolve(undefined);
      },
      identities: (info) => {
        requireSame(info);
        return options.identities(info);
      },
    }),
  );
}

async function replaced(
  { path, fd }: MessageFile,
  change: { readonly expected: Uint8Array; readonly header: Uint8Array },
  info: MessageInfo,
  { inPlace, breakLinks, confirm }: RewrapHow,
): Promise<RewrappedFile> {
  if (equal(change.expected, change.header)) return { info, how: "unchanged" };
  const how = { fd, inPlace, breakLinks, ...defined({ confirm }), onInterrupt };
  return { info, how: await replaceHeader(path, { ...change, ...how }) };
}

// ── Reading ──

function opened(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    throw fileError("ERR_READ", path, error);
  }
}

async function startOf(fd: number, length: number, path: string): Promise<Uint8Array> {
  const start = await new Reader(fileChunks(fd, path)).upTo(length);
  if (start.length === length) return start;
  throw changed(path);
}

async function* joined(
  first: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield first;
  yield* rest;
}

// ── Refusals ──

function changed(path: string): FileError {
  return new FileError("ERR_CHANGED", `${quoted(path)} changed while it was being re-wrapped`, {
    hint: "run it again",
  });
}

function tooLong(path: string): UnsupportedError {
  return new UnsupportedError("ERR_REWRAP", `${quoted(path)} is text, and too long to re-wrap`, {
    hint: `messages as text are re-wrapped up to ${MAX_TEXT_BYTES} bytes; p11seal reseal takes longer ones`,
  });
}

function notAlone(path: string): AuthenticationError {
  return new AuthenticationError("ERR_TRAILING", `data follows the header in ${quoted(path)}`, {
    hint: "a key blob holds the header alone; a whole message is re-wrapped without --key-blob",
  });
}
