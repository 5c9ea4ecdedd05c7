/**
 * `p11seal capi` with keys on tokens: imported keys, for recorded exchanges, and generated keys.
 */
import { createPrivateKey } from "node:crypto";
import { mkdirSync } from "node:fs";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { fixture, keyPair, manifest, message, privateKeyOf } from "../../../capi/support.js";
import { TEST_KEYS } from "../../../support/keys.js";
import { freshToken, importKey, USER_PIN, type TestToken } from "../../../support/softhsm.js";
import { describeVectors, vectorFolder } from "../../../support/vectors.js";
import { CapiBench } from "../../support/capi.js";
import { temporaryFolder } from "../../support/folder.js";
import { run } from "../../support/run.js";

const bench = new CapiBench(temporaryFolder());
const env = {
  P11SEAL_MODULE: process.env["TEST_SOFTHSM2_MODULE"],
  SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"],
  P11SEAL_PIN_SOURCE: "env:PIN",
  PIN: USER_PIN,
};
const ALICE = { home: "home-alice", env };
const BOB = { home: "home-bob", env };

let alice: TestToken;
let bob: TestToken;
const key = (token: TestToken, label: string): string => `${token.uri};object=${label}`;

async function generate(token: TestToken, label: string, use: "exchange" | "sign"): Promise<void> {
  const argv = ["keys", "generate", "--token", token.uri, "--label", label, "--type", "rsa:2048"];
  const output = ["-o", bench.at(`${token === alice ? "alice" : "bob"}-${label}.pem`)];
  const ended = await run([...argv, "--use", use, ...output], {
    env: { ...env, P11SEAL_HOME: bench.home() },
  });
  expect(ended).toMatchObject({ status: 0 });
}

beforeAll(async () => {
  mkdirSync(bench.at("home"), { mode: 0o700 });
  alice = await freshToken("capi-alice");
  bob = await freshToken("capi-bob");
  for (const token of [alice, bob]) {
    await generate(token, "exchange", "exchange");
    await generate(token, "sign", "sign");
  }
  bench.write("m.txt", "by token\n");
});

describeVectors("recorded exchanges, with the key on a token", () => {
  const vectors = manifest();
  const sample = [
    ...["aes256-cbc", "aes256-cbc-oaep", "aes128-cbc", "aes256-cfb8", "3des-cbc", "3des112-cbc"],
    ...["des-cbc", "rc4-128", "rc4-40-zero-salt", "rc2-40-no-salt"],
  ];
  let imported: TestToken;

  beforeAll(async () => {
    imported = await freshToken("capi-imported");
    await importKey(
      imported,
      privateKeyOf(vectors, "bob").export({ format: "pem", type: "pkcs8" }) as string,
      {
        label: "exchange",
        id: Uint8Array.of(1),
        privateHalf: { UNWRAP: true, DECRYPT: false },
      },
    );
    await importKey(
      imported,
      privateKeyOf(vectors, "alice", "signature").export({
        format: "pem",
        type: "pkcs8",
      }) as string,
      { label: "sign", id: Uint8Array.of(2), privateHalf: { SIGN: true } },
    );
  });

  it.each(sample)("%s is received", async (id) => {
    const exchange = vectors.exchange.find((one) => one.id === id);
    if (exchange === undefined) throw new Error(`no exchange ${id}`);
    const { flags, mode, iv, effectiveBits } = exchange;
    const [recipient] = exchange.recipients;
    const vector = (path: string): string => vectorFolder(`cryptoapi-exchange/${path}`);
    const { stdout } = await bench.ok(
      [
        ...["receive", "-i", key(imported, "exchange"), "--allow-unauthenticated"],
        ...["--blob", vector(recipient?.simpleBlob ?? ""), "--cipher", vector(exchange.cipher)],
        ...(mode === "stream" ? [] : ["--mode", mode]),
        ...(iv === null ? [] : ["--iv", iv]),
        ...(effectiveBits === null || exchange.alg !== "rc2"
          ? []
          : ["--effective-bits", String(effectiveBits)]),
        ...(flags.includes("CRYPT_NO_SALT") ? ["--no-salt"] : []),
        ...(flags.includes("CRYPT_OAEP") ? ["--oaep"] : []),
      ],
      BOB,
    );
    expect(stdout.equals(message(vectors, exchange.message))).toBe(true);
    expect(bench.log("home-bob").at(-1)).toMatchObject({
      event: "capi",
      outcome: "opened",
      path: expect.stringMatching(/^receive: C_/) as unknown,
      tokenSerial: expect.any(String) as unknown,
    });
  });

  it("a signature is the one that CryptoAPI made, byte for byte", async () => {
    const signed = vectors.signatures.find(({ id }) => id === "alice-sha256");
    const file = vectorFolder(
      `cryptoapi-exchange/${vectors.messages[signed?.message ?? ""]?.file ?? ""}`,
    );
    const { stdout } = await bench.ok(["sign", "-i", key(imported, "sign"), file], ALICE);
    expect(stdout.equals(fixture(signed?.signature ?? ""))).toBe(true);
    const { publicKeyBlob } = keyPair(vectors, "alice", "signature");
    bench.write("t.sig", stdout);
    const argv = ["verify", "--signature", "@t.sig", "--signer"];
    await bench.ok([...argv, vectorFolder(`cryptoapi-exchange/${publicKeyBlob}`), file]);
  });
});

