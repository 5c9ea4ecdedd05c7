/**
 * The three-phase exchange between two data folders, message by message: its result, and every
 * refusal.
 */
import { chmodSync, statSync } from "node:fs";
import { Writable } from "node:stream";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { CapiBench, type Told } from "../../support/capi.js";
import { temporaryFolder } from "../../support/folder.js";

const bench = new CapiBench(temporaryFolder());
const ALICE = { home: "home-alice" };
const BOB = { home: "home-bob" };
const alice = ["-i", "@alice.key", "--peer", "@bob.blob", "--name", "alice", "--peer-name", "bob"];
const bob = ["-i", "@bob.key", "--peer", "@alice.pem", "--name", "bob", "--peer-name", "alice"];
let run = 0;
const file = (name: string): string => `${name}-${run}`;

const begin = (...more: string[]): Promise<Told> =>
  bench.capi(
    ["three-phase", "begin", ...alice, "--state", `@${file("a")}`, "-o", `@${file("1")}`, ...more],
    ALICE,
  );
const answer = (...more: string[]): Promise<Told> =>
  bench.capi(
    [
      ...["three-phase", "answer", ...bob, "--state", `@${file("b")}`, "-o", `@${file("2")}`],
      ...[`@${file("1")}`, ...more],
    ],
    BOB,
  );
const confirm = (message = file("2"), ...more: string[]): Promise<Told> =>
  bench.capi(
    [
      ...["three-phase", "confirm", "-i", "@alice.key", "--state", `@${file("a")}`],
      ...["-o", `@${file("3")}`, `@${message}`, ...more],
    ],
    ALICE,
  );
const finish = (message = file("3")): Promise<Told> =>
  bench.capi(
    ["three-phase", "finish", "-i", "@bob.key", "--state", `@${file("b")}`, `@${message}`],
    BOB,
  );
const statusOf = async (state: string): Promise<unknown> => {
  const { stdout } = await bench.ok(["three-phase", "status", "--state", `@${file(state)}`]);
  return (JSON.parse(stdout.toString()) as { status: unknown }).status;
};
const flip = (name: string, at: number): string => {
  const bytes = Buffer.from(bench.read(name));
  const index = at < 0 ? bytes.length + at : at;
  bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
  bench.write(`flipped-${name}`, bytes);
  return `flipped-${name}`;
};

beforeAll(() => {
  bench.keyPair("alice", "exchange");
  bench.keyPair("alice-sign", "signature");
  bench.keyPair("bob", "exchange");
  bench.keyPair("bob-sign", "signature");
  bench.write("m.txt", "now we talk\n");
});

beforeEach(() => {
  run += 1;
});

describe("a three-phase run", () => {
  it("ends with the same two keys on both sides, which then carry messages both ways", async () => {
    for (const step of [begin, answer, confirm, finish]) {
      expect(await step()).toMatchObject({ status: 0 });
    }
    expect([await statusOf("a"), await statusOf("b")]).toEqual(["complete", "complete"]);
    for (const [own, state, home] of [
      ["alice", "a", ALICE],
      ["bob", "b", BOB],
    ] as const) {
      const keys = ["--key-a", `@${own}-a.blob`, "--key-b", `@${own}-b.blob`];
      const argv = ["-i", `@${own}.key`, "--state", `@${file(state)}`, ...keys];
      await bench.ok(["three-phase", "keys", ...argv, "--sign-with", `@${own}-sign.key`], home);
    }
    const iv = ["--iv", "ff".repeat(16)];
    for (const [from, to, key] of [
      ["alice", "bob", "a"],
      ["bob", "alice", "b"],
    ] as const) {
      const stored = (own: string): string[] => [
        ...["open-stored", "-i", `@${own}.key`, "--blob", `@${own}-${key}.blob`],
        ...["--signer", `@${own}-sign.blob`, ...iv],
      ];
      const sent = await bench.ok([...stored(from), "--encrypt", "@m.txt"]);
      const decrypt = ["--decrypt", "-", "--allow-unauthenticated"];
      const { stdout } = await bench.ok([...stored(to), ...decrypt], { stdin: sent.stdout });
      expect(stdout.toString()).toBe("now we talk\n");
    }
  });

  it("works with other terms, through streams", async () => {
    const terms = ["--algorithm", "3des", "--hash", "sha1", "--oaep", "--allow-weak"];
    const state = (own: string): string[] => ["--state", `@${file(own)}`];
    const step = async (own: string, argv: string[], stdin?: Buffer): Promise<Buffer> => {
      const home = own === "a" ? ALICE : BOB;
      const input = stdin === undefined ? {} : { stdin };
      return (await bench.ok(["three-phase", ...argv, ...state(own)], { ...home, ...input }))
        .stdout;
    };
    const first = await step("a", ["begin", ...alice, ...terms]);
    const second = await step("b", ["answer", ...bob, ...terms], first);
    const third = await step("a", ["confirm", "-i", "@alice.key"], second);
    await step("b", ["finish", "-i", "@bob.key"], third);
    expect(third.length).toBe(20);
    expect([await statusOf("a"), await statusOf("b")]).toEqual(["complete", "complete"]);
  });

  it("keeps no key in the clear, and its file to its owner", async () => {
    await begin();
    await answer();
    for (const state of ["a", "b"]) {
      expect(statSync(bench.at(file(state))).mode & 0o777).toBe(0o600);
      const text = bench.read(file(state)).toString();
      expect(Object.keys(JSON.parse(text) as object)).not.toContain("key");
    }
  });
});

