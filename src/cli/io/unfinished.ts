/** Headers that a killed run was overwriting in place. */
import { realpathSync } from "node:fs";
import { finishInPlace, hasSideFile } from "../../store/header-in-place.js";
import type { Context } from "../command.js";

/**
 * Finishes what a killed run left half done in the file at `path`, before it is read. Costs one
 * look if there is nothing.
 *
 * @throws FileError `ERR_WRITE` if that can't be done from here
 */
export async function finishOverwriting(path: string, { report }: Context): Promise<void> {
  if (path === "-" || !hasSideFile(path)) return;
  if ((await finishInPlace(path)) === "finished") {
    report.note(`${path}: a killed run had overwritten part of its header; finished`);
  }
}

/** The same where a link may lead to the file. */
export async function finishOverwritingAt(path: string, context: Context): Promise<void> {
  await finishOverwriting(realPath(path), context);
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // Who reads it says what is wrong with it.
  }
}
