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

/** For what writes nothing: says why the header may be no good. */
export function noteOverwriting(path: string, { report }: Context): void {
  if (!hasSideFile(path)) return;
  report.note(
    `${path}: a run is overwriting its header, or was killed; a dry run leaves it as it is`,
  );
}

/** As `finishOverwriting`, where a link may lead to the file. */
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
