/**
 * Session keys that are stored, backed up and recovered; signatures and hashes without messages.
 */
import { statSync } from "node:fs";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { CapiBench, newKey } from "../../support/capi.js";
import { temporaryFolder } from "../../support/folder.js";

const bench = new CapiBench(temporaryFolder());
const OWN = ["-i", "@alice.key"];
const SIGN_WITH = ["--sign-with", "@alice-sign.key"];
const STORED = ["--blob", "@s.blob", "--signer", "@alice-sign.blob"];
const IV = ["--iv", "000102030405060708090a0b0c0d0e0f"];
const openStored = ["open-stored", ...OWN, ...STORED];
const DECRYPT = ["--decrypt", "@s.bin", ...IV, "--allow-unauthenticated"];

const flip = (name: string, at: number): string => {
  const bytes = Buffer.from(bench.read(name));
  const index = at < 0 ? bytes.length + at : at;
  bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
  bench.write(`flipped-${name}`, bytes);
  return `@flipped-${name}`;
};

beforeAll(async () => {
  bench.keyPair("alice", "exchange");
  bench.keyPair("alice-new", "exchange");
  bench.keyPair("alice-sign", "signature");
  bench.keyPair("backup", "exchange");
  bench.keyPair("backup-sign", "signature");
  bench.keyPair("mallory-sign", "signature");
  bench.write("m.txt", "keep this\n");
  await bench.ok(["store", ...OWN, ...SIGN_WITH, "-o", "@s.blob"]);
  await bench.ok([...openStored, "--encrypt", "@m.txt", ...IV, "-o", "@s.bin"]);
});

describe("capi store and open-stored", () => {
  it("keep a key that encrypts and decrypts, into files and streams", async () => {
    const { stdout } = await bench.ok([...openStored, ...DECRYPT]);
    expect(stdout.toString()).toBe("keep this\n");
    await bench.ok([...openStored, ...DECRYPT, "-o", "@s.txt"]);
    expect(bench.read("s.txt").toString()).toBe("keep this\n");
    expect(bench.read("s.blob.sig").length).toBe(256);
  });

  it("store what CryptSignHash signs: the signature is over the blob", async () => {
    const argv = ["verify", "--signer", "@alice-sign.pem", "--signature", "@s.blob.sig"];
    await bench.ok([...argv, "@s.blob"]);
  });

  it("keep a given key, and give it out again", async () => {
    const plain = Buffer.from(`080200001066000020000000${"a7".repeat(32)}`, "hex");
    bench.write("plain", plain);
    const store = ["store", ...OWN, ...SIGN_WITH, "-o", "@p.blob"];
    await bench.ok([...store, "--plaintext-key", "@plain"]);
    const argv = ["open-stored", ...OWN, "--blob", "@p.blob", "--signer", "@alice-sign.blob"];
    await bench.ok([...argv, "--plaintext-key", "-o", "@plain-again"]);
    expect(bench.read("plain-again").equals(plain)).toBe(true);
    expect(statSync(bench.at("plain-again")).mode & 0o777).toBe(0o600);
    const shown = await bench.ok(argv);
    expect(shown.stdout.toString()).toContain("aes256, 256 bits");
    expect(shown.stdout.toString()).not.toContain("a7a7");
  });

  it("refuse a key that somebody else put there, before the own key is used", async () => {
    const theirs = ["store", ...OWN, "--sign-with", "@mallory-sign.key", "-o", "@x.blob"];
    await bench.ok(theirs);
    const argv = ["open-stored", ...OWN, "--signer", "@alice-sign.blob"];
    await bench.refused([...argv, "--blob", "@x.blob"], "ERR_SENDER_SIGNATURE");
    const swapped = ["--blob", "@x.blob", "--signature", "@s.blob.sig"];
    await bench.refused([...argv, ...swapped], "ERR_SENDER_SIGNATURE");
    const changed = ["--blob", flip("s.blob", 100), "--signature", "@s.blob.sig"];
    await bench.refused([...argv, ...changed], "ERR_SENDER_SIGNATURE");
    await bench.refused([...argv, "--blob", flip("s.blob", 1)], "ERR_READ");
  });

  it("refuse to decrypt what nobody signed unless that is said, and to say which fault it has", async () => {
    await bench.refused([...openStored, "--decrypt", "@s.bin", ...IV], "ERR_UNAUTHENTICATED");
    const cut = bench.read("s.bin").subarray(1);
    bench.write("cut.bin", cut);
    const argv = ["--decrypt", "@cut.bin", ...IV, "--allow-unauthenticated", "-o", "@never"];
    await bench.refused([...openStored, ...argv], "ERR_DECRYPT");
    expect(bench.exists("never")).toBe(false);
  });

  it("refuse a message without an IV of its own, weak ciphers, one key for two purposes", async () => {
    await bench.refused([...openStored, "--encrypt", "@m.txt"], "ERR_CIPHER_PARAMETER");
    const ecb = ["--encrypt", "@m.txt", "--mode", "ecb"];
    await bench.refused([...openStored, ...ecb], "ERR_WEAK_CIPHER");
    const store = ["store", ...OWN, "-o", "@w.blob"];
    await bench.refused([...store, ...SIGN_WITH, "--algorithm", "rc4"], "ERR_WEAK_CIPHER");
    await bench.refused([...store, "--sign-with", "@alice.key"], "ERR_SAME_KEY");
    await bench.refused([...store, ...SIGN_WITH, "--hash", "sha1"], "ERR_WEAK_HASH");
    expect(bench.exists("w.blob")).toBe(false);
  });

  it("do one thing at a time", async () => {
    const both = ["--encrypt", "@m.txt", "--decrypt", "@s.bin"];
    await bench.refused([...openStored, ...both], "ERR_USAGE");
    await bench.refused([...openStored, "-o", "@never"], "ERR_USAGE");
  });
});

