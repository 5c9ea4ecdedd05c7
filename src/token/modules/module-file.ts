/**
 * Checks a module's file before it is loaded. Loading runs the library's code in this process, so a
 * file that another user could have placed or changed is refused. A file that is not a shared
 * library gets an error of its own, because the loader's messages are hard to read.
 */
import { type Stats, closeSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { isAbsolute } from "node:path";
import { TokenError } from "../../errors.js";
import { isForeign, openFolderAbove } from "../../store/file-modes.js";

/**
 * Checks the file at `path` and returns its real path, which identifies the module.
 *
 * @param isNamed - the user named it. A module found by discovery must be in a system folder.
 * @throws TokenError `ERR_MODULE_PATH` (not absolute), `ERR_MODULE_NOT_FOUND`, `ERR_MODULE_UNSAFE`
 *   (others may change it, or it was discovered outside the system folders) or `ERR_MODULE_LOAD`
 *   (not a shared library of this system).
 */
export function checkModuleFile(path: string, isNamed = true): string {
  if (!isAbsolute(path)) {
    throw new TokenError("ERR_MODULE_PATH", `module path "${path}" is not absolute`, {
      hint: "a bare name would be looked for in folders that others may write to",
    });
  }
  let real: string;
  let file: Stats;
  try {
    real = realpathSync(path);
    file = statSync(real);
  } catch (error) {
    throw notReadable(path, error);
  }
  if (!file.isFile()) throw notLoadable(path, "is not a regular file");
  if (!isNamed) refuseElsewhere(path, real);
  // The link and the file: whoever can replace either decides what is loaded.
  refuseForeignFile(path, file);
  const replaceable = openFolderAbove(path, real);
  if (replaceable !== undefined) throw unsafe(path, replaceable);
  const fault = libraryFault(firstBytes(path, real));
  if (fault !== undefined) throw notLoadable(path, fault);
  return real;
}

function refuseForeignFile(path: string, file: Stats): void {
  if (!hasModes) return;
  if ((file.mode & 0o002) !== 0) throw unsafe(path, "is writable by every user");
  if ((file.mode & 0o020) !== 0) throw unsafe(path, "is writable by its group");
  if (isForeign(file)) throw unsafe(path, "belongs to another user");
}

/**
 * True when others than root and this user may change a file that names modules. Such a file is not
 * read.
 */
export function isOthers(path: string): boolean {
  if (!hasModes) return false;
  const stats = statSync(path);
  return isForeign(stats) || (stats.mode & 0o022) !== 0;
}

function refuseElsewhere(path: string, real: string): void {
  const folded = process.platform === "win32" ? real.toLowerCase() : real;
  if (SYSTEM_FOLDERS.some((folder) => folded.startsWith(folder))) return;
  throw new TokenError(
    "ERR_MODULE_UNSAFE",
    `module "${path}" is not in a folder of the system, and nobody named it`,
    { hint: "if you trust it, name it with --module or P11SEAL_MODULE" },
  );
}

/** Folders where only administrators install. Each ends with a separator. */
const SYSTEM_FOLDERS: readonly string[] =
  process.platform === "win32"
    ? [
        process.env["SystemRoot"] ?? "C:\\Windows",
        process.env["ProgramFiles"] ?? "C:\\Program Files",
        "C:\\SoftHSM2",
      ].map((folder) => `${folder.toLowerCase()}\\`)
    : [
        ...["/usr/", "/lib/", "/lib32/", "/lib64/", "/opt/", "/nix/store/", "/gnu/store/"],
        ...(process.platform === "darwin" ? ["/Library/", "/System/"] : []),
      ];

/** Windows keeps permissions in access control lists, which Node does not expose. */
const hasModes = process.platform !== "win32";

function firstBytes(path: string, real: string): Buffer {
  try {
    const fd = openSync(real, "r");
    try {
      const bytes = Buffer.alloc(20);
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw notReadable(path, error);
  }
}

/**
 * Why a file that begins with these bytes is not a library for this process; undefined when it may
 * be one.
 */
function libraryFault(bytes: Buffer): string | undefined {
  const magic = bytes.length < 4 ? 0 : bytes.readUInt32BE(0);
  if (process.platform === "win32") {
    return magic >>> 16 === 0x4d5a ? undefined : "is not a Windows library";
  }
  if (process.platform === "darwin") {
    return MACH_O.has(magic) ? undefined : "is not a macOS library";
  }
  const isElf = magic === 0x7f454c46 && bytes.length === 20;
  return isElf ? elfFault(bytes) : "is not a shared library";
}

/** Mach-O in both byte orders and widths, and the universal form. */
const MACH_O = new Set([0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe, 0xcafebabe]);

/** ELF header: class at 4, byte order at 5, type at 16 (3: shared), machine at 18. */
function elfFault(header: Buffer): string | undefined {
  const isLittle = header[5] === 1;
  const read = (at: number): number =>
    isLittle ? header.readUInt16LE(at) : header.readUInt16BE(at);
  if (read(16) !== 3) return "is not a shared library";
  const machine = ELF_MACHINES[process.arch];
  if (machine !== undefined && machine !== read(18)) {
    return `is built for another processor than this Node's (${process.arch})`;
  }
  return undefined;
}

const ELF_MACHINES: Readonly<Partial<Record<string, number>>> = {
  arm: 40,
  arm64: 183,
  ia32: 3,
  loong64: 258,
  ppc64: 21,
  riscv64: 243,
  s390x: 22,
  x64: 62,
};

function unsafe(path: string, why: string): TokenError {
  return new TokenError("ERR_MODULE_UNSAFE", `module "${path}" ${why}`, {
    hint: "a module runs with all your rights; let only root or yourself write to it and its folders",
  });
}

function notLoadable(path: string, why: string): TokenError {
  return new TokenError("ERR_MODULE_LOAD", `module "${path}" ${why}`, {
    hint: "a PKCS#11 module is a shared library that comes with the token's software",
  });
}

function notReadable(path: string, error: unknown): TokenError {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new TokenError("ERR_MODULE_NOT_FOUND", `module "${path}" does not exist`, {
      hint: "`p11seal tokens` lists the modules it finds by itself",
    });
  }
  return new TokenError(
    "ERR_MODULE_LOAD",
    `module "${path}" cannot be read: ${code ?? "unknown"}`,
    {
      hint: "this user needs the right to read it, and to pass through the folders above it",
    },
  );
}
