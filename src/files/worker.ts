/** A thread of `parallel.ts`: works, says how it ended, and is gone. */
import { parentPort, workerData } from "node:worker_threads";
import { workOn, type Work } from "./stripes.js";

parentPort?.postMessage(workOn(workerData as Work) ?? null);