describe("capi back-up and recover", () => {
  const ABOUT = ["--serial", "17", "--description", "archive of 2026"];
  const CLIENT = ["--client", "@alice-sign.blob"];
  const AUTHORITY = ["-i", "@backup.key", "--sign-with", "@backup-sign.key"];
  const TO = ["--to", "@alice-new.blob", "-o", "@r.blob"];
  const backUp = ["back-up", ...OWN, "--blob", "@s.blob", ...SIGN_WITH];
  const authority = ["--authority", "@backup.blob"];

  beforeAll(async () => {
    await bench.ok([...backUp, ...authority, ...ABOUT, "-o", "@s.pkb"]);
  });

  it("bring the key to the client's new exchange key", async () => {
    await bench.ok(["recover", ...CLIENT, ...AUTHORITY, ...TO, "--serial", "17", "@s.pkb"]);
    const argv = ["open-stored", "-i", "@alice-new.key", "--blob", "@r.blob"];
    const { stdout } = await bench.ok([...argv, "--signer", "@backup-sign.blob", ...DECRYPT]);
    expect(stdout.toString()).toBe("keep this\n");
  });

  it("show the record, without any key", async () => {
    const { stdout } = await bench.ok(["recover", ...CLIENT, "@s.pkb"]);
    expect(JSON.parse(stdout.toString())).toMatchObject({
      serialNumber: "17",
      description: "archive of 2026",
      signature: "holds",
    });
  });

  it("ask a person at the authority, who types the serial number", async () => {
    const argv = [
      "recover",
      ...CLIENT,
      ...AUTHORITY,
      "--to",
      "@alice-new.blob",
      "-o",
      "@asked.blob",
    ];
    const { code } = await bench.capi([...argv, "@s.pkb"], { answers: ["18"] });
    expect(code).toBe("ERR_NOT_CONFIRMED");
    await bench.refused([...argv, "@s.pkb"], "ERR_NOT_CONFIRMED");
    expect(bench.exists("asked.blob")).toBe(false);
    await bench.ok([...argv, "@s.pkb"], { answers: ["17"] });
    expect(bench.exists("asked.blob.sig")).toBe(true);
  });

  it("refuse another number, another client, a changed record, another authority's", async () => {
    const argv = ["recover", ...AUTHORITY, "--to", "@alice-new.blob", "-o", "@never.blob"];
    const yes = ["--serial", "17", "@s.pkb"];
    await bench.refused([...argv, ...CLIENT, "--serial", "18", "@s.pkb"], "ERR_SERIAL_NUMBER");
    const other = ["--client", "@mallory-sign.blob"];
    await bench.refused([...argv, ...other, ...yes], "ERR_SENDER_SIGNATURE");
    const changed = ["--serial", "17", flip("s.pkb", 300)];
    await bench.refused([...argv, ...CLIENT, ...changed], "ERR_SENDER_SIGNATURE");
    await bench.refused(["recover", ...CLIENT, "@s.blob"], "ERR_RECORD");
    bench.keyPair("other", "exchange", newKey());
    const theirs = ["-i", "@other.key", "--sign-with", "@backup-sign.key"];
    const to = ["--to", "@alice-new.blob", "-o", "@never.blob"];
    await bench.refused(["recover", ...theirs, ...to, ...CLIENT, ...yes], "ERR_DECRYPT");
    expect(bench.exists("never.blob")).toBe(false);
  });

  it("refuse an invalid description, and an invalid serial number", async () => {
    const to = [...backUp, ...authority, "-o", "@never.pkb"];
    await bench.refused([...to, "--serial", "1", "--description", "two\nlines"], "ERR_DESCRIPTION");
    await bench.refused([...to, "--serial", "x", "--description", "d"], "ERR_SERIAL_NUMBER");
    const tooLarge = ["--serial", "18446744073709551616", "--description", "d"];
    await bench.refused([...to, ...tooLarge], "ERR_SERIAL_NUMBER");
    expect(bench.exists("never.pkb")).toBe(false);
  });

  it("refuse to back up a key that the signer did not store", async () => {
    const argv = ["back-up", ...OWN, "--blob", "@s.blob", "--sign-with", "@mallory-sign.key"];
    const rest = [...authority, ...ABOUT, "-o", "@never.pkb"];
    await bench.refused([...argv, ...rest], "ERR_SENDER_SIGNATURE");
  });
});

