/** What `capi send` and `receive` accept, what they refuse, and what they leave behind. */
import { constants, publicEncrypt } from "node:crypto";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { addEntry } from "../../../../src/records/directory/directory-file.js";
import { parsePublicKey } from "../../../../src/keys/formats/key-file.js";
import { CapiBench } from "../../support/capi.js";
import { temporaryFolder } from "../../support/folder.js";

const bench = new CapiBench(temporaryFolder());
const MESSAGE = "attack at dawn, and bring the maps\n";
const UNAUTHENTICATED = "--allow-unauthenticated";
const FROM_BOB = ["--signature", "@m.sig", "--signer", "@bob-sign.blob"];
const receive = ["receive", "-i", "@alice.key", "--blob", "@k.blob", "--cipher", "@m.bin"];

/** A copy with one byte changed, or changed by `change`. */
function altered(name: string, change: (bytes: Buffer) => Buffer): string {
  const copy = `altered-${name}`;
  bench.write(copy, change(Buffer.from(bench.read(name))));
  return `@${copy}`;
}

const flipped =
  (at: number) =>
  (bytes: Buffer): Buffer => {
    const index = at < 0 ? bytes.length + at : at;
    bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
    return bytes;
  };

beforeAll(async () => {
  bench.keyPair("alice", "exchange");
  bench.keyPair("carol", "exchange");
  bench.keyPair("bob-sign", "signature");
  bench.keyPair("alice-sign", "signature");
  bench.write("m.txt", MESSAGE);
  await bench.ok([
    ...["send", "--to", "@alice.blob", "--blob", "@k.blob", "--cipher", "@m.bin"],
    ...["--sign-with", "@bob-sign.key", "--signature", "@m.sig", "@m.txt"],
  ]);
  bench.write("fixed.plain", Buffer.from(`080200001066000020000000${"5a".repeat(32)}`, "hex"));
  const own = ["-i", "@alice.key"];
  const store = ["store", ...own, "--sign-with", "@alice-sign.key", "-o", "@fixed.blob"];
  await bench.ok([...store, "--plaintext-key", "@fixed.plain"]);
  await bench.ok([
    ...["open-stored", ...own, "--blob", "@fixed.blob", "--signer", "@alice-sign.pem"],
    ...["--encrypt", "@m.txt", "--iv", "00".repeat(16), "-o", "@fixed.bin"],
  ]);
});

