/** Where the program of the token's process lies. Tests of the sources put the built one in its place. */
import { fileURLToPath } from "node:url";

export const CHILD_PROGRAM = fileURLToPath(new URL("./child.js", import.meta.url));