describe("capi sign and verify", () => {
  const verify = ["verify", "--signer", "@alice-sign.blob", "--signature", "@m.sig"];

  it("hash files one after the other, and a description after them", async () => {
    bench.write("a", "keep ");
    bench.write("b", "this\n");
    const description = ["--description", "Grüße"];
    await bench.ok(["sign", "-i", "@alice-sign.key", ...description, "-o", "@m.sig", "@a", "@b"]);
    await bench.ok([...verify, ...description, "@m.txt"]);
    await bench.refused([...verify, "@m.txt"], "ERR_SENDER_SIGNATURE");
    await bench.refused([...verify, ...description, "@a"], "ERR_SENDER_SIGNATURE");
  });

  it("say of a signature in another order that it is in one", async () => {
    await bench.ok(["sign", "-i", "@alice-sign.key", "-o", "@ordered.sig", "@m.txt"]);
    bench.write("big.sig", Buffer.from(bench.read("ordered.sig")).reverse());
    const argv = ["verify", "--signer", "@alice-sign.blob", "--signature", "@big.sig", "@m.txt"];
    const { stderr } = await bench.refused(argv, "ERR_SENDER_SIGNATURE");
    expect(stderr).toContain("big-endian");
  });

  it("take a finished hash value instead", async () => {
    const hash = ["hash-session-key", ...OWN, "--blob", "@s.blob", "--part", "text:alice"];
    const hashed = await bench.ok([...hash, "--part", "key", "--hash", "sha384"]);
    const { value } = JSON.parse(hashed.stdout.toString()) as { value: string };
    const digest = ["--hash", "sha384", "--digest", value];
    const argv = ["sign", "-i", "@alice-sign.key", "-o", "@d.sig"];
    await bench.ok([...argv, ...digest]);
    const check = ["verify", "--signer", "@alice-sign.blob", "--signature", "@d.sig"];
    await bench.ok([...check, ...digest]);
    await bench.refused([...check, "--digest", "00".repeat(32)], "ERR_SENDER_SIGNATURE");
    await bench.refused([...check, "--digest", "00"], "ERR_USAGE");
    await bench.refused([...check, ...digest, "@m.txt"], "ERR_USAGE");
    await bench.refused([...check, ...digest, "--description", "d"], "ERR_USAGE");
  });

  it("sign nothing over SHA-1, and accept MD5 only on request", async () => {
    const argv = ["sign", "-i", "@alice-sign.key", "-o", "@w.sig", "@m.txt", "--hash"];
    await bench.refused([...argv, "sha1"], "ERR_WEAK_HASH");
    await bench.refused([...argv, "md5"], "ERR_WEAK_HASH");
    expect(bench.exists("w.sig")).toBe(false);
    await bench.refused([...verify, "--hash", "md5", "@m.txt"], "ERR_WEAK_HASH");
  });
});

describe("capi hash-session-key", () => {
  it("has two byte orders, and data before and after the key", async () => {
    const argv = ["hash-session-key", ...OWN, "--blob", "@s.blob"];
    const value = async (...more: string[]): Promise<unknown> => {
      const { stdout } = await bench.ok([...argv, ...more]);
      return (JSON.parse(stdout.toString()) as { value: unknown }).value;
    };
    const values = [
      await value(),
      await value("--little-endian"),
      await value("--part", "key", "--part", "text:bob"),
      await value("--part", "text:bob", "--part", "key"),
      await value("--hash", "sha1"),
    ];
    expect(new Set(values).size).toBe(values.length);
    bench.write("bob", "bob");
    expect(await value("--part", "key", "--part", "file:" + bench.at("bob"))).toBe(values[2]);
    expect(await value("--part", "key", "--part", "hex:626f62")).toBe(values[2]);
  });

  it("refuses parts that are none, and a SIMPLEBLOB without its key", async () => {
    const argv = ["hash-session-key", "--blob", "@s.blob"];
    await bench.refused(argv, "ERR_USAGE");
    await bench.refused([...argv, ...OWN, "--part", "text:bob"], "ERR_USAGE");
    await bench.refused([...argv, ...OWN, "--part", "key", "--part", "hex:0"], "ERR_USAGE");
    await bench.refused([...argv, ...OWN, "--part", "key", "--part", "text:bób"], "ERR_USAGE");
    await bench.refused([...argv, ...OWN, "--part", "key", "--part", "salt"], "ERR_USAGE");
  });

  it("tells nothing of a blob that does not decrypt", async () => {
    const { status, code } = await bench.capi([
      ...["hash-session-key", ...OWN, "--blob", flip("s.blob", 77)],
    ]);
    expect({ status, code }).toEqual({ status: 0, code: undefined });
  });
});
