/**
 * The article's steps, with commands on our side, as a person would run them, and Wine on the
 * other. Run by `npm run test:capi`.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, realpathSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { concat, toHex } from "../../../src/bytes.js";
import { p11seal, type Ended } from "../../cli/support/spawn.js";
import { freshToken, SOFTHSM_MODULE, USER_PIN } from "../../support/softhsm.js";
import { get, ok, put, run } from "./peer.js";

const CONTAINER = "commands";
const WINE = ["--container", CONTAINER];
const folder = realpathSync(mkdtempSync(join(tmpdir(), "p11seal-capi-")));
const message = randomBytes(10_000);
/** URIs of the token's keys. */
let exchange: string;
let signing: string;

/** Runs a command in our folder, with the PIN in its environment. */
function cli(...argv: string[]): Promise<Ended> {
  return p11seal(argv, {
    cwd: folder,
    env: {
      P11SEAL_HOME: join(folder, "home"),
      P11SEAL_MODULE: SOFTHSM_MODULE,
      P11SEAL_PIN_SOURCE: "env:PIN",
      PIN: USER_PIN,
    },
  });
}

async function done(...argv: string[]): Promise<string> {
  const { status, stdout, stderr } = await cli(...argv);
  expect({ argv, status, stderr }).toMatchObject({ status: 0 });
  return stdout.toString("utf8");
}

async function code(...argv: string[]): Promise<unknown> {
  const { status, stderr } = await cli(...argv, "--json");
  const { error } = JSON.parse(stderr) as { error: { code: string } };
  if (error.code === "ERR_USAGE") throw new Error(`${argv.join(" ")}: ${stderr}`);
  return [status, error.code];
}

const ours = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));

/** Step 4, "send both": the files go from one side's folder to the other's. */
function toWine(...names: string[]): void {
  for (const name of names) put(name, ours(name));
}
function fromWine(...names: string[]): void {
  for (const name of names) writeFileSync(join(folder, name), get(name));
}

beforeAll(async () => {
  const token = await freshToken("commands");
  exchange = `pkcs11:token=${token.label};object=exchange`;
  signing = `pkcs11:token=${token.label};object=sign`;
  for (const [label, use] of [
    ["exchange", "exchange"],
    ["sign", "sign"],
  ] as const) {
    const key = ["--type", "rsa:2048", "--label", label, "--use", use];
    await done("keys", "generate", "--token", token.uri, ...key);
    const uri = `${token.uri};object=${label}`;
    await done("keys", "export", uri, "--format", "capi", "-o", `${label}.blob`);
  }
  toWine("exchange.blob", "sign.blob");

  ok("new", ...WINE, "--bits", "2048");
  ok("export", ...WINE, "--out", "wine.blob");
  ok("export", ...WINE, "--spec", "signature", "--out", "wine.sign.blob");
  fromWine("wine.blob", "wine.sign.blob");
  writeFileSync(join(folder, "m"), message);
  put("m", message);
});

afterAll(() => {
  ok("remove", ...WINE);
  rmSync(folder, { recursive: true, force: true });
});

const RECEIVE = () => ["capi", "receive", "-i", exchange, "--force"];
const UNSIGNED = "--allow-unauthenticated";

