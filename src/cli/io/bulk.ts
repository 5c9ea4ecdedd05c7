/**
 * The bytes of a body, from input to output: by threads from file to file where both are files and
 * there is enough of them, and otherwise as a stream. Which way it goes changes how long it takes, and
 * nothing else.
 */
import type { SegmentCipher } from "../../body/floe.js";
import { oneByOne, type SegmentWork } from "../../body/segments.js";
import { UsageError } from "../../errors.js";
import { openBody, sealBody, type Piece } from "../../envelope/native/body.js";
import {
  beginOpening,
  beginSealing,
  type BegunOpening,
  type OpenOptions,
  type SealOptions,
} from "../../envelope/native/native.js";
import { FileFailure } from "../../body/threads/failure.js";
import { release } from "../../body/threads/release.js";
import type { Sink } from "../../body/threads/crew.js";
import { defaultThreads, defaultWriters, WORTHWHILE_BYTES } from "../../body/threads/threads.js";
import { isFilling, Reader } from "../../stream.js";
import { readError, redirected, type Input } from "./inputs.js";
import type { Output, OutputFile } from "./output.js";
import type { Progress } from "./progress.js";

/** Seals all of `input`: the header to one output, the body to the same or another. */
export async function sealInto(
  input: Input,
  outputs: { readonly header: Output; readonly body: Output },
  options: SealOptions,
  meter: Progress,
  threads: number | undefined,
): Promise<void> {
  const begun = await beginSealing(options);
  meter.start();
  await outputs.header.write(begun.header);
  const ends = await bothFiles(input, outputs.body, threads);
  if (ends === undefined) {
    const reader = new Reader(meter.through(input.chunks));
    const crew = await crewFor(begun.segments, input, outputs.body, threads);
    try {
      const body = sealBody(begun.floeHeader, crew.work, reader, begun.signing);
      for await (const piece of body) await writeOnce(outputs.body, piece);
    } catch (error) {
      throw namedError(error, input, outputs.body);
    } finally {
      crew.close();
    }
    return;
  }
  const { sealFile } = await import("../../body/threads/parallel.js");
  const onProgress = (bytes: number): void => {
    meter.at(bytes);
  };
  const work = sealFile({ fd: ends.fd }, ends.file, begun, { threads: ends.threads, onProgress });
  await named(work, input, outputs.body);
}

/** A message whose header is authentic, and its body still to come. */
export interface OpeningBody extends BegunOpening {
  /**
   * As a stream: each segment after its tag was checked, the last after `beforeLast`; for `output`,
   * where threads may have written it already. It lasts until the next is asked for.
   */
  segmentsFor(
    output: Output,
    threads: number | undefined,
    beforeLast?: () => Promise<void>,
  ): AsyncGenerator<Piece, void, undefined>;
  /**
   * All of it into a file, by threads. False when that can't be done, or did not succeed for a reason
   * that the stream will tell: the output is then as it was before.
   */
  intoFile(output: Output, threads: number | undefined): Promise<boolean>;
}

/** Opens a message as far as its body. */
export async function beginOpeningOf(
  input: Input,
  options: OpenOptions,
  meter: Progress,
): Promise<OpeningBody> {
  const reader = new Reader(meter.through(input.chunks));
  try {
    const begun = await beginOpening(reader, options);
    return {
      ...begun,
      async *segmentsFor(output, threads, beforeLast) {
        const crew = await crewFor(begun.segments, input, output, threads);
        try {
          yield* openBody(begun.floeHeader, crew.work, reader, begun.check, beforeLast);
        } catch (error) {
          throw namedError(error, input, output);
        } finally {
          crew.close();
        }
      },
      intoFile: (output, threads) =>
        openIntoFile(input, reader.consumed, output, begun, meter, threads),
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Writes bytes that nobody else has, and frees them. */
export async function writeOnce(output: Output, { parts }: Piece): Promise<void> {
  if (parts.length === 0) return;
  await output.write(...parts);
  if (output.forgets) parts.filter(({ length }) => length > SMALL_BYTES).forEach(release);
}

/** Who seals or opens the segments of a stream: other threads, where there may be enough for them. */
async function crewFor(
  segments: SegmentCipher,
  input: Input,
  output: Output,
  threads: number | undefined,
): Promise<{ readonly work: SegmentWork; close(): void }> {
  const { size, chunks } = input;
  const sink = sinkOf(output);
  // What is read ahead must not keep a failure waiting for more to come.
  if (threads !== 1 && sink !== undefined && isFilling(chunks)) {
    if (threads !== undefined || size === undefined || size >= WORTHWHILE_BYTES) {
      const { Crew } = await import("../../body/threads/crew.js");
      const failed = (): void => {
        // A file is read soon; a pipe's writer may take its time.
        if (size === undefined) input.close().catch(() => undefined);
      };
      const most = threads === undefined ? writersFor(output) : threads - 1;
      const crew = new Crew(segments, { most, atOnce: threads !== undefined, sink, failed });
      return {
        work: crew,
        close() {
          crew.close();
        },
      };
    }
  }
  return {
    work: oneByOne(segments),
    close() {
      // Nothing was started.
    },
  };
}

/** More where they wait for whoever reads; elsewhere these would only take time from the one that reads. */
function writersFor({ descriptor }: Output): number {
  const to = redirected(descriptor);
  return to?.isFIFO() === true || to?.isSocket() === true ? defaultWriters() : defaultThreads() - 1;
}

/** Where threads may go on writing an output. */
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

async function openIntoFile(
  input: Input,
  offset: number,
  output: Output,
  begun: BegunOpening,
  meter: Progress,
  threads: number | undefined,
): Promise<boolean> {
  const ends = await bothFiles(input, output, threads);
  if (ends === undefined) return false;
  const { openFile } = await import("../../body/threads/parallel.js");
  const onProgress = (bytes: number): void => {
    meter.at(bytes);
  };
  const from = { fd: ends.fd, offset };
  const work = openFile(from, ends.file, begun, { threads: ends.threads, onProgress });
  if (await named(work, input, output)) return true;
  await ends.file.truncate();
  return false;
}

/** What the parallel path needs, where it is worth it or asked for. */
async function bothFiles(
  input: Input,
  output: Output,
  threads: number | undefined,
): Promise<{ fd: number; file: OutputFile; threads: number } | undefined> {
  if (threads === 1 || input.descriptor === undefined || input.size === undefined) return undefined;
  if (output.file === undefined) return undefined;
  if (threads === undefined && input.size < WORTHWHILE_BYTES) return undefined;
  const file = await output.file();
  return { fd: input.descriptor, file, threads: threads ?? defaultThreads() };
}

async function named<T>(work: Promise<T>, input: Input, output: Output): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw namedError(error, input, output);
  }
}

/** A failed read or write of a thread as an error that names the file; any other as it is. */
function namedError(error: unknown, input: Input, output: Output): unknown {
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

/** Prefixes, tags, and what else is not worth freeing early. */
const SMALL_BYTES = 4096;
