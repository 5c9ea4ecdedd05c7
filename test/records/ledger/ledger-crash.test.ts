import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { initLedger, openLedger } from "../../../src/records/ledger/sqlite-ledger.js";
import { compile, type Compiled } from "../support/compiled.js";
import { freshFolder, message, MINUTE, NOW } from "../support/messages.js";
import { scaled } from "../../support/scale.js";

let compiled: Compiled;

beforeAll(() => {
  compiled = compile();
});

afterAll(() => {
  compiled.remove();
});

async function newLedger(): Promise<{ file: string; folder: string }> {
  const folder = freshFolder({ memory: true });
  const file = path.join(folder, "ledger.db");
  await initLedger(file, { nowMs: NOW });
  return { file, folder };
}

/** The serials whose acceptance a program noted, with repetitions. */
function accepted(folder: string): number[] {
  const log = path.join(folder, "accepted.log");
  if (!existsSync(log)) return [];
  return readFileSync(log, "utf8").split("\n").filter(Boolean).map(Number);
}

function delivered(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith("message-"));
}

function unfinished(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith(".part"));
}

function plaintext(folder: string, serial: number): string {
  return readFileSync(path.join(folder, `message-${serial}`), "utf8");
}

describe("a crash", () => {
  it.each(["reserved", "written", "committed", "renamed", "delivered"])(
    "after the message is %s loses nothing, and accepts nothing twice",
    async (step) => {
      const { file, folder } = await newLedger();
      await expect(compiled.start("opener.mjs", [file, folder, "1", step]).ended).resolves.toBe(
        "SIGKILL",
      );
      await expect(compiled.start("opener.mjs", [file, folder, "1"]).ended).resolves.toBe(0);
      await expect(compiled.start("opener.mjs", [file, folder, "1"]).ended).resolves.toBe(0);

      expect(delivered(folder)).toEqual(["message-1"]);
      expect(plaintext(folder, 1)).toBe("plaintext of message 1 ".repeat(100));
      expect(unfinished(folder)).toEqual([]);
      expect(accepted(folder)).toEqual([1]);
      const ledger = await openLedger(file);
      expect(await ledger.status()).toMatchObject({ counter: 2, accepted: 0, delivered: 1 });
    },
  );

  it("at random moments accepts no message twice, loses none and leaves no half of one", async () => {
    const { file, folder } = await newLedger();
    const rounds = scaled(100, 4);
    const count = 20 * rounds;
    const args = [file, folder, String(count)];
    const killed = (): Promise<void> =>
      compiled.start("opener.mjs", args).killAfter(1 + Math.floor(Math.random() * 3));
    for (let round = 0; round < rounds; round++) await Promise.all([killed(), killed()]);
    expect(accepted(folder).length).toBeGreaterThanOrEqual(rounds);
    await expect(compiled.start("opener.mjs", args).ended).resolves.toBe(0);

    const serials = Array.from({ length: count }, (_, index) => index + 1);
    const twice = accepted(folder).filter((serial, index, all) => all.indexOf(serial) !== index);
    expect(twice).toEqual([]);
    for (const serial of serials) {
      expect(plaintext(folder, serial)).toBe(`plaintext of message ${serial} `.repeat(100));
    }
    expect(unfinished(folder)).toEqual([]);
    const ledger = await openLedger(file);
    expect(await ledger.status()).toMatchObject({
      counter: 2 * count,
      reserved: 0,
      delivered: count,
    });
    expect(await ledger.verify()).toEqual([]);
  }, 600_000);
});

describe("several processes", () => {
  it("open the same message 100 times at once, and each time exactly one succeeds", async () => {
    const { file, folder } = await newLedger();
    const programs = [1, 2, 3].map(() => compiled.start("opener.mjs", [file, folder, "-"]));
    await Promise.all(programs.map((program) => program.told()));
    const outcomes: unknown[][] = [];
    for (let serial = 1; serial <= 100; serial++) {
      for (const program of programs) program.tell(String(serial));
      outcomes.push(await Promise.all(programs.map((program) => program.told())));
    }
    await Promise.all(programs.map((program) => program.kill()));

    const opened = outcomes.map((round) => round.filter((outcome) => outcome === "opened").length);
    expect(opened).toEqual(Array.from({ length: 100 }, () => 1));
    const refusals = new Set(outcomes.flat().filter((outcome) => outcome !== "opened"));
    for (const code of refusals) expect(["ERR_IN_PROGRESS", "ERR_REPLAYED"]).toContain(code);
    expect(delivered(folder)).toHaveLength(100);
  }, 120_000);

  it("respect one that is stopped, and take over from it once it is dead", async () => {
    const { file, folder } = await newLedger();
    const ledger = await openLedger(file);
    const program = compiled.start("holder.mjs", [file, folder]);
    await program.told();
    program.child.kill("SIGSTOP");
    await expect(ledger.reserve(message(1), { nowMs: NOW + 60 * MINUTE })).rejects.toMatchObject({
      code: "ERR_IN_PROGRESS",
    });
    await program.kill();
    expect(unfinished(folder)).toEqual(["out.part"]);
    const reservation = await ledger.reserve(message(1), { nowMs: NOW });
    expect(unfinished(folder)).toEqual([]);
    await reservation.commit();
  });
});
