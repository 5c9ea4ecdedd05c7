/**
 * Text and paths that are taken as they are, or refused. Node puts U+FFFD for what is not UTF-8: a
 * name of such bytes would become another name.
 */
import { Buffer, isUtf8 } from "node:buffer";
import { readlinkSync } from "node:fs";
import { isAbsolute } from "node:path";
import { UsageError } from "../errors.js";

/**
 * The text of a file.
 *
 * @param refused - makes the error for the first line, counted from 1, that is not UTF-8.
 */
export function exactText(bytes: Uint8Array, refused: (line: number) => Error): string {
  if (isUtf8(bytes)) return new TextDecoder().decode(bytes);
  const lines = Buffer.from(bytes).toString("latin1").split("\n");
  throw refused(1 + lines.findIndex((line) => !isUtf8(Buffer.from(line, "latin1"))));
}

/**
 * For paths that are kept to be used from other folders: one relative to a working folder whose
 * name Node can't give would be kept as another file's.
 *
 * @throws UsageError `ERR_NOT_UTF8`
 */
export function requireExactFolder(path: string): void {
  if (isAbsolute(path) || !process.cwd().includes("\u{fffd}")) return;
  try {
    if (isUtf8(readlinkSync("/proc/self/cwd", { encoding: "buffer" }))) return;
  } catch {
    // Elsewhere than on Linux nothing tells such a name from one that has a U+FFFD.
  }
  throw new UsageError("ERR_NOT_UTF8", "the name of the working folder is not UTF-8", {
    hint: "give absolute paths, or work in a folder whose path is UTF-8",
  });
}
