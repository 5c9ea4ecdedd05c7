/**
 * A file as it is read from where its descriptor stands: by way of one of Node's threads; or by
 * this thread, which takes less processor time and suits work that waits for each chunk.
 */
import { fstatSync, readSync } from "node:fs";
import type { FileError } from "../../errors.js";
import { errno, fileError } from "../../store/system-error.js";
import { fillingSource, type FillingSource } from "../../stream.js";
import { isTurnDue } from "./event-loop.js";

/** What reads: a `FileHandle`, say. */
export interface FileToRead {
  readonly fd: number;
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: null,
  ): Promise<{ readonly bytesRead: number }>;
}

export class FileInput {
  readonly chunks: FillingSource;
  /** From here on, this thread reads. */
  readonly readAlone = (): void => {
    this.#alone = true;
  };
  readonly #file: FileToRead;
  readonly #size: number;
  #done = 0;
  #alone = false;

  /**
   * @param name - for messages
   * @param size - how long the file is at least
   */
  constructor(file: FileToRead, name: string, size: number) {
    this.#file = file;
    this.#size = size;
    this.chunks = fillingSource((target) =>
      this.#fill(target).catch((error: unknown) => {
        throw readError(name, error);
      }),
    );
  }

  async #fill(target: Uint8Array): Promise<number> {
    const bytes =
      this.#alone && !isTurnDue()
        ? readSync(this.#file.fd, target)
        : (await this.#file.read(target, 0, target.length, null)).bytesRead;
    this.#done += bytes;
    if (bytes === 0) requireEnd(this.#file.fd, this.#size, this.#done);
    return bytes;
  }
}

/** Refuses the end of a file that had `size` bytes and was cut while it was read. */
export function requireEnd(file: number, size: number, done: number): void {
  if (done >= size || fstatSync(file).size >= size) return;
  throw Object.assign(new Error("the file got shorter"), { code: "ESTALE" });
}

/** A failed read of an input. */
export function readError(name: string, error: unknown): FileError {
  const hint = errno(error) === "ESTALE" ? "it got shorter while it was being read" : undefined;
  return fileError("ERR_READ", name, error, hint);
}
