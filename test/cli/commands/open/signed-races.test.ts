/** Signed messages opened by several processes at once, and by processes that are killed. */
import { randomBytes, randomInt } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { openHomeLedger } from "../../../../src/records/ledger/home-ledger.js";
import { auditFiles } from "../../../../src/records/audit/audit-log.js";
import type { LedgerStatus } from "../../../../src/records/ledger/ledger.js";
import { withLock } from "../../../../src/store/lock.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { open, outcomes, receiverHome, signedMessage } from "../../support/signed.js";
import { p11seal, start } from "../../support/spawn.js";
import { scaled } from "../../../support/scale.js";

const root = temporaryFolder();
const folder = join(root, "case");
const AS_BOB = ["-i", join(root, "bob.key"), "--from", "zoe"];
const content = randomBytes(2 * 1024 * 1024);
const there = (name: string): string => join(folder, name);
const TIMEOUT = scaled(1_800_000, 120_000);

let home: string;

beforeAll(() => {
  writeKeys(root);
});

beforeEach(async () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  home = await receiverHome(there("home"));
});

const openHere = (...argv: string[]): ReturnType<typeof open> =>
  open([...AS_BOB, ...argv], { cwd: folder, home });

describe("two processes at the same moment", () => {
  const rounds = scaled(100, 4);

  it(
    "open the same message exactly once",
    async () => {
      for (let round = 0; round < rounds; round++) {
        writeFileSync(there("m"), await signedMessage("content"));
        const runs = await Promise.all(
          ["a", "b"].map((name) => openHere("-o", `${round}${name}`, "m")),
        );
        expect(runs.filter(({ status }) => status === 0)).toHaveLength(1);
        const [loser] = runs.filter(({ status }) => status !== 0);
        expect(loser?.status).toBe(6);
        expect(["ERR_IN_PROGRESS", "ERR_REPLAYED"]).toContain(loser?.code);
        const made = ["a", "b"].filter((name) => existsSync(there(`${round}${name}`)));
        expect(made).toHaveLength(1);
      }
      expect(outcomes(home).filter((outcome) => outcome === "opened")).toHaveLength(rounds);
    },
    TIMEOUT,
  );
});

describe("an opening that is killed at any point", () => {
  const rounds = scaled(200, 5);
  it(
    "leaves no partial output, loses no message, and lets none in twice",
    async () => {
      const env = { P11SEAL_HOME: home };
      writeFileSync(there("warm"), await signedMessage(content, { segLog2: 14 }));
      const began = Date.now();
      expect((await openHere("-o", "warm.out", "warm")).status).toBe(0);
      const usual = Date.now() - began;

      for (let round = 0; round < rounds; round++) {
        writeFileSync(there("m"), await signedMessage(content, { segLog2: 14 }));
        const out = `out${round}`;
        const running = start(["open", ...AS_BOB, "-o", out, "m"], { cwd: folder, env });
        const timer = setTimeout(() => running.child.kill("SIGKILL"), randomInt(usual >> 2, usual));
        await running.ended;
        clearTimeout(timer);

        if (existsSync(there(out))) {
          expect(readFileSync(there(out)).equals(content)).toBe(true);
        } else {
          const completed = await openHere("-o", out, "m");
          expect(completed).toMatchObject({ status: 0 });
          expect(readFileSync(there(out)).equals(content)).toBe(true);
        }
        const again = await openHere("-o", `${out}.again`, "m");
        expect(again).toMatchObject({ status: 6, code: "ERR_REPLAYED" });
        rmSync(there(out));
      }
      const left = readdirSync(folder).filter((name) => !["home", "m", "warm"].includes(name));
      expect(left).toEqual(["warm.out"]);
      const verified = await p11seal(["audit-log", "verify"], { cwd: folder, env });
      expect(verified).toMatchObject({ status: 0 });
    },
    TIMEOUT,
  );
});

