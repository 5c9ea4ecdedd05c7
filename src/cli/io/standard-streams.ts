/**
 * Whether stdin and stdout are fit for use. A program may be started without them (`>&-`), or with
 * a folder or a read-only file in their place. Node opens /dev/null where it finds none, for
 * reading and writing, and then takes everything that is written to it.
 */
import { fstatSync, readFileSync, statSync } from "node:fs";
import type { FileError } from "../../errors.js";
import { fileError } from "../../store/system-error.js";

/** What stands where a stream should be, if that is of no use. */
type Fault = "closed" | "not open for this";

/**
 * Why nothing can be written to stdout. `use`: content must arrive; text may be thrown away, as by
 * programs that start others with /dev/null for their output.
 */
export function stdoutFault(
  descriptor: number | undefined,
  use: "content" | "text",
): FileError | undefined {
  const fault = descriptor === undefined ? undefined : faultOf(descriptor, ACCESS.readOnly);
  if (fault === undefined || (fault === "closed" && use === "text")) return undefined;
  const hint =
    fault === "closed"
      ? "it was closed, or is /dev/null opened for reading too; to discard output: -o /dev/null"
      : undefined;
  return fileError("ERR_WRITE", "stdout", { code: "EBADF" }, hint);
}

/** Why nothing can be read from stdin. */
export function stdinFault(descriptor: number | undefined): FileError | undefined {
  const fault = descriptor === undefined ? undefined : faultOf(descriptor, ACCESS.writeOnly);
  if (fault === undefined) return undefined;
  const hint =
    fault === "closed"
      ? "it was closed, or is /dev/null opened for writing too; for empty input: < /dev/null"
      : undefined;
  return fileError("ERR_READ", "stdin", { code: "EBADF" }, hint);
}

/** Whether results and messages go to the same place: a terminal, or a job's log. */
export function stdoutIsStderr(stdout: number | undefined): boolean {
  if (stdout === undefined) return false;
  try {
    const [results, messages] = [fstatSync(stdout), fstatSync(2)];
    return results.dev === messages.dev && results.ino === messages.ino;
  } catch {
    return false;
  }
}

/** open(2): the lowest two bits of a descriptor's flags. */
const ACCESS = { mask: 3, readOnly: 0, writeOnly: 1, both: 2 } as const;

function faultOf(descriptor: number, useless: number): Fault | undefined {
  try {
    const stats = fstatSync(descriptor);
    if (stats.isDirectory()) return "not open for this";
    const access = accessOf(descriptor);
    if (access === useless) return "not open for this";
    const isNull = stats.isCharacterDevice() && stats.rdev === statSync("/dev/null").rdev;
    return isNull && access === ACCESS.both ? "closed" : undefined;
  } catch {
    return "not open for this";
  }
}

/** Only Linux tells; elsewhere the first read or write does. */
function accessOf(descriptor: number): number | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8");
    const flags = /^flags:\s*([0-7]+)$/m.exec(info)?.[1];
    return flags === undefined ? undefined : parseInt(flags, 8) & ACCESS.mask;
  } catch {
    return undefined; // No /proc here.
  }
}
