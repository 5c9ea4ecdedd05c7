/**
 * Moves the bytes of a body from input to output: with threads where both are files and large
 * enough, otherwise as a stream. Only the time it takes depends on the way.
 */
import { openStream, sealStream, type BodyToOpen, type BodyToSeal } from "../../body/body.js";
import { openSegments, sealSegments, type BodyChunk } from "../../body/segment-stream.js";
import { oneByOne } from "../../body/segments.js";
import type { Crew, Sink } from "../../body/threads/crew.js";
import { FileFailure } from "../../body/threads/failure.js";
import type { ParallelOptions } from "../../body/threads/parallel.js";
import { release } from "../../body/threads/release.js";
import { defaultThreads, defaultWriters, WORTHWHILE_BYTES } from "../../body/threads/threads.js";
import type { BegunOpening } from "../../envelope/envelope.js";
import type { SealOptions } from "../../envelope/seal-options.js";
import { beginOpening, beginSealing, sealMessage } from "../../envelope/messages.js";
import type { OpenOptions } from "../../envelope/open-options.js";
import { UsageError } from "../../errors.js";
import { isFilling, Reader } from "../../stream.js";
import { readError } from "./file-input.js";
import { redirected, type Input } from "./inputs.js";
import type { Output, OutputFile } from "./output.js";
import type { Progress } from "./progress.js";

/** What a sealed message is written as: itself, text in armour, or a mail that holds it. */
export type SealedForm = "bytes" | "armor" | "mail";

/**
 * Seals all of `input`: the header to one output, the body to the same or another; as text, both to
 * the body's.
 */
export async function sealInto(
  input: Input,
  outputs: { readonly header: Output; readonly body: Output },
  options: SealOptions & { readonly format: string; readonly form: SealedForm },
  meter: Progress,
  threads: number | undefined,
): Promise<void> {
  if (options.form !== "bytes") {
    const sealed = await sealMessage(meter.through(input.chunks), options);
    meter.start();
    const text = options.form === "mail" ? sealed.mail() : sealed.armored();
    for await (const chunk of text) await outputs.body.write(chunk);
    return;
  }
  const { header, body } = await beginSealing(options);
  meter.start();
  await outputs.header.write(header);
  const route = { input, output: outputs.body, meter, threads };
  if (!(await sealIntoFile(body, route))) await sealAsStream(body, route);
}

/** A message whose header is authentic, and its body still to come. */
export interface OpenedMessage extends Omit<BegunOpening, "body"> {
  /**
   * The plaintext as a stream: each chunk once it has been checked, the last once the whole message
   * has and `beforeLast` has run. The caller writes each to `output` before it asks for the next;
   * some may have been written by threads.
   */
  chunksFor(
    output: Output,
    threads: number | undefined,
    beforeLast?: () => Promise<void>,
  ): AsyncGenerator<BodyChunk, void, undefined>;
  /**
   * Writes the whole plaintext to a file, by threads. False where that can't be done, or failed for
   * a reason that the stream will tell: the output is then as it was before.
   */
  intoFile(output: Output, threads: number | undefined): Promise<boolean>;
}

