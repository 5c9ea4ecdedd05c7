/**
 * The cost of guessing: failures are counted across runs, delay the next message, and are logged.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync, chmodSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { CapiHome } from "../../../../src/cli/commands/capi/capi-home.js";
import { parsePublicKey } from "../../../../src/keys/formats/key-file.js";
import { toHex } from "../../../../src/bytes.js";
import { CapiBench } from "../../support/capi.js";
import { temporaryFolder } from "../../support/folder.js";

const bench = new CapiBench(temporaryFolder());
const receive = ["receive", "-i", "@alice.key", "--blob", "@k.blob", "--allow-unauthenticated"];

beforeAll(async () => {
  bench.keyPair("alice", "exchange");
  bench.keyPair("bob-sign", "signature");
  bench.write("m.txt", "one\n");
  await bench.ok([
    ...["send", "--to", "@alice.blob", "--blob", "@k.blob", "--cipher", "@m.bin", "@m.txt"],
    ...["--sign-with", "@bob-sign.key", "--signature", "@m.sig"],
  ]);
});

/** Always refused: a ciphertext that is not a whole number of blocks. */
const fail = (home: string) =>
  bench.refused(receive, "ERR_DECRYPT", { home, stdin: bench.read("m.bin").subarray(1) });

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

describe("repeated failures", () => {
  it("make the next message wait, also a good one, but not one that a signer answers for", async () => {
    const home = "slow";
    for (let count = 0; count < 3; count++) await fail(home);
    const told = await bench.ok([...receive, "--cipher", "@m.bin"], { home });
    expect(told.stderr).toContain("3 messages to this key did not decrypt lately: waiting 1 s");
    expect(await seconds(() => fail(home))).toBeGreaterThan(0.9);

    const signed = ["--signature", "@m.sig", "--signer", "@bob-sign.blob", "--cipher", "@m.bin"];
    const { stderr } = await bench.ok([...receive, ...signed], { home });
    expect(stderr).not.toContain("waiting");
  });

  it("are on record, each with the message, the key and the outcome", async () => {
    await fail("logged");
    await bench.ok([...receive, "--cipher", "@m.bin"], { home: "logged" });
    const [failure, success] = bench.log("logged");
    const { publicKey } = parsePublicKey(bench.read("alice.pem"), "alice");
    const facts = {
      event: "capi",
      recipient: toHex(publicKey.fingerprint),
      path: "receive: key file",
    };
    expect(failure).toMatchObject({ ...facts, outcome: "ERR_DECRYPT" });
    expect(success).toMatchObject({ ...facts, outcome: "opened" });
    expect(failure?.["messageId"]).toMatch(/^[0-9a-f]{32}$/);
    expect(JSON.stringify(failure)).not.toContain("sender");
  });

  it("of a signature are on record too, and slow nobody down: no key was used", async () => {
    bench.write("other", "other");
    const signed = ["--signature", "@m.sig", "--signer", "@bob-sign.blob", "--cipher", "@other"];
    for (let count = 0; count < 4; count++) {
      await bench.refused([...receive, ...signed], "ERR_SENDER_SIGNATURE", { home: "forged" });
    }
    expect(bench.log("forged").map(({ outcome }) => outcome)).toEqual(
      Array.from({ length: 4 }, () => "ERR_SENDER_SIGNATURE"),
    );
    expect(readdirSync(bench.at("forged")).includes("capi")).toBe(false);
  });

  it("are not hidden by a log that can't be written: that is said", async () => {
    const home = bench.home("unlogged");
    mkdirSync(join(home, "audit.jsonl"));
    const { stderr } = await fail("unlogged");
    expect(stderr).toContain("not in the audit log");
  });
});

describe("the memory of failures", () => {
  const home = (name: string): CapiHome => new CapiHome(bench.home(name));
  const HOUR = 3_600_000;

  it("doubles the wait to a minute, and forgets after a quiet hour", async () => {
    const memory = home("memory");
    const waits: number[] = [];
    for (let count = 0; count < 12; count++) {
      const now = HOUR * 1000 + count * 200_000;
      waits.push((await memory.turn("key", now)).waitMs / 1000);
      await memory.failed("key", now);
    }
    expect(waits).toEqual([0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    const later = HOUR * 1002 + 12 * 200_000;
    expect(await memory.turn("key", later)).toMatchObject({ waitMs: 0 });
    expect(await memory.turn("another", later)).toEqual({ waitMs: 0, failures: 0 });
  });

  it("gives those who ask at once turns one after the other, and sends the rest away", async () => {
    const memory = home("turns");
    const now = HOUR * 1000;
    for (let count = 0; count < 12; count++) await memory.failed("key", now);
    const turns = await Promise.all(Array.from({ length: 5 }, () => memory.turn("key", now)));
    const waits = turns.map(({ waitMs }) => waitMs).sort((a, b) => a - b);
    expect(waits).toEqual([60_000, 120_000, 180_000, 240_000, 300_000]);
    await expect(memory.turn("key", now)).rejects.toMatchObject({ code: "ERR_TOO_MANY_FAILURES" });
    // A clock that is set back does not block everybody until it has caught up.
    expect(await memory.turn("key", now - 24 * HOUR)).toMatchObject({ waitMs: 60_000 });
  });

  it("takes each message once, whoever asks at the same time, until it is released", async () => {
    const memory = home("taken");
    const taken = await Promise.all(Array.from({ length: 8 }, () => memory.reserve("phase 1 x")));
    expect(taken.filter(Boolean)).toHaveLength(1);
    await memory.release("phase 1 x");
    expect(await memory.reserve("phase 1 x")).toBe(true);
    expect(await memory.reserve("phase 1 y")).toBe(true);
  });
});

describe("the secret behind implicit rejection", () => {
  it("is made once, also by several at once, and read by its owner alone", async () => {
    const folder = bench.home("secret");
    const made = await Promise.all(
      Array.from({ length: 5 }, () => new CapiHome(folder).rejectionSecret()),
    );
    const values = new Set(made.map((secret) => toHex(secret.expose())));
    expect(values.size).toBe(1);
    const path = join(folder, "capi", "rejection.secret");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect([...values]).toEqual([readFileSync(path).toString("hex")]);
  });

  it.each([
    [
      "can be read by others",
      (path: string) => {
        chmodSync(path, 0o640);
      },
    ],
    [
      "is damaged",
      (path: string) => {
        writeFileSync(path, "short");
      },
    ],
  ])("is not used where it %s", async (fact, change) => {
    const name = `secret-${fact.replaceAll(" ", "-")}`;
    const memory = new CapiHome(bench.home(name));
    await memory.rejectionSecret();
    change(join(bench.at(name), "capi", "rejection.secret"));
    await expect(memory.rejectionSecret()).rejects.toMatchObject({ code: "ERR_UNSAFE_FILE" });
    const argv = [...receive, "--cipher", "@m.bin"];
    await bench.refused(argv, "ERR_UNSAFE_FILE", { home: name });
  });
});
