/**
 * `seal-segments.mjs LOG2 PUBLIC_KEY INPUT OUTPUT`: seals a file by threads, as `p11seal seal`
 * does, with segments of 2^LOG2 bytes. Uses what `npm run build` made.
 */
import fs from "node:fs";
import { open } from "node:fs/promises";

/** @param {string} file @returns {Promise<any>} */
const built = (file) => import(new URL(`../../dist/${file}`, import.meta.url).href);
const { parsePublicKey } = await built("index.js");
const { beginSealing } = await built("envelope/messages.js");
const { sealFile } = await built("body/threads/parallel.js");
const { defaultThreads } = await built("body/threads/threads.js");

const [log2 = "18", key = "", from = "", to = ""] = process.argv.slice(2);
const { publicKey } = parsePublicKey(fs.readFileSync(key), key);
const begun = await beginSealing({ recipients: [{ publicKey }], segLog2: Number(log2) });
const output = await open(to, "wx");
await output.write(begun.header);
const file = {
  fd: output.fd,
  offset: begun.header.length,
  /** @param {Uint8Array} bytes @param {number} position */
  async write(bytes, position) {
    await output.write(bytes, 0, bytes.length, position);
  },
};
const input = fs.openSync(from, "r");
await sealFile({ fd: input }, file, begun.body, { threads: defaultThreads() });
await output.close();
