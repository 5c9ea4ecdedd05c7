#!/usr/bin/env node
/**
 * `age-plugin-p11`: age starts it with `--age-plugin=identity-v1` or `recipient-v1`, and talks to
 * it over stdin and stdout (c2sp.org/age-plugin). This is what comes before the program is loaded,
 * which is quicker with compiled code that an earlier run has kept.
 */
import { join } from "node:path";
import type * as Program from "./run-plugin.js";
import { tell } from "./plugin-stderr.js";

async function main([option = "", ...others]: readonly string[]): Promise<number> {
  const machine = /^--age-plugin=(?:identity|recipient)-v1$/.test(option) ? option.slice(13) : "";
  if (machine === "" || others.length > 0) {
    tell(option.startsWith("--age-plugin=") ? `${option} is not supported` : USAGE);
    return 2;
  }
  const file = join(import.meta.dirname, "run-plugin.js");
  const { loadProgram } = await import("../store/code-cache.js");
  const purpose = machine.startsWith("identity") ? "age-identity" : "age-recipient";
  const { program, keep } = loadProgram(require, file, purpose, process.env);
  return (program as typeof Program).run(machine as Program.Machine, keep);
}

const USAGE =
  "age runs this program to open and seal files with keys on PKCS#11 tokens; " +
  "make an identity for age with: p11seal keys export --format age-identity";

void main(process.argv.slice(2)).then((status) => process.exit(status));
