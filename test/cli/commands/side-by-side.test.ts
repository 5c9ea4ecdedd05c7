/** Several items at once: how many, in which order their results come, and what a failure ends. */
import { setImmediate as turn } from "node:timers/promises";
import { beforeEach, expect, it } from "@jest/globals";
import { sideBySide, type SideBySide } from "../../../src/cli/commands/side-by-side.js";

/** What ends the work on each item, by item. */
let ends: Map<number, { done: () => void; failed: (error: Error) => void }>;
let told: number[];
beforeEach(() => {
  ends = new Map();
  told = [];
});

async function* upTo(count: number): AsyncGenerator<number, void, undefined> {
  for (let item = 0; item < count; item++) yield await Promise.resolve(item);
}

function work(item: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      resolve(item);
    };
    ends.set(item, { done, failed: reject });
  });
}

async function tellAll(items: AsyncIterable<number>, how: SideBySide): Promise<void> {
  for await (const item of sideBySide(items, how, work)) told.push(item);
}

/** Lets everything happen that waits for nothing. */
async function settle(): Promise<void> {
  for (let round = 0; round < 20; round++) await turn();
}

async function end(...items: readonly number[]): Promise<void> {
  for (const item of items) ends.get(item)?.done();
  await settle();
}

const begun = (): number[] => [...ends.keys()];

it("begins no more than it may, and the next as soon as the first has ended", async () => {
  const all = tellAll(upTo(6), { most: 3 });
  await settle();
  expect(begun()).toEqual([0, 1, 2]);
  await end(0);
  expect([told, begun()]).toEqual([[0], [0, 1, 2, 3]]);
  await end(1, 2, 3);
  await end(4, 5);
  await all;
  expect(told).toEqual([0, 1, 2, 3, 4, 5]);
});

it("lets one that takes long hold up no more than the results that may wait for it", async () => {
  const all = tellAll(upTo(20), { most: 2, ahead: 3 });
  await settle();
  for (let item = 1; item < 20; item++) await end(item);
  // Item 0 is still at work: one may be worked on beside it, and three may wait.
  expect([told, begun()]).toEqual([[], [0, 1, 2, 3, 4]]);
  await end(0);
  for (let item = 1; item < 20; item++) await end(item);
  await all;
  expect(told).toEqual(Array.from({ length: 20 }, (_, item) => item));
});

it("works on the first alone if asked to", async () => {
  const all = tellAll(upTo(4), { most: 3, ahead: 2, firstAlone: true });
  await settle();
  expect(begun()).toEqual([0]);
  await end(0);
  expect(begun()).toEqual([0, 1, 2, 3]);
  await end(1, 2, 3);
  await all;
});

it("tells of a failure in its turn, begins nothing more, and waits for what was begun", async () => {
  let isOver = false;
  const all = tellAll(upTo(9), { most: 3, ahead: 5 }).finally(() => {
    isOver = true;
  });
  const failed = expect(all).rejects.toThrow("no");
  await settle();
  ends.get(1)?.failed(new Error("no"));
  await settle();
  expect([told, begun()]).toEqual([[], [0, 1, 2, 3]]);
  await end(0);
  expect([told, isOver]).toEqual([[0], false]);
  await end(2, 3);
  await failed;
  expect(begun()).toEqual([0, 1, 2, 3]);
});

it("tells of all results before what the items themselves threw", async () => {
  const items = async function* (): AsyncGenerator<number, void, undefined> {
    yield* upTo(2);
    throw new Error("the list broke off");
  };
  const all = tellAll(items(), { most: 4 });
  const failed = expect(all).rejects.toThrow("the list broke off");
  await settle();
  await end(0, 1);
  await failed;
  expect(told).toEqual([0, 1]);
});
