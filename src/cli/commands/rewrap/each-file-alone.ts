/**
 * Work on one and the same file goes one after the other, whatever names lead to it: a list may
 * name it twice, and so may a folder and one in it. Side by side, the one that is done first would
 * have changed the file for the other.
 */
import { lstatSync } from "node:fs";
import { fileId, type FileId } from "../../io/inputs.js";

export class EachFileAlone {
  /** The last work on each file that is under way. */
  readonly #last = new Map<FileId, Promise<unknown>>();

  async through<T>(path: string, work: () => Promise<T>): Promise<T> {
    const id = idOf(path);
    // Whoever opens it says what is wrong with it.
    if (id === undefined) return work();
    const before = this.#last.get(id) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#last.set(id, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(id) === mine) this.#last.delete(id);
    }
  }
}

function idOf(path: string): FileId | undefined {
  try {
    return fileId(lstatSync(path, { bigint: true }));
  } catch {
    return undefined;
  }
}