describe("a crash at the worst moments", () => {
  const NO_KEY = ["--from", "zoe", "-i", "pkcs11:token=nobody;object=nothing"];
  const status = async (): Promise<LedgerStatus> => {
    const ledger = await openHomeLedger(home);
    try {
      return await ledger.status();
    } finally {
      await ledger.close();
    }
  };
  const reached = async (state: "reserved" | "accepted"): Promise<void> => {
    while ((await status())[state] === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  /** The acceptance is written, but not its line in the audit log: a held lock stops the run. */
  const killedOnceAccepted = (): Promise<void> =>
    withLock(auditFiles(home).lock, async () => {
      const env = { P11SEAL_HOME: home };
      const running = start(["open", ...AS_BOB, "-o", "out", "m"], { cwd: folder, env });
      await reached("accepted");
      running.child.kill("SIGKILL");
      await running.ended;
    });

  it("between acceptance and delivery leaves a message that is delivered later, without a key", async () => {
    writeFileSync(there("m"), await signedMessage("content"));
    await killedOnceAccepted();
    expect(existsSync(there("out"))).toBe(false);
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toHaveLength(1);
    const argv = [...NO_KEY, "-o", "out", "m"];
    expect(await open(argv, { cwd: folder, home })).toMatchObject({ status: 0 });
    expect(readFileSync(there("out"), "utf8")).toBe("content");
    expect(readdirSync(folder).sort()).toEqual(["home", "m", "out"]);
    expect(await openHere("-o", "more", "m")).toMatchObject({ status: 6, code: "ERR_REPLAYED" });
  });

  it("between acceptance and delivery leaves a plaintext that no other run removes", async () => {
    writeFileSync(there("m"), await signedMessage("content"));
    await killedOnceAccepted();
    const [waiting] = readdirSync(folder).filter((name) => name.endsWith(".part"));
    writeFileSync(there("other"), await signedMessage("other content"));
    expect(await openHere("-o", "other.out", "other")).toMatchObject({ status: 0 });
    expect(readdirSync(folder)).toContain(waiting);
    const argv = [...NO_KEY, "-o", "out", "m"];
    expect(await open(argv, { cwd: folder, home })).toMatchObject({ status: 0 });
    expect(readFileSync(there("out"), "utf8")).toBe("content");
  });

  it("between acceptance and delivery leaves a message that can go elsewhere, once", async () => {
    writeFileSync(there("m"), await signedMessage("content"));
    await killedOnceAccepted();
    const opened = await openHere("m");
    expect(opened).toMatchObject({ status: 0 });
    expect(opened.stdout.toString()).toBe("content");
    expect(readdirSync(folder).sort()).toEqual(["home", "m"]);
    expect(await openHere("-o", "out", "m")).toMatchObject({ status: 6, code: "ERR_REPLAYED" });
  });

  it("before the message was whole leaves it unread and unburnt", async () => {
    const whole = await signedMessage(content, { segLog2: 14 });
    writeFileSync(there("m"), whole);
    const env = { P11SEAL_HOME: home };
    const argv = ["open", ...AS_BOB, "-o", "out", "-"];
    const running = start(argv, { cwd: folder, env, stdin: null });
    running.child.stdin?.write(whole.subarray(0, whole.length - 1));
    await reached("reserved");
    expect(await openHere("m")).toMatchObject({ status: 6, code: "ERR_IN_PROGRESS" });
    running.child.kill("SIGKILL");
    await running.ended;
    expect(await openHere("-o", "out", "m")).toMatchObject({ status: 0 });
    expect(readFileSync(there("out")).equals(content)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["home", "m", "out"]);
  });
});

describe("a sealing that is killed at any point", () => {
  const rounds = scaled(200, 6);

  it(
    "never leaves its serial to the next one",
    async () => {
      const { inspectMessage } = await import("../../../../src/envelope/messages.js");
      const { TEST_KEYS } = await import("../../../support/keys.js");
      writeFileSync(there("zoe.key"), TEST_KEYS.p384, { mode: 0o600 });
      writeFileSync(there("content"), "content");
      const env = { P11SEAL_HOME: home };
      const argv = ["seal", "-r", join(root, "bob.pem"), "--sign-with", "zoe.key"];
      const serials: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const running = start([...argv, "-o", `m${round}`, "content"], { cwd: folder, env });
        const timer = setTimeout(() => running.child.kill("SIGKILL"), randomInt(100, 700));
        await running.ended;
        clearTimeout(timer);
        if (!existsSync(there(`m${round}`))) continue;
        const { sender } = await inspectMessage(readFileSync(there(`m${round}`)));
        serials.push(sender?.serial ?? 0);
      }
      expect(await p11seal([...argv, "-o", "last", "content"], { cwd: folder, env })).toMatchObject(
        { status: 0 },
      );
      const { sender } = await inspectMessage(readFileSync(there("last")));
      serials.push(sender?.serial ?? 0);
      expect(serials).toEqual([...new Set(serials)].sort((a, b) => a - b));
      expect(serials[0]).toBeGreaterThan(0);
    },
    TIMEOUT,
  );
});
