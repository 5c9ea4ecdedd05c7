/**
 * Rows about published vectors (Wycheproof) through the token: their private keys are imported, and
 * their ciphertexts and points go to the same code that opens messages.
 */
import { createECDH, createPrivateKey, type KeyObject } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { expect } from "@jest/globals";
import { fromHex, toHex } from "../../src/bytes.js";
import type { EcCurve, OaepHash } from "../../src/keys/key.js";
import type { Secret } from "../../src/secret.js";
import type { KeyInfo, KeyType } from "../../src/token/values.js";
import { parseUri } from "../../src/token/uri.js";
import { importSteps } from "../support/raw-token.js";
import { vectorFolder, wycheproof } from "../support/vectors.js";
import { type Bench, Lacking } from "./bench.js";
import { row, type Row } from "./row.js";
import { agree, decryptOaep } from "../support/private-key.js";
import { isFull } from "../support/scale.js";

interface OaepGroup {
  readonly sha: string;
  readonly mgfSha: string;
  readonly privateKeyPkcs8: string;
}

interface OaepTest {
  readonly msg: string;
  readonly ct: string;
  readonly label: string;
}

interface EcdhTest {
  readonly public: string;
  readonly private: string;
  readonly shared: string;
}

const HASHES: Readonly<Record<string, OaepHash>> = {
  "SHA-1": "sha1",
  "SHA-256": "sha256",
  "SHA-384": "sha384",
  "SHA-512": "sha512",
};

const CURVES = [
  ["P-256", "secp256r1"],
  ["P-384", "secp384r1"],
  ["P-521", "secp521r1"],
] as const satisfies [EcCurve, string][];

/** A case: a key, the input, and the expected output, `null` for a refusal. */
interface Case<T> {
  readonly key: KeyObject;
  readonly name: string;
  readonly input: T;
  readonly output: string | null;
}

export const hasVectors = existsSync(vectorFolder("wycheproof"));

export const vectorRows: readonly Row[] = [
  row("wycheproof-oaep-decrypt", async (bench) => {
    const cases = oaepCases(bench, "decrypt");
    await runOaep(bench, cases, { DECRYPT: true, UNWRAP: false, SIGN: false });
  }),

  row("wycheproof-oaep-unwrap", async (bench) => {
    // Session keys have one length. Modules cut or refuse what is longer than their secret keys may
    // be.
    const isKey = (output: string | null): boolean =>
      output === null || (output.length >= 2 && output.length <= 64);
    const cases = oaepCases(bench, "unwrap").filter(({ output }) => isKey(output));
    await runOaep(bench, cases, { DECRYPT: false, UNWRAP: true, SIGN: false });
  }),

  row("wycheproof-ecdh", async (bench) => {
    for (const [curve, file] of CURVES) {
      const cases = ecdhCases(curve, file);
      await withKeys(bench, cases, { DERIVE: true, SIGN: false }, async (key, mine) => {
        const privateKey = await bench.privateKey(key);
        await each(mine, async (one) => {
          check(one, await agree(privateKey, one.input));
        });
      });
      expect(cases.filter(({ output }) => output !== null).length).toBeGreaterThan(10);
      expect(cases.filter(({ output }) => output === null).length).toBeGreaterThan(10);
    }
  }),
];

interface OaepInput {
  readonly ciphertext: Uint8Array;
  readonly hash: OaepHash;
}

async function runOaep(
  bench: Bench,
  cases: readonly Case<OaepInput>[],
  use: Parameters<typeof importSteps>[2],
): Promise<void> {
  await withKeys(bench, cases, use, async (key, mine) => {
    const privateKey = await bench.rsaKey(key);
    await each(mine, async (one) => {
      check(one, await decryptOaep(privateKey, one.input.ciphertext, one.input.hash));
    });
  });
  expect(cases.filter(({ output }) => output !== null).length).toBeGreaterThan(5);
  expect(cases.filter(({ output }) => output === null).length).toBeGreaterThan(10);
}

