/** `capi receive` under a policy: each message once, whoever copies it, and wherever a run ends. */
import { randomInt } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { addEntry } from "../../../../src/records/directory/directory-file.js";
import { parsePublicKey } from "../../../../src/keys/formats/key-file.js";
import { thisProcess } from "../../../../src/store/owner.js";
import { scaled } from "../../../support/scale.js";
import { CapiBench, type Told } from "../../support/capi.js";
import { temporaryFolder } from "../../support/folder.js";
import { p11seal, start, type Ended } from "../../support/spawn.js";

const bench = new CapiBench(temporaryFolder());
const MESSAGE = "attack at dawn, and bring the maps\n";
const RECEIVE = ["receive", "-i", "@alice.key", "--blob", "@k.blob", "--allow-weak"];
const BOBS = [...RECEIVE, "--cipher", "@m.bin", "--signature", "@m.sig", "--signer", "bob"];

/** A data folder that takes signed messages of bob and mallory. */
async function policed(home: string): Promise<void> {
  const folder = bench.home(home);
  writeFileSync(join(folder, "config.toml"), 'require = "signed"\n', { mode: 0o600 });
  for (const name of ["bob", "mallory"]) {
    const { publicKey } = parsePublicKey(bench.read(`${name}.pem`), name);
    await addEntry(folder, "senders", { name, publicKey, source: "test", addedMs: Date.now() });
  }
}

/** mallory's signature over bob's key blob and any ciphertext. */
async function forged(cipher: string): Promise<string[]> {
  bench.write("both", Buffer.concat([bench.read("k.blob"), bench.read(cipher)]));
  const argv = ["sign", "-i", "@mallory.key", "-o", "@mallory.sig", "--force", "@both"];
  await bench.ok(argv);
  return [
    ...[...RECEIVE, "--cipher", `@${cipher}`],
    ...["--signature", "@mallory.sig", "--signer", "mallory"],
  ];
}

const receivedFolder = (home: string): string => join(bench.at(home), "capi", "received");

function rowsOf(home: string): Record<string, unknown>[] {
  return readdirSync(receivedFolder(home))
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => {
      const text = readFileSync(join(receivedFolder(home), name), "utf8");
      return JSON.parse(text) as Record<string, unknown>[];
    });
}

/** What a run that was killed leaves: the row as it was then. */
function leftBehind(home: string, change: Readonly<Record<string, unknown>>): void {
  const name = readdirSync(receivedFolder(home)).find((one) => one.endsWith(".json")) ?? "";
  const file = join(receivedFolder(home), name);
  const rows = rowsOf(home).map((row) => ({ ...row, ...change }));
  writeFileSync(file, `${JSON.stringify(rows)}\n`, { mode: 0o600 });
}

/** A process of this machine that is no more. */
function deadProcess(): string {
  return thisProcess().replace(/-[0-9]+$/, "-1");
}

beforeAll(async () => {
  bench.keyPair("alice", "exchange");
  for (const name of ["bob", "mallory"]) bench.keyPair(name, "signature");
  bench.write("m.txt", MESSAGE);
  // RC4: whatever the ciphertext, it decrypts to something.
  await bench.ok([
    ...["send", "--to", "@alice.blob", "--blob", "@k.blob", "--cipher", "@m.bin"],
    ...["--algorithm", "rc4", "--allow-weak"],
    ...["--sign-with", "@bob.key", "--signature", "@m.sig", "@m.txt"],
  ]);
  bench.write("noise.bin", Buffer.alloc(64, 0x5a));
});

describe("capi receive under a policy", () => {
  it.each(["noise.bin", "m.bin"])(
    "is not used up by another sender who signs a copy of the key blob, with %s",
    async (cipher) => {
      const home = `copied-${cipher}`;
      await policed(home);
      await bench.ok(await forged(cipher), { home });
      const { stdout, stderr } = await bench.ok(BOBS, { home });
      expect(stdout.toString()).toBe(MESSAGE);
      expect(stderr).toContain('signed by "bob"; not received before');
      expect(stderr).toContain("one of the two senders copied it");
      await bench.refused(BOBS, "ERR_REPLAYED", { home });
    },
  );

  it("tells of a copy that comes after the original", async () => {
    const home = "copied-later";
    await policed(home);
    const first = await bench.ok(BOBS, { home });
    expect(first.stderr).not.toContain("copied");
    const { stderr } = await bench.ok(await forged("m.bin"), { home });
    expect(stderr).toContain("one of the two senders copied it");
  });

  it("records nothing of a message that does not decrypt", async () => {
    const home = "failed";
    await policed(home);
    await bench.refused([...BOBS, "--oaep"], "ERR_DECRYPT", { home });
    expect(rowsOf(home)).toEqual([]);
    await bench.ok(BOBS, { home });
  });
});