describe("capi send and receive", () => {
  const everything = [
    ...["aes128", "aes192", "aes256", "3des", "3des112", "des", "rc2"].flatMap((algorithm) =>
      ["cbc", "ecb", "cfb"].map((mode) => ["--algorithm", algorithm, "--mode", mode]),
    ),
    ["--algorithm", "rc4"],
    ["--algorithm", "rc4", "--key-bits", "40"],
    ["--algorithm", "rc4", "--key-bits", "40", "--no-salt"],
    ["--algorithm", "rc4", "--key-bits", "40", "--salt", "0102030405060708090a0b"],
    ["--algorithm", "rc2", "--key-bits", "40", "--effective-bits", "40"],
    ["--algorithm", "aes256", "--oaep"],
    ["--algorithm", "aes256", "--iv", "000102030405060708090a0b0c0d0e0f"],
  ];

  it.each(everything.map((options) => [options.join(" "), options] as const))(
    "agree with %s",
    async (_, options) => {
      const send = ["send", "--to", "@carol.pem", "--blob", "@c.blob", "--cipher", "@c.bin"];
      await bench.ok([...send, ...options, "--allow-weak", "--force", "@m.txt"]);
      const known = withoutSenderOptions(options);
      const argv = ["receive", "-i", "@carol.key", "--blob", "@c.blob", "--cipher", "@c.bin"];
      const { stdout } = await bench.ok([...argv, ...known, UNAUTHENTICATED]);
      expect(stdout.toString()).toBe(MESSAGE);
    },
  );

  it("reach several recipients with one ciphertext, each with a blob and a signature", async () => {
    await bench.ok([
      ...["send", "--to", "@alice.blob", "--blob", "@a.blob", "--signature", "@a.sig"],
      ...["--to", "@carol.pem", "--blob", "@c.blob", "--signature", "@c.sig"],
      ...["--sign-with", "@bob-sign.key", "--cipher", "@two.bin", "--force", "@m.txt"],
    ]);
    for (const [name, own] of [
      ["a", "alice"],
      ["c", "carol"],
    ] as const) {
      const argv = ["receive", "-i", `@${own}.key`, "--blob", `@${name}.blob`];
      const signed = ["--signature", `@${name}.sig`, "--signer", "@bob-sign.pem"];
      const { stdout } = await bench.ok([...argv, "--cipher", "@two.bin", ...signed]);
      expect(stdout.toString()).toBe(MESSAGE);
    }
    // The signature covers one receiver's blob.
    await bench.refused(
      [
        ...["receive", "-i", "@carol.key", "--blob", "@c.blob", "--cipher", "@two.bin"],
        ...["--signature", "@a.sig", "--signer", "@bob-sign.pem"],
      ],
      "ERR_SENDER_SIGNATURE",
    );
  });

  it("put blob and ciphertext into one file, which streams in and out", async () => {
    const sent = await bench.ok(["send", "--to", "@alice.blob", "--sdk-file", "-"], {
      stdin: MESSAGE,
    });
    expect(sent.stdout.readUInt32LE(0)).toBe(12 + 256);
    const argv = ["receive", "-i", "@alice.key", "--sdk-file", "-", UNAUTHENTICATED];
    const { stdout } = await bench.ok(argv, { stdin: sent.stdout });
    expect(stdout.toString()).toBe(MESSAGE);
    bench.write("m.enc", sent.stdout);
    const toFile = ["receive", "-i", "@alice.key", "--sdk-file", "@m.enc", UNAUTHENTICATED];
    await bench.ok([...toFile, "-o", "@enc.txt"]);
    expect(bench.read("enc.txt").toString()).toBe(MESSAGE);
  });

  it("sign a file of that form, blob and ciphertext without the length", async () => {
    const argv = ["send", "--to", "@alice.blob", "--sdk-file", "@s.enc", "--signature", "@s.sig"];
    await bench.ok([...argv, "--sign-with", "@bob-sign.key", "@m.txt"]);
    const signed = ["--signature", "@s.sig", "--signer", "@bob-sign.blob"];
    const toStdout = await bench.ok([
      ...["receive", "-i", "@alice.key", "--sdk-file", "@s.enc", ...signed],
    ]);
    expect(toStdout.stdout.toString()).toBe(MESSAGE);
    await bench.ok([
      ...["receive", "-i", "@alice.key", "--sdk-file", "@s.enc", ...signed, "-o", "@s.txt"],
    ]);
    expect(bench.read("s.txt").toString()).toBe(MESSAGE);
  });

  it("say what the format lacks, and what to use instead", async () => {
    const { stderr } = await bench.ok([...receive, UNAUTHENTICATED]);
    expect(stderr).toContain("not authenticated");
    expect(stderr).toContain("p11seal keys export");
  });
});

describe("capi receive, without a signature", () => {
  it("is refused unless that is said in as many words, before any file is read", async () => {
    const argv = ["receive", "-i", "@nobody.key", "--blob", "@nowhere", "--cipher", "@nowhere"];
    const { status } = await bench.refused(argv, "ERR_UNAUTHENTICATED");
    expect(status).toBe(6);
  });

  it("is refused by standing orders for signed messages, whatever is said", async () => {
    const home = bench.home("strict");
    writeFileSync(join(home, "config.toml"), 'require = "signed"\n', { mode: 0o600 });
    await bench.refused([...receive, UNAUTHENTICATED], "ERR_UNSIGNED", { home: "strict" });
    await bench.refused([...receive, ...FROM_BOB], "ERR_SENDER_UNKNOWN", { home: "strict" });

    const { publicKey } = parsePublicKey(bench.read("bob-sign.pem"), "bob");
    await addEntry(home, "senders", {
      name: "bob",
      publicKey,
      source: "test",
      addedMs: Date.now(),
    });
    const signedBy = ["--signature", "@m.sig", "--signer", "bob"];
    const { stdout, stderr } = await bench.ok([...receive, ...signedBy], { home: "strict" });
    expect(stdout.toString()).toBe(MESSAGE);
    expect(stderr).toContain('signed by "bob"');
    // And only once.
    await bench.refused([...receive, ...signedBy], "ERR_REPLAYED", { home: "strict" });
  });
});

