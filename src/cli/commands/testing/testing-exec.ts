/**
 * `p11seal testing exec`: a command with a throw-away token. The token goes when the command has
 * ended, so signals are passed on and its end is waited for.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:os";
import {
  FileError,
  P11SealError,
  TokenError,
  UnsupportedError,
  UsageError,
} from "../../../errors.js";
import { errno } from "../../../store/system-error.js";
import { onInterrupt, takeSignals } from "../../../terminal/interrupts.js";
import { defined } from "../../../defined.js";
import type { TestTokenOptions } from "../../../testing/index.js";
import type { Arguments } from "../../arguments/arguments.js";
import type { Context } from "../../command.js";

export async function testingExecCommand(args: Arguments, context: Context): Promise<number> {
  const { io, report } = context;
  const [command = "", ...words] = args.operands;
  const options = tokenOptions(args);
  const { testToken } = await import("../../../testing/index.js");
  const token = await testToken(options).catch((error: unknown) => {
    throw ofThisProgram(error);
  });
  // Also where a signal ends this process before the command has started.
  const forget = onInterrupt(() => void token.close());
  try {
    report.trace(`token ${token.uri} through ${token.module}`);
    const env = { ...io.env, ...token.env };
    return await ended(spawn(command, words, { env, stdio: "inherit" }));
  } catch (error) {
    const code = errno(error);
    if (code === undefined) throw error;
    report.failure(notStarted(command, error));
    return code === "ENOENT" ? NOT_FOUND : NOT_STARTED;
  } finally {
    await token.close();
    forget();
  }
}

/** As shells have it. */
const NOT_FOUND = 127;
const NOT_STARTED = 126;
const SIGNALLED = 128;

function tokenOptions(args: Arguments): TestTokenOptions {
  const keys = args.texts("key").map((text) => {
    const [, name, type] = /^(.+)=([^=]+)$/.exec(text) ?? [];
    if (name !== undefined && type !== undefined) return [name, type] as const;
    throw new UsageError("ERR_USAGE", `--key takes NAME=TYPE, not "${text}"`, {
      hint: "as in --key exchange=rsa:2048",
    });
  });
  const twice = keys.find(([name], i) => keys.findIndex(([other]) => other === name) !== i);
  if (twice !== undefined) {
    throw new UsageError("ERR_USAGE", `two keys are named "${twice[0]}"`);
  }
  return {
    label: args.required("label"),
    // testToken refuses what is no kind of key, or no profile.
    keys: Object.fromEntries(keys) as NonNullable<TestTokenOptions["keys"]>,
    certificate: args.texts("certificate"),
    profile: args.required("profile") as NonNullable<TestTokenOptions["profile"]>,
  };
}

/**
 * The same error, of this program's own class: what the program doesn't contain has classes of its
 * own.
 */
function ofThisProgram(error: unknown): unknown {
  const { name, code, message, hint } = error as Partial<P11SealError>;
  const Kind = [UsageError, TokenError, FileError, UnsupportedError].find(
    (kind) => kind.name === name,
  );
  if (Kind === undefined || code === undefined || message === undefined) return error;
  return new Kind(code, message, { ...defined({ hint }), cause: error });
}

/** The exit status of a command, once it has ended. Rejects if it could not be started. */
async function ended(child: ChildProcess): Promise<number> {
  // A terminal sends what is typed there to the command as well.
  const atTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  const release = takeSignals((signal) => {
    if (signal !== "SIGINT" || !atTerminal) child.kill(signal);
  });
  try {
    return await new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", (status, signal) => {
        resolve(signal === null ? (status ?? 0) : SIGNALLED + constants.signals[signal]);
      });
    });
  } finally {
    release();
  }
}

function notStarted(command: string, cause: unknown): FileError {
  const fact = errno(cause) === "ENOENT" ? "was not found" : "could not be started";
  return new FileError("ERR_TEST_COMMAND", `the command "${command}" ${fact}`, {
    ...{ cause, hint: "the words after -- are the command; no shell reads them" },
  });
}
