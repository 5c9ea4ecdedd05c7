/** Runs a script of this folder in plain Node and returns what it printed as JSON. */
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

export interface ChildResult {
  /** `null` if a signal ended it. */
  readonly status: number | null;
  readonly signal: string | null;
  readonly stderr: string;
  readonly output: unknown;
}

/** `env` replaces the environment, except for what Node itself needs. */
export function runInPlainNode(
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): ChildResult {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", join(here, "typescript.mjs"), join(here, script), ...args],
    { env: { PATH: process.env["PATH"], ...env }, encoding: "utf8", timeout: 60_000 },
  );
  return { status, signal, stderr, output: stdout === "" ? undefined : JSON.parse(stdout) };
}
