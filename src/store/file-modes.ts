/**
 * Who may change a file, by the modes and owners of what leads to it, and where modes mean nothing.
 *
 * There are file systems without permissions, where `chmod` changes nothing: FAT and NTFS, Windows
 * drives under WSL, some shares and FUSE mounts. There each file shows the mode that the mount has.
 */
import { lstatSync, readlinkSync, type Stats, statfsSync, statSync } from "node:fs";
import { dirname, relative, resolve, sep } from "node:path";

/**
 * Why somebody else could put another file or folder in the place of `path`: anyone who may rename
 * entries in a folder above it can. The sticky bit (as on /tmp) takes that right away from
 * everybody but the owner. Undefined if nobody could.
 *
 * @param path - absolute
 * @param real - the same without symbolic links. What leads to each of them is looked at.
 */
export function openFolderAbove(path: string, real: string): string | undefined {
  // Windows keeps permissions in access control lists, which Node does not expose.
  if (process.platform === "win32") return undefined;
  for (const start of new Set([real, ...linksTo(path)])) {
    for (let folder = dirname(start); ; folder = dirname(folder)) {
      const fault = faultOf(folder);
      if (fault !== undefined) return `is in "${folder}", ${fault}`;
      if (folder === dirname(folder)) break;
    }
  }
  return undefined;
}

/** The path, and every symbolic link that is followed on its way. */
function linksTo(path: string): string[] {
  const found = [path];
  let rest = path;
  for (let hops = 0; hops < MAX_HOPS; hops++) {
    const link = firstLinkIn(rest);
    if (link === undefined) return found;
    found.push(link);
    rest = resolve(dirname(link), readlinkSync(link), relative(link, rest));
  }
  return found;
}

/** As Linux limits it (path_resolution(7)). */
const MAX_HOPS = 40;

function firstLinkIn(path: string): string | undefined {
  const parts = path.split(sep);
  const prefixes = parts.map((_, at) => parts.slice(0, at + 1).join(sep)).slice(1);
  return prefixes.find((prefix) => lstatSync(prefix).isSymbolicLink());
}

/**
 * Why somebody else could change what is in a file, or put another in its place; undefined if
 * nobody could.
 *
 * @param path - absolute and real
 * @param stats - of the file that was opened
 */
export function openToOthers(path: string, stats: Stats): string | undefined {
  if (process.platform === "win32") return undefined;
  if (isForeign(stats)) return "belongs to another user";
  const writers = writersOf(stats);
  if (writers !== undefined) return `can be written by ${writers}`;
  return openFolderAbove(path, path);
}

function faultOf(folder: string): string | undefined {
  const stats = lstatSync(folder);
  // A link has no modes of its own, but an owner, who may make it lead elsewhere.
  if (isForeign(stats)) return "another user's folder";
  if (!stats.isDirectory() || (stats.mode & 0o1000) !== 0) return undefined;
  const writers = writersOf(stats);
  return writers && `where ${writers} may replace files`;
}

/** Who may write to it besides its owner and those who are trusted like root. */
function writersOf({ mode, gid }: Stats): string | undefined {
  if ((mode & 0o002) !== 0) return "every user";
  const byGroup = (mode & 0o020) !== 0 && !ADMINISTRATORS.has(gid) && !isPrivateGroup(gid);
  return byGroup ? "its group" : undefined;
}

/**
 * Whether a file or folder belongs to somebody else than root or this user. In a user namespace
 * (rootless containers), what belongs to the host's root shows as the overflow user's; then "/"
 * does too.
 */
export function isForeign({ uid }: Stats): boolean {
  return uid !== 0 && uid !== process.getuid?.() && uid !== statSync("/").uid;
}

/**
 * Groups whose members are trusted like root: root's own, Debian's staff (which owns /usr/local)
 * and macOS's admin (which owns Homebrew's folders).
 */
const ADMINISTRATORS: ReadonlySet<number> = new Set(
  process.platform === "darwin" ? [0, 80] : [0, 50],
);

/**
 * Whether a group is this user's own, with nobody else in it. By convention its number is then the
 * user's; distributions that make such groups may let it write by default (umask 002).
 */
function isPrivateGroup(gid: number): boolean {
  return gid === process.getuid?.() && gid === process.getgid?.();
}

/**
 * What to do about a file's mode.
 *
 * @param chmod - what helps where modes are kept
 * @param elsewhere - what helps where they are not
 */
export function modeHint(path: string, chmod: string, elsewhere: string): string {
  switch (modesAt(path)) {
    case "kept":
      return chmod;
    case "ignored":
      return `its file system has no permissions: ${elsewhere}`;
    case "unknown":
      return `${chmod}; if that changes nothing, its file system has no permissions: ${elsewhere}`;
  }
}

function modesAt(path: string): "kept" | "ignored" | "unknown" {
  try {
    // Linux's numbers, from statfs(2). Other systems number their file systems in other ways.
    if (process.platform !== "linux") return "unknown";
    return TYPES.get(statfsSync(path).type >>> 0) ?? "kept";
  } catch {
    return "unknown";
  }
}

/** Those that ignore modes, and those that may. */
const TYPES: ReadonlyMap<number, "ignored" | "unknown"> = new Map([
  [0x4d44, "ignored"], // FAT
  [0x2011bab0, "ignored"], // exFAT
  [0x7366746e, "ignored"], // NTFS (ntfs3)
  [0x5346544e, "ignored"], // NTFS (the old driver)
  [0x53464846, "ignored"], // WSL 1
  [0x01021997, "unknown"], // 9P: WSL 2, and virtual machines
  [0x65735546, "unknown"], // FUSE: ntfs-3g, sshfs, bindfs, …
  [0xff534d42, "unknown"], // SMB: cifs
  [0xfe534d42, "unknown"], // SMB: smb2
  [0x517b, "unknown"], // SMB: smbfs
  [0x786f4256, "unknown"], // VirtualBox's shared folders
]);
