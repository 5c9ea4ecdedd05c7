/**
 * The output of a real CryptoAPI through the command line: messages, signatures, hashes, files,
 * phases.
 */
import { chmodSync, readFileSync } from "node:fs";
import { expect, it } from "@jest/globals";
import { vectorFolder, describeVectors } from "../../../support/vectors.js";
import { fixture, keyPair, manifest, message, type Exchange } from "../../../capi/support.js";
import { CapiBench } from "../../support/capi.js";
import { temporaryFolder } from "../../support/folder.js";

const bench = new CapiBench(temporaryFolder());
const vector = (path: string): string => vectorFolder(`cryptoapi-exchange/${path}`);

/** The options that supply what the blob doesn't say. */
function parameters({ alg, mode, iv, effectiveBits, flags }: Exchange): string[] {
  return [
    ...(mode === "stream" ? [] : ["--mode", mode]),
    ...(iv === null ? [] : ["--iv", iv]),
    ...(effectiveBits === null || alg !== "rc2" ? [] : ["--effective-bits", `${effectiveBits}`]),
    ...(flags.includes("CRYPT_NO_SALT") ? ["--no-salt"] : []),
    ...(flags.includes("CRYPT_OAEP") ? ["--oaep"] : []),
  ];
}

/** A vector's private key, in a file that others may not read. */
function ownKey(path: string): string {
  const name = path.replaceAll("/", "-");
  bench.write(name, readFileSync(vector(path)));
  chmodSync(bench.at(name), 0o600);
  return bench.at(name);
}

describeVectors("messages a real CryptoAPI sent", () => {
  const vectors = manifest();
  const cases = vectors.exchange.flatMap((exchange) =>
    exchange.recipients.map((recipient) => ({
      name: `${exchange.id} for ${recipient.name}`,
      exchange,
      recipient,
    })),
  );

  it.each(cases)("$name is received into a file", async ({ exchange, recipient }) => {
    const identity = ownKey(keyPair(vectors, recipient.name, "exchange").pkcs8);
    const argv = [
      ...["receive", "-i", identity, "--blob", vector(recipient.simpleBlob)],
      ...["--cipher", vector(exchange.cipher), ...parameters(exchange)],
      ...["--allow-unauthenticated", "-o", "@out", "--force"],
    ];
    const { stderr } = await bench.ok(argv);
    expect(bench.read("out").equals(message(vectors, exchange.message))).toBe(true);
    expect(stderr).toContain("not authenticated");
  });

  it.each(cases.slice(0, 12))("$name is received to stdout", async ({ exchange, recipient }) => {
    const identity = ownKey(keyPair(vectors, recipient.name, "exchange").pkcs8);
    const { stdout } = await bench.ok(
      [
        ...["receive", "-i", identity, "--blob", vector(recipient.simpleBlob)],
        ...[...parameters(exchange), "--allow-unauthenticated"],
      ],
      { stdin: fixture(exchange.cipher) },
    );
    expect(stdout.equals(message(vectors, exchange.message))).toBe(true);
  });

  it.each(cases)("a message like $name is sent, and received", async ({ exchange, recipient }) => {
    const keys = keyPair(vectors, recipient.name, "exchange");
    const bits = ["rc2", "rc4"].includes(exchange.alg)
      ? ["--key-bits", `${exchange.sessionKeyHex.length * 4}`]
      : [];
    const file = vector(vectors.messages[exchange.message]?.file ?? "");
    await bench.ok([
      ...["send", "--to", vector(keys.publicKeyBlob), "--blob", "@k", "--cipher", "@c"],
      ...["--algorithm", exchange.alg, ...bits, ...parameters(exchange), "--allow-weak", "--force"],
      file,
    ]);
    const argv = ["receive", "-i", ownKey(keys.pkcs8), "--blob", "@k", "--cipher", "@c"];
    const { stdout } = await bench.ok([
      ...[...argv, ...parameters(exchange), "--allow-unauthenticated"],
    ]);
    expect(stdout.equals(message(vectors, exchange.message))).toBe(true);
    expect(bench.read("c").length).toBe(fixture(exchange.cipher).length);
  });

  it.each(vectors.sdkFile)(
    "the sample's file $id is received",
    async ({ file, recipient, ...rest }) => {
      const identity = ownKey(keyPair(vectors, recipient, "exchange").pkcs8);
      const argv = ["receive", "-i", identity, "--sdk-file", vector(file)];
      const { stdout } = await bench.ok([...argv, "--allow-unauthenticated"]);
      expect(stdout.equals(message(vectors, rest.message))).toBe(true);
    },
  );
});

