/** ML-KEM recipients of CMS messages (RFC 9629, RFC 9936), and private key files (RFC 9935). */
import { createCipheriv, hkdfSync } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { der, derUnsigned, TAG } from "../../../src/asn1/der.js";
import { derOid } from "../../../src/asn1/oid.js";
import { concat, toBase64 } from "../../../src/bytes.js";
import { inspectMessage, openMessage } from "../../../src/envelope/messages.js";
import type { Identity, MlKemPublicKey } from "../../../src/keys/key.js";
import { ML_KEM_OIDS, mlKem, type MlKemSet } from "../../../src/keys/ml-kem.js";
import { mlKemIdentity } from "../../../src/software/ml-kem-identity.js";
import { certificatesIn } from "../../../src/x509/certificate-file.js";
import { parseX509 } from "../../../src/x509/certificate.js";
import { codeOf } from "../../support/streams.js";
import { describeVectors, vectorFile } from "../../support/vectors.js";
import { algorithm, KEY, made, number, octets, PLAINTEXT, sequence } from "./made.js";

const SETS: readonly MlKemSet[] = ["ml-kem-512", "ml-kem-768", "ml-kem-1024"];
const KEY_ID = new Uint8Array(20).fill(3);
const AES_WRAP = algorithm("2.16.840.1.101.3.4.1.45");
const KDF = algorithm("1.2.840.113549.1.9.16.3.28");

function pemOf(set: MlKemSet, key: Uint8Array): string {
  const bytes = sequence(number(0), algorithm(ML_KEM_OIDS[set]), octets(key));
  const lines = toBase64(bytes).replaceAll(/.{64}/g, "$&\n");
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
}

/** The seed of ones, and an expanded ML-KEM-512 key as far as it is looked at. */
function bothForms(encapsulationKey: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const expanded = concat(new Uint8Array(768), encapsulationKey, new Uint8Array(64));
  return [octets(new Uint8Array(64).fill(1)), octets(expanded)];
}

const seed = (byte: number): Uint8Array => der(0x80, new Uint8Array(64).fill(byte));

/** A certificate is what names the key; nothing but its names and its key counts. */
function named(identity: Identity<MlKemPublicKey>): Identity<MlKemPublicKey> {
  const time = der(0x17, new TextEncoder().encode("260101000000Z"));
  const signature = algorithm("1.2.3.4");
  const nobody = sequence();
  const keyId = sequence(derOid("2.5.29.14"), octets(octets(KEY_ID)));
  const tbs = sequence(
    ...[der(0xa0, number(2)), number(1), signature, nobody, sequence(time, time), nobody],
    identity.publicKey.spki,
    der(0xa3, sequence(keyId)),
  );
  const certificate = sequence(tbs, signature, der(TAG.bitString, Uint8Array.of(0)));
  expect(parseX509(certificate).subjectKeyId).toEqual(KEY_ID);
  return { ...identity, certificates: [certificate] };
}

interface KemParts {
  readonly version?: number;
  readonly set?: MlKemSet;
  readonly kdf?: Uint8Array;
  readonly kekBytes?: number;
  readonly ukm?: Uint8Array;
  readonly ciphertext?: Uint8Array;
}

async function kemRecipient(
  { publicKey }: Identity<MlKemPublicKey>,
  parts: KemParts = {},
): Promise<Uint8Array> {
  const { shared, ciphertext } = (await mlKem()).encapsulate(publicKey.set, publicKey.mlkem);
  const { ukm, kekBytes = 32 } = parts;
  const material = ukm === undefined ? [] : [der(0xa0, octets(ukm))];
  const info = sequence(AES_WRAP, derUnsigned(Uint8Array.of(32)), ...material);
  const kek = new Uint8Array(hkdfSync("sha256", shared, new Uint8Array(0), info, 32));
  const cipher = createCipheriv("id-aes256-wrap", kek, Buffer.alloc(8, 0xa6));
  const wrapped = concat(cipher.update(KEY), cipher.final());
  const kemri = sequence(
    ...[number(parts.version ?? 0), octets(KEY_ID, 0x80)],
    algorithm(ML_KEM_OIDS[parts.set ?? publicKey.set]),
    ...[octets(parts.ciphertext ?? ciphertext), parts.kdf ?? KDF, number(kekBytes)],
    ...[...material, AES_WRAP, octets(wrapped)],
  );
  return der(0xa4, derOid("1.2.840.113549.1.9.16.13.3"), kemri);
}

