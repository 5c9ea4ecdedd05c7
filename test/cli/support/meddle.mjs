/**
 * Loaded before the program with `node --import`. Changes the file MEDDLE_FILE, or ends threads, as
 * MEDDLE_HOW says, once the program's first thread reads from that file for the second time.
 */
import fs from "node:fs";
import { open } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import threads from "node:worker_threads";

const file = process.env["MEDDLE_FILE"] ?? "";
const how = process.env["MEDDLE_HOW"] ?? "";
/** Long enough for other threads to start and to finish the rest. */
const LONG_MS = 500;

/** @type {Record<string, () => void>} */
const HAPPENS = {
  append: () => {
    fs.appendFileSync(file, Buffer.alloc(300_000, "appended"));
  },
  shrink: () => {
    fs.truncateSync(file, 1_000_000);
  },
  replace: () => {
    fs.writeFileSync(`${file}.new`, "another file of the same name");
    fs.renameSync(`${file}.new`, file);
  },
  overwrite: () => {
    const zeros = Buffer.alloc(fs.statSync(file).size);
    const there = fs.openSync(file, "r+");
    fs.writeSync(there, zeros, 0, zeros.length, 0);
    fs.closeSync(there);
  },
  "others first": wait,
  "others die": wait,
};

function wait() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LONG_MS);
}

const { ino } = fs.statSync(file);
let reads = 0;

/** @param {number} descriptor */
function onRead(descriptor) {
  if (fs.fstatSync(descriptor).ino !== ino) return;
  if (threads.isMainThread) {
    reads += 1;
    if (reads === 2) HAPPENS[how]?.();
  } else if (how === "others die") {
    process.exit(1);
  }
}

const { readSync } = fs;
fs.readSync = /** @type {typeof readSync} */ (
  (/** @type {Parameters<typeof readSync>} */ ...given) => {
    onRead(given[0]);
    return readSync(...given);
  }
);

const handle = await open(file);
/** @type {{ read: (...given: unknown[]) => Promise<unknown>, fd: number }} */
const prototype = Object.getPrototypeOf(handle);
await handle.close();
const { read } = prototype;
prototype.read = function (...given) {
  onRead(this.fd);
  return read.apply(this, given);
};

if (threads.isMainThread && (how === "no threads" || how === "count threads")) {
  let count = 0;
  threads.Worker = class extends threads.Worker {
    /** @param {ConstructorParameters<typeof threads.Worker>} given */
    constructor(...given) {
      if (how === "no threads") throw new Error("no thread can be started");
      super(...given);
      count += 1;
    }
  };
  process.on("exit", () => {
    if (how === "count threads") process.stderr.write(`${count} threads`);
  });
}
syncBuiltinESMExports();
