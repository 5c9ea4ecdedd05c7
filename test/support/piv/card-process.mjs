/**
 * The card in a separate process, so that a caller can block while it waits for an answer. The
 * parent process controls the card (`start.mjs`).
 */
import { PivApplication } from "./application.mjs";
import { insert } from "./reader.mjs";

const VERIFY = 0x20;
const AUTHENTICATE = 0x87;

/** @typedef {"verify" | "use"} Moment */

const send = (/** @type {object} */ message) => process.send?.(message);

/** @type {{ remove: () => Promise<void> } | undefined} */
let inserted;
let port = 0;
/** @type {PivApplication | undefined} */
let application;
/** Milliseconds before a private key operation is answered. */
let delay = 0;
/** @type {{ moment: Moment, after: number, skip: number } | undefined} */
let pull;

const card = {
  reset: () => application?.reset(),
  /** @param {import("./apdu.mjs").Command} command */
  async answer(command) {
    if (application === undefined) throw new Error("no card yet");
    const moment = momentOf(command);
    if (pull !== undefined && pull.moment === moment && pull.skip-- === 0) {
      const { after } = pull;
      pull = undefined;
      setTimeout(() => void remove(), after);
      return new Promise(() => undefined);
    }
    const data = application.answer(command);
    if (moment === "use" && delay > 0) await new Promise((done) => setTimeout(done, delay));
    return data;
  },
};

/**
 * @param {import("./apdu.mjs").Command} command
 * @returns {Moment | undefined}
 */
function momentOf({ ins, data }) {
  if (ins === AUTHENTICATE) return "use";
  return ins === VERIFY && data.length > 0 ? "verify" : undefined;
}

async function remove() {
  const taken = inserted;
  inserted = undefined;
  await taken?.remove();
}

/** @type {Record<string, (argument: any) => unknown>} */
const ORDERS = {
  /** @param {import("./application.mjs").CardSpec & { port: number }} spec */
  make(spec) {
    application = new PivApplication(spec);
    port = spec.port;
  },
  async insert() {
    inserted ??= await insert(port, card);
  },
  remove,
  block: () => application?.block(),
  /** @param {number} milliseconds */
  delay(milliseconds) {
    delay = milliseconds;
  },
  /** @param {{ moment: Moment, after: number, skip: number }} order */
  pull(order) {
    pull = order;
  },
  state: () => ({
    pinsSeen: application?.pinsSeen,
    triesLeft: application?.triesLeft,
    operations: application?.operations,
    isInserted: inserted !== undefined,
  }),
};

process.on("message", (/** @type {{ id: number, order: string, argument: unknown }} */ message) => {
  const { id, order, argument } = message;
  Promise.resolve()
    .then(() => ORDERS[order]?.(argument))
    .then(
      (value) => send({ id, value }),
      (error) => send({ id, error: String(error) }),
    );
});
process.on("disconnect", () => process.exit(0));
