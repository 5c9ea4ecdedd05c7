/** A virtual PIV card for the tests: starts its process, and inserts and removes the card. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/**
 * @typedef {object} CardState
 * @property {number} pinsSeen PINs that reached the card, right and wrong
 * @property {number} triesLeft
 * @property {number} operations private key operations that reached it
 * @property {boolean} isInserted
 *
 * @typedef {object} PivCard
 * @property {() => Promise<void>} insert the reader detects it within half a second
 * @property {() => Promise<void>} remove likewise
 * @property {(milliseconds: number) => Promise<void>} delay delays the answers of private key
 *   operations from now on
 * @property {(moment: "verify" | "use", when?: { after?: number, skip?: number }) => Promise<void>}
 *   pullAt removes the card `after` milliseconds into such a command, which is never answered;
 *   `skip` others are answered first
 * @property {() => Promise<void>} block uses up every PIN try
 * @property {() => Promise<CardState>} state
 * @property {() => Promise<void>} stop
 */

/**
 * @param {import("./application.mjs").CardSpec & { port: number }} spec `port` is where vpcd
 *   listens
 * @returns {Promise<PivCard>} not inserted yet
 */
export async function startCard(spec) {
  const file = fileURLToPath(new URL("card-process.mjs", import.meta.url));
  const child = fork(file, [], { stdio: ["ignore", "inherit", "inherit", "ipc"], execArgv: [] });
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  const waiting = new Map();
  let count = 0;
  child.on("message", (/** @type {{ id: number, value?: unknown, error?: string }} */ message) => {
    const { id, value, error } = message;
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(new Error(`the card: ${error}`));
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  void ended.then(() => {
    for (const { reject } of waiting.values()) reject(new Error("the card's process has ended"));
  });
  /**
   * @param {string} order
   * @param {unknown} [argument]
   * @returns {Promise<any>}
   */
  const tell = (order, argument) =>
    new Promise((resolve, reject) => {
      const id = ++count;
      waiting.set(id, { resolve, reject });
      child.send({ id, order, argument }, (error) => {
        if (error !== null) reject(error);
      });
    });

  await tell("make", spec);
  return {
    insert: () => tell("insert"),
    remove: () => tell("remove"),
    delay: (milliseconds) => tell("delay", milliseconds),
    pullAt: (moment, { after = 0, skip = 0 } = {}) => tell("pull", { moment, after, skip }),
    block: () => tell("block"),
    state: () => tell("state"),
    async stop() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}
