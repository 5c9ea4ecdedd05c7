/**
 * The program of a thread. Started by `parallel.ts`, it works, reports the outcome and exits;
 * started by `crew.ts`, it serves until it is ended.
 */
import { parentPort, workerData } from "node:worker_threads";
import { serve, type CrewOrders } from "./crew-work.js";
import { workOn, type Work } from "./stripes.js";

if (parentPort !== null) {
  const orders = workerData as Work | CrewOrders;
  if ("crew" in orders) {
    serve(parentPort, orders);
  } else {
    const work = workOn(orders);
    let step = work.next();
    while (step.done !== true) step = work.next();
    parentPort.postMessage(step.value ?? null);
  }
}
