/** The memory of signed rules: written by several processes at once, some of which are killed. */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { beforeEach, expect, it } from "@jest/globals";
import { readSeen } from "../../../src/records/rules/rules-seen.js";
import { freshFolder } from "../support/messages.js";

const BUILT = pathToFileURL(
  join(import.meta.dirname, "../../../dist/records/rules/rules-seen.js"),
).href;

let home: string;
beforeEach(() => {
  home = join(freshFolder(), "home");
});

interface Writer {
  readonly kill: () => void;
  readonly ended: Promise<unknown>;
}

/** A process that remembers so many versions of the rules in a folder, one by one. */
function writer(folder: string, versions: number, from = 1): Writer {
  const program = `
    import { requireNotOlder } from ${JSON.stringify(BUILT)};
    const [home, folder, versions, from] = process.argv.slice(1);
    for (let version = Number(from), n = 0; n < Number(versions); version++, n++) {
      const sha256 = version.toString(16).padStart(64, "0");
      await requireNotOlder(home, { folder, signer: "5".repeat(64), version, sha256 });
    }`;
  const words = [
    "--input-type=module",
    "-e",
    program,
    home,
    folder,
    String(versions),
    String(from),
  ];
  const child = spawn(process.execPath, words, { stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  return { kill: () => child.kill("SIGKILL"), ended };
}

async function versionOf(wanted: string): Promise<number> {
  return (await readSeen(home)).find(({ folder }) => folder === wanted)?.version ?? 0;
}

it("keeps what each of several processes saw", async () => {
  const folders = ["/a", "/b", "/c", "/d"];
  const ends = await Promise.all(folders.map((folder) => writer(folder, 10).ended));
  expect(ends).toEqual([0, 0, 0, 0]);
  const seen = await readSeen(home);
  expect(seen.map(({ folder, version }) => [folder, version]).sort()).toEqual(
    folders.map((folder) => [folder, 10]),
  );
});

it("never goes back and stays whole, whenever a process is killed", async () => {
  let highest = 0;
  for (let moment = 0; moment < 8; moment++) {
    const running = writer("/a", 10_000, highest + 1);
    // A version, not a time from the start: a busy machine may take long to start it.
    while ((await versionOf("/a")) <= highest) await sleep(5);
    await sleep(5 * moment);
    running.kill();
    await running.ended;
    const version = await versionOf("/a");
    expect(version).toBeGreaterThan(highest);
    highest = version;
    // A killed process's lock is taken over, and the next one writes.
    const next = writer("/b", 1);
    expect(await next.ended).toBe(0);
  }
  expect((await readSeen(home)).map(({ folder }) => folder).sort()).toEqual(["/a", "/b"]);
  const left = readdirSync(home).filter((name) => name.includes(".part"));
  expect(left.length).toBeLessThanOrEqual(1);
}, 60_000);
