import { describe, expect, it } from "@jest/globals";
import { createHash, createPrivateKey, diffieHellman, type KeyObject } from "node:crypto";
import {
  AEAD_AES_128_GCM,
  AEAD_EXPORT_ONLY,
  CipherSuite,
  KDF_HKDF_SHA256,
  KDF_HKDF_SHA512,
  type AEADFactory,
  type KDFFactory,
  type KEMFactory,
  type Key,
  type RecipientContext,
  type SenderContext,
} from "hpke";
import { ascii, concat, fromHex, toHex } from "../../src/bytes.js";
import {
  encBytes,
  HPKE_TAG_BYTES,
  hpkeOpen,
  hpkeSeal,
  kemWithAgreement,
  type HpkeCurve,
} from "../../src/wrap/hpke.js";
import { AEADS } from "../../src/wrap/hpke-parts.js";
import type { EcPublicKey, PrivateKey, X25519PublicKey } from "../../src/keys/key.js";
import { requireCapability } from "../../src/keys/purpose.js";
import { publicKeyFromEcPoint, publicKeyFromX25519 } from "../../src/keys/public-key.js";
import { Secret } from "../../src/secret.js";
import { counting, identityOf, type ExchangeKeyName } from "../support/identities.js";
import { describeVectors, type HpkeSetup, vectorJson } from "../support/vectors.js";
import { isFull } from "../support/scale.js";

interface HpkeVector extends HpkeSetup {
  readonly mode: number;
  readonly encryptions_accumulated?: string;
  readonly exports_accumulated: string;
}

const CURVES: Readonly<Record<number, HpkeCurve>> = { 16: "P-256", 18: "P-521", 32: "X25519" };
const KDFS: Readonly<Record<number, KDFFactory>> = { 1: KDF_HKDF_SHA256, 3: KDF_HKDF_SHA512 };
/** Ours, where messages use them. */
const BY_NUMBER: Readonly<Record<number, AEADFactory>> = {
  1: AEAD_AES_128_GCM,
  2: AEADS["aes-256-gcm"],
  3: AEADS["chacha20-poly1305"],
  65535: AEAD_EXPORT_ONLY,
};

/** Such a suite encrypts nothing. */
const EXPORT_ONLY = 65535;

/** The vectors draw 1,000 inputs from a single stream. */
class Draws {
  readonly #stream = createHash("shake128", { outputLength: 1_000_000 }).digest();
  #at = 0;

  next(): Uint8Array {
    const length = this.#stream[this.#at++] as number;
    const drawn = this.#stream.subarray(this.#at, this.#at + length);
    if (drawn.length < length) throw new Error("the stream of inputs is used up");
    this.#at += length;
    return drawn;
  }
}

/** They give a hash over all 1,000 outputs. */
const accumulated = (outputs: readonly Uint8Array[]) =>
  toHex(createHash("shake128", { outputLength: 16 }).update(Buffer.concat(outputs)).digest());

describeVectors("HPKE known answers (RFC 9180, base mode)", () => {
  const all = vectorJson<HpkeVector[]>("hpke/rfc9180.json").filter(({ mode }) => mode === 0);
  // The ones closest to what messages use; `npm run test:slow` runs all.
  const near = all.filter(({ kdf_id, aead_id }) => kdf_id === 1 && aead_id < 4);
  const vectors = isFull ? all : near;

  it("are there for P-256, P-521 and X25519, and for the suite of messages", () => {
    expect(new Set(vectors.map(({ kem_id }) => kem_id))).toEqual(new Set([16, 18, 32]));
    const ours = vectors.filter(({ kdf_id, aead_id }) => kdf_id === 1 && aead_id === 2);
    expect(ours.map(({ kem_id }) => kem_id).sort()).toEqual([18, 32]);
    expect(vectors.some(({ aead_id }) => aead_id === 3)).toBe(true);
  });

  /** What a bare agreement leads to: a token delivers only that, and no other part of HPKE. */
  async function received(vector: HpkeVector) {
    const curve = CURVES[vector.kem_id] as HpkeCurve;
    const [enc, pkRm, info] = [vector.enc, vector.pkRm, vector.info].map(fromHex) as Three;
    const privateKey = privateKeyOf(curve, fromHex(vector.skRm), pkRm);
    const dh = diffieHellman({ privateKey, publicKey: publicKeyOf(curve, enc).object });

    const factories = [KDFS[vector.kdf_id], BY_NUMBER[vector.aead_id]] as [KDFFactory, AEADFactory];
    const kem = kemWithAgreement(curve, dh, pkRm);
    const suite = new CipherSuite(kem, ...factories);
    const recipient = await suite.SetupRecipient(NOWHERE, enc, { info });
    return { recipient, kem, factories, enc, pkRm, info };
  }

  const named = vectors.map((vector) => [nameOf(vector), vector] as const);

  it.each(named)("%s: a bare agreement leads to all 1,000 exports", async (_name, vector) => {
    const { recipient } = await received(vector);
    expect(await allExports(recipient)).toBe(vector.exports_accumulated);
  });

  it.each(named.filter(([, { aead_id }]) => aead_id !== EXPORT_ONLY))(
    "%s: a bare agreement leads to all 1,000 messages",
    async (_name, vector) => {
      const { recipient, kem, factories, enc, pkRm, info } = await received(vector);
      // The sender's ephemeral key is not published, but the agreed secret is known by now.
      const sending = new CipherSuite(encapsulatingTo(kem, enc), ...factories);
      const publicKey = await sending.DeserializePublicKey(pkRm);
      const sender = await sending.SetupSender(publicKey, { info });
      expect(await allMessages(sender.ctx, recipient)).toBe(vector.encryptions_accumulated);
    },
  );
});

