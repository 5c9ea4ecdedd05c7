#!/usr/bin/env node
/**
 * Where the process starts: what comes before the program is loaded. `--version` needs none of it,
 * and the rest starts sooner with compiled code that an earlier run has kept.
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import type * as Program from "./run-all.js";
import { version } from "./version.js";

async function start(): Promise<void> {
  const [first = "", ...others] = process.argv.slice(2);
  if (first === "--version" && others.length === 0 && printed(`${version()}\n`)) return;
  const isAboutMessages = /^(?:seal|open|inspect|rewrap|reseal|doctor)$/.test(first);
  // Only the larger one has names that a stack is readable with.
  const wantsStack = process.env["P11SEAL_DEBUG"] === "1";
  const bundle = isAboutMessages && !wantsStack ? "run-messages.js" : "run-all.js";
  const file = join(import.meta.dirname, bundle);
  const purpose = /^[a-z][a-z-]{0,30}$/.test(first) ? first : "other";
  const { loadProgram } = await import("../store/code-cache.js");
  const { program, keep } = loadProgram(file, purpose, process.env);
  await (program as typeof Program).run();
  // When all is done, and nobody waits for more output. A run that failed may have done little.
  process.once("exit", (status) => {
    if (status === 0) keep();
  });
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
