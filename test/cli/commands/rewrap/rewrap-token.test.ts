/** `p11seal rewrap` with a key on a token: how often it logs in, and what faults leave. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { inspectMessage, matchesRecipient } from "../../../../src/envelope/messages.js";
import type { PkcsFunction, WrappedModule } from "../../../../src/testing/index.js";
import { countedCalls, type SetFaults, softHsmBehind } from "../../../support/behind-shim.js";
import { recipientOf } from "../../../support/identities.js";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import { freshToken, importKey, type TestToken, USER_PIN } from "../../../support/softhsm.js";
import { temporaryFolder } from "../../support/folder.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const COUNT = 12;
const root = temporaryFolder();
let faulty: WrappedModule;
let token: TestToken;
let tree: string;

beforeAll(async () => {
  faulty = await softHsmBehind();
  token = await freshToken("old-card");
  const key = { label: "exchange", id: Uint8Array.of(1), privateHalf: { UNWRAP: true } };
  await importKey(token, TEST_KEYS.rsa2048, key);
  writeFileSync(join(root, "old.pem"), publicPem(TEST_KEYS.rsa2048));
  writeFileSync(join(root, "new.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(join(root, "new.key"), TEST_KEYS.p256, { mode: 0o600 });
  writeFileSync(join(root, "plain"), "content\n");
  const seal = ["seal", "-r", "old.pem", "--oaep", "sha1", "-o", "sealed", "plain"];
  expect(await p11seal(seal, { cwd: root })).toMatchObject({ status: 0 });
});

beforeEach(() => {
  const folder = mkdtempSync(join(root, "run-"));
  tree = join(folder, "tree");
  mkdirSync(tree);
  for (let n = 0; n < COUNT; n++) copyFileSync(join(root, "sealed"), join(tree, `${n + 10}.p11s`));
});

function rewrap(more: readonly string[] = [], fault?: SetFaults): Promise<Ended> {
  faulty.forgetCalls();
  faulty.faults.clear();
  fault?.(faulty.faults);
  const words = ["rewrap", "--json", "--tree", "-r", "new.pem", "--remove", "old.pem"];
  const key = ["-i", token.uri, "--pin-source", "env:PIN"];
  return p11seal([...words, ...key, ...more, tree], {
    cwd: root,
    env: {
      ...{ PIN: USER_PIN, P11SEAL_HOME: join(root, "home"), P11SEAL_MODULE: faulty.module },
    },
  });
}

const called = (name: string): number | undefined => countedCalls(faulty, name)[0];

interface Counts {
  readonly rewrapped?: number;
  readonly failed?: number;
  readonly left?: number;
  readonly foreign?: number;
}

function summaryOf({ stdout }: Ended): unknown {
  return JSON.parse(stdout.toString().trimEnd().split("\n").at(-1) ?? "");
}

async function areFor(name: "p256" | "rsa2048"): Promise<boolean[]> {
  const key = recipientOf(name).publicKey;
  const found: boolean[] = [];
  for (const file of readdirSync(tree).sort()) {
    found.push(matchesRecipient(await inspectMessage(readFileSync(join(tree, file))), key));
  }
  return found;
}

const all = (value: boolean): boolean[] => Array.from({ length: COUNT }, () => value);

describe("rewrap with a token", () => {
  it("logs in once for all files, and not at all where nothing is left to do", async () => {
    expect(summaryOf(await rewrap())).toEqual({ summary: { rewrapped: COUNT }, exit: 0 });
    expect([called("C_Login"), called("C_UnwrapKey")]).toEqual([1, COUNT]);
    expect([await areFor("p256"), await areFor("rsa2048")]).toEqual([all(true), all(false)]);
    expect(summaryOf(await rewrap())).toEqual({ summary: { unchanged: COUNT }, exit: 0 });
    expect(called("C_Login")).toBe(0);
  });

  it("does not log in for a dry run, nor for messages that nothing explains", async () => {
    const rehearsed = await rewrap(["--dry-run"]);
    expect(summaryOf(rehearsed)).toEqual({ summary: { "would-rewrap": COUNT }, exit: 0 });
    expect(called("C_Login")).toBe(0);
    const words = ["rewrap", "--json", "--tree", "-r", "new.pem", "-i", token.uri, tree];
    const env = { P11SEAL_HOME: join(root, "home"), P11SEAL_MODULE: faulty.module };
    faulty.forgetCalls();
    const foreign = await p11seal(words, { cwd: root, env });
    expect(summaryOf(foreign)).toEqual({ summary: { foreign: COUNT }, exit: 6 });
    expect(called("C_Login")).toBe(0);
    expect(await areFor("rsa2048")).toEqual(all(true));
  });

  it("leaves every file whole when the token is pulled; a run that is repeated ends the work", async () => {
    const pulled = await rewrap([], (faults) =>
      faults.fail("C_UnwrapKey", { at: 6, rv: "CKR_TOKEN_NOT_PRESENT" }),
    );
    const { summary, exit } = summaryOf(pulled) as { summary: Counts; exit: number };
    const { rewrapped = 0, failed = 0, left = 0 } = summary;
    expect([pulled.status, exit, rewrapped + failed + left]).toEqual([7, 7, COUNT]);
    expect(Math.min(rewrapped, failed)).toBeGreaterThan(0);
    const [isNew, isOld] = [await areFor("p256"), await areFor("rsa2048")];
    expect(isNew.map((one, at) => one !== isOld[at])).toEqual(all(true));
    expect(summaryOf(await rewrap())).toEqual({
      ...{ summary: { unchanged: rewrapped, rewrapped: COUNT - rewrapped }, exit: 0 },
    });
    expect(await areFor("p256")).toEqual(all(true));
  });

  it("uses the token no more than twice for a file, and logs in once more, after one fault", async () => {
    const once = await rewrap([], (faults) =>
      faults.fail("C_UnwrapKey", { at: 6, times: 1, rv: "CKR_TOKEN_NOT_PRESENT" }),
    );
    const { summary } = summaryOf(once) as { summary: Counts };
    // Only if no other file was at the token at that moment, it counts against this one.
    expect((summary.rewrapped ?? 0) + (summary.failed ?? 0)).toBe(COUNT);
    expect(summary.rewrapped).toBeGreaterThanOrEqual(COUNT - 1);
    expect(called("C_UnwrapKey")).toBeLessThanOrEqual(COUNT + 2);
    expect(called("C_Login")).toBeLessThanOrEqual(2);
  });

  it.each<PkcsFunction>(["C_FindObjectsInit", "C_GetAttributeValue"])(
    "changes nothing if the token is pulled at %s, while a message is explained",
    async (fn) => {
      faulty.forgetCalls();
      faulty.faults.clear();
      faulty.faults.fail(fn, { rv: "CKR_TOKEN_NOT_PRESENT" });
      const words = ["rewrap", "--json", "--tree", "-r", "new.pem", "-i", token.uri, tree];
      const pulled = await p11seal([...words, "--pin-source", "env:PIN"], {
        cwd: root,
        env: {
          ...{ PIN: USER_PIN, P11SEAL_HOME: join(root, "home"), P11SEAL_MODULE: faulty.module },
        },
      });
      const { summary, exit } = summaryOf(pulled) as { summary: Counts; exit: number };
      expect([pulled.status, exit]).toEqual([exit, expect.any(Number)]);
      expect(exit).not.toBe(0);
      expect(summary.rewrapped).toBeUndefined();
      // A key that can't be read explains nothing.
      const { failed = 0, left = 0, foreign = 0 } = summary;
      expect(failed + left + foreign).toBe(COUNT);
      expect(called("C_Login")).toBe(0);
      expect([await areFor("p256"), await areFor("rsa2048")]).toEqual([all(false), all(true)]);
    },
  );

  it("goes no further once the token has failed twice in a row", async () => {
    const broken = await rewrap([], (faults) =>
      faults.fail("C_UnwrapKey", { rv: "CKR_TOKEN_NOT_PRESENT" }),
    );
    expect(broken.status).toBe(7);
    expect(summaryOf(broken)).toMatchObject({ summary: { failed: 2, left: COUNT - 2 } });
    expect(readdirSync(tree)).toHaveLength(COUNT);
  });

  it("sends a wrong PIN once", async () => {
    faulty.forgetCalls();
    faulty.faults.clear();
    const words = ["rewrap", "--json", "--tree", "-r", "new.pem", "--remove", "old.pem"];
    const wrong = await p11seal([...words, "-i", token.uri, "--pin-source", "env:PIN", tree], {
      cwd: root,
      env: {
        ...{ PIN: "999999", P11SEAL_HOME: join(root, "home"), P11SEAL_MODULE: faulty.module },
      },
    });
    expect([wrong.status, called("C_Login")]).toEqual([5, 1]);
    expect(summaryOf(wrong)).toMatchObject({ summary: { failed: 1, left: COUNT - 1 } });
    expect(await areFor("rsa2048")).toEqual(all(true));
  });

  it("stops when many are forged: someone may be guessing at the key", async () => {
    const bytes = readFileSync(join(root, "sealed"));
    for (let n = 0; n < COUNT; n++) {
      bytes[200] = (bytes[200] ?? 0) + 1;
      writeFileSync(join(tree, `${n + 10}.p11s`), bytes);
    }
    const forged = await rewrap();
    expect(forged.status).toBe(4);
    // The sixth is refused before the key is used.
    expect(summaryOf(forged)).toMatchObject({ summary: { failed: 6, left: COUNT - 6 } });
    expect(forged.stderr).toContain("ERR_TOO_MANY_FAILURES");
  });
});
