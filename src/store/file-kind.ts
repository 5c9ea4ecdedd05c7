/** What lies at a path, in the words of messages. */
import type { BigIntStats, Dirent, Stats } from "node:fs";

export type FileKind =
  "file" | "folder" | "symbolic link" | "FIFO" | "socket" | "character device" | "block device";

/** From what `lstat` says, or the entry of a folder; undefined if that doesn't tell. */
export function kindOf(seen: Stats | BigIntStats | Dirent<Buffer>): FileKind | undefined {
  if (seen.isFile()) return "file";
  if (seen.isDirectory()) return "folder";
  if (seen.isSymbolicLink()) return "symbolic link";
  if (seen.isFIFO()) return "FIFO";
  if (seen.isSocket()) return "socket";
  if (seen.isCharacterDevice()) return "character device";
  return seen.isBlockDevice() ? "block device" : undefined;
}
