#!/usr/bin/env node
/**
 * Where the process starts: what comes before the program is loaded. `--version` needs none of it,
 * and the rest starts sooner when Node may keep its compiled code.
 */
import { writeSync } from "node:fs";
import { useCodeCache } from "../store/code-cache.js";
import { version } from "./version.js";

async function start(): Promise<void> {
  const [first, ...others] = process.argv.slice(2);
  if (first === "--version" && others.length === 0 && printed(`${version()}\n`)) return;
  const codeFolder = first === "--version" ? undefined : useCodeCache(process.env);
  const isAboutMessages = /^(?:seal|open|inspect|rewrap|reseal|doctor)$/.test(first ?? "");
  const { run } = await (isAboutMessages ? import("./run-messages.js") : import("./run-all.js"));
  await run(codeFolder);
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