type Three = [Uint8Array, Uint8Array, Uint8Array];

/** Export(context, l) for l from 0 to 999; for 0 bytes there is nothing to compute. */
async function allExports(context: RecipientContext): Promise<string> {
  const draws = new Draws();
  const outputs = Array.from({ length: 1000 }, (_, l) => [draws.next(), l] as const).map(
    ([exporterContext, l]) =>
      l === 0 ? Promise.resolve(new Uint8Array(0)) : context.Export(exporterContext, l),
  );
  return accumulated(await Promise.all(outputs));
}

/** The ciphertexts of 1,000 messages; the recipient must open each of them. */
async function allMessages(sender: SenderContext, recipient: RecipientContext): Promise<string> {
  const draws = new Draws();
  const ciphertexts: Uint8Array[] = [];
  for (let i = 0; i < 1000; i++) {
    const [aad, plaintext] = [draws.next(), draws.next()];
    const ciphertext = await sender.Seal(plaintext, aad);
    ciphertexts.push(ciphertext);
    const opened = await recipient.Open(ciphertext, aad);
    if (toHex(opened) !== toHex(plaintext)) throw new Error(`message ${i} opens to other bytes`);
  }
  return accumulated(ciphertexts);
}

/** A KEM that encapsulates to a known `enc`, by decapsulating it. */
function encapsulatingTo(factory: KEMFactory, enc: Uint8Array): KEMFactory {
  return () => {
    const kem = factory();
    const Encap = async () => ({
      shared_secret: await kem.Decap(enc, NOWHERE, undefined),
      enc,
    });
    return { ...kem, Encap };
  };
}

const NOWHERE: Key = { algorithm: { name: "token" }, extractable: false, type: "private" };

function nameOf({ kem_id, kdf_id, aead_id }: HpkeVector): string {
  return `KEM ${kem_id}, KDF ${kdf_id}, AEAD ${aead_id}`;
}

function publicKeyOf(curve: HpkeCurve, point: Uint8Array): EcPublicKey | X25519PublicKey {
  return curve === "X25519" ? publicKeyFromX25519(point) : publicKeyFromEcPoint(curve, point);
}

/** A private key from its scalar, as the vectors give it. */
function privateKeyOf(curve: HpkeCurve, scalar: Uint8Array, point: Uint8Array): KeyObject {
  if (curve === "X25519") {
    const key = Buffer.from(concat(fromHex("302e020100300506032b656e04220420"), scalar));
    return createPrivateKey({ key, format: "der", type: "pkcs8" });
  }
  const half = (point.length - 1) / 2;
  const [x, y] = [point.subarray(1, 1 + half), point.subarray(1 + half)];
  const b64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url");
  return createPrivateKey({
    key: { kty: "EC", crv: curve, x: b64(x), y: b64(y), d: b64(scalar) },
    format: "jwk",
  });
}

const CURVE_KEYS = [
  ["P-256", "p256"],
  ["P-384", "p384"],
  ["P-521", "p521"],
  ["X25519", "x25519"],
] as const satisfies [HpkeCurve, ExchangeKeyName][];

const info = ascii("what it is for");
const aad = ascii("whom it is for");
const plaintext = new Uint8Array(32).fill(0x4b);

