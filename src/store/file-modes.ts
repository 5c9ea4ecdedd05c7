/**
 * File systems without permissions, where `chmod` changes nothing: FAT and NTFS, Windows drives
 * under WSL, some shares and FUSE mounts. There each file shows the mode that the mount has.
 */
import { statfsSync } from "node:fs";

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
