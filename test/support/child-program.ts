/**
 * The program that tests of the sources run as the token's process: the built one, which Node can
 * start.
 */
import { fileURLToPath } from "node:url";

export const CHILD_PROGRAM = fileURLToPath(
  new URL("../../dist/token/process/child.js", import.meta.url),
);

export function childProgram(): string {
  return CHILD_PROGRAM;
}