/** A fresh wrap to a TEST key, and its identity, which counts agreements. */
async function wrapped(keyName: ExchangeKeyName) {
  const counted = counting(identityOf(keyName));
  const publicKey = counted.identity.publicKey as EcPublicKey | X25519PublicKey;
  const agree = requireCapability(await counted.identity.unlock(), "agree");
  const { enc, ciphertext } = await hpkeSeal(publicKey, plaintext, info, aad);
  const open = (changes: Partial<Wrap> = {}) => {
    const w = { enc, ciphertext, info, aad, agree, publicKey, ...changes };
    return hpkeOpen(w.publicKey, w.agree, w);
  };
  return { enc, ciphertext, publicKey, open, operations: counted.operations };
}

interface Wrap {
  readonly enc: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly info: Uint8Array;
  readonly aad: Uint8Array;
  readonly agree: NonNullable<PrivateKey["agree"]>;
  readonly publicKey: EcPublicKey | X25519PublicKey;
}

const changed = (bytes: Uint8Array, at: number) =>
  bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));

describe.each(CURVE_KEYS)("HPKE on %s", (curve, keyName) => {
  it("opens what it sealed, with one agreement", async () => {
    const { enc, ciphertext, open, operations } = await wrapped(keyName);
    expect(enc.length).toBe(encBytes(curve));
    expect(ciphertext.length).toBe(plaintext.length + HPKE_TAG_BYTES);
    expect(await open()).toEqual(plaintext);
    expect(operations).toEqual([enc]);
  });

  it("uses a fresh ephemeral key every time", async () => {
    const [a, b] = [await wrapped(keyName), await wrapped(keyName)];
    expect(toHex(a.enc)).not.toBe(toHex(b.enc));
  });

  it("opens nothing with one bit of the ciphertext, info or aad changed", async () => {
    const { ciphertext, open } = await wrapped(keyName);
    for (const at of [0, 31, 32, 47]) {
      expect(await open({ ciphertext: changed(ciphertext, at) })).toBeNull();
    }
    expect(await open({ ciphertext: ciphertext.subarray(0, 47) })).toBeNull();
    expect(await open({ ciphertext: ciphertext.subarray(0, 15) })).toBeNull();
    expect(await open({ ciphertext: concat(ciphertext, Uint8Array.of(0)) })).toBeNull();
    expect(await open({ info: changed(info, 0) })).toBeNull();
    expect(await open({ aad: changed(aad, 0) })).toBeNull();
  });

  it("opens nothing with the enc of another message", async () => {
    const [one, other] = [await wrapped(keyName), await wrapped(keyName)];
    expect(await one.open({ enc: other.enc })).toBeNull();
  });

  it("opens nothing with an enc of another length, and agrees on nothing", async () => {
    const { enc, open, operations } = await wrapped(keyName);
    const longer = concat(enc, Uint8Array.of(0));
    for (const wrong of [enc.subarray(1), enc.subarray(0, -1), longer, new Uint8Array(0)]) {
      expect(await open({ enc: wrong })).toBeNull();
    }
    expect(operations).toEqual([]);
  });

  it("opens nothing, quietly, when the key does not agree or agrees on another length", async () => {
    const { open } = await wrapped(keyName);
    const own = encBytes(curve) === 32 ? 32 : (encBytes(curve) - 1) / 2;
    for (const answer of [null, 0, own - 1, own + 1, own]) {
      const shared = answer === null ? null : new Secret(new Uint8Array(answer).fill(1));
      const agree = () => Promise.resolve(shared);
      expect(await open({ agree })).toBeNull();
      if (shared !== null) expect(() => shared.expose()).toThrow(TypeError);
    }
  });

  it("lets a fault of the token through: it says nothing about the message", async () => {
    const { open } = await wrapped(keyName);
    const gone = new Error("the token is gone");
    await expect(open({ agree: () => Promise.reject(gone) })).rejects.toBe(gone);
  });
});

