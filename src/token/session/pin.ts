/**
 * PINs from elsewhere than the keyboard: from the command line's `--pin-source` or a URI's
 * `pin-source` (RFC 7512 §2.4).
 *
 * A source is read only when a token asks for a PIN. The result is kept for the run, because a pipe
 * can be read only once. Nothing here touches a module, and no message contains a PIN.
 */
import { type ReadStream, type Stats, constants, createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { TokenError, UsageError } from "../../errors.js";
import { modeHint } from "../../store/file-modes.js";
import { reason } from "../../store/system-error.js";
import { pinQuestions, pinWarning } from "./pin-question.js";
import { pinSource, withoutPins } from "./pin-variables.js";
import type { PinProvider, PinRequest } from "../values.js";
import type { Pkcs11Uri } from "../uri.js";

type Environment = Record<string, string | undefined>;

/** The longest PIN read from any source, with its newline, in bytes. */
const MAX_PIN_BYTES = 1024;

/**
 * The PIN source of a `--pin-source` argument:
 *
 * - `env:NAME`, an environment variable. It is deleted once read and never passed to a child
 *   process.
 * - `file:PATH`, a file; refused when other users may read or write it.
 * - `fd:N`, an open file descriptor, read to its end.
 * - `cmd:COMMAND`, what a shell command prints. It finds `P11SEAL_PIN_KIND` (`user` or `so`),
 *   `P11SEAL_TOKEN_LABEL` and `P11SEAL_TOKEN_SERIAL` in its environment, and an empty stdin.
 * - `pinentry`, or `pinentry:PROGRAM` with a name in PATH or an absolute path: a person, through a
 *   pinentry program.
 *
 * One trailing newline is removed. The provider rejects with TokenError `ERR_PIN_SOURCE_FAILED`,
 * `ERR_PIN_FILE_MODE`, `ERR_PIN_EMPTY`, `ERR_PIN_FORMAT`, or `ERR_PIN_MISSING` if the person did
 * not answer in time; with Cancelled if the person refused.
 *
 * @param stderr - where a command's error messages go: a descriptor, or this process's own stderr.
 * @throws UsageError `ERR_PIN_SOURCE` when `spec` is none of these. The message does not repeat
 *   `spec`, which may be a PIN given by mistake.
 */
export function pinFromSource(
  spec: string,
  env: Record<string, string | undefined> = process.env,
  stderr: "inherit" | number = "inherit",
): PinProvider {
  const source = pinSource(spec);
  if (source === undefined) {
    throw new UsageError("ERR_PIN_SOURCE", "the PIN source is not understood", {
      hint: "write env:VARIABLE, file:PATH, fd:NUMBER, cmd:COMMAND or pinentry",
    });
  }
  const { kind, rest } = source;
  switch (kind) {
    case "env":
      return once(() => Promise.resolve(fromVariable(rest, env)));
    case "file":
      return once(() => fromFile(rest));
    case "fd":
      return once(() => fromDescriptor(Number(rest)));
    case "cmd":
      return perRequest((request) => fromCommand(rest, [], { shell: true, stderr }, request, env));
    case "pinentry":
      return perRequest((request) => fromPinentry(rest, { stderr }, request, env));
  }
}

/**
 * The PIN source a URI names, if it names one: `file:` with a path, an absolute path, or, where
 * `commands` allows it, `|` with a program's absolute path and arguments separated by blanks. Such
 * a program is run without a shell. Commands are off by default, because URIs are also read from
 * files, and nobody expects a file of identities to run a program.
 *
 * @throws UsageError `ERR_PIN_SOURCE`.
 */
export function pinFromUri(
  uri: Pkcs11Uri,
  options: { commands?: boolean; env?: Record<string, string | undefined> } = {},
): PinProvider | undefined {
  const source = uri.pinSource;
  if (source === undefined) return undefined;
  if (source.startsWith("|")) {
    if (options.commands !== true) throw commandInUri();
    const [program = "", ...args] = source.slice(1).trim().split(/ +/);
    if (!isAbsolute(program))
      throw badUriSource("the URI's pin-source command has no absolute path");
    return perRequest((request) =>
      fromCommand(
        program,
        args,
        { shell: false, stderr: "inherit" },
        request,
        options.env ?? process.env,
      ),
    );
  }
  const path = pinPathOfUri(source);
  return once(() => fromFile(path));
}

/** The file that a URI's `pin-source` names. @throws UsageError `ERR_PIN_SOURCE` */
export function pinPathOfUri(source: string): string {
  if (source.startsWith("|")) throw commandInUri();
  const path = source.startsWith("file:") ? pathOfFileUri(source) : source;
  if (!isAbsolute(path)) throw badUriSource("the URI's pin-source is not an absolute path");
  return path;
}

/**
 * The PIN in `bytes`: UTF-8, one line; one trailing newline is removed.
 *
 * @throws TokenError `ERR_PIN_EMPTY`, `ERR_PIN_FORMAT`.
 */
export function pinFromBytes(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new TokenError("ERR_PIN_FORMAT", "the PIN is not UTF-8");
  }
  return checkPin(text.replace(/\r?\n$/, ""));
}

