/** Every byte that a real CryptoAPI wrote is read, and written again unless it is random. */
import { describe, expect, it } from "@jest/globals";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { ascii, concat, fromHex, toHex } from "../../src/bytes.js";
import {
  blobKind,
  capiHash,
  decryptMessage,
  deriveSessionKey,
  encodePlaintextKeyBlob,
  encodePublicKeyBlob,
  encodeSimpleBlob,
  encryptMessage,
  hashParts,
  parsePlaintextKeyBlob,
  parsePublicKeyBlob,
  parseSimpleBlob,
  readSdkFile,
  receiveMessage,
  sdkFileHead,
  sendMessage,
  signData,
  softwareRsaKey,
  unwrapSessionKey,
  verifyData,
} from "../../src/capi/index.js";
import { collect } from "../../src/stream.js";
import { describeVectors, vectorJson } from "../support/vectors.js";
import {
  checkExchange,
  checkThreePhase,
  exchangeCases,
  privateKeyBlobJwk,
} from "./vector-checks.js";
import {
  codeOf,
  fixture,
  inSteps,
  joined,
  keyPair,
  manifest,
  message,
  parametersOf,
  privateKeyOf,
  secret,
} from "./support.js";

describeVectors("messages a real CryptoAPI sent", () => {
  const vectors = manifest();
  const cases = exchangeCases(vectors);

  it.each(cases)("$name is read", async ({ exchange, recipient }) => {
    const privateKey = softwareRsaKey(privateKeyOf(vectors, recipient.name));
    await checkExchange(vectors, exchange, recipient, privateKey);
  });

  it.each(vectors.exchange)("$id is written again, byte for byte", async (exchange) => {
    const key = {
      algorithm: exchange.alg,
      bytes: secret(fromHex(exchange.sessionKeyHex)),
    };
    const plaintext = inSteps(message(vectors, exchange.message), 41);
    const ciphertext = await joined(encryptMessage(key, parametersOf(exchange), plaintext));
    expect(toHex(ciphertext)).toBe(toHex(fixture(exchange.cipher)));
  });

  it.each(cases)("the blob of $name encodes to its own bytes", ({ recipient }) => {
    const blob = fixture(recipient.simpleBlob);
    expect(toHex(encodeSimpleBlob(parseSimpleBlob(blob)))).toBe(toHex(blob));
  });

  it.each(vectors.exchange.filter(({ flags }) => !flags.includes("CRYPT_NO_SALT")))(
    "$id goes back the way it came",
    async (exchange) => {
      const [recipient] = exchange.recipients;
      const privateKey = softwareRsaKey(privateKeyOf(vectors, recipient?.name ?? ""));
      const padding = exchange.flags.includes("CRYPT_OAEP") ? "oaep" : "pkcs1";
      const parameters = parametersOf(exchange);
      const sent = sendMessage(message(vectors, exchange.message), {
        recipients: [privateKey.publicKey],
        algorithm: exchange.alg,
        ...(exchange.alg === "rc2" || exchange.alg === "rc4" ? { keyBits: exchange.keyBits } : {}),
        parameters,
        padding,
        allowWeak: true,
      });
      const received = await receiveMessage({
        blob: sent.blobs[0] as Uint8Array,
        ciphertext: sent.ciphertext,
        privateKey,
        parameters,
        padding,
        allowUnauthenticated: true,
      });
      expect(toHex(await joined(received.plaintext))).toBe(
        toHex(message(vectors, exchange.message)),
      );
    },
  );
});

describeVectors("keys a real CryptoAPI exported", () => {
  const vectors = manifest();
  const pairs = Object.keys(vectors.keys).flatMap((name) =>
    (["exchange", "signature"] as const).map((spec) => ({ name, spec })),
  );

  it.each(pairs)("$name's $spec key is read and written, byte for byte", ({ name, spec }) => {
    const bytes = fixture(keyPair(vectors, name, spec).publicKeyBlob);
    const parsed = parsePublicKeyBlob(bytes);
    expect(parsed.use).toBe(spec);
    const expected = createPublicKey(privateKeyOf(vectors, name, spec));
    expect(toHex(parsed.publicKey.spki)).toBe(
      toHex(expected.export({ format: "der", type: "spki" })),
    );
    expect(toHex(encodePublicKeyBlob(parsed))).toBe(toHex(bytes));
  });

  it.each(pairs)("$name's private $spec key is told from a public one", async ({ name, spec }) => {
    const bytes = fixture(keyPair(vectors, name, spec).privateKeyBlob);
    expect(blobKind(bytes)).toBe("private");
    expect(await codeOf(() => parsePublicKeyBlob(bytes))).toBe("ERR_PRIVATE_KEY_AS_RECIPIENT");
    // The numbers of the PRIVATEKEYBLOB are those of the matching PKCS#8.
    expect(privateKeyBlobJwk(bytes)).toEqual(
      privateKeyOf(vectors, name, spec).export({ format: "jwk" }),
    );
  });
});