describe("capi receive, with a signature", () => {
  it("takes what the signer signed", async () => {
    const { stdout, stderr } = await bench.ok([...receive, ...FROM_BOB]);
    expect(stdout.toString()).toBe(MESSAGE);
    expect(stderr).toContain("signed by an unknown key");
  });

  it("takes ciphertext from stdin, kept until it was verified", async () => {
    const argv = [
      "receive",
      "-i",
      "@alice.key",
      "--blob",
      "@k.blob",
      ...FROM_BOB,
      "-o",
      "@stdin.txt",
    ];
    await bench.ok(argv, { stdin: bench.read("m.bin") });
    expect(bench.read("stdin.txt").toString()).toBe(MESSAGE);
  });

  const faults: readonly (readonly [string, () => string[]])[] = [
    ["another ciphertext", () => ["--cipher", altered("m.bin", flipped(0))]],
    ["a cut ciphertext", () => ["--cipher", altered("m.bin", (bytes) => bytes.subarray(16))]],
    ["another signer", () => ["--signer", "@alice-sign.blob"]],
    ["another signature", () => ["--signature", altered("m.sig", flipped(9))]],
    ["a signature not reversed", () => ["--signature", altered("m.sig", (b) => b.reverse())]],
    ["another hash", () => ["--hash", "sha512"]],
    ["another description", () => ["--description", "urgent"]],
    ["another form", () => ["--no-hash-oid"]],
  ];
  it.each(faults)("with %s is refused before the key is looked at", async (_, change) => {
    const options = change();
    const replaced = new Set(options.filter((word) => word.startsWith("--")));
    const argv = pairs([...receive.slice(3), ...FROM_BOB]).filter(([name]) => !replaced.has(name));
    // The key does not exist: nothing looked for it.
    const told = await bench.refused(
      ["receive", "-i", "@nobody.key", ...argv.flat(), ...options],
      "ERR_SENDER_SIGNATURE",
    );
    expect(told.status).toBe(4);
  });

  it("over MD5 is refused", async () => {
    await bench.refused([...receive, ...FROM_BOB, "--hash", "md5"], "ERR_WEAK_HASH");
  });

  it("needs its signer named", async () => {
    await bench.refused([...receive, "--signature", "@m.sig"], "ERR_USAGE");
  });
});