/** Opens a message as far as its body. */
export async function beginOpeningOf(
  input: Input,
  options: OpenOptions,
  meter: Progress,
): Promise<OpenedMessage> {
  const reader = new Reader(meter.through(input.chunks));
  try {
    const { body, ...begun } = await beginOpening(reader, options);
    return {
      ...begun,
      chunksFor: (output, threads, beforeLast) =>
        openedChunks(body, reader, { input, output, meter, threads }, beforeLast),
      intoFile: async (output, threads) =>
        !reader.isDecoded && openIntoFile(body, reader.consumed, { input, output, meter, threads }),
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Writes a chunk that nobody else looks at again, and frees its memory. */
export async function writeOnce(output: Output, { parts }: BodyChunk): Promise<void> {
  if (parts.length === 0) return;
  await output.write(...parts);
  if (output.forgets) release(parts);
}

/** From where to where a body goes, and how. */
interface Route {
  readonly input: Input;
  readonly output: Output;
  readonly meter: Progress;
  /** The value of `--threads`; undefined: as many as are worth it. */
  readonly threads: number | undefined;
}

// ── As a stream ──

// Each generator around another costs some microseconds per chunk, so there is at most one here.

async function sealAsStream(body: BodyToSeal, route: Route): Promise<void> {
  const { input, output, meter } = route;
  const plaintext = new Reader(meter.through(input.chunks));
  const crew = await crewFor(body, route);
  if (crew === undefined) input.readAlone?.();
  try {
    const chunks =
      body.kind === "segments"
        ? sealSegments(body, crew ?? oneByOne(body.cipher), plaintext)
        : sealStream(body, plaintext);
    for await (const chunk of chunks) await writeOnce(output, chunk);
  } catch (error) {
    throw namedError(error, route);
  } finally {
    crew?.close();
  }
}

async function* openedChunks(
  body: BodyToOpen,
  sealed: Reader,
  route: Route,
  beforeLast: (() => Promise<void>) | undefined,
): AsyncGenerator<BodyChunk, void, undefined> {
  const crew = await crewFor(body, route);
  if (crew === undefined) route.input.readAlone?.();
  try {
    yield* body.kind === "segments"
      ? openSegments(body, crew ?? oneByOne(body.cipher), sealed, beforeLast)
      : openStream(body, sealed, beforeLast);
  } catch (error) {
    throw namedError(error, route);
  } finally {
    crew?.close();
  }
}

/**
 * Threads to seal or open the segments of a stream; undefined where they aren't worth starting.
 */
async function crewFor(
  body: BodyToSeal | BodyToOpen,
  { input, output, threads }: Route,
): Promise<Crew | undefined> {
  if (body.kind !== "segments") return undefined;
  const { size, chunks } = input;
  const sink = sinkOf(output);
  // A read of the source must be one that can be given up: a failure must not wait for more input.
  if (threads === 1 || sink === undefined || !isFilling(chunks)) return undefined;
  if (threads === undefined && size !== undefined && size < WORTHWHILE_BYTES) return undefined;
  const { Crew } = await import("../../body/threads/crew.js");
  const failed = (): void => {
    // Reading a file ends soon by itself; a pipe's writer may take its time.
    if (size === undefined) input.close().catch(() => undefined);
  };
  const most = threads === undefined ? writersFor(output) : threads - 1;
  return new Crew(body.cipher, { most, atOnce: threads !== undefined, sink, failed });
}

/**
 * More where threads wait for a reader; to a file, more would only take time from the one that
 * reads.
 */
function writersFor({ descriptor }: Output): number {
  const to = redirected(descriptor);
  return to?.isFIFO() === true || to?.isSocket() === true ? defaultWriters() : defaultThreads() - 1;
}

/** Where threads may continue an output; undefined where they can't. */
function sinkOf(output: Output): (() => Promise<Sink>) | undefined {
  const { descriptor } = output;
  if (descriptor !== undefined) return () => Promise.resolve({ fd: descriptor });
  if (output.file === undefined) return undefined;
  const file = output.file.bind(output);
  return async () => {
    const begun = await file();
    const wrote = (bytes: number): void => {
      begun.wrote(bytes);
    };
    return { fd: begun.fd, position: begun.offset, wrote };
  };
}

// ── From file to file ──

/** @returns false if it has to be done as a stream */
async function sealIntoFile(body: BodyToSeal, route: Route): Promise<boolean> {
  if (body.kind !== "segments") return false;
  const ends = await bothFiles(route);
  if (ends === undefined) return false;
  const { sealFile } = await import("../../body/threads/parallel.js");
  await named(sealFile({ fd: ends.fd }, ends.file, body, optionsOf(ends, route)), route);
  return true;
}

/** The sealed segments begin at `offset` of the input. False if it has to be done as a stream. */
async function openIntoFile(body: BodyToOpen, offset: number, route: Route): Promise<boolean> {
  if (body.kind !== "segments") return false;
  const ends = await bothFiles(route);
  if (ends === undefined) return false;
  const { openFile } = await import("../../body/threads/parallel.js");
  const from = { fd: ends.fd, offset };
  if (await named(openFile(from, ends.file, body, optionsOf(ends, route)), route)) return true;
  await ends.file.truncate();
  return false;
}

/** What threads need to go from file to file; undefined where they can't, or are not worth it. */
async function bothFiles({
  input,
  output,
  threads,
}: Route): Promise<{ fd: number; file: OutputFile; threads: number } | undefined> {
  if (threads === 1 || input.descriptor === undefined || input.size === undefined) return undefined;
  if (output.file === undefined) return undefined;
  if (threads === undefined && input.size < WORTHWHILE_BYTES) return undefined;
  const file = await output.file();
  return { fd: input.descriptor, file, threads: threads ?? defaultThreads() };
}

function optionsOf({ threads }: { readonly threads: number }, { meter }: Route): ParallelOptions {
  const onProgress = (bytes: number): void => {
    meter.at(bytes);
  };
  return { threads, onProgress };
}

async function named<T>(work: Promise<T>, route: Route): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw namedError(error, route);
  }
}

/** A thread's failed read or write as an error that names the file; any other error as it is. */
function namedError(error: unknown, { input, output }: Route): unknown {
  if (!(error instanceof FileFailure)) return error;
  const cause = { code: error.code };
  if (error.kind === "write") return output.failure?.(cause) ?? error;
  return readError(input.name, cause);
}

/** The value of `--threads`. @throws UsageError */
export function threadsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d?$/.test(text)) {
    throw new UsageError("ERR_USAGE", `--threads is a number from 1 to 99, not "${text}"`);
  }
  return Number(text);
}
