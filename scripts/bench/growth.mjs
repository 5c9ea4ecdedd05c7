/**
 * `npm run bench -- --growth [--quick]`: how cost grows from 1 KiB to 16 GiB, sealing and opening,
 * to /dev/null. With `--write` `plot.mjs` draws what the table says.
 *
 * Sealing reads a sparse file, which takes no room. A sealed file does take room, so opening stops
 * at the largest that fits on the disk. Sizes from 1 GiB on are run once.
 */
import fs from "node:fs";
import {
  GIB,
  human,
  inFolder,
  keysIn,
  KIB,
  measured,
  MIB,
  p11seal,
  sparse,
  run,
} from "./measure.mjs";
import { growthRow, HEADING, tableHead } from "./plot.mjs";

/** @param {{ quick: boolean }} options */
export async function growth({ quick }) {
  const sizes = [KIB, 16 * KIB, 256 * KIB, 4 * MIB, 64 * MIB];
  sizes.push(...(quick ? [256 * MIB] : [GIB, 4 * GIB, 16 * GIB]));
  console.log(`\n### ${HEADING} (lowest of 3; of 1 from 4 GiB on)\n`);
  console.log("![Time and memory by size, both on logarithmic axes](growth.svg)\n");
  console.log(tableHead());
  await inFolder(async (folder) => {
    const at = keysIn(folder);
    for (const size of sizes) {
      const rounds = size > GIB ? 1 : 3;
      const zeros = sparse(at, size);
      const seal = p11seal("seal", "-q", "-r", at("pub.pem"), "-o", "/dev/null", zeros);
      const sealing = await lowest(rounds, {
        name: `seal ${human(size)}`,
        command: seal,
        reads: [zeros],
      });
      /** @type {Run | undefined} */
      let opening;
      if (hasRoom(folder, size)) {
        const sealed = at("sealed");
        run(...p11seal("seal", "-q", "-r", at("pub.pem"), "-o", sealed, zeros));
        const open = p11seal("open", "-q", "-i", at("key.pem"), "-o", "/dev/null", sealed);
        opening = await lowest(rounds, {
          name: `open ${human(size)}`,
          command: open,
          reads: [sealed],
        });
        fs.rmSync(sealed);
      }
      console.log(growthRow(size, sealing, opening));
    }
  });
}

/** @typedef {import("./measure.mjs").Run} Run @typedef {import("./measure.mjs").Case} Case */

/** @param {number} rounds @param {Case} item */
async function lowest(rounds, item) {
  const runs = [];
  for (let i = 0; i < rounds; i++) runs.push(await measured(item));
  return runs.reduce((a, b) => (b.ms < a.ms ? b : a));
}

/**
 * Room for a sealed file, and as much again for others. @param {string} folder @param {number} size
 */
function hasRoom(folder, size) {
  const { bavail, bsize } = fs.statfsSync(folder);
  return bavail * bsize > 2 * size;
}
