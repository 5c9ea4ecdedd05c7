/**
 * A file that appears whole or not at all.
 *
 * Bytes go to a temporary file beside the target, `.NAME.p11seal-` with eight digits and `.part`; plaintext in one that
 * its owner alone may read. It then gets its name: by a hard link, which never replaces anything, or
 * with `--force` by a rename, which replaces in one step. Nothing follows a symbolic link at the target.
 * A run that is killed leaves at most the temporary file, which may be deleted.
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
import { resolve } from "node:path";
import { promisify } from "node:util";
import { after } from "../../bytes.js";
import { FileError } from "../../errors.js";
import type { OutputPaths } from "../../records/ledger/ledger.js";
import { onInterrupt } from "../../terminal/interrupts.js";
import { CREATE, placeNew, temporaryBeside } from "../../store/temporary.js";
import { AT_ONCE_BYTES } from "./inputs.js";
import type { Output, OutputFile, OutputOptions } from "./output.js";
import { errno, fileError, quoted } from "../../store/system-error.js";

export class FileOutput implements Output {
  readonly name: string;
  readonly forgets = true;
  readonly #existing: BigIntStats | undefined;
  readonly #options: OutputOptions;
  #temporary: string;
  #backup: string | undefined;
  /** Descriptor of the temporary file. */
  #file: number | undefined;
  #forget: (() => void) | undefined;
  #placed = false;
  #small: Uint8Array[] = [];
  #smallBytes = 0;
  #written = 0;

  /** `existing`: what stands at `path` now, if anything; a regular file. */
  constructor(path: string, existing: BigIntStats | undefined, options: OutputOptions) {
    this.name = path;
    this.#existing = existing;
    this.#options = options;
    this.#temporary = temporaryBeside(path);
  }

  get durable(): boolean {
    return this.#options.durable === true;
  }

  get paths(): OutputPaths {
    return { temporary: resolve(this.#temporary), final: resolve(this.name) };
  }

  /** That file stays if `place` fails: it is not this run's to remove. */
  adopt(temporary: string): void {
    this.#temporary = temporary;
  }

  async write(...parts: readonly Uint8Array[]): Promise<void> {
    const file = this.#opened();
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length < WORTH_A_CALL_BYTES) {
      // A header comes alone, and small messages in small parts: they wait, copied, for something larger.
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
    this.#trySync(() => {
      const mode = this.#modeToKeep(file);
      if (mode !== undefined) fchmodSync(file, mode);
    });
    // A crash soon after must not leave an empty file where there was a whole one.
    if (this.#existing !== undefined || this.#options.durable === true) {
      await this.#try(promisify(fsync)(file));
    }
    this.#file = undefined;
    // Network file systems write at last when a file is closed.
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
        this.#backup = undefined; // No hard links here: `displace` then can't bring it back.
      }
    }
    this.#trySync(() => {
      if (this.#options.force) renameSync(this.#temporary, this.name);
      else placeNew(this.#temporary, this.name);
    });
    this.#placed = true;
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

  /** Writes what waits and then `bytes`, in one call unless the system takes less at a time. */
  async #flush(file: number, ...bytes: readonly Uint8Array[]): Promise<void> {
    let rest = [...this.#small.splice(0), ...bytes];
    this.#smallBytes = 0;
    while (rest.length > 0) {
      const bytesWritten = await this.#writeSome(file, rest);
      this.#written += bytesWritten;
      rest = after(rest, bytesWritten);
    }
  }

  /** A thread does it where there is much to write: to ask one takes longer than to write a little. */
  async #writeSome(file: number, parts: readonly Uint8Array[]): Promise<number> {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length <= AT_ONCE_BYTES) return this.#trySync(() => writevSync(file, parts, this.#written));
    return (await this.#try(promisify(writev)(file, parts, this.#written))).bytesWritten;
  }

  /** The temporary file, made when the first bytes come. */
  #opened(): number {
    if (this.#file === undefined) {
      this.#forget = onInterrupt(() => {
        unlinkSync(this.#temporary);
      });
      const mode = MODES[this.#options.mode];
      this.#file = this.#trySync(() => openSync(this.#temporary, CREATE, mode));
    }
    return this.#file;
  }

  /** The mode of the file that is replaced, if it is the same owner's. */
  #modeToKeep(file: number): number | undefined {
    const own = fstatSync(file, { bigint: true });
    const old = this.#existing;
    if (old?.uid !== own.uid || old.gid !== own.gid || old.mode === own.mode) return undefined;
    return Number(old.mode) & 0o777;
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

/** For tidying up: what fails stays as it is. */
function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // A temporary file may be left, and may be deleted.
  }
}

/** The refusal to replace a file that was not said to be replaced. */
export function exists(path: string): FileError {
  return new FileError("ERR_EXISTS", `${quoted(path)} exists`, { hint: "--force replaces it" });
}

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: "nothing was left behind; make room, or write to another folder with -o",
  EDQUOT: "nothing was left behind; make room, or write to another folder with -o",
};

/** The umask takes its part of both. */
const MODES = { private: 0o600, public: 0o666 } as const;

/** Less than this is not worth a system call of its own. */
const WORTH_A_CALL_BYTES = 4096;
