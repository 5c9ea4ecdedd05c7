/** A turnstile: how many are inside, in which order they come, and who may leave the queue. */
import { describe, expect, it } from "@jest/globals";
import { Turnstile, type Turn } from "../../src/turnstile.js";

/** Whatever had its turn has gone on by then. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a turnstile", () => {
  it("lets in no more at a time than it says, in the order in which they came", async () => {
    const turnstile = new Turnstile(2);
    const inside: [name: number, turn: Turn][] = [];
    const begun: number[] = [];
    for (let name = 0; name < 5; name += 1) {
      void turnstile.enter().then((turn) => {
        begun.push(name);
        inside.push([name, turn]);
      });
    }
    await settled();
    expect(begun).toEqual([0, 1]);
    inside[1]?.[1].end();
    await settled();
    expect(begun).toEqual([0, 1, 2]);
    turnstile.admit(4);
    await settled();
    expect(begun).toEqual([0, 1, 2, 3, 4]);
  });

  it("lets the next one in after a use that failed", async () => {
    const turnstile = new Turnstile();
    const failing = turnstile.through(() => Promise.reject(new Error("failed")));
    const next = turnstile.through(() => Promise.resolve("in"));
    await expect(failing).rejects.toThrow("failed");
    await expect(next).resolves.toBe("in");
  });

  it("calls a use at once where there is room: nothing else comes in between", () => {
    const begun: string[] = [];
    const turnstile = new Turnstile();
    const use = (name: string) => (): Promise<void> => {
      begun.push(name);
      return settled();
    };
    void turnstile.through(use("first"));
    void turnstile.through(use("second"));
    expect(begun).toEqual(["first"]);
  });

  it("says whether another one was inside meanwhile", async () => {
    const turnstile = new Turnstile(2);
    const first = await turnstile.enter();
    expect(first.isAlone).toBe(true);
    const second = await turnstile.enter();
    expect([first.isAlone, second.isAlone]).toEqual([false, false]);
    first.end();
    second.end();
    expect((await turnstile.enter()).isAlone).toBe(true);
  });

  it("forgets who waited and was taken back, and lets the next one in", async () => {
    const turnstile = new Turnstile();
    const first = await turnstile.enter();
    const taken = new AbortController();
    const second = turnstile.enter(taken.signal);
    const third = turnstile.enter();
    taken.abort(new Error("has gone"));
    await expect(second).rejects.toThrow("has gone");
    first.end();
    await expect(third).resolves.toMatchObject({ isAlone: true });
  });

  it("lets nobody in whose wish was taken back before", async () => {
    const turnstile = new Turnstile();
    const gone = AbortSignal.abort(new Error("has gone"));
    await expect(turnstile.enter(gone)).rejects.toThrow("has gone");
    await expect(turnstile.enter()).resolves.toMatchObject({ isAlone: true });
  });
});
