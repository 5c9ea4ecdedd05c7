/**
 * The program that tests of the sources run as the token's process: a built one, which Node can
 * start.
 */
import { fileURLToPath } from "node:url";

/** The library's. */
export const CHILD_PROGRAM = fileURLToPath(
  new URL("../../dist/token/process/child.js", import.meta.url),
);

let program = CHILD_PROGRAM;

export function childProgram(): string {
  return program;
}

/** From now on, in this test file, the program that the command line has: one file, not sixty. */
export function useBundledChild(): void {
  program = fileURLToPath(new URL("../../dist/cli/child.js", import.meta.url));
}
