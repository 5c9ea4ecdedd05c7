import { describe, expect, it } from "@jest/globals";
import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  privateDecrypt,
  publicEncrypt,
  type KeyObject,
} from "node:crypto";
import { readdirSync } from "node:fs";
import { concat, fromHex, toHex } from "../../src/bytes.js";
import { oaepDecode, oaepEncrypt, oaepOverhead } from "../../src/wrap/rsa-oaep.js";
import type { OaepHash, OaepParameters } from "../../src/keys/key.js";
import { TEST_KEYS } from "../support/keys.js";
import { describeVectors, vectorFolder, wycheproof } from "../support/vectors.js";

interface OaepGroup {
  readonly sha: string;
  readonly mgfSha: string;
  readonly keySize: number;
  readonly privateKeyPkcs8: string;
}
interface OaepTest {
  readonly msg: string;
  readonly ct: string;
  readonly label: string;
}

const HASHES: Readonly<Record<string, OaepHash>> = {
  "SHA-1": "sha1",
  "SHA-256": "sha256",
  "SHA-384": "sha384",
  "SHA-512": "sha512",
};

/** What a token delivers that can do nothing better: the bare exponentiation. */
function rawRsa(key: KeyObject, ciphertext: Uint8Array): Uint8Array | null {
  try {
    return privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, ciphertext);
  } catch {
    return null;
  }
}

/** The other implementation: OpenSSL's OAEP. */
function openSslOaep(key: KeyObject, ciphertext: Uint8Array, oaepHash: OaepHash, label: string) {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const oaepLabel = Buffer.from(label, "hex");
  try {
    return privateDecrypt({ key, padding, oaepHash, oaepLabel }, ciphertext);
  } catch {
    return null;
  }
}

const shown = (bytes: Uint8Array | null) => (bytes === null ? "refused" : toHex(bytes));

describeVectors("OAEP known answers (Wycheproof)", () => {
  const files = readdirSync(vectorFolder("wycheproof"))
    .filter((name) => /^rsa_(?:three_primes_)?oaep_/.test(name))
    .map((name) => name.replace("_test.json", ""));
  const cases = files.flatMap((file) =>
    wycheproof<OaepGroup, OaepTest>(file)
      .filter(({ group }) => group.sha in HASHES && group.mgfSha in HASHES)
      .map(({ group, test }) => ({
        ...{ file, group, test },
        hash: HASHES[group.sha] as OaepHash,
        mgfHash: HASHES[group.mgfSha] as OaepHash,
      })),
  );
  const used = [...new Set(cases.map(({ file }) => file))].sort();

  it("are read from every file with our hashes in both places", () => {
    expect(used.filter((file) => !file.includes("misc"))).toEqual(
      files.filter((file) => /_sha(1|256|384|512)_mgf1sha(1|256|384|512)$/.test(file)).sort(),
    );
    expect(cases.filter(({ hash, mgfHash }) => hash !== mgfHash).length).toBeGreaterThan(50);
    expect(cases.filter(({ test }) => test.label !== "").length).toBeGreaterThan(20);
    expect(used).toContain("rsa_oaep_misc");
    expect(cases.length).toBeGreaterThan(300);
    for (const hash of Object.values(HASHES)) {
      expect(cases.filter((each) => each.hash === hash).length).toBeGreaterThan(20);
    }
  });

  it.each(used)("%s: the host's decoding and OpenSSL's agree with every result", (name) => {
    for (const { file, group, test, hash, mgfHash } of cases) {
      if (file !== name) continue;
      const key = keyOf(group.privateKeyPkcs8);
      const ciphertext = fromHex(test.ct);
      const em = rawRsa(key, ciphertext);
      const said = `${file} ${test.tcId}: ${test.comment}`;
      const expected = test.result === "invalid" ? "refused" : test.msg;
      const label = fromHex(test.label);
      const decoded = em === null ? null : oaepDecode(em, { hash, mgfHash, label });
      expect(`${said} ${shown(decoded)}`).toBe(`${said} ${expected}`);

      // Without its label, a ciphertext made with one is a bad ciphertext.
      const unlabelled = em === null ? null : oaepDecode(em, { hash, mgfHash });
      const plain = test.label === "" ? expected : "refused";
      expect(`${said} ${shown(unlabelled)}`).toBe(`${said} ${plain}`);

      // Node gives OpenSSL one hash for both.
      if (hash !== mgfHash) continue;
      const openSsl = openSslOaep(key, ciphertext, hash, test.label);
      expect(`${said} ${shown(openSsl)}`).toBe(`${said} ${expected}`);
    }
  });

  const keys = new Map<string, KeyObject>();
  function keyOf(pkcs8: string): KeyObject {
    const known =
      keys.get(pkcs8) ??
      createPrivateKey({ key: Buffer.from(pkcs8, "hex"), format: "der", type: "pkcs8" });
    keys.set(pkcs8, known);
    return known;
  }
});

