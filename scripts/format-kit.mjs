/**
 * `npm run format-kit`: writes docs/format-kit, the messages that another implementation of the
 * format can be tried with, from the page's formulas and the keys in that folder. It uses nothing
 * of src/, and writes the same bytes each time; a test compares them with what is there.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { kitFiles } from "./format-kit/kit.mjs";
import { root, runMain, say } from "./lib/run.mjs";

await runMain(() => {
  const folder = path.join(root, "docs", "format-kit");
  const keys = path.join(folder, "keys");
  const pems = Object.fromEntries(
    readdirSync(keys).map((file) => [
      path.basename(file, ".pem"),
      readFileSync(path.join(keys, file), "utf8"),
    ]),
  );
  for (const kind of ["good", "bad"]) {
    rmSync(path.join(folder, kind), { recursive: true, force: true });
    mkdirSync(path.join(folder, kind));
  }
  const files = kitFiles(pems);
  for (const [file, bytes] of files) writeFileSync(path.join(folder, file), bytes);
  say(`docs/format-kit: ${files.size} files`);
  return Promise.resolve(0);
});
