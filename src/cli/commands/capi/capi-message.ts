/**
 * Messages of CryptoAPI peers, in files. A ciphertext may have to be read more than once: to check
 * its signature, and to decrypt it to the end before any of it goes to a stream. A message is
 * delivered only once its end was reached.
 */
import { readSdkFile } from "../../../capi/index.js";
import { UsageError } from "../../../errors.js";
import { Spool } from "../../io/spool.js";
import type { Arguments } from "../../arguments/arguments.js";
import { openInput, wholeOf, type Input } from "../../io/inputs.js";
import type { Io } from "../../io/io.js";
import type { Output, OutputOptions } from "../../io/output.js";
import { fileOutput, flushNames, noteExposed, placeAll, standardOutput } from "../../io/outputs.js";
import { TextOnly } from "../../io/terminal-guard.js";
import type { Context } from "../../command.js";

/** Blobs, signatures, records and states are smaller. */
const MAX_SMALL_BYTES = 65_536;

/** The contents of a small file. It stays open, so that no output can replace it unnoticed. */
export interface SmallInput {
  readonly input: Input;
  readonly bytes: Uint8Array;
}

export async function smallInput(path: string, io: Io): Promise<SmallInput> {
  const input = await openInput(path, io);
  try {
    return { input, bytes: await wholeOf(input, MAX_SMALL_BYTES) };
  } catch (error) {
    await input.close();
    throw error;
  }
}

/** An input that can be read more than once. */
export class Rereadable {
  readonly input: Input;
  readonly #path: string;
  readonly #io: Io;
  #spool: Spool | undefined;
  #started = false;

  private constructor(input: Input, path: string, io: Io) {
    this.input = input;
    this.#path = path;
    this.#io = io;
  }

  static async open(path: string, io: Io): Promise<Rereadable> {
    return new Rereadable(await openInput(path, io), path, io);
  }

  /**
   * From now on `chunks` delivers the same bytes each time, even if somebody writes to the file.
   */
  async keep(): Promise<void> {
    this.#spool ??= await Spool.of(this.input.chunks);
  }

  /** From now on `chunks` can be called again. A file is then read anew. */
  async allowAgain(): Promise<void> {
    if (this.input.size === undefined || this.#path === "-") await this.keep();
  }

  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#spool !== undefined) {
      yield* this.#spool.chunks();
    } else if (!this.#started) {
      this.#started = true;
      yield* this.input.chunks;
    } else {
      const again = await openInput(this.#path, this.#io);
      try {
        yield* again.chunks;
      } finally {
        await again.close();
      }
    }
  }

  async close(): Promise<void> {
    await this.#spool?.close();
    await this.input.close();
  }
}

/**
 * A key blob and a ciphertext (two files, or one as Microsoft's sample makes it), maybe with a
 * signature.
 */
export class MessageFiles {
  readonly inputs: readonly Input[];
  readonly body: Rereadable;
  readonly signature: Uint8Array | undefined;
  readonly #blob: Uint8Array | undefined;

  private constructor(body: Rereadable, blob?: SmallInput, signature?: SmallInput) {
    this.body = body;
    this.signature = signature?.bytes;
    this.#blob = blob?.bytes;
    this.inputs = [body, blob, signature].flatMap((one) => (one === undefined ? [] : [one.input]));
  }

  /** `--blob` and `--cipher`, or `--sdk-file`; `--signature`. @throws UsageError; FileError */
  static async open(args: Arguments, io: Io): Promise<MessageFiles> {
    const { blob, body } = messagePaths(args, io);
    const opened: SmallInput[] = [];
    const small = async (path: string | undefined): Promise<SmallInput | undefined> => {
      if (path === undefined) return undefined;
      const input = await smallInput(path, io);
      opened.push(input);
      return input;
    };
    try {
      const key = await small(blob);
      const signature = await small(args.text("signature"));
      return new MessageFiles(await Rereadable.open(body, io), key, signature);
    } catch (error) {
      for (const { input } of opened) await input.close();
      throw error;
    }
  }

  /** @throws FormatError `ERR_SDK_FILE`, `ERR_TRUNCATED` */
  async read(): Promise<{ blob: Uint8Array; ciphertext: AsyncIterable<Uint8Array> }> {
    if (this.#blob !== undefined) return { blob: this.#blob, ciphertext: this.body.chunks() };
    return readSdkFile(this.body.chunks());
  }

  async close(): Promise<void> {
    await this.body.close();
    for (const input of this.inputs.slice(1)) await input.close();
  }
}

/** The files that a message is read from. @throws UsageError */
export function messagePaths(
  args: Arguments,
  io: Io,
): { readonly blob: string | undefined; readonly body: string } {
  const blob = args.text("blob");
  const cipher = args.text("cipher");
  const sdkFile = args.text("sdk-file");
  if (sdkFile !== undefined) {
    if (blob !== undefined || cipher !== undefined) {
      throw new UsageError("ERR_USAGE", "--sdk-file stands for both --blob and --cipher", {
        hint: "leave out --blob and --cipher, or --sdk-file",
      });
    }
    return { blob, body: sdkFile };
  }
  if (blob === undefined) {
    throw new UsageError("ERR_USAGE", "no key blob was given", {
      hint: "--blob FILE, and --cipher FILE; or --sdk-file FILE for both in one",
    });
  }
  if (cipher === undefined && io.stdin.isTTY === true) {
    throw new UsageError("ERR_USAGE", "no ciphertext was given, and stdin is the terminal");
  }
  return { blob, body: cipher ?? "-" };
}

/** Where plaintext, or a key, goes. */
export const privateOutput = outputOf("private");

/** Where anything else goes. */
export const publicOutput = outputOf("public");

/** `inLedger`: as in `OutputOptions`, and a file is on the disk once it is prepared. */
function outputOf(mode: OutputOptions["mode"]) {
  return async (
    path: string | undefined,
    inputs: readonly Input[],
    args: Arguments,
    context: Context,
    inLedger = false,
  ): Promise<Output> => {
    if (path === undefined || path === "-") return standardOutput(context.io, inputs);
    const force = args.flag("force");
    const exposed = noteExposed(context);
    return fileOutput(path, { force, mode, inputs, durable: inLedger, inLedger, exposed });
  };
}

/** A message on its way to its output. */
export interface Delivery {
  /** A new pass over the ciphertext. If the output is a stream, the ciphertext was kept. */
  readonly decrypted: () => Promise<AsyncIterable<Uint8Array>>;
  readonly output: Output;
  /** Whether a terminal may get binary data. */
  readonly anyBytes: boolean;
  /** Accepts the message: all of it was checked, and nobody has its plaintext yet. */
  readonly accept?: (() => Promise<void>) | undefined;
}

/**
 * Delivers plaintext that only its end shows to be valid. A file gets its name after that. A stream
 * can't take anything back, so the message is first decrypted to its end and thrown away.
 */
export async function deliver(
  { decrypted, output, anyBytes, accept }: Delivery,
  { io }: Context,
): Promise<void> {
  if (output.paths === undefined) {
    const toTerminal = io.stdout.isTTY === true && output.name === "stdout";
    const guard = toTerminal && !anyBytes ? new TextOnly() : undefined;
    for await (const chunk of await decrypted()) guard?.check(chunk);
    await accept?.();
  }
  for await (const chunk of await decrypted()) await output.write(chunk);
  await output.prepare();
  if (output.paths !== undefined) await accept?.();
  await place(output);
}

/** Gives a prepared file its name. */
export async function place(output: Output): Promise<void> {
  placeAll([output]);
  await flushNames([output]);
}