describe("keys made on the token", () => {
  const sent = ["--blob", "@k.blob", "--cipher", "@m.bin"];

  it("send, signed, and receive; the PIN is asked for after the signature held", async () => {
    await bench.ok(
      [
        ...["send", "--to", "@alice-exchange.pem", ...sent, "--signature", "@m.sig"],
        ...["--sign-with", key(bob, "sign"), "@m.txt"],
      ],
      BOB,
    );
    const receive = ["receive", "-i", key(alice, "exchange"), ...sent];
    const signed = ["--signature", "@m.sig", "--signer", "@bob-sign.pem"];
    const { stdout } = await bench.ok([...receive, ...signed], ALICE);
    expect(stdout.toString()).toBe("by token\n");

    const asked = { P11SEAL_PIN_SOURCE: `cmd:echo x >> '${bench.at("asked")}'; echo ${USER_PIN}` };
    const noted = { ...ALICE, env: { ...env, ...asked } };
    bench.write("other.bin", "other");
    const other = ["--blob", "@k.blob", "--cipher", "@other.bin"];
    const forged = ["receive", "-i", key(alice, "exchange"), ...other, ...signed];
    await bench.refused(forged, "ERR_SENDER_SIGNATURE", noted);
    expect(bench.exists("asked")).toBe(false);
    await bench.ok([...receive, ...signed, "-o", "@m.out"], noted);
    expect(bench.read("asked").toString()).toBe("x\n");
  });

  it("give the same error for a blob for somebody else", async () => {
    bench.keyPair("carol", "exchange", createPrivateKey(TEST_KEYS.rsa2048));
    const theirs = ["--blob", "@c.blob", "--cipher", "@c.bin"];
    await bench.ok(["send", "--to", "@carol.blob", ...theirs, "@m.txt"]);
    await bench.ok(["sign", "-i", key(bob, "sign"), "-o", "@c.sig", "@c.blob", "@c.bin"], BOB);
    const argv = ["receive", "-i", key(alice, "exchange"), ...theirs];
    const signed = ["--signature", "@c.sig", "--signer", "@bob-sign.pem"];
    await bench.refused([...argv, ...signed], "ERR_DECRYPT", ALICE);
    await bench.refused([...argv, ...signed, "--oaep"], "ERR_DECRYPT", ALICE);
  });

  it("a wrong PIN burns no step of a run", async () => {
    const terms = (own: TestToken, peer: string, name: string, other: string): string[] => [
      ...["-i", key(own, "exchange"), "--peer", peer, "--name", name, "--peer-name", other],
    ];
    const a = terms(alice, "@bob-exchange.pem", "alice", "bob");
    const b = terms(bob, "@alice-exchange.pem", "bob", "alice");
    await bench.ok(["three-phase", "begin", ...a, "--state", "@a", "-o", "@1"], ALICE);
    const wrong = { ...BOB, env: { ...env, PIN: "9999" } };
    const answer = ["three-phase", "answer", ...b, "--state", "@b", "-o", "@2", "@1"];
    await bench.refused(answer, "ERR_PIN_REFUSED", wrong);
    await bench.ok(answer, BOB);
    const confirm = ["three-phase", "confirm", "-i", key(alice, "exchange"), "--state", "@a"];
    await bench.refused([...confirm, "-o", "@3", "@2"], "ERR_PIN_REFUSED", {
      ...ALICE,
      env: { ...env, PIN: "9999" },
    });
    await bench.ok([...confirm, "-o", "@3", "@2"], ALICE);
    const finish = ["three-phase", "finish", "-i", key(bob, "exchange"), "--state", "@b", "@3"];
    await bench.ok(finish, BOB);
    await bench.refused(finish, "ERR_REPLAYED", BOB);

    // Both sides have the same keys: each prints the hash of its own.
    const hashes: unknown[] = [];
    for (const [token, state, options] of [
      [alice, "a", ALICE],
      [bob, "b", BOB],
    ] as const) {
      const keys = ["--key-a", `@${state}-a.blob`, "--key-b", `@${state}-b.blob`];
      const argv = ["-i", key(token, "exchange"), "--state", `@${state}`, ...keys];
      await bench.ok(["three-phase", "keys", ...argv, "--sign-with", key(token, "sign")], options);
      for (const name of ["a", "b"]) {
        const hash = ["-i", key(token, "exchange"), "--blob", `@${state}-${name}.blob`];
        const { stdout } = await bench.ok(["hash-session-key", ...hash], options);
        hashes.push((JSON.parse(stdout.toString()) as { value: unknown }).value);
      }
    }
    const [keyA, keyB] = hashes;
    expect(hashes).toEqual([keyA, keyB, keyA, keyB]);
    expect(keyA).not.toBe(keyB);
  });

  it("store a session key, use it, back it up and recover it", async () => {
    const own = ["-i", key(alice, "exchange")];
    const iv = ["--iv", "01".repeat(16)];
    await bench.ok(["store", ...own, "--sign-with", key(alice, "sign"), "-o", "@s.blob"], ALICE);
    const open = ["open-stored", ...own, "--blob", "@s.blob", "--signer", "@alice-sign.pem"];
    await bench.ok([...open, "--encrypt", "@m.txt", ...iv, "-o", "@s.bin"], ALICE);
    await bench.ok(
      [
        ...["back-up", ...own, "--blob", "@s.blob", "--sign-with", key(alice, "sign")],
        ...["--authority", "@bob-exchange.pem", "--serial", "1", "--description", "d", "-o", "@r"],
      ],
      ALICE,
    );
    bench.keyPair("alice-new", "exchange");
    await bench.ok(
      [
        ...["recover", "--client", "@alice-sign.pem", "-i", key(bob, "exchange"), "--serial", "1"],
        ...["--to", "@alice-new.pem", "--sign-with", key(bob, "sign"), "-o", "@n.blob", "@r"],
      ],
      BOB,
    );
    const again = ["open-stored", "-i", "@alice-new.key", "--blob", "@n.blob"];
    const decrypt = ["--decrypt", "@s.bin", ...iv, "--allow-unauthenticated"];
    const { stdout } = await bench.ok([...again, "--signer", "@bob-sign.pem", ...decrypt], ALICE);
    expect(stdout.toString()).toBe("by token\n");
  });

  it("are distinguished by purpose: a signing key opens nothing, an exchange key signs nothing", async () => {
    const argv = ["--blob", "@k.blob", "--cipher", "@m.bin", "--allow-unauthenticated"];
    const receive = await bench.capi(["receive", "-i", key(alice, "sign"), ...argv], ALICE);
    expect(receive.status).toBe(5);
    const sign = await bench.capi(["sign", "-i", key(alice, "exchange"), "@m.txt"], ALICE);
    expect(sign.status).toBe(5);
    expect(sign.stdout.length).toBe(0);
  });
});
