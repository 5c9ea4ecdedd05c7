/** The library that lets calls which change files fail, or be the last (`file-faults.c`). */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("file-faults.c", import.meta.url));

/** Why tests that need it are skipped. */
export const NO_SHIM = "needs Linux and a C compiler";

/** Builds it in that folder; undefined where that can't be. For `LD_PRELOAD`. */
export function faultShim(folder: string): string | undefined {
  const shim = join(folder, "file-faults.so");
  const built = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-o", shim, SOURCE, "-ldl"]);
  return process.platform === "linux" && built.status === 0 ? shim : undefined;
}
