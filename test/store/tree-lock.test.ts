/** Of two runs that would change the files of a tree, one works at a time. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { messageFiles } from "../../src/cli/find/message-tree.js";
import { processIo } from "../../src/cli/io/io.js";
import { withTreeLocks, type TreeLockOptions } from "../../src/store/tree-lock.js";
import { itAsUser } from "../support/missing.js";

const PROGRAM = fileURLToPath(new URL("support/tree-lock.mjs", import.meta.url));

const above = realpathSync(mkdtempSync(join(tmpdir(), "p11seal-trees-")));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});

let tree: string;
let team: string;
const others: ChildProcess[] = [];
beforeEach(() => {
  tree = mkdtempSync(join(above, "tree-"));
  team = join(tree, "team");
  mkdirSync(team);
});
afterEach(() => {
  for (const child of others.splice(0)) child.kill("SIGKILL");
});

async function otherRun(...args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  others.push(child);
  await once(child.stdout, "data");
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "exit");
}

function attempt(folders: readonly string[], options: TreeLockOptions = {}): Promise<string> {
  return withTreeLocks(folders, { waitMs: 0, ...options }, () => Promise.resolve("worked"));
}

const LOCKED = expect.objectContaining({ code: "ERR_LOCKED" }) as unknown;

describe("the lock of a tree", () => {
  it("lies in it while a run works, and is gone afterwards", async () => {
    await withTreeLocks([tree, team, `${tree}/`], {}, async (lock) => {
      expect(readdirSync(tree).sort()).toEqual([".p11seal-lock", "team"]);
      // What is in the tree is locked with it.
      expect(readdirSync(team)).toEqual([]);
      await lock.confirm();
    });
    expect(readdirSync(tree)).toEqual(["team"]);
    const failed = withTreeLocks([tree], {}, () => Promise.reject(new RangeError("no")));
    await expect(failed).rejects.toThrow("no");
    expect(readdirSync(tree)).toEqual(["team"]);
  });

  it("is no link: names in another folder stay as they are", async () => {
    const elsewhere = mkdtempSync(join(above, "elsewhere-"));
    writeFileSync(join(elsewhere, "free"), "");
    symlinkSync(elsewhere, join(tree, ".p11seal-lock"));
    const refusal = {
      code: "ERR_WRITE",
      message: expect.stringContaining("ELOOP") as unknown,
    };
    await expect(attempt([tree])).rejects.toMatchObject(refusal);
    expect(readdirSync(elsewhere)).toEqual(["free"]);
    expect(readdirSync(tree).sort()).toEqual([".p11seal-lock", "team"]);
  });

  it("keeps another run out, of the same tree by any path, of one in it, and of one above", async () => {
    const link = join(above, `link-${others.length}-${Date.now()}`);
    symlinkSync(tree, link);
    await otherRun(tree);
    for (const path of [tree, `${tree}/team/..`, link, team]) {
      await expect(attempt([path])).rejects.toEqual(LOCKED);
    }
    await expect(attempt([above])).resolves.toBe("worked");
    expect(readdirSync(team)).toEqual([]);
  });

  it("makes a run on a larger tree pass over the one where another works", async () => {
    await otherRun(team);
    const found = [];
    for await (const entry of messageFiles(
      [tree],
      { tree: true, refusesLocked: true },
      processIo(),
    )) {
      found.push(entry);
    }
    expect(found).toMatchObject([{ kind: "fault", path: team, error: { code: "ERR_LOCKED" } }]);
  });

  it("lets different shards work side by side, and no two that have files in common", async () => {
    await otherRun(tree, "1", "4");
    await expect(attempt([tree], { shard: { part: 2, of: 4 } })).resolves.toBe("worked");
    for (const options of [{}, { shard: { part: 1, of: 4 } }, { shard: { part: 2, of: 3 } }]) {
      await expect(attempt([tree], options)).rejects.toEqual(LOCKED);
    }
    // Shares of another tree are counted anew.
    await expect(attempt([team], { shard: { part: 2, of: 4 } })).rejects.toEqual(LOCKED);
    expect(readdirSync(tree).sort()).toEqual([".p11seal-lock-1-of-4", "team"]);
  });

  it("of a run that was killed is taken over, and goes with the next run", async () => {
    for (const shard of [[], ["1", "4"]]) {
      await killed(await otherRun(tree, ...shard));
      expect(readdirSync(tree)).toHaveLength(2);
      await expect(attempt([tree])).resolves.toBe("worked");
      expect(readdirSync(tree)).toEqual(["team"]);
    }
  });

  it("is waited for", async () => {
    const other = await otherRun(tree);
    const mine = attempt([tree], { waitMs: 10_000 });
    setTimeout(() => other.kill("SIGKILL"), 100);
    await expect(mine).resolves.toBe("worked");
  });

  it("goes to one after the other, however many begin at once", async () => {
    let inside = 0;
    const most: number[] = [];
    const roots = [[tree], [tree], [team, tree], [tree], [`${tree}/`]];
    await Promise.all(
      roots.map((folders) =>
        withTreeLocks(folders, { waitMs: 60_000 }, async () => {
          most.push(++inside);
          await new Promise((resolve) => setTimeout(resolve, 5));
          inside--;
        }),
      ),
    );
    expect(most).toEqual(roots.map(() => 1));
    expect(readdirSync(tree)).toEqual(["team"]);
  }, 60_000);

  it("can't be made in a folder that isn't there", async () => {
    await expect(attempt([join(tree, "none")])).rejects.toMatchObject({ code: "ERR_READ" });
  });

  itAsUser("can't be made in a folder that is read-only", async () => {
    chmodSync(team, 0o555);
    await expect(attempt([team])).rejects.toMatchObject({ code: "ERR_WRITE" });
  });
});
