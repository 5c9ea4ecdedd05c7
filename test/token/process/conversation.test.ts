/** Time limits of a client's conversation with a server, by a clock that the tests move. */
import { afterEach, beforeEach, describe, expect, it, jest } from "@jest/globals";
import type { Listener } from "../../../src/token/process/connection.js";
import { Conversation, type Loss } from "../../../src/token/process/conversation.js";
import { SentPins } from "../../../src/token/process/sent-pins.js";
import type { FromServer } from "../../../src/token/process/wire.js";

const STEP_MS = 1_000;
const LIMIT_MS = 4_000;

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
});

/** A request to a server that says what the test has it say. */
function asked() {
  const listeners: Listener<FromServer>[] = [];
  const losses: Loss[] = [];
  const nothing = (): undefined => undefined;
  const conversation = new Conversation({
    connection: {
      listen: (listener) => listeners.push(listener),
      ...{ send: nothing, close: nothing, destroy: nothing, ref: nothing, unref: nothing },
    },
    start: {
      kind: "start",
      modules: [],
      home: "/nonexistent",
      force: false,
      traced: false,
      faulty: [],
    },
    trace: nothing,
    pins: new SentPins(() => Promise.reject(new Error("nobody is asked")), nothing),
    ...{ proven: new Set<string>(), stepMs: STEP_MS },
    lost: (loss) => losses.push(loss),
  });
  const answer = conversation
    .request({ method: "findKey" }, LIMIT_MS)
    .catch((error: unknown) => error);
  const say = (message: FromServer): void => {
    for (const { heard } of listeners) heard(message);
  };
  const tries = (path: string, phase: "before" | "after"): void => {
    say({ kind: "trying", path, phase });
  };
  return { conversation, answer, losses, say, tries };
}

it("is closed in the end, also where the server's process can't be ended", async () => {
  const { conversation, answer } = asked();
  const closed = conversation.close();
  await jest.advanceTimersByTimeAsync(60_000);
  await expect(closed).resolves.toBeUndefined();
  expect(await answer).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
});

describe("the time limit", () => {
  it("of a module's first steps is one operation's, whatever the whole request may take", async () => {
    const { answer, losses, tries } = asked();
    tries("/first.so", "before");
    jest.advanceTimersByTime(STEP_MS - 250);
    expect(losses).toEqual([]);
    jest.advanceTimersByTime(250);
    expect(losses).toMatchObject([{ module: "/first.so", error: { code: "ERR_TOKEN_TIMEOUT" } }]);
    expect(await answer).toMatchObject({
      message: 'module "/first.so" did not answer in time',
    });
  });

  it("begins anew with each module, and is not that of what comes after them", async () => {
    const { answer, losses, say, tries } = asked();
    for (const path of ["/first.so", "/second.so", "/third.so"]) {
      tries(path, "before");
      jest.advanceTimersByTime(STEP_MS - 250);
      tries(path, "after");
    }
    jest.advanceTimersByTime(STEP_MS + 250);
    expect(losses).toEqual([]);
    say({ kind: "result", id: 1, value: "found" });
    expect(await answer).toBe("found");
  });

  it("of the whole request holds as well", async () => {
    const { answer, losses, tries } = asked();
    for (let past = 0; past < LIMIT_MS; past += 500) {
      tries("/first.so", "before");
      jest.advanceTimersByTime(500);
      tries("/first.so", "after");
    }
    expect(losses).toMatchObject([{ error: { code: "ERR_TOKEN_TIMEOUT" } }]);
    expect(await answer).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
  });

  it("does not run while a person is asked", async () => {
    const { answer, losses, say, tries } = asked();
    say({ kind: "person", waiting: true, atTerminal: false });
    tries("/first.so", "before");
    jest.advanceTimersByTime(10 * LIMIT_MS);
    expect(losses).toEqual([]);
    say({ kind: "person", waiting: false, atTerminal: false });
    jest.advanceTimersByTime(STEP_MS);
    expect(await answer).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
  });
});