describe("capi receive refuses", () => {
  const public_: readonly (readonly [string, string, () => string[]])[] = [
    ["another version", "ERR_BLOB", () => ["--blob", altered("k.blob", flipped(1))]],
    [
      "reserved bytes that are not zero",
      "ERR_BLOB",
      () => ["--blob", altered("k.blob", flipped(2))],
    ],
    ["another type of blob", "ERR_BLOB", () => ["--blob", "@alice.blob"]],
    ["an unknown ALG_ID", "ERR_ALGORITHM", () => ["--blob", altered("k.blob", flipped(5))]],
    ["another wrapping ALG_ID", "ERR_BLOB", () => ["--blob", altered("k.blob", flipped(9))]],
    [
      "a short blob",
      "ERR_TRUNCATED",
      () => ["--blob", altered("k.blob", (bytes) => bytes.subarray(0, 60))],
    ],
    [
      "bytes after the blob",
      "ERR_NO_MATCH",
      () => ["--blob", altered("k.blob", (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]))],
    ],
    [
      "far too many bytes after the blob",
      "ERR_TRAILING",
      () => ["--blob", altered("k.blob", (bytes) => Buffer.concat([bytes, Buffer.alloc(4000)]))],
    ],
    ["an IV of another length", "ERR_CIPHER_PARAMETER", () => ["--iv", "00"]],
    ["an IV that is no hex", "ERR_USAGE", () => ["--iv", "xyz"]],
    ["an IV with ECB", "ERR_CIPHER_PARAMETER", () => ["--mode", "ecb", "--iv", "00".repeat(16)]],
    ["a mode that no provider has", "ERR_USAGE", () => ["--mode", "ofb"]],
    ["a salt for AES", "ERR_CIPHER_PARAMETER", () => ["--salt", "00"]],
    ["two words about the salt", "ERR_USAGE", () => ["--salt", "00", "--no-salt"]],
    ["effective bits for AES", "ERR_CIPHER_PARAMETER", () => ["--effective-bits", "40"]],
    ["effective bits that are no number", "ERR_USAGE", () => ["--effective-bits", "many"]],
    ["a file that is none of the sample's", "ERR_SDK_FILE", () => ["--sdk-file", "@m.bin"]],
    ["both forms at once", "ERR_USAGE", () => ["--sdk-file", "@m.bin", "--blob", "@k.blob"]],
    ["no blob", "ERR_USAGE", () => []],
    ["a blob that is not there", "ERR_READ", () => ["--blob", "@nowhere"]],
  ];
  it.each(public_)("%s, with an error of its own", async (_, code, change) => {
    const options = change();
    const given = new Set(options.filter((word) => word.startsWith("--")));
    const own = given.has("--sdk-file") ? [] : ["--cipher", "@m.bin"];
    const isBlobNamed = given.has("--blob") || given.has("--sdk-file") || options.length === 0;
    const blob = isBlobNamed ? [] : ["--blob", "@k.blob"];
    const argv = ["receive", "-i", "@alice.key", ...own, ...blob, UNAUTHENTICATED, "-o", "@never"];
    await bench.refused([...argv, ...options], code);
    expect(bench.exists("never")).toBe(false);
  });

  it("a PRIVATEKEYBLOB as the own key, and says what to do", async () => {
    bench.write("prv.blob", Buffer.from("07020000" + "00a40000" + "52534132", "hex"));
    const argv = ["receive", "-i", "@prv.blob", ...receive.slice(3), UNAUTHENTICATED];
    await bench.refused(argv, "ERR_PRIVATE_KEY");
  });

  it("to show binary content at a terminal, unless that is wanted", async () => {
    const binary = Buffer.from([0x1b, 0x5b, 0x32, 0x4a]);
    const to = ["--to", "@alice.blob", "--blob", "@t.blob", "--cipher", "@t.bin"];
    await bench.ok(["send", ...to], { stdin: binary });
    const argv = ["receive", "-i", "@alice.key", "--blob", "@t.blob", "--cipher", "@t.bin"];
    const terminal = { tty: ["stdout"] as const };
    const told = await bench.refused(
      [...argv, UNAUTHENTICATED],
      "ERR_BINARY_TO_TERMINAL",
      terminal,
    );
    expect(told.stdout.length).toBe(0);
    const { stdout } = await bench.ok([...argv, UNAUTHENTICATED, "-o", "-"], terminal);
    expect(stdout.equals(binary)).toBe(true);
    const text = await bench.ok([...receive, UNAUTHENTICATED], terminal);
    expect(text.stdout.toString()).toBe(MESSAGE);
    await bench.refused(
      ["send", "--to", "@alice.blob", "--blob", "@x.blob", "@m.txt"],
      "ERR_BINARY_TO_TERMINAL",
      terminal,
    );
  });

  it("its own input as the output, and an output that is there", async () => {
    const blob = bench.read("k.blob");
    const argv = [...receive, UNAUTHENTICATED, "-o", "@k.blob"];
    await bench.refused(argv, "ERR_SAME_FILE");
    await bench.refused([...argv, "--force"], "ERR_SAME_FILE");
    expect(bench.read("k.blob").equals(blob)).toBe(true);
    const overSignature = [...receive, ...FROM_BOB, "-o", "@m.sig", "--force"];
    await bench.refused(overSignature, "ERR_SAME_FILE");
    bench.write("there", "old");
    await bench.refused([...receive, UNAUTHENTICATED, "-o", "@there"], "ERR_EXISTS");
    expect(bench.read("there").toString()).toBe("old");
  });
});