/** Refuses what cannot be a PIN, whatever its source. Throws as `pinFromBytes`. */
export function checkPin(pin: string): string {
  if (pin === "") throw new TokenError("ERR_PIN_EMPTY", "the PIN is empty");
  if (/[\0\r\n]/.test(pin)) {
    throw new TokenError("ERR_PIN_FORMAT", "the PIN has more than one line", {
      hint: "a PIN file holds the PIN and at most one newline",
    });
  }
  return pin;
}

/** Windows has no O_NOCTTY. */
const NO_TERMINAL = constants.O_RDONLY | ((constants as { O_NOCTTY?: number }).O_NOCTTY ?? 0);

function once(read: () => Promise<string>): PinProvider {
  let pin: Promise<string> | undefined;
  return () => (pin ??= read());
}

/** A command is told which token asks, so each token gets an answer of its own. */
function perRequest(read: (request: PinRequest) => Promise<string>): PinProvider {
  const pins = new Map<string, Promise<string>>();
  return (request) => {
    const { label, serial } = request.token;
    const key = JSON.stringify([request.kind, label, serial]);
    const pin = pins.get(key) ?? read(request);
    pins.set(key, pin);
    return pin;
  };
}

function fromVariable(name: string, env: Environment): string {
  const values = taken.get(env) ?? new Map<string, string>();
  taken.set(env, values);
  const value = env[name] ?? values.get(name);
  if (value === undefined) {
    throw new TokenError("ERR_PIN_SOURCE_FAILED", `environment variable ${name} is not set`, {
      hint: "the PIN source names a variable; export it for this command only",
    });
  }
  values.set(name, value);
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- nothing else unsets it
  delete env[name];
  return checkPin(value.replace(/\r?\n$/, ""));
}

/** PINs taken out of environments, for a second source that names the same variable. */
const taken = new WeakMap<Environment, Map<string, string>>();

async function fromFile(path: string): Promise<string> {
  let file: FileHandle;
  try {
    // O_NOCTTY: a terminal opened by mistake must not become ours. A FIFO blocks until written to.
    file = await open(path, NO_TERMINAL);
  } catch (cause) {
    throw sourceFailed(`PIN file "${path}" cannot be read`, cause);
  }
  try {
    requirePinFile(path, await file.stat());
    return await readPin(file.createReadStream({ autoClose: false }), `PIN file "${path}"`);
  } finally {
    await file.close();
  }
}

/** @throws TokenError `ERR_PIN_SOURCE_FAILED`: it is a folder; `ERR_PIN_FILE_MODE` */
export function requirePinFile(path: string, { mode, uid }: Pick<Stats, "mode" | "uid">): void {
  // First, since nobody should follow a hint to take the others' access to a folder, as /tmp.
  if ((mode & constants.S_IFMT) === constants.S_IFDIR) {
    throw new TokenError("ERR_PIN_SOURCE_FAILED", `PIN file "${path}" is a folder`, {
      hint: "name a file in it: file:PATH",
    });
  }
  if (process.platform !== "win32" && (mode & refusedBits(uid)) !== 0) {
    throw new TokenError("ERR_PIN_FILE_MODE", `PIN file "${path}" is open to other users`, {
      hint: modeHint(
        path,
        `take their access away with: chmod 600 ${path}`,
        "keep the PIN on another file system, or use cmd:COMMAND",
      ),
    });
  }
}

