/**
 * The token's process as the command line starts it: with the code that was compiled for it before
 * (`cli/code-cache.ts`), and then `child.ts`. Messages wait until it listens.
 */
import nodeModule from "node:module";

interface SinceNode22 {
  readonly enableCompileCache?: () => unknown;
  readonly flushCompileCache?: () => void;
}

async function start(): Promise<void> {
  const { enableCompileCache, flushCompileCache } = nodeModule as SinceNode22;
  // Its own, whatever the user's was: see `environment.ts`. Node does by itself what it can.
  const folder = process.env["NODE_COMPILE_CACHE"];
  if (folder !== undefined && enableCompileCache === undefined) {
    const { keepCompiled, leaveCompiled } = await import("../../compiled-code.js");
    keepCompiled(folder);
    process.once("disconnect", leaveCompiled);
  } else if (folder !== undefined) {
    process.once("disconnect", () => flushCompileCache?.());
  }
  await import("./child.js");
}

void start();