/** EME-OAEP encoding (RFC 8017 §7.1.1 step 2), in which every part can be falsified. */
function encodedMessage(
  parts: {
    hash?: OaepHash;
    bytes?: number;
    message?: Uint8Array;
    first?: number;
    labelHash?: Uint8Array;
    separator?: Uint8Array;
    padding?: number;
  } = {},
): Uint8Array {
  const hash = parts.hash ?? "sha256";
  const size = createHash(hash).digest().length;
  const dbBytes = (parts.bytes ?? 256) - size - 1;
  const labelHash = parts.labelHash ?? createHash(hash).digest();
  const tail = concat(
    parts.separator ?? Uint8Array.of(1),
    parts.message ?? new Uint8Array(32).fill(0x4b),
  );
  const zeros = new Uint8Array(dbBytes - size - tail.length).fill(parts.padding ?? 0);
  const db = concat(labelHash, zeros, tail);
  const seed = new Uint8Array(size).fill(0x5e);
  const maskedDb = db.map((byte, i) => byte ^ (mask(seed, dbBytes, hash)[i] as number));
  const maskedSeed = seed.map((byte, i) => byte ^ (mask(maskedDb, size, hash)[i] as number));
  return concat(Uint8Array.of(parts.first ?? 0), maskedSeed, maskedDb);
}

/** MGF1 (RFC 8017 §B.2.1). */
function mask(seed: Uint8Array, length: number, hash: OaepHash): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let i = 0, bytes = 0; bytes < length; i++) {
    const block = createHash(hash)
      .update(seed)
      .update(Uint8Array.of(0, 0, 0, i))
      .digest();
    blocks.push(block);
    bytes += block.length;
  }
  return Buffer.concat(blocks).subarray(0, length);
}

describe("decoding OAEP on the host", () => {
  it.each(["sha1", "sha256", "sha384", "sha512"] as const)(
    "finds the message that was encoded with %s, of every length that fits",
    (hash) => {
      const most = 256 - oaepOverhead(hash);
      for (const length of [0, 1, 31, 32, 33, most - 1, most]) {
        const message = new Uint8Array(length).map((_, i) => i);
        const found = oaepDecode(encodedMessage({ hash, message }), { hash });
        expect(found === null ? null : [...found]).toEqual([...message]);
      }
    },
  );

  it("keeps a message that looks like padding", () => {
    for (const message of [Uint8Array.of(0), Uint8Array.of(1), Uint8Array.of(0, 1, 0, 1)]) {
      expect(oaepDecode(encodedMessage({ message }), { hash: "sha256" })).toEqual(message);
    }
  });

  const lies: [string, Parameters<typeof encodedMessage>[0]][] = [
    ["a first byte of 1", { first: 1 }],
    ["a first byte of 80", { first: 0x80 }],
    ["a first byte of ff", { first: 0xff }],
    ["the hash of another label", { labelHash: createHash("sha256").update("x").digest() }],
    ["a label hash wrong in its first bit", { labelHash: flipped(0, 0x80) }],
    ["a label hash wrong in its last bit", { labelHash: flipped(31, 1) }],
    ["a separator of 02", { separator: Uint8Array.of(2) }],
    ["a separator of 80", { separator: Uint8Array.of(0x80) }],
    ["a separator of ff", { separator: Uint8Array.of(0xff) }],
    ["padding of 02", { padding: 2 }],
    ["no separator at all", { separator: Uint8Array.of(0), message: new Uint8Array(32) }],
    ["two faults at once", { first: 1, separator: Uint8Array.of(2) }],
  ];

  it.each(lies)("gives nothing for %s", (_what, parts) => {
    expect(oaepDecode(encodedMessage(parts), { hash: "sha256" })).toBeNull();
  });

  it("gives nothing for a message encoded with another hash", () => {
    for (const hash of ["sha1", "sha384", "sha512"] as const) {
      expect(oaepDecode(encodedMessage({ hash }), { hash: "sha256" })).toBeNull();
    }
  });

  it("gives nothing for a modulus too short to hold the hashes", () => {
    for (const length of [0, 1, 2, 64, 65]) {
      expect(oaepDecode(new Uint8Array(length), { hash: "sha256" })).toBeNull();
    }
    // 66 bytes hold both hashes, the first byte and the separator of an empty message.
    expect(
      oaepDecode(encodedMessage({ bytes: 66, message: new Uint8Array(0) }), { hash: "sha256" }),
    ).toEqual(new Uint8Array(0));
  });

  it("answers Manger's question, whether the first byte is zero, with nothing either way", () => {
    // The attack sends c · s^e, so that the token's exponentiation gives m · s. If the answer
    // depends on the first byte of that, it gains a bit for each query.
    const jwk = createPrivateKey(TEST_KEYS.rsa2048).export({ format: "jwk" });
    const n = BigInt(`0x${Buffer.from(jwk.n as string, "base64url").toString("hex")}`);
    const m = BigInt(`0x${toHex(encodedMessage())}`);
    let zero = 0;
    for (let s = 2n; s < 2000n; s++) {
      const em = fromHex(((m * s) % n).toString(16).padStart(512, "0"));
      if (em[0] === 0) zero++;
      expect(oaepDecode(em, { hash: "sha256" })).toBeNull();
    }
    expect(zero).toBeGreaterThan(3);
    expect(zero).toBeLessThan(1000);
  });
});