describe("capi send refuses", () => {
  const send = (...argv: string[]): string[] => ["send", ...argv, "--cipher", "@x.bin", "@m.txt"];
  const to = ["--to", "@alice.blob", "--blob", "@x.blob"];
  const faults: readonly (readonly [string, string, string[]])[] = [
    [
      "a signature key as the recipient",
      "ERR_SIGN_ONLY",
      ["--to", "@bob-sign.blob", "--blob", "@x"],
    ],
    ["nobody", "ERR_NO_RECIPIENTS", []],
    ["fewer blobs than recipients", "ERR_USAGE", [...to, "--to", "@carol.blob"]],
    [
      "a private key as the recipient",
      "ERR_PRIVATE_KEY_AS_RECIPIENT",
      ["--to", "@alice.key", "--blob", "@x"],
    ],
    ["a SIMPLEBLOB as the recipient", "ERR_BLOB", ["--to", "@k.blob", "--blob", "@x"]],
    ["RC4", "ERR_WEAK_CIPHER", [...to, "--algorithm", "rc4"]],
    ["RC2", "ERR_WEAK_CIPHER", [...to, "--algorithm", "rc2"]],
    ["DES", "ERR_WEAK_CIPHER", [...to, "--algorithm", "des"]],
    ["triple DES", "ERR_WEAK_CIPHER", [...to, "--algorithm", "3des"]],
    ["triple DES with two keys", "ERR_WEAK_CIPHER", [...to, "--algorithm", "3des112"]],
    ["ECB", "ERR_WEAK_CIPHER", [...to, "--mode", "ecb"]],
    [
      "a key length that RC4 doesn't have",
      "ERR_KEY_LENGTH",
      [...to, "--algorithm", "rc4", "--key-bits", "39", "--allow-weak"],
    ],
    ["a key length for AES", "ERR_KEY_LENGTH", [...to, "--key-bits", "40"]],
    [
      "to sign over SHA-1",
      "ERR_WEAK_HASH",
      [...to, "--sign-with", "@bob-sign.key", "--signature", "@x.sig", "--hash", "sha1"],
    ],
    ["a signature without a key", "ERR_USAGE", [...to, "--signature", "@x.sig"]],
    ["two outputs of one name", "ERR_USAGE", ["--to", "@alice.blob", "--blob", "@x.bin"]],
  ];
  it.each(faults)("%s, and writes nothing", async (_, code, argv) => {
    await bench.refused(send(...argv), code);
    for (const name of ["x", "x.blob", "x.bin", "x.sig"]) expect(bench.exists(name)).toBe(false);
  });

  it("to leave some of its files when one can't be written", async () => {
    bench.write("x.blob", "old");
    await bench.refused(send(...to), "ERR_EXISTS");
    expect(bench.exists("x.bin")).toBe(false);
    expect(bench.read("x.blob").toString()).toBe("old");
  });
});

