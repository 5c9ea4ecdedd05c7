/** Rows about opening: what a private key on the token does with good and bad input. */
import { diffieHellman, generateKeyPairSync, randomBytes } from "node:crypto";
import { expect } from "@jest/globals";
import { equal } from "../../src/bytes.js";
import { oaepEncrypt } from "../../src/wrap/rsa-oaep.js";
import type { PrivateKey, OaepHash, RsaPrivateKey } from "../../src/keys/key.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import type { KeyInfo } from "../../src/token/values.js";
import { type Bench, Lacking } from "./bench.js";
import { row, type Row } from "./row.js";
import { agree, decryptOaep } from "../support/private-key.js";

export const HASHES = ["sha1", "sha256", "sha384", "sha512"] as const satisfies OaepHash[];

/** A session key sealed to an RSA key on the token. */
export function sealedTo(key: KeyInfo, hash: OaepHash): { secret: Uint8Array; sealed: Uint8Array } {
  if (key.publicKey?.type !== "rsa") throw new Error("not an RSA key");
  const secret = new Uint8Array(randomBytes(32));
  return { secret, sealed: oaepEncrypt(key.publicKey.object, secret, { hash }) };
}

const oaep = (["exchange", "decrypt"] as const).flatMap((purpose) =>
  HASHES.map((hash): Row => ({
    id: `oaep-${purpose === "exchange" ? "unwrap" : "decrypt"}-${hash}`,
    run: async (bench) => {
      if (purpose === "exchange") await requireUnwrapOnly(bench);
      const key = await bench.key("rsa:2048", purpose);
      const { secret, sealed } = sealedTo(key, hash);
      const found = await decryptOaep(await bench.rsaKey(key), sealed, hash);
      expect(found?.expose()).toEqual(secret);
      return bench.lastWay();
    },
  })),
);

async function requireUnwrapOnly(bench: Bench): Promise<void> {
  const { notHonoured } = await bench.made("rsa:2048");
  if (notHonoured.some((one) => one.includes("may decrypt"))) {
    throw new Lacking("NO_UNWRAP_ONLY_KEY");
  }
}

const ecdh = (["ec:p256", "ec:p384", "ec:p521", "x25519"] as const).map((type) =>
  row(`ecdh-${type.replace(/.*:/, "")}`, async (bench) => {
    const key = await bench.key(type);
    const { point, secret } = peerOf(key);
    expect((await agree(await ecKey(bench, key), point))?.expose()).toEqual(secret);
  }),
);

/** A peer's point on the key's curve, and the secret that the two share. */
function peerOf({ publicKey }: KeyInfo): { point: Uint8Array; secret: Uint8Array } {
  if (publicKey?.type !== "ec" && publicKey?.type !== "x25519") throw new Error("not an EC key");
  const peer =
    publicKey.type === "ec"
      ? generateKeyPairSync("ec", { namedCurve: publicKey.curve })
      : generateKeyPairSync("x25519");
  const spki = peer.publicKey.export({ type: "spki", format: "der" });
  const theirs = publicKeyFromSpki(new Uint8Array(spki));
  if (theirs.type !== "ec" && theirs.type !== "x25519") throw new Error("not an EC key");
  const secret = diffieHellman({ privateKey: peer.privateKey, publicKey: publicKey.object });
  return { point: theirs.point, secret: new Uint8Array(secret) };
}

async function ecKey(bench: Bench, key: KeyInfo): Promise<PrivateKey> {
  const privateKey = await bench.privateKey(key);
  return privateKey;
}

/** The first hash that the token undoes with this purpose. */
function firstHash(bench: Bench, purpose: "unwrap" | "decrypt"): OaepHash {
  const hash = HASHES.find((one) => bench.offers(`oaep-${purpose}-${one}`));
  if (hash === undefined) throw new Lacking("NO_HASH");
  return hash;
}

export const openRows: readonly Row[] = [
  ...oaep,
  ...ecdh,

  row("bad-ciphertexts", async (bench) => {
    const key = await bench.key("rsa:2048", "decrypt");
    if (key.publicKey?.type !== "rsa") throw new Error("not an RSA key");
    const { modulus } = key.publicKey;
    for (const hash of HASHES.filter((one) => bench.offers(`oaep-decrypt-${one}`))) {
      const privateKey = await bench.rsaKey(key);
      const { sealed } = sealedTo(key, hash);
      const bad = [
        flipped(sealed, 9),
        flipped(sealed, sealed.length - 1),
        new Uint8Array(modulus.length),
        Uint8Array.from(modulus, (byte, i) => (i === modulus.length - 1 ? byte - 1 : byte)),
        modulus,
        sealed.subarray(1),
        new Uint8Array(0),
        sealedTo(key, hash === "sha1" ? "sha256" : "sha1").sealed,
      ];
      for (const one of bad) {
        expect(await decryptOaep(privateKey, one, hash)).toBeNull();
        await opens(privateKey, key, hash);
      }
    }
  }),

  row("bad-points", async (bench) => {
    const key = await bench.key("ec:p256");
    const { point, secret } = peerOf(key);
    const privateKey = await ecKey(bench, key);
    const other = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey;
    const foreign = publicKeyFromSpki(
      new Uint8Array(other.export({ type: "spki", format: "der" })),
    );
    const bad = [
      flipped(point, 64),
      flipped(point, 0),
      point.subarray(1),
      new Uint8Array(65),
      new Uint8Array(0),
      foreign.type === "ec" ? foreign.point : new Uint8Array(97),
    ];
    for (const one of bad) {
      expect(await agree(privateKey, one)).toBeNull();
      expect((await agree(privateKey, point))?.expose()).toEqual(secret);
    }
  }),

  row("at-once", async (bench) => {
    const key = await bench.key("rsa:2048", "decrypt");
    const hash = firstHash(bench, "decrypt");
    const privateKey = await bench.rsaKey(key);
    const opened = Array.from({ length: 16 }, async (_, i) => {
      const { secret, sealed } = sealedTo(key, hash);
      // Every fourth is bad, and must not affect its neighbours.
      const isBad = i % 4 === 3;
      const found = await decryptOaep(privateKey, isBad ? flipped(sealed, 40) : sealed, hash);
      return isBad ? found === null : found !== null && equal(found.expose(), secret);
    });
    expect(await Promise.all(opened)).toEqual(opened.map(() => true));
  }),
];

async function opens(privateKey: RsaPrivateKey, key: KeyInfo, hash: OaepHash): Promise<void> {
  const { secret, sealed } = sealedTo(key, hash);
  expect((await decryptOaep(privateKey, sealed, hash))?.expose()).toEqual(secret);
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
}
