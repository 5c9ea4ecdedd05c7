/** Path of the token process's program. Tests of the sources substitute the built one. */
import { fileURLToPath } from "node:url";

export function childProgram(): string {
  return fileURLToPath(new URL("./child.js", import.meta.url));
}
