/**
 * An output file that appears whole or not at all, by way of a temporary file
 * (`store/temporary.ts`). Plaintext goes to one that only its owner may read. Without `--force` it
 * never replaces anything; with it, the replacement is one step, and can be undone while other
 * outputs of the run may still fail. Nothing follows a symbolic link at the target.
 */
import {
  close,
  closeSync,
  fchmodSync,
  fstatSync,
  fsync,
  ftruncate,
  linkSync,
  openSync,
  renameSync,
  unlinkSync,
  write,
  writev,
  writevSync,
  type BigIntStats,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { promisify } from "node:util";
import { after } from "../../bytes.js";
import { FileError } from "../../errors.js";
import type { OutputPaths } from "../../records/ledger/ledger.js";
import { onInterrupt } from "../../terminal/interrupts.js";
import { requireExactFolder } from "../../store/exact.js";
import { removeLeftovers } from "../../store/leftovers.js";
import { CREATE, keptName, ownTemporaryBeside, placeNew } from "../../store/temporary.js";
import { isTurnDue } from "./event-loop.js";
import { AT_ONCE_BYTES } from "./inputs.js";
import type { Output, OutputFile, OutputOptions } from "./output.js";
import { errno, fileError, quoted } from "../../store/system-error.js";

export class FileOutput implements Output {
  readonly name: string;
  readonly forgets = true;
  readonly isWhole = true;
  readonly #existing: BigIntStats | undefined;
  readonly #options: OutputOptions;
  #temporaryName: string | undefined;
  #backup: string | undefined;
  /** The temporary file's descriptor, while it is open. */
  #file: number | undefined;
  #forget: (() => void) | undefined;
  #placed = false;
  /** It was made for its owner alone, and the file system has given it another mode. */
  #isExposed = false;
  #small: Uint8Array[] = [];
  #smallBytes = 0;
  #written = 0;

  /**
   * `existing`: the regular file at `path` now, if there is one.
   *
   * @throws UsageError `ERR_NOT_UTF8` if a durable output's absolute path can't be told
   */
  constructor(path: string, existing: BigIntStats | undefined, options: OutputOptions) {
    if (options.durable === true) requireExactFolder(path);
    this.name = path;
    this.#existing = existing;
    this.#options = options;
  }

  get #temporary(): string {
    return (this.#temporaryName ??= ownTemporaryBeside(this.name));
  }

  ahead(): void {
    removeLeftovers(dirname(this.name));
    this.#temporaryName ??= ownTemporaryBeside(this.name);
  }

  get durable(): boolean {
    return this.#options.durable === true;
  }

  get paths(): OutputPaths {
    return { temporary: resolve(this.#temporary), final: resolve(this.name) };
  }

  /** If `place` fails, the file stays: this run did not make it. */
  adopt(temporary: string): void {
    this.#temporaryName = temporary;
  }

  async write(...parts: readonly Uint8Array[]): Promise<void> {
    const file = this.#opened();
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length < WORTH_A_CALL_BYTES) {
      // Small parts, such as a header, wait for larger ones. They are copied, because callers
      // reuse them.
      this.#small.push(...parts.map((part) => new Uint8Array(part)));
      this.#smallBytes += length;
      if (this.#smallBytes >= WORTH_A_CALL_BYTES) await this.#flush(file);
    } else {
      await this.#flush(file, ...parts);
    }
  }

  async file(): Promise<OutputFile> {
    const fd = this.#opened();
    await this.#flush(fd);
    const offset = this.#written;
    return {
      fd,
      offset,
      write: async (bytes, position) => {
        for (let done = 0; done < bytes.length;) {
          const rest = bytes.length - done;
          const step = promisify(write)(fd, bytes, done, rest, position + done);
          done += (await this.#try(step)).bytesWritten;
        }
      },
      wrote: (bytes) => {
        this.#written += bytes;
      },
      truncate: () => this.#try(promisify(ftruncate)(fd, offset)),
    };
  }

  failure(error: unknown): FileError {
    return this.#failure(error);
  }

  async prepare(): Promise<void> {
    const file = this.#opened();
    await this.#flush(file);
    const kept = this.#trySync(() => {
      const mode = this.#modeToKeep(file);
      if (mode !== undefined) fchmodSync(file, mode);
      return mode;
    });
    this.#isExposed =
      this.#options.mode === "private" && this.#ignored(file, kept ?? MODES.private);
    if (this.#options.inLedger === true) this.#keep();
    // A crash must not leave an empty file where there was a whole one.
    if (this.#existing !== undefined || this.#options.durable === true) {
      await this.#try(promisify(fsync)(file));
    }
    this.#file = undefined;
    // Network file systems may write only when a file is closed.
    if (this.#written > AT_ONCE_BYTES) await this.#try(promisify(close)(file));
    else
      this.#trySync(() => {
        closeSync(file);
      });
  }

  place(options: { readonly reversible: boolean }): void {
    if (this.#existing !== undefined && options.reversible) {
      this.#backup = `${this.#temporary}.old`;
      try {
        linkSync(this.name, this.#backup);
      } catch {
        this.#backup = undefined; // Without hard links, `displace` can't bring it back.
      }
    }
    this.#trySync(() => {
      if (this.#options.force) renameSync(this.#temporary, this.name);
      else placeNew(this.#temporary, this.name);
    });
    this.#placed = true;
    if (this.#isExposed) this.#options.exposed?.(this.name);
  }

  displace(): void {
    const backup = this.#backup;
    if (backup !== undefined) {
      this.#trySync(() => {
        renameSync(backup, this.name);
      });
      this.#backup = undefined;
    } else if (this.#existing === undefined) {
      this.#trySync(() => {
        unlinkSync(this.name);
      });
    }
  }

  close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined)
      attempt(() => {
        closeSync(file);
      });
    if (this.#forget !== undefined && !this.#placed)
      attempt(() => {
        unlinkSync(this.#temporary);
      });
    const backup = this.#backup;
    if (backup !== undefined)
      attempt(() => {
        unlinkSync(backup);
      });
    this.#forget?.();
    this.#forget = undefined;
    return Promise.resolve();
  }

  /** Writes what is waiting, then `bytes`: in one call, unless the system takes less at a time. */
  async #flush(file: number, ...bytes: readonly Uint8Array[]): Promise<void> {
    let rest = [...this.#small.splice(0), ...bytes];
    this.#smallBytes = 0;
    while (rest.length > 0) {
      const bytesWritten = await this.#writeSome(file, rest);
      this.#written += bytesWritten;
      rest = after(rest, bytesWritten);
    }
  }

  /** Asking a thread to write takes longer than writing; but the event loop has its turns. */
  async #writeSome(file: number, parts: readonly Uint8Array[]): Promise<number> {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length <= AT_ONCE_BYTES || !isTurnDue()) {
      return this.#trySync(() => writevSync(file, parts, this.#written));
    }
    return (await this.#try(promisify(writev)(file, parts, this.#written))).bytesWritten;
  }

  /** The temporary file, made when the first bytes come. */
  #opened(): number {
    if (this.#file === undefined) {
      this.#forget = onInterrupt(() => {
        unlinkSync(this.#temporary);
      });
      this.ahead();
      const mode = MODES[this.#options.mode];
      this.#file = this.#trySync(() => openSync(this.#temporary, CREATE, mode));
    }
    return this.#file;
  }

  /** From here on the plaintext may be all that is left of an accepted message. */
  #keep(): void {
    const kept = keptName(this.#temporary);
    this.#trySync(() => {
      renameSync(this.#temporary, kept);
    });
    this.#temporaryName = kept;
  }

  /** The mode of the file to be replaced, if it has the same owner. */
  #modeToKeep(file: number): number | undefined {
    const own = fstatSync(file, { bigint: true });
    const old = this.#existing;
    if (old?.uid !== own.uid || old.gid !== own.gid || old.mode === own.mode) return undefined;
    return Number(old.mode) & 0o777;
  }

  /** Others can read the file although nobody asked for that: its file system has no modes. */
  #ignored(file: number, wanted: number): boolean {
    if (process.platform === "win32") return false;
    return (this.#trySync(() => fstatSync(file)).mode & ~wanted & 0o044) !== 0;
  }

  async #try<T>(step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #trySync<T>(step: () => T): T {
    try {
      return step();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown): FileError {
    if (errno(error) === "EEXIST") return exists(this.name);
    return fileError("ERR_WRITE", this.name, error, HINTS[errno(error) ?? ""]);
  }
}

/** For cleaning up, where a failure changes nothing. */
function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // At worst a temporary file stays, which anyone may delete.
  }
}

/** The refusal to replace a file without `--force`. */
export function exists(path: string): FileError {
  return new FileError("ERR_EXISTS", `${quoted(path)} exists`, { hint: "--force replaces it" });
}

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: "nothing was left behind; make room, or write to another folder with -o",
  EDQUOT: "nothing was left behind; make room, or write to another folder with -o",
};

/** The umask applies to both. */
const MODES = { private: 0o600, public: 0o666 } as const;

/** Less than this is not worth a system call of its own. */
const WORTH_A_CALL_BYTES = 4096;