/**
 * As ssh has it for private keys, nobody else may read or write a file of this user's. One that
 * root made for a group, as a container gets a secret with mode 0440, that group may read.
 */
function refusedBits(uid: number): number {
  return uid === 0 && process.getuid?.() !== 0 ? 0o026 : 0o066;
}

function fromDescriptor(fd: number): Promise<string> {
  const what = `file descriptor ${fd}`;
  return readPin(createReadStream("", { fd, autoClose: false }), what);
}

async function readPin(stream: ReadStream, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_PIN_BYTES) break;
    }
  } catch (cause) {
    throw sourceFailed(`${what} cannot be read`, cause);
  }
  return takePin(chunks, what);
}

async function fromCommand(
  program: string,
  args: readonly string[],
  { shell, stderr }: { shell: boolean; stderr: "inherit" | number },
  request: PinRequest,
  env: Environment,
): Promise<string> {
  // Loaded on demand: every command loads this file, but few run a PIN command.
  const { spawn } = await import("node:child_process");
  const child = spawn(program, args, {
    shell,
    // Its stdin is empty, because ours may be the message.
    stdio: ["ignore", "pipe", stderr],
    env: {
      ...withoutPins(env),
      P11SEAL_PIN_KIND: request.kind,
      P11SEAL_TOKEN_LABEL: request.token.label,
      P11SEAL_TOKEN_SERIAL: request.token.serial,
    },
  });
  const chunks: Buffer[] = [];
  let length = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    length += chunk.length;
    // Closing the pipe also ends what a shell left running.
    if (length > MAX_PIN_BYTES) child.stdout?.destroy();
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on("error", (cause) => {
      reject(sourceFailed("the PIN command cannot be run", cause));
    });
    child.on("close", resolve);
  });
  if (status !== 0 && length <= MAX_PIN_BYTES) {
    const how = status === null ? "was killed" : `ended with status ${status}`;
    throw sourceFailed(`the PIN command ${how}`);
  }
  return takePin(chunks, "the PIN command");
}

async function fromPinentry(
  program: string,
  { stderr }: { stderr: "inherit" | number },
  request: PinRequest,
  env: Environment,
): Promise<string> {
  const { askPin } = await import("../../terminal/person.js");
  const options = { about: pinWarning(request), env: withoutPins(env), stderr };
  return checkPin(await askPin({ pinentry: program }, pinQuestions(request), options));
}

/** Extracts the PIN from what was read, then overwrites the bytes. */
function takePin(chunks: readonly Buffer[], what: string): string {
  const bytes = Buffer.concat(chunks);
  try {
    if (bytes.length > MAX_PIN_BYTES) {
      throw new TokenError("ERR_PIN_FORMAT", `${what} gave more than ${MAX_PIN_BYTES} bytes`);
    }
    return pinFromBytes(bytes);
  } finally {
    bytes.fill(0);
    for (const chunk of chunks) chunk.fill(0);
  }
}

function pathOfFileUri(source: string): string {
  // RFC 7512's own example is file:/etc/token_pin, with one slash.
  try {
    return fileURLToPath(new URL(source));
  } catch {
    throw badUriSource("the URI's pin-source is not a file URI of this machine");
  }
}

function commandInUri(): UsageError {
  return new UsageError("ERR_PIN_SOURCE", "the URI's pin-source would run a command", {
    hint: "give the command on the command line, with --pin-source cmd:COMMAND",
  });
}

function badUriSource(message: string): UsageError {
  return new UsageError("ERR_PIN_SOURCE", message, {
    hint: "write pin-source=file:/absolute/path, or use --pin-source",
  });
}

/** The system's error in words of its own, since its message might repeat a secret. */
function sourceFailed(message: string, cause?: unknown): TokenError {
  return new TokenError(
    "ERR_PIN_SOURCE_FAILED",
    cause === undefined ? message : `${message}: ${reason(cause)}`,
    { hint: "no other source was tried, and no PIN was sent to the token" },
  );
}
