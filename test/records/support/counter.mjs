/**
 * `counter.mjs FOLDER`: raises the number in FOLDER/count, under a lock, until it is killed. Prints
 * its process, then each number.
 */
import fs from "node:fs";
import path from "node:path";

/** @type {typeof import("../../../src/store/lock.js")} */
const { withLock } = await import(new URL("store/lock.js", import.meta.url).href);
/** @type {typeof import("../../../src/store/owner.js")} */
const { thisProcess } = await import(new URL("store/owner.js", import.meta.url).href);

const [folder = ""] = process.argv.slice(2);
const count = path.join(folder, "count");
if (!fs.existsSync(count)) fs.writeFileSync(count, "0");
process.send?.(thisProcess());
for (;;) {
  await withLock(path.join(folder, "lock"), async () => {
    const next = Number(fs.readFileSync(count, "utf8")) + 1;
    fs.appendFileSync(path.join(folder, "noted"), `${next}\n`);
    // Time for another process to interfere, if it could.
    await new Promise((resolve) => setTimeout(resolve, 1));
    fs.writeFileSync(`${count}.new`, String(next));
    fs.renameSync(`${count}.new`, count);
  });
  process.send?.("raised");
}
