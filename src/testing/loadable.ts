/**
 * Whether a library can be loaded from a folder: not from file systems that are mounted noexec, as
 * /tmp is on some machines. The loader would only say "failed to map segment".
 */
import { readFileSync, realpathSync } from "node:fs";
import { unavailable } from "./unavailable.js";

/**
 * @param variable - names another folder instead
 * @throws UnsupportedError `ERR_TEST_TOKEN_UNAVAILABLE` for a folder on such a file system
 */
export function requireLoadable(folder: string, variable: string): void {
  let mounts: string;
  try {
    mounts = readFileSync("/proc/self/mountinfo", "utf8");
  } catch {
    // Another system than Linux.
    return;
  }
  if (!isNoexec(realpathSync(folder), mounts)) return;
  throw unavailable(
    `no library can be loaded from "${folder}", whose file system is mounted noexec`,
    `name another folder in ${variable}`,
  );
}

/**
 * Whether the file system that an absolute path is on is mounted noexec.
 *
 * @param mounts - as in /proc/self/mountinfo (proc(5)): the fifth field is where, the sixth how
 */
export function isNoexec(path: string, mounts: string): boolean {
  let found = { at: "", options: "" };
  for (const line of mounts.split("\n")) {
    const [, , , , where = "", options = ""] = line.split(" ");
    const at = where.replace(/\\([0-7]{3})/g, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 8)),
    );
    const isAbove = at !== "" && `${path}/`.startsWith(at === "/" ? at : `${at}/`);
    // Of two at the same place, the later one hides the other.
    if (isAbove && at.length >= found.at.length) found = { at, options };
  }
  return found.options.split(",").includes("noexec");
}