describe("a replayed phase is refused", () => {
  it("phase 1, to a receiver who answered it, even for another run", async () => {
    await begin();
    expect((await answer()).status).toBe(0);
    const again = await bench.capi(
      [
        ...["three-phase", "answer", ...bob, "--state", "@b-again", "-o", "@2-again"],
        `@${file("1")}`,
      ],
      BOB,
    );
    expect(again).toMatchObject({ code: "ERR_REPLAYED", status: 6 });
    expect(bench.exists("b-again") || bench.exists("2-again")).toBe(false);
  });

  it("phase 1, also where the answer went to a pipe that broke: it may have arrived", async () => {
    await begin();
    const broken = new Writable({
      write: (_chunk, _encoding, done) => {
        done(new Error("broken"));
      },
    });
    const state = ["--state", `@${file("b")}`, `@${file("1")}`];
    const argv = ["three-phase", "answer", ...bob, ...state];
    expect((await bench.capi(argv, { ...BOB, stdout: broken })).code).toBe("ERR_WRITE");
    expect(await statusOf("b")).toBe("awaiting phase 3");
    const again = ["three-phase", "answer", ...bob, "--state", `@${file("c")}`, `@${file("1")}`];
    await bench.refused(again, "ERR_REPLAYED", BOB);
  });

  it("phase 2, to a sender who confirmed it, also when the run's file was put back", async () => {
    await begin();
    await answer();
    const before = bench.read(file("a"));
    expect((await confirm()).status).toBe(0);
    expect(await confirm(file("2"), "--force")).toMatchObject({ code: "ERR_REPLAYED" });
    bench.write(file("a"), before);
    expect(await confirm(file("2"), "--force")).toMatchObject({ code: "ERR_REPLAYED" });
  });

  it("phase 3, to a receiver who took it, also when the run's file was put back", async () => {
    for (const step of [begin, answer, confirm]) await step();
    const before = bench.read(file("b"));
    expect((await finish()).status).toBe(0);
    expect(await finish()).toMatchObject({ code: "ERR_REPLAYED" });
    bench.write(file("b"), before);
    expect(await finish()).toMatchObject({ code: "ERR_REPLAYED" });
  });

  it("of an earlier run, to a later one", async () => {
    await begin();
    await answer();
    const old = file("2");
    run += 1;
    await begin();
    expect(await confirm(old)).toMatchObject({ code: "ERR_PHASE_HASH", status: 4 });
    expect(await statusOf("a")).toBe("ended");
  });
});

describe("a message that does not match ends the run, and its file says so", () => {
  const faults: readonly (readonly [string, () => string])[] = [
    ["another hash value", () => flip(file("2"), -1)],
    ["another key B", () => flip(file("2"), 100)],
  ];
  it.each(faults)("phase 2 with %s", async (_, change) => {
    await begin();
    await answer();
    const message = change();
    expect(await confirm(message)).toMatchObject({ code: "ERR_PHASE_HASH", status: 4 });
    expect(await statusOf("a")).toBe("ended");
    expect(bench.exists(file("3"))).toBe(false);
    expect(await confirm()).toMatchObject({ code: "ERR_REPLAYED" });
    expect(bench.log("home-alice").at(-2)).toMatchObject({
      event: "capi",
      outcome: "ERR_PHASE_HASH",
    });
  });

  it("phase 3 with another hash value", async () => {
    for (const step of [begin, answer, confirm]) await step();
    expect(await finish(flip(file("3"), 0))).toMatchObject({ code: "ERR_PHASE_HASH" });
    expect(await statusOf("b")).toBe("ended");
    expect(await finish()).toMatchObject({ code: "ERR_REPLAYED" });
    const keys = ["--key-a", "@k-a", "--key-b", "@k-b", "--sign-with", "@bob-sign.key"];
    const argv = ["three-phase", "keys", "-i", "@bob.key", "--state", `@${file("b")}`, ...keys];
    await bench.refused(argv, "ERR_PHASE", BOB);
    expect(bench.exists("k-a")).toBe(false);
  });

  it("names that differ on the two sides", async () => {
    await begin("--hash", "sha512");
    const other = bob.map((word) => (word === "alice" ? "alicia" : word));
    const argv = [
      "three-phase",
      "answer",
      ...other,
      "--hash",
      "sha512",
      "--state",
      `@${file("b")}`,
    ];
    await bench.ok([...argv, "-o", `@${file("2")}`, `@${file("1")}`], BOB);
    expect(await confirm()).toMatchObject({ code: "ERR_PHASE_HASH" });
  });
});

