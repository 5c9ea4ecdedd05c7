/**
 * The names of files that a run finds as they should be. The run before may have given a file its
 * new header, and have been killed before the name was on the disk: a power cut would bring the old
 * header back, with whom it was to shut out. So nothing is told of such a file, nor noted in the
 * journal, before its folder was flushed.
 */
import { dirname, resolve } from "node:path";
import { syncIfPossible } from "../../../store/flush.js";

export class FoundNames {
  /**
   * Once for each folder: a tree is locked, so nobody else gives files new headers meanwhile.
   * Beside files that were named, or listed, another run would have to be killed at the same time.
   */
  readonly #folders = new Map<string, Promise<void>>();

  /** @throws an error of Node's */
  flushed(path: string): Promise<void> {
    const folder = resolve(dirname(path));
    const known = this.#folders.get(folder) ?? syncIfPossible(folder);
    this.#folders.set(folder, known);
    return known;
  }
}
