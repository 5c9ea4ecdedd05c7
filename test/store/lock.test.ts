import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { withLock } from "../../src/store/lock.js";
import { isRunning, thisProcess } from "../../src/store/owner.js";
import { compile, type Compiled } from "../records/support/compiled.js";
import { freshFolder } from "../records/support/messages.js";

let compiled: Compiled;

beforeAll(() => {
  compiled = compile();
});

afterAll(() => {
  compiled.remove();
});

/** A lock as left by a process that ended while it held it. */
function heldBy(folder: string, owner: string): string {
  const lock = path.join(folder, "lock");
  mkdirSync(lock);
  writeFileSync(path.join(lock, `held-${owner}-0123456789abcdef`), "");
  return lock;
}

describe("a lock", () => {
  it("lets one call at a time in", async () => {
    const lock = path.join(freshFolder(), "lock");
    let inside = 0;
    const most: number[] = [];
    const work = (): Promise<void> =>
      withLock(lock, async () => {
        most.push(++inside);
        await sleep(1);
        inside--;
      });
    await Promise.all(Array.from({ length: 20 }, work));
    expect(most).toEqual(Array.from({ length: 20 }, () => 1));
  });

  it("is given back after a failure", async () => {
    const lock = path.join(freshFolder(), "lock");
    const failed = withLock(lock, () => Promise.reject(new RangeError("no")));
    await expect(failed).rejects.toThrow("no");
    await expect(withLock(lock, () => Promise.resolve("in"), { waitMs: 0 })).resolves.toBe("in");
    expect(readdirSync(lock)).toEqual(["free"]);
  });

  it("is not taken from a process that lives", async () => {
    const folder = freshFolder();
    const lock = heldBy(folder, thisProcess());
    await expect(withLock(lock, () => Promise.resolve(), { waitMs: 30 })).rejects.toMatchObject({
      code: "ERR_LOCKED",
    });
  });

  it("is not taken from a process that can't be looked at", async () => {
    const lock = heldBy(freshFolder(), "0123456789ab-0-0-4711-1");
    await expect(withLock(lock, () => Promise.resolve(), { waitMs: 30 })).rejects.toMatchObject({
      code: "ERR_LOCKED",
    });
  });

  it("is taken over from one that had this process's number before it", async () => {
    const [host, boot, space, pid] = thisProcess().split("-");
    const earlier = [host, boot, space, pid, "1"].join("-");
    const lock = heldBy(freshFolder(), earlier);
    await expect(withLock(lock, () => Promise.resolve("in"), { waitMs: 0 })).resolves.toBe("in");
  });

  it("is taken over from one that a reboot ended", async () => {
    const [host, , space, pid, start] = thisProcess().split("-");
    const lock = heldBy(freshFolder(), [host, "abcdefabcdef", space, pid, start].join("-"));
    await expect(withLock(lock, () => Promise.resolve("in"), { waitMs: 0 })).resolves.toBe("in");
  });

  it("keeps a count right that three processes raise, while one after the other is killed", async () => {
    const folder = freshFolder({ memory: true });
    const count = path.join(folder, "count");
    writeFileSync(count, "0");
    const counted = (): Promise<void> =>
      compiled.start("counter.mjs", [folder]).killAfter(2 + Math.floor(Math.random() * 5));
    for (let round = 0; round < 6; round++) await Promise.all([counted(), counted(), counted()]);
    // Every increment is noted, under the lock, before it is made. A kill between the two loses at
    // most one.
    const noted = readFileSync(path.join(folder, "noted"), "utf8").split("\n").filter(Boolean);
    expect(noted.length).toBeGreaterThanOrEqual(18);
    const steps = noted.map(Number);
    const backward = steps.filter((value, index) => value < (steps[index - 1] ?? 0));
    expect(backward).toEqual([]);
    const repeated = steps.filter((value, index) => value === steps[index - 1]);
    expect(repeated.length).toBeLessThanOrEqual(18);
  }, 60_000);

  it("is never two folders' worth of lock, however many make it at once", async () => {
    const folder = freshFolder();
    const lock = path.join(folder, "lock");
    await Promise.all(Array.from({ length: 20 }, () => withLock(lock, () => sleep(0))));
    expect(readdirSync(folder)).toEqual(["lock"]);
    expect(readdirSync(lock)).toEqual(["free"]);
  });

  it("survives that somebody takes it away meanwhile", async () => {
    const folder = freshFolder();
    const lock = path.join(folder, "lock");
    await withLock(lock, () => {
      renameSync(lock, path.join(folder, "away"));
      return Promise.resolve();
    });
    await expect(withLock(lock, () => Promise.resolve("in"))).resolves.toBe("in");
  });
});

describe("a process", () => {
  it("knows that it runs, and that nobody runs under what is no process", () => {
    expect(isRunning(thisProcess())).toBe(true);
    expect(isRunning("nobody")).toBeUndefined();
    expect(isRunning("")).toBeUndefined();
  });

  it("is known to have ended", async () => {
    const program = compiled.start("counter.mjs", [freshFolder()]);
    const owner = String(await program.told());
    expect(isRunning(owner)).toBe(true);
    await program.kill();
    expect(isRunning(owner)).toBe(false);
  });
});