describeVectors("signatures a real CryptoAPI made", () => {
  const vectors = manifest();

  it.each(vectors.signatures)("$id holds, and not for another message", async (signed) => {
    const { publicKeyBlob } = keyPair(vectors, signed.signer, signed.spec);
    const argv = [
      ...["verify", "--signer", vector(publicKeyBlob), "--signature", vector(signed.signature)],
      ...["--hash", signed.hash, "--allow-weak", "--allow-md5"],
      ...(signed.flags.includes("CRYPT_NOHASHOID") ? ["--no-hash-oid"] : []),
    ];
    const file = vector(vectors.messages[signed.message]?.file ?? "");
    const { stdout } = await bench.ok([...argv, file]);
    expect(JSON.parse(stdout.toString())).toMatchObject({ signature: "holds", hash: signed.hash });
    const { status } = await bench.refused([...argv, file, file], "ERR_SENDER_SIGNATURE");
    expect(status).toBe(4);
  });

  const strong = vectors.signatures.filter(({ hash }) => hash !== "md5" && hash !== "sha1");
  it.each(strong)("$id is made again, byte for byte", async (signed) => {
    const identity = ownKey(keyPair(vectors, signed.signer, signed.spec).pkcs8);
    const { stdout } = await bench.ok([
      ...["sign", "-i", identity, "--hash", signed.hash],
      ...(signed.flags.includes("CRYPT_NOHASHOID") ? ["--no-hash-oid"] : []),
      vector(vectors.messages[signed.message]?.file ?? ""),
    ]);
    expect(stdout.equals(fixture(signed.signature))).toBe(true);
  });
});

describeVectors("hashes of session keys, and the three-phase run", () => {
  const vectors = manifest();

  it.each(vectors.hashSessionKey)("the hash $id", async (hashed) => {
    // RC4 with 40 bits, or AES-256: the kinds of the vectors' keys.
    const key = Buffer.from(hashed.sessionKeyHex, "hex");
    const head = Buffer.from(key.length === 5 ? "0802000001680000" : "0802000010660000", "hex");
    const length = Buffer.from([key.length, 0, 0, 0]);
    bench.write("key.plain", Buffer.concat([head, length, key]));
    const parts = hashed.input.flatMap((part) => [
      "--part",
      part.startsWith("text ") ? `text:${part.slice(5)}` : "key",
    ]);
    const littleEndian = hashed.flags.includes("CRYPT_LITTLE_ENDIAN") ? ["--little-endian"] : [];
    const argv = ["hash-session-key", "--blob", "@key.plain", "--hash", hashed.hash];
    const { stdout } = await bench.ok([...argv, ...parts, ...littleEndian]);
    expect(JSON.parse(stdout.toString())).toMatchObject({ value: hashed.valueHex });
  });

  it("a session key in a SIMPLEBLOB has the same hash, with the private key", async () => {
    const aes = vectors.hashSessionKey.find(({ id }) => id === "aes256-sha256");
    const exchange = vectors.exchange.find((one) => one.sessionKeyHex === aes?.sessionKeyHex);
    const [recipient] = exchange?.recipients ?? [];
    const identity = ownKey(keyPair(vectors, recipient?.name ?? "", "exchange").pkcs8);
    const argv = ["hash-session-key", "-i", identity, "--blob"];
    const { stdout } = await bench.ok([...argv, vector(recipient?.simpleBlob ?? "")]);
    expect(JSON.parse(stdout.toString())).toMatchObject({ value: aes?.valueHex });
  });

  it("a real CryptoAPI's second and third messages complete both sides", async () => {
    const { sender, receiver, alg, hash, phase1, phase2, phase3 } = vectors.threePhase;
    const terms = (own: string, peer: string): string[] => [
      ...["-i", ownKey(keyPair(vectors, own, "exchange").pkcs8), "--name", own],
      ...["--peer", vector(keyPair(vectors, peer, "exchange").publicKeyBlob), "--peer-name", peer],
      ...["--algorithm", alg, "--hash", hash],
    ];
    // The fixed keys are put into the runs' own files, in blobs that CryptoAPI also made.
    const replaceKeys = (state: string, keys: Record<string, string>): void => {
      const run = JSON.parse(bench.read(state).toString()) as Record<string, unknown>;
      for (const [name, path] of Object.entries(keys))
        run[name] = readFileSync(vector(path), "base64");
      bench.write(state, `${JSON.stringify(run, undefined, 2)}\n`);
    };
    await bench.ok([
      "three-phase",
      "begin",
      ...terms(sender, receiver),
      "--state",
      "@a",
      "-o",
      "@1",
    ]);
    replaceKeys("a", { keyA: "three-phase/keyA.alice.simple.blob" });
    const blob = fixture(phase2.blobForSender);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(blob.length);
    bench.write("2", Buffer.concat([length, blob, Buffer.from(phase2.hashHex, "hex")]));
    const own = ["-i", ownKey(keyPair(vectors, sender, "exchange").pkcs8)];
    const { stdout } = await bench.ok(["three-phase", "confirm", ...own, "--state", "@a", "@2"]);
    expect(stdout.toString("hex")).toBe(phase3.hashHex);

    await bench.ok([
      ...["three-phase", "answer", ...terms(receiver, sender), "--state", "@b", "-o", "@2b"],
      vector(phase1.blobForReceiver),
    ]);
    replaceKeys("b", {
      keyA: phase1.blobForReceiver,
      keyB: "three-phase/keyB.bob.simple.blob",
    });
    const theirs = ["-i", ownKey(keyPair(vectors, receiver, "exchange").pkcs8)];
    await bench.ok(["three-phase", "finish", ...theirs, "--state", "@b", bench.write("3", stdout)]);
  });
});
