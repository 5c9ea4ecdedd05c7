/** What guards an agent's questions, and its logins, against a person's absence. */

const ASKING = "src/agent/asking.ts";
const ASKING_TEST = "test/agent/asking.test.ts";
const LOGINS_TEST = "test/agent/logins.test.ts";

/** @type {readonly import("./list.mjs").Mutant[]} */
export const AGENT_ASKING = [
  {
    what: "an agent asks again at once after a question that was cancelled",
    file: ASKING,
    find: "else this.#pause(name);",
    replace: 'else if (name === "") this.#pause(name);',
    test: ASKING_TEST,
  },
  {
    what: "a PIN pad that was cancelled is asked again at once",
    file: ASKING,
    find: '  "ERR_PIN_CANCELED",\n',
    replace: "",
    test: ASKING_TEST,
  },
  {
    what: "the pauses after refusals do not grow",
    file: ASKING,
    find: "Math.max(before * 2, FIRST_PAUSE_MS)",
    replace: "Math.max(before * 0, FIRST_PAUSE_MS)",
    test: ASKING_TEST,
  },
  {
    what: "questions of another host take all places, and those of programs here are refused",
    file: ASKING,
    find: 'const origin = remote === undefined ? "here" : "elsewhere";',
    replace: 'const origin = remote === "" ? "elsewhere" : "here";',
    test: ASKING_TEST,
  },
  {
    what: "a name on a token adds a line to a question, as if the agent said it",
    file: "src/token/session/pin-question.ts",
    find: 'return printable(`token "${label}"${serial === "" ? "" : ` (serial ${serial})`}`);',
    replace: 'return `${printable("token")} "${label}"${serial === "" ? "" : ` (${serial})`}`;',
    test: ASKING_TEST,
  },
  {
    what: "a message that comes before the next look is opened though the machine slept",
    file: "src/agent/agent.ts",
    find: "if (this.#logins.isUnlocked && this.#watch.stoodStill(momentNow())) {",
    replace: "if (this.#logins.isUnlocked && this.#watch.stoodStill(momentNow()) && false) {",
    test: LOGINS_TEST,
  },
  {
    what: "a card that was pulled and put back between two looks stays logged in",
    file: "src/agent/login.ts",
    find: "return (await this.#service.isLoggedIn(token)) || this.#isInUse;",
    replace: "return token !== undefined;",
    test: LOGINS_TEST,
  },
  {
    what: "what a module tells of a slot ends no login",
    file: "src/token/session/token.ts",
    find: "return !this.#details.slot.removable || module.events.count(slot) === this.#events;",
    replace: "return module.events.count(slot) >= this.#events;",
    test: "test/token/session/slot-events.test.ts",
    built: true,
  },
];