describe("capi receive", () => {
  it.each([
    ["aes256", [], []],
    ["aes128", ["--oaep"], ["--oaep"]],
    ["3des", ["--mode", "cfb", "--iv", "0001020304050607"], null],
    ["des", [], []],
    ["rc2", ["--bits", "128"], []],
    ["rc4", ["--bits", "128"], []],
    ["rc4", ["--bits", "40", "--no-salt"], ["--no-salt"]],
  ])("reads what Wine sent with %s %j", async (algorithm, theirs, options) => {
    const files = ["--blob", "k.blob", "--cipher", "m.bin"];
    ok("send", "--to", "exchange.blob", "--alg", algorithm, ...theirs, "--in", "m", ...files);
    fromWine("k.blob", "m.bin");
    expect(await code(...RECEIVE(), ...files, ...(options ?? theirs))).toEqual([
      6,
      "ERR_UNAUTHENTICATED",
    ]);
    await done(...RECEIVE(), ...files, ...(options ?? theirs), UNSIGNED, "-o", "out");
    expect(toHex(ours("out"))).toBe(toHex(message));
  });

  it("reads what Wine signed, and nothing that was altered", async () => {
    const files = ["--blob", "k.blob", "--cipher", "m.bin"];
    ok("send", "--to", "exchange.blob", "--alg", "aes256", "--in", "m", ...files);
    put("both", concat(get("k.blob"), get("m.bin")));
    const how = ["--spec", "signature", "--hash", "sha256"];
    ok("sign", ...WINE, ...how, "--in", "both", "--sig", "m.sig");
    fromWine("k.blob", "m.bin", "m.sig");
    const signed = [...files, "--signature", "m.sig", "--signer", "wine.sign.blob"];
    await done(...RECEIVE(), ...signed, "-o", "out");
    expect(toHex(ours("out"))).toBe(toHex(message));

    const altered = ours("m.bin");
    altered[5000] = (altered[5000] as number) ^ 1;
    writeFileSync(join(folder, "m.bin"), altered);
    expect(await code(...RECEIVE(), ...signed, "-o", "out")).toEqual([4, "ERR_SENDER_SIGNATURE"]);
  });

  it("reads one file of length, blob and ciphertext", async () => {
    const files = ["--blob", "k.blob", "--cipher", "m.bin"];
    ok("send", "--to", "exchange.blob", "--alg", "rc4", "--in", "m", ...files);
    const blob = get("k.blob");
    const length = Buffer.alloc(4);
    length.writeUInt32LE(blob.length);
    writeFileSync(join(folder, "m.enc"), concat(length, blob, get("m.bin")));
    await done(...RECEIVE(), "--sdk-file", "m.enc", UNSIGNED, "-o", "out");
    expect(toHex(ours("out"))).toBe(toHex(message));
  });
});

describe("capi send", () => {
  it.each([
    [["--algorithm", "aes256"], []],
    [["--algorithm", "aes128", "--oaep"], ["--oaep"]],
    [["--algorithm", "3des", "--allow-weak"], []],
    [["--algorithm", "rc4", "--allow-weak"], []],
  ])(
    "with %j is read by Wine, and its signature by the token holds there",
    async (how, options) => {
      const files = ["--blob", "k.blob", "--cipher", "m.bin"];
      const sign = ["--sign-with", signing, "--signature", "m.sig"];
      await done("capi", "send", "--to", "wine.blob", ...files, ...how, ...sign, "--force", "m");
      toWine("k.blob", "m.bin", "m.sig");
      ok("receive", ...WINE, ...options, ...files, "--out", "out");
      expect(toHex(get("out"))).toBe(toHex(message));
      put("both", concat(get("k.blob"), get("m.bin")));
      const signer = ["--pub", "sign.blob", "--hash", "sha256", "--sig", "m.sig"];
      ok("verify", ...signer, "--in", "both");
      expect(run("verify", ...signer, "--in", "m").status).toBe(1);
    },
  );

  it("to Wine and to the token: both read one ciphertext, and hash one session key", async () => {
    const wine = ["--to", "wine.blob", "--blob", "w.blob"];
    const token = ["--to", "exchange.blob", "--blob", "o.blob"];
    await done("capi", "send", ...wine, ...token, "--cipher", "m.bin", "--force", "m");
    toWine("w.blob", "m.bin");
    ok("receive", ...WINE, "--blob", "w.blob", "--cipher", "m.bin", "--out", "out");
    expect(toHex(get("out"))).toBe(toHex(message));
    await done(...RECEIVE(), "--blob", "o.blob", "--cipher", "m.bin", UNSIGNED, "-o", "out");
    expect(toHex(ours("out"))).toBe(toHex(message));

    for (const order of [[], ["--little-endian"]]) {
      const parts = ["--part", "text:Bob"];
      const theirs = ["--hash", "sha256", "--part", "key:w.blob", ...parts, ...order];
      const printed = ok("hash", ...WINE, ...theirs)
        .trim()
        .replace("hash ", "");
      const own = ["-i", exchange, "--blob", "o.blob", "--part", "key", ...parts, ...order];
      expect(await done("capi", "hash-session-key", ...own)).toContain(printed);
    }
  });
});

