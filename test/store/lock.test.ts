import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
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

  it("is taken over from one that can't be looked at and gave no sign of life for long", async () => {
    const lock = heldBy(freshFolder(), "0123456789ab-0-0-4711-1");
    const [name = ""] = readdirSync(lock);
    const longAgo = new Date(Date.now() - 61_000);
    utimesSync(path.join(lock, name), longAgo, longAgo);
    // Not at once: the other clock may be wrong.
    await expect(withLock(lock, () => Promise.resolve(), { waitMs: 1500 })).rejects.toMatchObject({
      code: "ERR_LOCKED",
      message: `a process on another machine or in another container holds "${lock}"`,
    });
    await expect(withLock(lock, () => Promise.resolve("in"))).resolves.toBe("in");
  }, 20_000);

  it("is not taken from one that can't be looked at but shows that it lives", async () => {
    const lock = heldBy(freshFolder(), "0123456789ab-0-0-4711-1");
    const [name = ""] = readdirSync(lock);
    // A clock that is two minutes slow.
    const beat = setInterval(() => {
      const slow = new Date(Date.now() - 120_000);
      utimesSync(path.join(lock, name), slow, slow);
    }, 1000);
    const taken = withLock(lock, () => Promise.resolve(), { waitMs: 5000 });
    await expect(taken).rejects.toMatchObject({ code: "ERR_LOCKED" });
    clearInterval(beat);
  }, 20_000);

  it("is not taken from a new holder for the age of the file that it renamed", async () => {
    const folder = freshFolder();
    const lock = path.join(folder, "lock");
    await withLock(lock, () => Promise.resolve());
    const longAgo = new Date(Date.now() - 3_600_000);
    utimesSync(path.join(lock, "free"), longAgo, longAgo);
    await withLock(lock, async () => {
      const [name = ""] = readdirSync(lock);
      const since = Number.parseInt(name.slice(-16, -4), 16);
      // Far from the hour that the file's age would make of it, however busy the machine is.
      expect(Math.abs(Date.now() - since)).toBeLessThan(600_000);
      await Promise.resolve();
    });
  });

  it("shows that its holder lives, and who it is", async () => {
    const lock = path.join(freshFolder(), "lock");
    await withLock(lock, async () => {
      const [name = ""] = readdirSync(lock);
      expect(name).toContain(thisProcess());
      const time = (): number => statSync(path.join(lock, name)).mtimeMs;
      const before = time();
      // Once a second; on a busy machine, later.
      for (let waits = 0; time() === before && waits < 200; waits++) await sleep(100);
      expect(time()).toBeGreaterThan(before);
    });
  }, 30_000);

  it("tells a holder that it was taken over, before it writes", async () => {
    const lock = path.join(freshFolder(), "lock");
    await withLock(lock, async (held) => {
      await expect(held.confirm()).resolves.toBeUndefined();
      const [name = ""] = readdirSync(lock);
      renameSync(path.join(lock, name), path.join(lock, name.replace(/.{16}$/, "0".repeat(16))));
      await expect(held.confirm()).rejects.toMatchObject({ code: "ERR_LOCKED" });
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

  it("removes what a process left that was killed while it made one, and nothing else", async () => {
    const folder = freshFolder();
    mkdirSync(path.join(folder, "lock.Ab3dE6"));
    mkdirSync(path.join(folder, "lock.zZ9yY8"));
    writeFileSync(path.join(folder, "lock.zZ9yY8", "free"), "");
    const others = ["lock.txt", "block.Ab3dE6", "lock.old.jsonl"];
    for (const name of others) writeFileSync(path.join(folder, name), "");
    await withLock(path.join(folder, "lock"), () => Promise.resolve());
    expect(readdirSync(folder).sort()).toEqual([...others, "lock"].sort());
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
