/** A thread of `parallel.ts`: works, says how it ended, and is gone. */
import { parentPort, workerData } from "node:worker_threads";
import { workOn, type Work } from "./stripes.js";

const work = workOn(workerData as Work);
let step = work.next();
while (step.done !== true) step = work.next();
parentPort?.postMessage(step.value ?? null);
