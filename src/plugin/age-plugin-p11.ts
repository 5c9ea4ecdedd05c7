#!/usr/bin/env node
/**
 * `age-plugin-p11`: age starts it with `--age-plugin=identity-v1` or `recipient-v1`, and talks to
 * it over stdin and stdout (c2sp.org/age-plugin). It loads modules into this process, so that a run
 * costs one start of Node and no more.
 */
import { writeSync } from "node:fs";
import { P11SealError } from "../errors.js";
import { printable } from "../printable.js";
import { useCodeCache } from "../store/code-cache.js";
import type { Machine } from "./run-plugin.js";

/** Exit statuses. age takes any but 0 for a failure of the plugin. */
const EXIT = { done: 0, failed: 1, usage: 2 } as const;

async function main([option = "", ...others]: readonly string[]): Promise<number> {
  const machine = /^--age-plugin=(identity-v1|recipient-v1)$/.exec(option)?.[1];
  if (machine === undefined || others.length > 0) {
    const isStarted = option.startsWith("--age-plugin=");
    tell(isStarted ? `${option.slice(13)} is not supported` : USAGE);
    return EXIT.usage;
  }
  useCodeCache(process.env);
  const { run } = await import("./run-plugin.js");
  await run(machine as Machine);
  return EXIT.done;
}

const USAGE =
  "age runs this program to open and seal files with keys on PKCS#11 tokens;\n" +
  "make an identity for age with: p11seal keys export --format age-identity";

function tell(text: string): void {
  for (const line of text.split("\n")) write(`age-plugin-p11: ${printable(line)}`);
}

/** Where stderr is closed, nobody wants to know. */
function write(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // Nor can anybody be told.
  }
}

function failed(error: unknown): number {
  // Whatever another error says may come from anywhere.
  const text = error instanceof P11SealError ? error.message : `unexpected: ${nameOf(error)}`;
  tell(text);
  if (process.env["P11SEAL_DEBUG"] === "1" && error instanceof Error) write(`${error.stack}`);
  return EXIT.failed;
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return "an error";
  const { code = "" } = error as NodeJS.ErrnoException;
  return `${error.name} ${code}`.trimEnd();
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error: unknown) => process.exit(failed(error)),
);
