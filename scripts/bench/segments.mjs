/**
 * `npm run bench -- --segments [--quick]`: what the size of a segment does to sealing and opening
 * from file to file. A message states its segment size. The command line has no option for it,
 * because nobody needs one, so `seal-segments.mjs` seals with the library.
 */
import path from "node:path";
import { root } from "../lib/run.mjs";
import { GIB, inFolder, keysIn, MIB, p11seal, randomFile, run, table } from "./measure.mjs";

const LOG2 = [16, 17, 18, 19, 20];

/** @param {{ quick: boolean }} options */
export async function segments({ quick }) {
  const rounds = quick ? 3 : 9;
  const size = quick ? 256 * MIB : GIB;
  await inFolder(async (folder) => {
    const at = keysIn(folder);
    const plain = at("plain");
    randomFile(plain, size);
    const sealing = (/** @type {number} */ log2, /** @type {string} */ out) => [
      ...[process.execPath, path.join(root, "scripts", "bench", "seal-segments.mjs")],
      ...[String(log2), at("pub.pem"), plain, out],
    ];
    const seals = LOG2.map((log2) => ({
      name: `seal, ${2 ** (log2 - 10)} KiB`,
      command: sealing(log2, at("o")),
      ...{ reads: [plain], clean: [at("o")] },
    }));
    const opens = LOG2.map((log2) => {
      const sealed = at(`sealed-${log2}`);
      run(...sealing(log2, sealed));
      return {
        name: `open, ${2 ** (log2 - 10)} KiB`,
        command: p11seal("open", "-q", "-i", at("key.pem"), "-o", at("o"), sealed),
        ...{ reads: [sealed], clean: [at("o")] },
      };
    });
    const title = (/** @type {string} */ what) =>
      `${size / MIB} MiB, file to file, ${what} by the size of a segment (${rounds} rounds)`;
    await table(title("sealing"), seals, rounds);
    await table(title("opening"), opens, rounds);
  });
}