describe("a CMS message to an ML-KEM key", () => {
  it.each(SETS)("opens with %s", async (set) => {
    const identity = named(await mlKemIdentity(pemOf(set, seed(1)), set));
    for (const parts of [{}, { ukm: KEY_ID }]) {
      const message = made({ recipients: [await kemRecipient(identity, parts)] });
      const { plaintext } = await openMessage(message, { identities: [identity] });
      expect(await plaintext.bytes()).toEqual(PLAINTEXT);
      const { recipients } = await inspectMessage(message);
      expect(recipients).toMatchObject([{ type: "ml-kem" }]);
    }
  });

  it("that was altered, or is for another key, fails as any other", async () => {
    const own = named(await mlKemIdentity(pemOf("ml-kem-768", seed(1)), "own"));
    const other = named(await mlKemIdentity(pemOf("ml-kem-768", seed(2)), "other"));
    for (const parts of [{}, { ciphertext: new Uint8Array(1088) }]) {
      const message = made({ recipients: [await kemRecipient(other, parts)] });
      const opened = openMessage(message, { identities: [own] });
      expect(await codeOf(opened.then(({ plaintext }) => plaintext.bytes()))).toBe(
        "ERR_NOT_AUTHENTIC",
      );
    }
  });

  it.each<[string, KemParts, string]>([
    ["another version", { version: 1 }, "ERR_CMS"],
    ["a KEM that is not the key's", { set: "ml-kem-1024" }, "ERR_ALGORITHM"],
    ["another key derivation", { kdf: algorithm("1.2.3.4") }, "ERR_ALGORITHM"],
    ["a length that does not fit its key wrap", { kekBytes: 16 }, "ERR_CMS"],
    ["a ciphertext that is too short", { ciphertext: new Uint8Array(1087) }, "ERR_CMS"],
  ])("with %s is refused before the key is touched", async (_, parts, code) => {
    const identity = named(await mlKemIdentity(pemOf("ml-kem-768", seed(1)), "own"));
    const message = made({ recipients: [await kemRecipient(identity, parts)] });
    const unlock = (): Promise<never> => Promise.reject(new Error("was unlocked"));
    expect(await codeOf(openMessage(message, { identities: [{ ...identity, unlock }] }))).toBe(
      code,
    );
  });
});

describe("an ML-KEM private key file", () => {
  it("may hold the seed beside the expanded key, and not that alone", async () => {
    const other = await mlKemIdentity(pemOf("ml-kem-512", seed(1)), "seed");
    const both = bothForms(other.publicKey.mlkem);
    const one = await mlKemIdentity(pemOf("ml-kem-512", sequence(...both)), "both");
    expect(one.publicKey.fingerprint).toEqual(other.publicKey.fingerprint);
    const expanded = pemOf("ml-kem-512", octets(new Uint8Array(1632)));
    expect(await codeOf(mlKemIdentity(expanded, "expanded"))).toBe("ERR_KEY_FORMAT");
    const short = pemOf("ml-kem-512", der(0x80, new Uint8Array(63)));
    expect(await codeOf(mlKemIdentity(short, "short"))).toBe("ERR_PRIVATE_KEY");
  });

  it("with an expanded key of another seed, or more than that, is damaged", async () => {
    const own = await mlKemIdentity(pemOf("ml-kem-512", seed(1)), "own");
    const other = await mlKemIdentity(pemOf("ml-kem-512", seed(2)), "other");
    const refusalOf = (key: Uint8Array): Promise<string | undefined> =>
      codeOf(mlKemIdentity(pemOf("ml-kem-512", key), "file"));
    const sound = bothForms(own.publicKey.mlkem);
    expect(await refusalOf(sequence(...sound))).toBeUndefined();
    expect(await refusalOf(sequence(...bothForms(other.publicKey.mlkem)))).toBe("ERR_PRIVATE_KEY");
    expect(await refusalOf(sequence(sound[0], octets(new Uint8Array(10))))).toBe("ERR_PRIVATE_KEY");
    expect(await refusalOf(sequence(sound[0]))).toBe("ERR_TRUNCATED");
    expect(await refusalOf(sequence(...sound, number(0)))).toBe("ERR_TRAILING");
    expect(await refusalOf(concat(sequence(...sound), number(0)))).toBe("ERR_TRAILING");
    expect(await refusalOf(concat(seed(1), number(0)))).toBe("ERR_TRAILING");
  });
});

describeVectors("the example of RFC 9936", () => {
  it("opens", async () => {
    const text = vectorFile("cms-rfc9936-mlkem/ML-KEM-512-seed.priv").toString("latin1");
    const identity = await mlKemIdentity(text, "example");
    const { plaintext } = await openMessage(vectorFile("cms-rfc9936-mlkem/ML-KEM-512.cms"), {
      identities: [identity],
      certificates: () =>
        Promise.resolve(
          certificatesIn(vectorFile("cms-rfc9936-mlkem/ML-KEM-512.pem")).map(({ der: one }) => one),
        ),
    });
    expect(Buffer.from(await plaintext.bytes()).toString("latin1")).toBe(
      vectorFile("cms-rfc9936-mlkem/decrypted.txt").toString("latin1"),
    );
  });
});
