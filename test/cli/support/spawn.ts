/** Runs the built program, dist/cli/main.js, as its users do. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const PROGRAM = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

export interface Ended {
  /** Null if a signal ended it. */
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface SpawnOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** All of stdin, empty by default, or a file; null leaves it open, for the test to write to. */
  readonly stdin?: Uint8Array | string | { readonly fd: number } | null;
  readonly stdout?: { readonly fd: number };
  /** Options of Node's own. */
  readonly node?: readonly string[];
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

export function start(argv: readonly string[], options: SpawnOptions = {}): Running {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing; npm run build makes it`);
  return startProgram(process.execPath, [...(options.node ?? []), PROGRAM, ...argv], options);
}

export function p11seal(argv: readonly string[], options: SpawnOptions = {}): Promise<Ended> {
  return start(argv, options).ended;
}

/** Runs any program, in the same way. */
export function startProgram(
  program: string,
  argv: readonly string[],
  options: SpawnOptions = {},
): Running {
  const { stdin = "", stdout } = options;
  const given = isFile(stdin) ? stdin.fd : "pipe";
  const child = spawn(program, argv, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: [given, stdout?.fd ?? "pipe", "pipe"],
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => err.push(chunk));
  // The program may end before it has read everything.
  child.stdin?.on("error", () => undefined);
  if (stdin !== null && !isFile(stdin)) child.stdin?.end(stdin);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => {
      const stdoutBytes = Buffer.concat(out);
      resolve({ status, signal, stdout: stdoutBytes, stderr: Buffer.concat(err).toString("utf8") });
    });
  });
  return { child, ended };
}

function isFile(stdin: NonNullable<SpawnOptions["stdin"]> | null): stdin is { fd: number } {
  return typeof stdin === "object" && stdin !== null && "fd" in stdin;
}

/** Waits until `condition` holds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 45_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The size of a file in bytes; 0 while it is missing. */
export function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}