describe("the run goes on after", () => {
  it("a message that is malformed, which is refused for what it is", async () => {
    await begin();
    await answer();
    bench.write("short", bench.read(file("2")).subarray(0, 100));
    expect(await confirm("short")).toMatchObject({ code: "ERR_TRUNCATED" });
    bench.write("long", Buffer.concat([bench.read(file("2")), Buffer.alloc(1)]));
    expect(await confirm("long")).toMatchObject({ code: "ERR_TRAILING" });
    expect(await confirm(flip(file("2"), 5))).toMatchObject({ code: "ERR_BLOB" });
    expect(await statusOf("a")).toBe("awaiting phase 2");
    expect((await confirm()).status).toBe(0);
    bench.write("short3", bench.read(file("3")).subarray(1));
    expect(await finish("short3")).toMatchObject({ code: "ERR_PHASE_HASH" });
    expect(await statusOf("b")).toBe("awaiting phase 3");
    expect((await finish()).status).toBe(0);
  });

  it("an output that could not be written", async () => {
    await begin();
    bench.write(file("2"), "old");
    expect(await answer()).toMatchObject({ code: "ERR_EXISTS" });
    expect(bench.exists(file("b"))).toBe(false);
    expect((await answer("--force")).status).toBe(0);
    bench.write(file("3"), "old");
    expect(await confirm()).toMatchObject({ code: "ERR_EXISTS" });
    const onto = ["--state", `@${file("a")}`, "-o", `@${file("2")}`, "--force", `@${file("2")}`];
    const argv = ["three-phase", "confirm", "-i", "@alice.key", ...onto];
    await bench.refused(argv, "ERR_SAME_FILE", ALICE);
    expect((await confirm(file("2"), "--force")).status).toBe(0);
  });

  it("somebody else's key was given", async () => {
    await begin();
    await answer();
    const argv = ["three-phase", "confirm", "-i", "@bob.key", "--state", `@${file("a")}`];
    await bench.refused([...argv, `@${file("2")}`], "ERR_PARTY", ALICE);
    expect((await confirm()).status).toBe(0);
  });
});

describe("a run is not begun", () => {
  const terms = ["three-phase", "begin", "--state", "@x", "-o", "@x1"];
  const faults: readonly (readonly [string, string, string[]])[] = [
    [
      "with one name for both",
      "ERR_PARTY",
      [...alice, "--peer-name", "alice"].filter(
        (w, i, all) => !(w === "bob" || (w === "--peer-name" && i < all.length - 2)),
      ),
    ],
    [
      "with oneself",
      "ERR_SAME_KEY",
      ["-i", "@alice.key", "--peer", "@alice.blob", "--name", "a", "--peer-name", "b"],
    ],
    [
      "with a signature key",
      "ERR_SIGN_ONLY",
      ["-i", "@alice.key", "--peer", "@bob-sign.blob", "--name", "a", "--peer-name", "b"],
    ],
    [
      "with a name outside ASCII",
      "ERR_PARTY",
      ["-i", "@alice.key", "--peer", "@bob.blob", "--name", "á", "--peer-name", "b"],
    ],
    ["over a file that is there", "ERR_EXISTS", [...alice]],
  ];
  it.each(faults)("%s", async (name, code, argv) => {
    if (name.includes("there")) bench.write("x", "old");
    await bench.refused([...terms, ...argv], code);
    expect(bench.exists("x1")).toBe(false);
  });

  it("nor gone on with, from a file that others can write, or that is none", async () => {
    await begin();
    await answer();
    chmodSync(bench.at(file("a")), 0o666);
    expect(await confirm()).toMatchObject({ code: "ERR_UNSAFE_FILE" });
    chmodSync(bench.at(file("a")), 0o600);
    bench.write(file("a"), bench.read(file("a")).toString().replace("awaiting", "Awaiting"));
    expect(await confirm()).toMatchObject({ code: "ERR_STATE" });
    const argv = ["three-phase", "confirm", "-i", "@alice.key", "--state", "@nowhere"];
    await bench.refused([...argv, `@${file("2")}`], "ERR_READ", ALICE);
  });

  it("names may be bytes", async () => {
    const bytes = (own: string, peer: string): string[] => [
      ...["--name", `hex:${Buffer.from(own, "utf16le").toString("hex")}`],
      ...["--peer-name", `hex:${Buffer.from(peer, "utf16le").toString("hex")}`],
    ];
    const one = ["-i", "@alice.key", "--peer", "@bob.blob", ...bytes("Ä", "Ö")];
    const two = ["-i", "@bob.key", "--peer", "@alice.blob", ...bytes("Ö", "Ä")];
    const state = (own: string): string => `@${file(own)}`;
    await bench.ok(
      ["three-phase", "begin", ...one, "--state", state("a"), "-o", state("1")],
      ALICE,
    );
    const argv = ["three-phase", "answer", ...two, "--state", state("b"), "-o", state("2")];
    await bench.ok([...argv, state("1")], BOB);
    expect((await confirm()).status).toBe(0);
    expect((await finish()).status).toBe(0);
  });
});