describe("capi sign and verify", () => {
  it("make what Wine verifies, and verify what Wine makes", async () => {
    const text = ["--description", "order 17"];
    await done("capi", "sign", "-i", signing, ...text, "--hash", "sha512", "-o", "d.sig", "m");
    toWine("d.sig");
    ok("verify", "--pub", "sign.blob", "--hash", "sha512", ...text, "--in", "m", "--sig", "d.sig");

    const how = ["--spec", "signature", "--hash", "sha1"];
    ok("sign", ...WINE, ...how, "--in", "m", "--sig", "w.sig");
    fromWine("w.sig");
    const signer = ["--signer", "wine.sign.blob", "--signature", "w.sig"];
    await done("capi", "verify", ...signer, "--hash", "sha1", "m");
    expect((await cli("capi", "verify", ...signer, "m")).status).toBe(4);
  });
});

describe("capi store", () => {
  it("signs the stored key's blob as the article asks, which Wine confirms", async () => {
    await done("capi", "store", "-i", exchange, "--sign-with", signing, "-o", "archive.blob");
    toWine("archive.blob", "archive.blob.sig");
    const signer = ["--pub", "sign.blob", "--hash", "sha256", "--sig", "archive.blob.sig"];
    ok("verify", ...signer, "--in", "archive.blob");
  });
});

describe("capi three-phase", () => {
  /** A new session key, wrapped for our exchange key and for Wine's own. */
  function wineMakesKey(name: string): void {
    const keys = ["--to", "exchange.blob", "--blob", `${name}.ours`];
    const own = ["--to", "wine.blob", "--blob", `${name}.wine`];
    ok("send", ...keys, ...own, "--alg", "aes256", "--in", "m", "--cipher", "x.bin");
  }

  function wineHashes(...parts: string[]): Uint8Array {
    const named = parts.flatMap((part) => ["--part", part]);
    const printed = ok("hash", ...WINE, "--hash", "sha256", ...named);
    return new Uint8Array(Buffer.from(printed.trim().replace("hash ", ""), "hex"));
  }

  /** Length, blob, hash: how p11seal puts the second message into one file. */
  const phase2 = (blob: Uint8Array, hash: Uint8Array): Uint8Array => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(blob.length);
    return concat(length, blob, hash);
  };
  const NAMES = ["--name", "token", "--peer", "wine.blob", "--peer-name", "wine"];

  it("answers Wine and finishes with it; a phase that is replayed is refused", async () => {
    wineMakesKey("a");
    writeFileSync(join(folder, "1.msg"), get("a.ours"));
    const own = ["-i", exchange, ...NAMES];
    const answer = ["capi", "three-phase", "answer", ...own];
    await done(...answer, "--state", "answered", "-o", "2.msg", "1.msg");
    const second = ours("2.msg");
    const length = Buffer.from(second).readUInt32LE(0);
    put("b.wine", second.subarray(4, 4 + length));
    const expected = wineHashes(
      ...["key:a.wine", "text:token", "key:b.wine", "text:wine", "text:phase 2"],
    );
    expect(toHex(second.subarray(4 + length))).toBe(toHex(expected));
    const third = wineHashes("key:b.wine", "text:wine", "text:token", "text:phase 3");
    writeFileSync(join(folder, "3.msg"), third);
    await done("capi", "three-phase", "finish", "-i", exchange, "--state", "answered", "3.msg");
    const status = await done("capi", "three-phase", "status", "--state", "answered");
    expect(status).toContain("complete");
    expect(await code(...answer, "--state", "again", "-o", "2.again", "1.msg")).toEqual([
      6,
      "ERR_REPLAYED",
    ]);
  });

  it("begins with Wine and confirms its answer", async () => {
    const begin = ["capi", "three-phase", "begin", "-i", exchange, ...NAMES];
    await done(...begin, "--state", "begun", "-o", "first");
    put("a.wine", ours("first"));
    wineMakesKey("b");
    const hash = wineHashes(
      ...["key:a.wine", "text:wine", "key:b.wine", "text:token", "text:phase 2"],
    );
    writeFileSync(join(folder, "second"), phase2(get("b.ours"), hash));
    const confirm = ["capi", "three-phase", "confirm", "-i", exchange, "--state", "begun"];
    await done(...confirm, "-o", "third", "second");
    const expected = wineHashes("key:b.wine", "text:token", "text:wine", "text:phase 3");
    expect(toHex(ours("third"))).toBe(toHex(expected));
  });
});
