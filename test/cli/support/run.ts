/** Runs a command line within this process, with its own streams and terminal. */
import { Readable, Writable } from "node:stream";
import type { Io } from "../../../src/cli/io/io.js";
import { ALL_COMMANDS } from "../../../src/cli/commands/all-commands.js";
import { main } from "../../../src/cli/run.js";
import { useBundledChild } from "../../support/child-program.js";

useBundledChild();

export interface Outcome {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** The questions that were asked. */
  readonly asked: readonly { readonly prompt: string; readonly silent: boolean }[];
}

export interface RunOptions {
  readonly stdin?: Uint8Array | string | Readable;
  readonly stdout?: Writable;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Which of the streams are terminals. */
  readonly tty?: readonly ("stdin" | "stdout" | "stderr")[];
  /** The answers of a person at the terminal; without them there is no terminal. */
  readonly answers?: readonly string[];
}

export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const stdout = new Collector();
  const stderr = new Collector();
  const asked: { prompt: string; silent: boolean }[] = [];
  const answers = [...(options.answers ?? [])];
  const isTTY = (name: "stdin" | "stdout" | "stderr"): { isTTY: boolean } => ({
    isTTY: options.tty?.includes(name) === true,
  });
  const { stdin = "" } = options;
  const io: Io = {
    stdin: Object.assign(
      stdin instanceof Readable ? stdin : Readable.from([Buffer.from(stdin)]),
      isTTY("stdin"),
    ),
    stdout: Object.assign(options.stdout ?? stdout, isTTY("stdout")),
    stderr: Object.assign(stderr, isTTY("stderr")),
    // Openings are logged in the test environment's data folder, not in that of the person running
    // the tests.
    env: { P11SEAL_HOME: process.env["P11SEAL_HOME"], ...options.env },
    terminal: () =>
      Promise.resolve(
        options.answers === undefined
          ? undefined
          : {
              ask: (prompt, { silent }) => {
                asked.push({ prompt, silent });
                return Promise.resolve(answers.shift() ?? "");
              },
              close: () => undefined,
            },
      ),
  };
  const status = await main(argv, io, ALL_COMMANDS);
  return { status, stdout: stdout.bytes, stderr: stderr.bytes.toString("utf8"), asked };
}

class Collector extends Writable {
  readonly #chunks: Buffer[] = [];

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }
}

/** The code of the error that a command with `--json` ended with. */
export function errorCode({ stderr }: Pick<Outcome, "stderr">): string {
  const line = stderr.split("\n").findLast((one) => one.startsWith("{")) ?? "{}";
  const { error } = JSON.parse(line) as { error?: { code: string } };
  return error?.code ?? `no error, but: ${JSON.stringify(stderr)}`;
}
