/** The memory of signed rules is on the disk before anything is sealed by them. */
import { mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeEach, expect, it } from "@jest/globals";
import { calls } from "../../support/recorded-calls.js";
import { thisProcess } from "../../../src/store/owner.js";

const { requireNotOlder, rulesSeenPath } = await import("../../../src/records/rules/rules-seen.js");

const above = mkdtempSync(join(tmpdir(), "p11seal-rules-seen-"));
afterAll(() => {
  rmSync(above, { recursive: true, force: true });
});

const RULES = { folder: "/a", signer: "5".repeat(64), version: 3, sha256: "6".repeat(64) };
let home: string;
let flushHome: string;
beforeEach(async () => {
  home = mkdtempSync(join(above, "f-"));
  flushHome = `flush ${basename(home)}`;
  await requireNotOlder(home, RULES);
  calls.length = 0;
});

/** As a run leaves the lock that is killed before it gives it back. */
function leaveLockHeld(): void {
  const lock = `${rulesSeenPath(home)}.lock`;
  expect(readdirSync(lock)).toEqual(["free"]);
  const ended = thisProcess().replace(/-[0-9]+$/, "-1");
  renameSync(join(lock, "free"), join(lock, `held-${ended}-0190000000000000`));
}

it("a version that was seen before costs no flush", async () => {
  await requireNotOlder(home, RULES);
  expect(calls).toEqual([]);
});

it("a version that a run noted which was killed is flushed before it counts", async () => {
  leaveLockHeld();
  await requireNotOlder(home, RULES);
  expect(calls).toEqual([flushHome]);
});

it("a newer version is flushed before it counts", async () => {
  await requireNotOlder(home, { ...RULES, version: 4 });
  const ofFile = calls.filter((call) => !/^name (?:free|held-)/.test(call));
  const name = "rules-seen.toml";
  expect(ofFile).toEqual([
    ...[`write ${name} (temporary)`, `flush ${name} (temporary)`, `name ${name}`],
    flushHome,
  ]);
});
