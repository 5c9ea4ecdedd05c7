/**
 * A stream that can be read more than once: its bytes are kept in a temporary file without a name.
 * Only bytes that are sealed, or encrypted for this, are kept this way, so the file need not be
 * wiped.
 */
import { randomBytes } from "node:crypto";
import { unlinkSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onInterrupt } from "../../terminal/interrupts.js";
import { fillingSource, type FillingSource } from "../../stream.js";
import { fileError } from "../../store/system-error.js";

export class Spool {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #handle: FileHandle;
  readonly #name: string;
  readonly #remove: (() => void) | undefined;
  #size = 0;
  #ended = false;

  private constructor(source: AsyncIterable<Uint8Array>, handle: FileHandle, name: string) {
    this.#source = source[Symbol.asyncIterator]();
    this.#handle = handle;
    this.#name = name;
    try {
      unlinkSync(name);
    } catch {
      // Windows: a file in use keeps its name until it is closed.
      this.#remove = onInterrupt(() => {
        unlinkSync(name);
      });
    }
  }

  /**
   * Makes the file in the system's folder for temporary files (`TMPDIR`).
   *
   * @throws FileError `ERR_WRITE`
   */
  static async of(source: AsyncIterable<Uint8Array>): Promise<Spool> {
    const name = join(tmpdir(), `p11seal-${randomBytes(8).toString("hex")}.spool`);
    const handle = await open(name, "wx+", 0o600).catch((error: unknown) => {
      throw failure(name, error);
    });
    return new Spool(source, handle, name);
  }

  /** Starts at the first byte each time. Bytes that are not kept yet come from the source. */
  chunks(): FillingSource {
    let at = 0;
    return fillingSource(async (target) => {
      while (at === this.#size) if (!(await this.#more())) return 0;
      const length = Math.min(target.length, this.#size - at);
      const { bytesRead } = await this.#handle.read(target, 0, length, at);
      if (bytesRead === 0) throw fileError("ERR_READ", this.#name, { code: "ESTALE" });
      at += bytesRead;
      return bytesRead;
    });
  }

  /** Reads the source to its end. */
  async finish(): Promise<void> {
    for (;;) if (!(await this.#more())) return;
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    if (this.#remove === undefined) return;
    this.#remove();
    try {
      unlinkSync(this.#name);
    } catch {
      // Only sealed bytes are left behind.
    }
  }

  async #more(): Promise<boolean> {
    if (this.#ended) return false;
    const next = await this.#source.next();
    if (next.done === true) {
      this.#ended = true;
      return false;
    }
    for (let done = 0; done < next.value.length;) {
      const { bytesWritten } = await this.#handle
        .write(next.value, done, next.value.length - done, this.#size)
        .catch((error: unknown) => {
          throw failure(this.#name, error);
        });
      done += bytesWritten;
      this.#size += bytesWritten;
    }
    return true;
  }
}

function failure(name: string, error: unknown): Error {
  const hint =
    "the sealed message is kept there until it is verified: make room, set TMPDIR, or use -o";
  return fileError("ERR_WRITE", name, error, hint);
}
