/**
 * `bare-flush.mjs FOLDER BYTES COUNT`: what a disk's part of replacing files costs, and nothing
 * else: so many files, each written beside, flushed, and renamed over the one that is there.
 */
import fs from "node:fs";
import path from "node:path";

const [folder = "", bytes = "0", count = "0"] = process.argv.slice(2);
const content = Buffer.alloc(Number(bytes), 1);
for (let i = 0; i < Number(count); i++) {
  const name = path.join(folder, String(i));
  const file = fs.openSync(`${name}.part`, "wx");
  fs.writeSync(file, content);
  fs.fsyncSync(file);
  fs.closeSync(file);
  fs.renameSync(`${name}.part`, name);
}
