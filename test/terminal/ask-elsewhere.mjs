/**
 * Asks at the terminal that is named, from a session without one, and writes down what happened.
 * argv: the library's folder, the terminal, where to write, and how: pin, consent, withdraw or
 * signal.
 */
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [dist = "", terminal = "", result = "", how = ""] = process.argv.slice(2);
const { askConsent, askPin } = await import(`${dist}/terminal/person.js`);
const { restore } = await import(`${dist}/terminal/interrupts.js`);
/** @param {unknown} value */
const note = (value) => writeFileSync(result, JSON.stringify(value));
const hasTerminal = () =>
  readFileSync("/proc/self/stat", "utf8").split(") ")[1]?.split(" ")[4] !== "0";

/** How many descriptors lead to the terminal, besides the standard streams. */
const held = () =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return Number(fd) > 2 && readlinkSync(`/proc/self/fd/${fd}`) === terminal;
    } catch {
      // The one that the folder was read by.
      return false;
    }
  }).length;

const had = hasTerminal();
process.once("SIGTERM", () => {
  restore();
  note("stopped");
  process.exit(1);
});
if (how === "signal") setTimeout(() => process.kill(process.pid, "SIGTERM"), 300);
const signal = how === "withdraw" ? AbortSignal.timeout(300) : undefined;
const options = { about: "open\u001b[2J wants it\nprocess 12", signal, env: process.env };
try {
  const answer =
    how === "consent"
      ? await askConsent({ terminal }, "Open it?", options)
      : await askPin({ terminal }, ['PIN for token "alice":'], options);
  // Streams are closed a moment after they were told to.
  for (let tries = 0; tries < 100 && held() > 0; tries++) await sleep(20);
  note({ answer, had, has: hasTerminal(), held: held() });
} catch (thrown) {
  const error = /** @type {Error & { code?: string }} */ (thrown);
  note({ name: error.name, constructor: error.constructor.name, code: error.code });
}
process.exit(0);