describe("capi receive, killed", () => {
  async function receivedThen(
    home: string,
    change: Readonly<Record<string, unknown>>,
  ): Promise<Told> {
    await policed(home);
    await bench.ok(BOBS, { home });
    leftBehind(home, change);
    return bench.capi(BOBS, { home });
  }

  it("before the message was whole, can be run again", async () => {
    const reserved = { state: "reserved", acceptedMs: undefined, owner: deadProcess() };
    const { status, stdout } = await receivedThen("killed-reserved", reserved);
    expect([status, stdout.toString()]).toEqual([0, MESSAGE]);
  });

  it("while it wrote to stdout, can be run again", async () => {
    const accepted = { state: "accepted", owner: deadProcess() };
    const { status, stdout } = await receivedThen("killed-accepted", accepted);
    expect([status, stdout.toString()]).toEqual([0, MESSAGE]);
    await bench.refused(BOBS, "ERR_REPLAYED", { home: "killed-accepted" });
  });

  it("is waited for while it runs", async () => {
    const busy = { state: "reserved", acceptedMs: undefined, owner: thisProcess() };
    const { code } = await receivedThen("busy", busy);
    expect(code).toBe("ERR_IN_PROGRESS");
  });

  it("takes nothing from a damaged record", async () => {
    const { code, stdout } = await receivedThen("damaged", { state: "perhaps" });
    expect(code).toBe("ERR_LEDGER_DAMAGED");
    expect(stdout.length).toBe(0);
  });

  it("leaves the audit log's line before the plaintext has its name", async () => {
    const home = "no-log";
    await policed(home);
    // A folder in the log's place: nothing can be written there.
    mkdirSync(join(bench.at(home), "audit.jsonl"));
    const told = await bench.capi([...BOBS, "-o", "@unlogged.txt"], { home });
    expect(told.code).toBe("ERR_UNSAFE_FILE");
    expect(existsSync(bench.at("unlogged.txt"))).toBe(false);
  });
});

describe("capi receive, killed at any moment", () => {
  const home = "kills";
  const words = ["capi", ...BOBS].map((word) => word.replaceAll("@", `${bench.folder}/`));
  const env = { P11SEAL_HOME: bench.at(home) };
  const out = bench.at("killed.txt");

  async function killed(argv: readonly string[], usualMs: number): Promise<Ended> {
    const running = start(argv, { env });
    const timer = setTimeout(() => running.child.kill("SIGKILL"), randomInt(usualMs >> 2, usualMs));
    const ended = await running.ended;
    clearTimeout(timer);
    return ended;
  }

  it("leaves a message that can still be received, and once", async () => {
    await policed(home);
    const began = Date.now();
    expect(await p11seal(words, { env })).toMatchObject({ status: 0 });
    const usualMs = Date.now() - began;
    for (let round = 0; round < scaled(60, 3); round++) {
      rmSync(receivedFolder(home), { recursive: true });
      await killed([...words, "-o", out], usualMs);
      if (!existsSync(out)) expect((await p11seal([...words, "-o", out], { env })).status).toBe(0);
      expect(readFileSync(out, "utf8")).toBe(MESSAGE);
      const again = ["-o", bench.at("again.txt")];
      expect((await p11seal([...words, ...again], { env })).status).toBe(6);
      rmSync(out);
      expect(readdirSync(bench.folder).filter((name) => name.includes(".part"))).toEqual([]);

      rmSync(receivedFolder(home), { recursive: true });
      const { stdout } = await killed(words, usualMs);
      const received = await p11seal(words, { env });
      // A pipe that got all may get it once more, as nobody knows whether it was read.
      if (received.status === 6) expect(stdout.toString()).toBe(MESSAGE);
      else expect([received.status, received.stdout.toString()]).toEqual([0, MESSAGE]);
      expect((await p11seal(words, { env })).status).toBe(6);
    }
    expect(await p11seal(["audit-log", "verify"], { env })).toMatchObject({ status: 0 });
  }, 600_000);
});