describe("a message that does not decrypt", () => {
  // Each in its own data folder, since failures delay the next message.
  let homes = 0;
  const refusal = async (argv: readonly string[], home: string): Promise<string> => {
    bench.write("out", "old");
    const toStdout = await bench.capi(argv, { home });
    const toFile = await bench.capi([...argv, "-o", "@out", "--force"], { home });
    for (const told of [toStdout, toFile]) {
      expect({ code: told.code, status: told.status }).toEqual({ code: "ERR_DECRYPT", status: 4 });
      expect(told.stderr).toBe(toStdout.stderr);
    }
    expect(toStdout.stdout.length).toBe(0);
    expect(bench.read("out").toString()).toBe("old");
    expect(bench.log(home).map(({ event, outcome }) => [event, outcome])).toEqual([
      ["capi", "ERR_DECRYPT"],
      ["capi", "ERR_DECRYPT"],
    ]);
    return toStdout.stderr;
  };
  const told = new Set<string>();

  // The end of a signed message is certain; without a signature, noise may occasionally look valid.
  const keyFaults: readonly (readonly [string, (blob: Buffer) => Buffer, string[]])[] = [
    [
      "a payload not reversed",
      (blob) => Buffer.concat([blob.subarray(0, 12), blob.subarray(12).reverse()]),
      [],
    ],
    ["an altered payload", flipped(40), []],
    ["a key of another length than its ALG_ID's", (blob) => blob.fill(0x0e, 4, 5), []],
    ["OAEP taken for PKCS#1 v1.5", (blob) => blob, ["--oaep"]],
    ["somebody else's key", (blob) => blob, ["-i", "@carol.key"]],
    [
      "block type 01",
      () => wrappedRaw(Buffer.concat([Buffer.from([0, 1]), Buffer.alloc(221, 0xff)]), 32),
      [],
    ],
    [
      "seven bytes of padding",
      () => wrappedRaw(Buffer.from("00020101010101010100", "hex"), 246),
      [],
    ],
    [
      "an empty key",
      () => wrappedRaw(Buffer.concat([Buffer.from([0, 2]), Buffer.alloc(253, 1)]), 0),
      [],
    ],
  ];
  it.each(keyFaults)("for %s gives the same error", async (_, change, options) => {
    const blob = altered("k.blob", change);
    const sign = ["sign", "-i", "@bob-sign.key", "-o", "@k.sig", "--force"];
    await bench.ok([...sign, blob, "@m.bin"]);
    const argv = ["receive", ...(options.includes("-i") ? [] : ["-i", "@alice.key"]), ...options];
    const message = ["--blob", blob, "--cipher", "@m.bin"];
    const signed = ["--signature", "@k.sig", "--signer", "@bob-sign.blob"];
    told.add(await refusal([...argv, ...message, ...signed], `home-${homes++}`));
    expect(told.size).toBe(1);
  });

  // With a fixed key, so that the outcome is the same each time.
  const cipherFaults: readonly (readonly [string, (cipher: Buffer) => Buffer, string[]])[] = [
    ["bad padding", flipped(-17), []],
    ["no whole number of blocks", (cipher) => cipher.subarray(0, -1), []],
    ["nothing", () => Buffer.alloc(0), []],
    ["a block cut off", (cipher) => cipher.subarray(0, -16), []],
    ["another mode", (cipher) => cipher, ["--mode", "ecb"]],
  ];
  it.each(cipherFaults)("for %s gives the same error", async (_, change, options) => {
    const cipher = altered("fixed.bin", change);
    const argv = ["receive", "-i", "@alice.key", "--blob", "@fixed.blob", "--cipher", cipher];
    told.add(await refusal([...argv, ...options, UNAUTHENTICATED], `home-${homes++}`));
    expect(told.size).toBe(1);
  });

  it("gives the same noise each time where nothing can tell, in every process", async () => {
    await bench.ok([
      ...["send", "--to", "@alice.blob", "--blob", "@r.blob", "--cipher", "@r.bin"],
      ...["--algorithm", "rc4", "--allow-weak", "@m.txt"],
    ]);
    const blob = altered("r.blob", flipped(30));
    const argv = ["receive", "-i", "@alice.key", "--blob", blob, "--cipher", "@r.bin"];
    const first = await bench.ok([...argv, UNAUTHENTICATED, "-o", "-"]);
    const second = await bench.ok([...argv, UNAUTHENTICATED, "-o", "-"]);
    expect(first.stdout.toString()).not.toBe(MESSAGE);
    expect(second.stdout.equals(first.stdout)).toBe(true);
    const other = await bench.ok([...argv, UNAUTHENTICATED, "-o", "-"], { home: "elsewhere" });
    expect(other.stdout.equals(first.stdout)).toBe(false);
    expect(statSync(join(bench.home(), "capi", "rejection.secret")).mode & 0o777).toBe(0o600);
  });
});

/** A SIMPLEBLOB for Alice from a block with this start, ending in 00 and `keyBytes` bytes. */
function wrappedRaw(start: Buffer, keyBytes: number): Buffer {
  const block = Buffer.concat([start, Buffer.from([0]), Buffer.alloc(keyBytes, 7)]).subarray(
    0,
    256,
  );
  const padded = Buffer.concat([block, Buffer.alloc(256 - block.length, 7)]);
  const key = { key: bench.read("alice.pem"), padding: constants.RSA_NO_PADDING };
  const head = Buffer.from("010200001066000000a40000", "hex");
  return Buffer.concat([head, publicEncrypt(key, padded).reverse()]);
}

/** Options and their values, as given: `[--blob, FILE]`. */
function pairs(argv: readonly string[]): [string, string][] {
  return argv.flatMap((word, index) =>
    index % 2 === 0 ? [[word, argv[index + 1] ?? ""] as [string, string]] : [],
  );
}

/** Options for the sender only; the blob carries them. */
function withoutSenderOptions(options: readonly string[]): string[] {
  return options.filter((word, index) => {
    const isSenders = (one: string | undefined): boolean =>
      one === "--algorithm" || one === "--key-bits";
    return !isSenders(word) && !isSenders(options[index - 1]);
  });
}