describeVectors("signatures a real CryptoAPI made", () => {
  const vectors = manifest();

  it.each(vectors.signatures)("$id holds, and only for its message and form", async (vector) => {
    const { publicKey } = parsePublicKeyBlob(
      fixture(keyPair(vectors, vector.signer, vector.spec).publicKeyBlob),
    );
    const signature = fixture(vector.signature);
    const data = message(vectors, vector.message);
    const noHashOid = vector.flags.includes("CRYPT_NOHASHOID");
    const form = { hash: capiHash(vector.hash), noHashOid, allowMd5: true };
    expect(await verifyData(publicKey, data, signature, form)).toBe(true);

    expect(await verifyData(publicKey, concat(data, data), signature, form)).toBe(false);
    const other = { ...form, noHashOid: !noHashOid };
    expect(await verifyData(publicKey, data, signature, other)).toBe(false);
    const unreversed = signature.slice().reverse();
    expect(await verifyData(publicKey, data, unreversed, form)).toBe(false);
  });

  const strong = vectors.signatures.filter(({ hash }) => hash !== "md5" && hash !== "sha1");
  it.each(strong)("$id is made again, byte for byte", async (vector) => {
    const signer = softwareRsaKey(privateKeyOf(vectors, vector.signer, vector.spec));
    const signature = await signData(signer, message(vectors, vector.message), {
      hash: vector.hash,
      noHashOid: vector.flags.includes("CRYPT_NOHASHOID"),
    });
    expect(toHex(signature)).toBe(toHex(fixture(vector.signature)));
  });
});

describeVectors("hashes, derived keys, files and the three-phase run of a real CryptoAPI", () => {
  const vectors = manifest();

  it.each(vectors.hashSessionKey)("the hash of a session key, $id", (vector) => {
    const parts = vector.input.map((input) => {
      if (input.startsWith("text ")) return ascii(input.slice("text ".length));
      const littleEndian = input === "key";
      expect(vector.flags.includes("CRYPT_LITTLE_ENDIAN")).toBe(littleEndian);
      return { key: secret(fromHex(vector.sessionKeyHex)), littleEndian };
    });
    expect(toHex(hashParts(vector.hash, parts))).toBe(vector.valueHex);
  });

  it.each(vectors.derivedKey)(
    "an $alg key derived with $hash",
    ({ alg, hash, password, keyHex }) => {
      const key = deriveSessionKey(alg, hash, ascii(password));
      expect(toHex(key.bytes.expose())).toBe(keyHex);
    },
  );

  it.each(vectors.sdkFile)(
    "the sample's file $id is read, and its head written",
    async (vector) => {
      const bytes = fixture(vector.file);
      const { blob, ciphertext } = await readSdkFile(inSteps(bytes, 100));
      expect(toHex(bytes.subarray(0, 4 + blob.length))).toBe(toHex(sdkFileHead(blob)));
      const privateKey = softwareRsaKey(privateKeyOf(vectors, vector.recipient));
      const received = await receiveMessage({
        blob,
        ciphertext,
        privateKey,
        allowUnauthenticated: true,
      });
      expect(toHex(await joined(received.plaintext))).toBe(toHex(message(vectors, vector.message)));
    },
  );

  it("the run's receiver and sender accept the hashes a real CryptoAPI computed", async () => {
    const key = (name: string) => softwareRsaKey(privateKeyOf(vectors, name));
    await checkThreePhase(vectors, key);
  });
});

describeVectors("single vectors", () => {
  it("Wine's test message, whose values real Windows has confirmed", async () => {
    const vector = vectorJson<{
      privateKeyBlob: string;
      simpleBlob: string;
      ciphertext: string;
      sessionKey: string;
      em_big_endian: string;
    }>("cryptoapi/wine-simpleblob-rc4.json");
    const key = createPrivateKey({
      key: privateKeyBlobJwk(fromHex(vector.privateKeyBlob)),
      format: "jwk",
    });
    const privateKey = softwareRsaKey(key);
    const blob = parseSimpleBlob(fromHex(vector.simpleBlob));
    const unwrapped = await unwrapSessionKey(blob, privateKey);
    expect(unwrapped.genuine).toBe(true);
    expect(toHex(unwrapped.key.bytes.expose())).toBe(vector.sessionKey);
    const plaintext = await joined(decryptMessage(unwrapped.key, {}, fromHex(vector.ciphertext)));
    expect(Buffer.from(plaintext).toString("latin1")).toBe("Wine rocks!\0");
  });

  it("blobs made with other tools, with both paddings", async () => {
    const vector = vectorJson<{
      privateKeyPem: string;
      sessionKey: string;
      blobs: readonly { padding: string; simpleBlob: string }[];
      aes256cbc_iv0_ciphertext: string;
      plaintext: string;
    }>("cryptoapi/selfmade-simpleblob-aes256.json");
    const privateKey = softwareRsaKey(createPrivateKey(vector.privateKeyPem));
    expect(vector.blobs.length).toBe(2);
    for (const { padding, simpleBlob } of vector.blobs) {
      const received = await receiveMessage({
        blob: fromHex(simpleBlob),
        ciphertext: fromHex(vector.aes256cbc_iv0_ciphertext),
        privateKey,
        padding: padding === "oaep-sha1" ? "oaep" : "pkcs1",
        allowUnauthenticated: true,
      });
      const plaintext = await collect(received.plaintext);
      expect(Buffer.from(plaintext).toString()).toBe(vector.plaintext);
    }
  });
});

describe("a PLAINTEXTKEYBLOB", () => {
  it("as the documentation lays it out is read and written, byte for byte", () => {
    // BLOBHEADER 08 02 0000, CALG_RC4; length 5; the key of the CryptHashSessionKey sample.
    const bytes = fromHex("0802000001680000050000004a3aee7737");
    const key = parsePlaintextKeyBlob(bytes);
    expect(key.algorithm).toBe("rc4");
    expect(toHex(key.bytes.expose())).toBe("4a3aee7737");
    expect(toHex(encodePlaintextKeyBlob(key).expose())).toBe(toHex(bytes));
  });
});