describe.each(CURVE_KEYS.slice(0, 3))("a point that is no key of %s", (curve, keyName) => {
  const points: [string, (enc: Uint8Array) => Uint8Array][] = [
    ["off the curve in its last bit", (enc) => changed(enc, enc.length - 1)],
    ["off the curve in x", (enc) => changed(enc, 8)],
    ["zeros", (enc) => concat(Uint8Array.of(4), new Uint8Array(enc.length - 1))],
    ["all ones, beyond the field", (enc) => new Uint8Array(enc.length).fill(0xff).fill(4, 0, 1)],
    ["infinity, one byte of zero", () => Uint8Array.of(0)],
    ["infinity, padded", (enc) => new Uint8Array(enc.length)],
    ["compressed", (enc) => concat(Uint8Array.of(2 + ((enc.at(-1) ?? 0) & 1)), x(enc))],
    ["compressed and padded", (enc) => padded(concat(Uint8Array.of(2), x(enc)), enc.length)],
    ["hybrid", (enc) => concat(Uint8Array.of(6 + ((enc.at(-1) ?? 0) & 1)), enc.subarray(1))],
    ["marked with another first byte", (enc) => concat(Uint8Array.of(5), enc.subarray(1))],
  ];
  const x = (enc: Uint8Array) => enc.subarray(1, 1 + (enc.length - 1) / 2);
  const padded = (bytes: Uint8Array, length: number) =>
    concat(bytes, new Uint8Array(length - bytes.length));

  it.each(points)("(%s) never reaches the private key", async (_what, lie) => {
    const { enc, open, operations } = await wrapped(keyName);
    expect(await open({ enc: lie(enc) })).toBeNull();
    expect(operations).toEqual([]);
    expect(await open()).toEqual(plaintext);
    expect(encBytes(curve)).toBe(enc.length);
  });

  it("(a point of another curve) never reaches the private key", async () => {
    const { open, operations } = await wrapped(keyName);
    for (const [, otherName] of CURVE_KEYS) {
      if (otherName === keyName) continue;
      const other = await wrapped(otherName);
      expect(await open({ enc: other.enc })).toBeNull();
    }
    expect(operations).toEqual([]);
  });
});

describe("an X25519 point of small order", () => {
  /** RFC 7748 §6.1; the orders 1, 2, 4 and 8, and encodings beyond the field. */
  const points = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  ];

  it.each(points)("%s opens nothing", async (point) => {
    const { open } = await wrapped("x25519");
    expect(await open({ enc: fromHex(point) })).toBeNull();
  });

  it("opens nothing, even with a token that agrees on zeros and a message made for them", async () => {
    const enc = fromHex(points[0] as string);
    expect(await openAgreedOn("x25519", new Uint8Array(32), enc)).toBeNull();
  });
});

describe("an X25519 point in another encoding than its own", () => {
  it("never reaches the private key, and opens nothing, whatever a token makes of it", async () => {
    const { enc, open, operations } = await wrapped("x25519");
    const highBit = enc.map((byte, i) => (i === 31 ? byte | 0x80 : byte));
    // 9 and the prime, and the largest number of all.
    const beyond = [fromHex(`f6${"ff".repeat(30)}7f`), new Uint8Array(32).fill(0xff)];
    for (const other of [highBit, ...beyond]) {
      expect(await open({ enc: other })).toBeNull();
      expect(await openAgreedOn("x25519", new Uint8Array(32).fill(1), other)).toBeNull();
    }
    expect(operations).toEqual([]);
  });
});

describe.each(CURVE_KEYS)("a token that agrees on %s", (curve, keyName) => {
  const own = curve === "X25519" ? 32 : (encBytes(curve) - 1) / 2;

  it("opens a message made for what it agrees on", async () => {
    const { enc } = await wrapped(keyName);
    const opened = await openAgreedOn(keyName, new Uint8Array(own).fill(1), enc);
    expect(opened).toEqual(plaintext);
  });

  it("opens none if that is longer or shorter than the field", async () => {
    const { enc } = await wrapped(keyName);
    for (const length of [0, 1, own - 1, own + 1, 2 * own]) {
      expect(await openAgreedOn(keyName, new Uint8Array(length).fill(1), enc)).toBeNull();
    }
  });
});

/** Opens a message made for the shared secret `dh`, with a key that returns that secret. */
async function openAgreedOn(keyName: ExchangeKeyName, dh: Uint8Array, enc: Uint8Array) {
  const publicKey = identityOf(keyName).publicKey as EcPublicKey | X25519PublicKey;
  const curve = publicKey.type === "ec" ? publicKey.curve : "X25519";
  const kem = encapsulatingTo(kemWithAgreement(curve, dh, publicKey.point), enc);
  const suite = new CipherSuite(kem, KDF_HKDF_SHA256, AEADS["aes-256-gcm"]);
  const recipient = await suite.DeserializePublicKey(publicKey.point);
  const { ciphertext } = await suite.Seal(recipient, plaintext, { info, aad });
  const agree = () => Promise.resolve(new Secret(dh.slice()));
  return hpkeOpen(publicKey, agree, { enc, ciphertext, info, aad });
}