function flipped(at: number, bit: number): Uint8Array {
  const hash = new Uint8Array(createHash("sha256").digest());
  hash[at] = (hash[at] as number) ^ bit;
  return hash;
}

describe("encrypting with OAEP", () => {
  it.each(["sha1", "sha256", "sha384", "sha512"] as const)(
    "gives what OpenSSL decrypts with %s, an empty label and MGF1 over the same hash",
    (hash) => {
      const key = createPrivateKey(TEST_KEYS.rsa2048);
      const message = new Uint8Array(32).fill(9);
      const ciphertext = oaepEncrypt(createPublicKey(key), message, { hash });
      expect(ciphertext.length).toBe(256);
      expect(shown(openSslOaep(key, ciphertext, hash, ""))).toBe(toHex(message));
      expect(shown(openSslOaep(key, ciphertext, hash, "00"))).toBe("refused");
    },
  );

  it("with another hash for MGF1, or a label, gives what decodes with the same alone", () => {
    const key = createPrivateKey(TEST_KEYS.rsa2048);
    const message = new Uint8Array(32).fill(9);
    const label = fromHex("00ff");
    const parameters = { hash: "sha256", mgfHash: "sha1", label } as const;
    const em = rawRsa(key, oaepEncrypt(createPublicKey(key), message, parameters));
    const decoded = (how: OaepParameters) => oaepDecode(em as Uint8Array, how);
    expect(decoded(parameters)).toEqual(message);
    for (const other of [
      { hash: "sha256", label },
      { hash: "sha256", mgfHash: "sha1" },
      { hash: "sha1", mgfHash: "sha256", label },
      { ...parameters, label: fromHex("00fe") },
    ] as const) {
      expect(decoded(other)).toBeNull();
    }
    const labelled = oaepEncrypt(createPublicKey(key), message, { hash: "sha256", label });
    expect(shown(openSslOaep(key, labelled, "sha256", "00ff"))).toBe(toHex(message));
    const most = 256 - oaepOverhead("sha256");
    const longest = oaepEncrypt(createPublicKey(key), new Uint8Array(most), parameters);
    expect(longest.length).toBe(256);
    expect(() => oaepEncrypt(createPublicKey(key), new Uint8Array(most + 1), parameters)).toThrow(
      RangeError,
    );
  });

  it("is never PKCS#1 v1.5, and what is, never opens", () => {
    const key = createPrivateKey(TEST_KEYS.rsa2048);
    const padding = constants.RSA_PKCS1_PADDING;
    const old = publicEncrypt({ key: createPublicKey(key), padding }, new Uint8Array(32));
    expect(oaepDecode(rawRsa(key, old) as Uint8Array, { hash: "sha256" })).toBeNull();
  });
});
