#!/usr/bin/env node
/**
 * Where the process starts: what comes before the program is loaded. `--version` needs none of it,
 * and the rest starts sooner with compiled code that an earlier run has kept.
 */
import { existsSync, writeSync } from "node:fs";
import { join } from "node:path";
import type * as Program from "./run-all.js";
import { version } from "./version.js";

async function start(): Promise<void> {
  const [first = "", ...others] = process.argv.slice(2);
  if (first === "--version" && others.length === 0 && printed(`${version()}\n`)) return;
  const file = join(import.meta.dirname, bundleFor(first));
  const command = /^[a-z][a-z-]{0,30}$/.test(first) ? first : "other";
  const purpose = purposeOf(command, process.argv);
  const { loadProgram } = await import("../store/code-cache.js");
  const { program, keep } = loadProgram(require, file, purpose, process.env);
  await (program as typeof Program).run();
  // When all is done, and nobody waits for more output. A run that failed may have done little.
  process.once("exit", (status) => {
    if (status === 0) keep();
  });
  // Nothing is left to be waited for. Without this, Node would clear its memory first.
  process.once("beforeExit", () => process.exit());
}

/** The smallest one that has the command; only the largest has names that a stack is read by. */
function bundleFor(command: string): string {
  if (process.env["P11SEAL_DEBUG"] === "1") return "run-all.js";
  if (command === "open" || command === "seal") return `run-${command}.js`;
  return /^(?:inspect|rewrap|reseal|doctor)$/.test(command) ? "run-messages.js" : "run-all.js";
}

/**
 * What code is kept for. Help runs few of a command's functions, and with an agent a command runs
 * others than where it uses tokens itself.
 */
function purposeOf(command: string, argv: readonly string[]): string {
  if (argv.includes("--help") || argv.includes("-h")) return "help";
  return mayHaveAgent(process.env) ? `${command}-agent` : command;
}

function mayHaveAgent(env: NodeJS.ProcessEnv): boolean {
  const { P11SEAL_AGENT_SOCK: named, XDG_RUNTIME_DIR: session } = env;
  try {
    return existsSync(named ?? join(session ?? "", "p11seal", "agent.sock"));
  } catch {
    // Node's permission model does not let this process look.
    return false;
  }
}

/**
 * False where stdout doesn't take it at once: the program knows how to wait, and what to report.
 */
function printed(text: string): boolean {
  try {
    return writeSync(1, text) === text.length;
  } catch {
    return false;
  }
}

void start();
