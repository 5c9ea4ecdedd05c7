/**
 * Where the token's process starts, when it is the command line's (`token/process/child.ts` is its
 * program): sooner, with compiled code that an earlier run has kept.
 */
import { join } from "node:path";
import { loadProgram } from "../store/code-cache.js";
import type { FromClient } from "../token/process/wire.js";

const file = join(import.meta.dirname, "run-child.js");
const { keep } = loadProgram(require, file, "token", process.env);

// The last request: the work is done. Afterwards there is no time, as the parent kills this process
// when it ends itself.
process.on("message", (message: FromClient) => {
  if (message.kind === "request" && message.method === "close") keep();
});
