import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { toHex } from "../../../src/bytes.js";
import { nextSerial } from "../../../src/records/ledger/serials.js";
import { compile, type Compiled } from "../support/compiled.js";
import { CAN_MOUNT, mountSmallDisk } from "../support/disks.js";
import { freshFolder, hex } from "../support/messages.js";
import { rawDatabase } from "../support/raw-database.js";
import { scaled } from "../../support/scale.js";
import { itIf } from "../../support/missing.js";

const alice = hex("alice", 64);
const bob = hex("bob", 64);
const itIfMounts = itIf(CAN_MOUNT, "no disk can be mounted here");
const newFile = (): string => path.join(freshFolder(), "home", "serials.db");

let compiled: Compiled;

beforeAll(() => {
  compiled = compile();
});

afterAll(() => {
  compiled.remove();
});

describe("serials", () => {
  it("count from 1, in a stream with a random id of 16 bytes", async () => {
    const file = newFile();
    const first = await nextSerial(file, alice);
    const second = await nextSerial(file, alice);
    expect([first.serial, second.serial]).toEqual([1, 2]);
    expect(first.streamId).toHaveLength(16);
    expect(second.streamId).toEqual(first.streamId);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("are counted for each key and each stream by itself", async () => {
    const file = newFile();
    const streams = [
      await nextSerial(file, alice),
      await nextSerial(file, alice, "invoices"),
      await nextSerial(file, bob),
    ];
    expect(streams.map(({ serial }) => serial)).toEqual([1, 1, 1]);
    expect(new Set(streams.map(({ streamId }) => toHex(streamId))).size).toBe(3);
  });

  it("begin a new stream when the counters were lost, so that none is repeated", async () => {
    const file = newFile();
    const before = await nextSerial(file, alice);
    rmSync(file);
    const after = await nextSerial(file, alice);
    expect(toHex(after.streamId)).not.toBe(toHex(before.streamId));
  });

  it.each(["", "-x", "a b", "a/b", "x".repeat(65), "a\n"])(
    "refuse the stream name %j",
    async (name) => {
      await expect(nextSerial(newFile(), alice, name)).rejects.toMatchObject({
        code: "ERR_STREAM_NAME",
      });
    },
  );

  it("are not given out from a damaged file", async () => {
    const file = newFile();
    await nextSerial(file, alice);
    writeFileSync(file, "x".repeat(9000));
    await expect(nextSerial(file, alice)).rejects.toMatchObject({ code: "ERR_SERIALS_DAMAGED" });
  });

  it("are not given out from a file that others can write", async () => {
    const file = newFile();
    await nextSerial(file, alice);
    chmodSync(file, 0o666);
    await expect(nextSerial(file, alice)).rejects.toMatchObject({ code: "ERR_UNSAFE_FILE" });
  });

  it("are not given out while another process keeps the file locked", async () => {
    const file = newFile();
    await nextSerial(file, alice);
    const other = rawDatabase(file);
    try {
      other.exec("BEGIN EXCLUSIVE");
      await expect(nextSerial(file, alice, undefined, { waitMs: 50 })).rejects.toMatchObject({
        code: "ERR_SERIALS_BUSY",
        hint: "nothing was signed; try again",
      });
      other.exec("ROLLBACK");
    } finally {
      other.close();
    }
    await expect(nextSerial(file, alice)).resolves.toMatchObject({ serial: 2 });
  });

  itIfMounts("are not given out on a full disk", async () => {
    const disk = mountSmallDisk();
    try {
      const file = path.join(disk.folder, "serials.db");
      await nextSerial(file, alice);
      disk.fill();
      await expect(nextSerial(file, alice)).rejects.toMatchObject({ code: "ERR_SERIALS_WRITE" });
      rmSync(path.join(disk.folder, "ballast"));
      await expect(nextSerial(file, alice)).resolves.toMatchObject({ serial: 2 });
    } finally {
      disk.remove();
    }
  });

  it("are never given out twice, to three processes at once that are killed at random moments", async () => {
    const folder = freshFolder({ memory: true });
    const counting = (): Promise<void> =>
      compiled.start("sealer.mjs", [folder, alice]).killAfter(1 + Math.floor(Math.random() * 5));
    const rounds = scaled(50, 3);
    for (let round = 0; round < rounds; round++) {
      await Promise.all([counting(), counting(), counting()]);
    }
    const lines = readFileSync(path.join(folder, "given.log"), "utf8").split("\n").filter(Boolean);
    expect(lines.length).toBeGreaterThanOrEqual(3 * rounds);
    expect(new Set(lines).size).toBe(lines.length);
    expect(new Set(lines.map((line) => line.split(" ")[0])).size).toBe(1);
  }, 300_000);
});
