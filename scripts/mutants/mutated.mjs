/** The source file with a mutant in it. */
import fs from "node:fs";
import path from "node:path";
import { SetupError } from "../lib/run.mjs";

/**
 * @param {string} root the tree to read from
 * @param {import("./list.mjs").Mutant} mutant
 * @returns {string} throws SetupError unless the guard stands in the file exactly once
 */
export function mutated(root, { what, file, find, replace, test }) {
  if (!fs.existsSync(path.join(root, test))) {
    throw new SetupError(`mutant "${what}": there is no ${test}`);
  }
  const parts = fs.readFileSync(path.join(root, file), "utf8").split(find);
  if (parts.length !== 2) {
    throw new SetupError(
      `mutant "${what}": ${file} has its text ${parts.length - 1} times, not once`,
    );
  }
  return parts.join(replace);
}