/** Eight at once, so that the token is never idle. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

function check({ name, output }: Case<unknown>, found: Secret | null): void {
  const shown = found === null ? null : toHex(found.expose());
  expect([name, shown]).toEqual([name, output]);
}

/** Imports the cases' keys together, and destroys them again. */
async function withKeys<T>(
  bench: Bench,
  cases: readonly Case<T>[],
  use: Parameters<typeof importSteps>[2],
  work: (key: KeyInfo, mine: readonly Case<T>[]) => Promise<void>,
): Promise<void> {
  const label = "wycheproof";
  const keys = [...new Set(cases.map(({ key }) => key))];
  if (keys.length === 0) throw new Lacking("NO_HASH");
  const idOf = (key: KeyObject): Uint8Array => Uint8Array.of(0x77, keys.indexOf(key));
  await bench.put(keys.flatMap((key) => importSteps(key, { label, id: idOf(key) }, use)));
  try {
    const found = await bench.door.keys({ ...parseUri(bench.uri), object: label });
    expect(found.length).toBe(keys.length);
    for (const key of keys) {
      const id = toHex(idOf(key));
      const info = found.find((one) => toHex(one.id) === id);
      if (info === undefined) throw new Error(`imported key ${id} is not listed`);
      const mine = cases.filter((one) => one.key === key);
      await work(info, mine);
    }
  } finally {
    await bench.raw([{ do: "destroy", values: { LABEL: label } }]);
    await bench.reopen();
  }
}

/** OAEP's vectors that use one of our hashes for both, and that the token undoes this way. */
function oaepCases(bench: Bench, purpose: "unwrap" | "decrypt"): Case<OaepInput>[] {
  const known = new Map<string, KeyObject>();
  const keyOf = (pkcs8: string): KeyObject => {
    const key =
      known.get(pkcs8) ??
      createPrivateKey({ key: Buffer.from(pkcs8, "hex"), format: "der", type: "pkcs8" });
    known.set(pkcs8, key);
    return key;
  };
  return oaepFiles().flatMap((file) =>
    wycheproof<OaepGroup, OaepTest>(file).flatMap(({ group, test }) => {
      const hash = group.sha === group.mgfSha ? HASHES[group.sha] : undefined;
      if (hash === undefined || !bench.offers(`oaep-${purpose}-${hash}`)) return [];
      const key = keyOf(group.privateKeyPkcs8);
      if (!bench.stated.holds.includes(`rsa:${bitsOf(key)}` as KeyType)) return [];
      // We use only the empty label: a ciphertext made with another label is a bad ciphertext.
      const isValid = test.result !== "invalid" && test.label === "";
      return [
        {
          key,
          name: `${file} ${test.tcId}: ${test.comment}`,
          input: { ciphertext: fromHex(test.ct), hash },
          output: isValid ? test.msg : null,
        },
      ];
    }),
  );
}

/** Files of keys with two primes: PKCS#11 has no attributes for a third. */
function oaepFiles(): string[] {
  const pattern = isFull ? /^rsa_oaep_/ : /^rsa_oaep_2048_sha(?:1|256)_/;
  return readdirSync(vectorFolder("wycheproof"))
    .filter((name) => pattern.test(name))
    .map((name) => name.replace("_test.json", ""));
}

function bitsOf(key: KeyObject): number {
  return key.asymmetricKeyDetails?.modulusLength ?? 0;
}

function ecdhCases(curve: EcCurve, file: string): Case<Uint8Array>[] {
  const known = new Map<string, KeyObject>();
  return wycheproof<object, EcdhTest>(`ecdh_${file}_ecpoint`).flatMap(({ test }) => {
    const everyNth = test.flags.includes("EdgeCaseDoubling") ? 32 : 4;
    if (!isFull && test.result === "valid" && test.tcId % everyNth !== 0) return [];
    const key = known.get(test.private) ?? ecKey(curve, test.private);
    known.set(test.private, key);
    return [
      {
        key,
        name: `${file} ${test.tcId}: ${test.comment}`,
        input: fromHex(test.public),
        // "Acceptable" are compressed points, which messages don't have.
        output: test.result === "valid" ? test.shared : null,
      },
    ];
  });
}

/** A private key from its scalar. */
function ecKey(curve: EcCurve, scalar: string): KeyObject {
  const bytes = { "P-256": 32, "P-384": 48, "P-521": 66 }[curve];
  const d = fromHex(scalar.padStart(2 * bytes, "0").slice(-2 * bytes));
  const ecdh = createECDH(
    { "P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1" }[curve],
  );
  ecdh.setPrivateKey(d);
  const point = ecdh.getPublicKey();
  const text = (part: Uint8Array): string => Buffer.from(part).toString("base64url");
  const [x, y] = [text(point.subarray(1, 1 + bytes)), text(point.subarray(1 + bytes))];
  return createPrivateKey({ format: "jwk", key: { kty: "EC", crv: curve, x, y, d: text(d) } });
}
