/**
 * A journal: a text file with a line of JSON for each thing that was done, added at its end. It is
 * evidence, and no state: what is to be done next never depends on it. A run that was killed leaves
 * at most part of a line, after which the next run begins a line of its own.
 */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { FileError } from "../errors.js";
import { printableJson } from "../printable.js";
import { syncFolder } from "./flush.js";
import { readAt } from "./old-file.js";
import { isNotOpenable, NO_FOLLOW, NO_WAITING } from "./open-flags.js";
import { fileError, quoted } from "./system-error.js";

export class Journal {
  readonly #path: string;
  readonly #handle: FileHandle;
  /** Lines that wait for those that are being written. */
  #waiting: { readonly line: string; readonly settle: (error?: unknown) => void }[] = [];
  #isWriting = false;
  /** The last line may have been cut: by a kill, or by a full disk. */
  #isCut = false;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /**
   * Opens the file, or makes one that only its owner may read. It must be regular, one's own, no
   * link, and not something else than a journal, such as a message.
   *
   * @throws FileError `ERR_FILE_KIND`, `ERR_OWNER`, `ERR_WRITE`
   */
  static async open(path: string): Promise<Journal> {
    const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | NO_FOLLOW;
    const handle = await open(path, flags | NO_WAITING, 0o600).catch((error: unknown) => {
      if (isNotOpenable(error)) throw notAFile(path);
      throw fileError("ERR_WRITE", path, error);
    });
    const journal = new Journal(path, handle);
    try {
      await journal.#begin();
      return journal;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Adds a line. It is on the disk when this resolves. @throws FileError `ERR_WRITE` */
  add(entry: object): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: unknown): void => {
        if (error === undefined) resolve();
        else reject(fileError("ERR_WRITE", this.#path, error));
      };
      this.#waiting.push({ line: `${printableJson(entry)}\n`, settle });
      void this.#write();
    });
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #begin(): Promise<void> {
    const stats = await this.#handle.stat();
    if (!stats.isFile()) throw notAFile(this.#path);
    const user = process.geteuid?.();
    if (user !== undefined && stats.uid !== user) {
      throw new FileError("ERR_OWNER", `${quoted(this.#path)} belongs to another user`, {
        hint: "keep the journal in a file of your own",
      });
    }
    if (stats.size === 0) {
      await syncFolder(dirname(this.#path));
      return;
    }
    const first = readAt(this.#handle.fd, 4, 0);
    if (!BEGINS.test(first.toString())) {
      throw new FileError("ERR_FILE_KIND", `${quoted(this.#path)} is no journal`, {
        hint: "a journal is a file of its own; lines are added to no other",
      });
    }
    const last = readAt(this.#handle.fd, 1, stats.size - 1);
    this.#isCut = last.toString() !== "\n";
  }

  /** Lines that came meanwhile go together, and wait for the disk once. */
  async #write(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    while (this.#waiting.length > 0) {
      const entries = this.#waiting.splice(0);
      const outcome: { error?: unknown } = {};
      try {
        const lines = entries.map(({ line }) => line).join("");
        await this.#handle.appendFile(this.#isCut ? `\n${lines}` : lines);
        this.#isCut = false;
        await this.#handle.datasync();
      } catch (error) {
        outcome.error = error;
        this.#isCut = true;
      }
      for (const { settle } of entries) settle(outcome.error);
    }
    this.#isWriting = false;
  }
}

function notAFile(path: string): FileError {
  return new FileError("ERR_FILE_KIND", `${quoted(path)} is no regular file`, {
    hint: "a journal is a file of its own; links are not followed",
  });
}

/** An entry; or what was left of the first one, however little, and the next one's line feed. */
const BEGINS = /^\{?\n?(\{"|\{?$)/;
