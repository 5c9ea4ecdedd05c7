import { beforeAll, describe, expect, it } from "@jest/globals";
import { createHash } from "node:crypto";
import {
  AEAD_AES_256_GCM,
  CipherSuite,
  KDF_HKDF_SHA256,
  KDF_HKDF_SHA384,
  KEM_MLKEM1024_P384,
  KEM_MLKEM768_P256,
  KEM_MLKEM768_X25519,
  type AEADFactory,
  type KDFFactory,
  type Key,
} from "hpke";
import { ascii, concat, fromHex, toHex } from "../../src/bytes.js";
import type { HybridKem, HybridPublicKey, Identity, PrivateKey } from "../../src/keys/key.js";
import { nodeMlKem } from "../../src/keys/ml-kem.js";
import { requireCapability } from "../../src/keys/purpose.js";
import { Secret } from "../../src/secret.js";
import { hybridSeedIdentity } from "../../src/software/hybrid-identity.js";
import { encBytes, hpkeOpenHybrid, hpkeSeal } from "../../src/wrap/hpke.js";
import { AEADS as HPKE_AEADS } from "../../src/wrap/hpke-parts.js";
import { hybridKem } from "../../src/wrap/hybrid-kem.js";
import { hybridKey } from "../../src/wrap/hybrid-key.js";
import { HALVES, HYBRID_KEMS, hybridIdentityOf, seedOf } from "../support/hybrid.js";
import { identityOf } from "../support/identities.js";
import { describeVectors, type HpkeSetup, vectorJson } from "../support/vectors.js";
import { itIf } from "../support/missing.js";

const message = ascii("the file key, 32 bytes long, ...");
const [info, aad] = [ascii("info"), ascii("aad")];

interface Vector extends HpkeSetup {
  readonly shared_secret: string;
  readonly encryptions: readonly { aad: string; ct: string; pt: string }[];
  readonly exports: readonly { exporter_context: string; L: number; exported_value: string }[];
}

/** SHAKE as HPKE's one-stage KDF; the package's own needs a newer WebCrypto. */
function shake(name: string, id: number, Nh: number): KDFFactory {
  return () => ({
    ...{ id, type: "KDF", name, Nh, stages: 1 },
    Extract: () => Promise.reject(new Error("one stage")),
    Expand: () => Promise.reject(new Error("one stage")),
    Derive: (ikm, outputLength) =>
      Promise.resolve(new Uint8Array(createHash(name, { outputLength }).update(ikm).digest())),
  });
}

const KEMS_BY_ID: Readonly<Record<number, HybridKem>> = {
  0x50: "mlkem768-p256",
  0x51: "mlkem1024-p384",
  0x647a: "mlkem768-x25519",
};
const KDFS: Readonly<Record<number, KDFFactory>> = {
  2: KDF_HKDF_SHA384,
  16: shake("SHAKE128", 0x0010, 32),
  17: shake("SHAKE256", 0x0011, 64),
};

const seedIdentity = (kem: HybridKem, seed: Uint8Array) =>
  hybridSeedIdentity(kem, new Secret(seed), "seed");

const AEADS: Readonly<Record<number, AEADFactory>> = {
  2: AEAD_AES_256_GCM,
  3: HPKE_AEADS["chacha20-poly1305"],
};

describeVectors("hybrid KEMs' known answers (draft-ietf-hpke-pq)", () => {
  const vectors = vectorJson<Vector[]>("hpke/hpke-pq.json").filter(
    ({ kem_id }) => kem_id in KEMS_BY_ID,
  );

  it("are there for all three", () => {
    const ids = vectors.map(({ kem_id }) => kem_id);
    expect(new Set(ids)).toEqual(new Set([0x50, 0x51, 0x647a]));
  });

  it.each(vectors.map((vector) => [KEMS_BY_ID[vector.kem_id] as HybridKem, vector] as const))(
    "%s: the halves lead to the shared secret, and to all messages and exports",
    async (kem, vector) => {
      const identity = await seedIdentity(kem, fromHex(vector.skRm));
      const { publicKey } = identity;
      expect(toHex(concat(publicKey.mlkem, publicKey.dh.point))).toBe(vector.pkRm);
      const key = await identity.unlock();
      const enc = fromHex(vector.enc);
      const shared = await requireCapability(key, "decapsulate")(enc);
      expect(toHex(shared?.expose() ?? ascii("none"))).toBe(vector.shared_secret);

      const Decap = () => Promise.resolve(fromHex(vector.shared_secret));
      const suite = new CipherSuite(
        () => ({ ...hybridKem(kem), Decap }),
        KDFS[vector.kdf_id] as KDFFactory,
        AEADS[vector.aead_id] as AEADFactory,
      );
      const recipient = await suite.SetupRecipient(NOWHERE, enc, { info: fromHex(vector.info) });
      for (const one of vector.encryptions) {
        expect(toHex(await recipient.Open(fromHex(one.ct), fromHex(one.aad)))).toBe(one.pt);
      }
      for (const one of vector.exports) {
        const exported = await recipient.Export(fromHex(one.exporter_context), one.L);
        expect(toHex(exported)).toBe(one.exported_value);
      }
    },
  );
});

const NOWHERE: Key = { algorithm: { name: "none" }, extractable: false, type: "private" };

describe.each(HYBRID_KEMS)("%s", (kem) => {
  let identity: Identity<HybridPublicKey>;
  let decapsulate: NonNullable<PrivateKey["decapsulate"]>;
  let sealed: { enc: Uint8Array; ciphertext: Uint8Array };

  beforeAll(async () => {
    identity = await hybridIdentityOf(kem);
    decapsulate = requireCapability(await identity.unlock(), "decapsulate");
    sealed = await hpkeSeal(identity.publicKey, message, info, aad);
  });

  const open = (enc: Uint8Array, ciphertext = sealed.ciphertext, key = decapsulate) =>
    hpkeOpenHybrid(identity.publicKey, key, { enc, ciphertext, info, aad });

  it.each(["aes-256-gcm", "chacha20-poly1305"] as const)(
    "opens what it sealed, %s",
    async (aead) => {
      const { enc, ciphertext } = await hpkeSeal(identity.publicKey, message, info, aad, aead);
      expect(enc).toHaveLength(encBytes(kem));
      const wrap = { enc, ciphertext, info, aad, aead };
      const opened = await hpkeOpenHybrid(identity.publicKey, decapsulate, wrap);
      expect(opened).toEqual(message);
    },
  );

  it("gives nothing for any altered part, and throws for none", async () => {
    const { enc, ciphertext } = sealed;
    for (const at of [0, 700, enc.length - 65, enc.length - 1]) {
      expect(await open(enc.map((byte, i) => (i === at ? byte ^ 1 : byte)))).toBeNull();
    }
    expect(
      await open(
        enc,
        ciphertext.map((byte, i) => (i === 3 ? byte ^ 1 : byte)),
      ),
    ).toBeNull();
    for (const wrong of [enc.subarray(1), concat(enc, Uint8Array.of(0)), new Uint8Array(0)]) {
      expect(await open(wrong)).toBeNull();
    }
  });

  it("never asks the curve's half about a point that is not on it", async () => {
    let asked = 0;
    const ec = await identityOf(HALVES[kem]).unlock();
    const agree: NonNullable<PrivateKey["agree"]> = (peer) => {
      asked++;
      return requireCapability(ec, "agree")(peer);
    };
    const key = await hybridKey(identity.publicKey, { ...ec, agree }, new Secret(seedOf(kem)));
    const { enc } = sealed;
    // No point of the NIST curves, and no canonical u-coordinate.
    const off = enc.slice().fill(0xff, -32);
    expect(await requireCapability(key, "decapsulate")(off)).toBeNull();
    expect(asked).toBe(0);
    expect(await open(enc, sealed.ciphertext, requireCapability(key, "decapsulate"))).toEqual(
      message,
    );
    expect(asked).toBe(1);
  });

  it("needs both halves: with another seed or another EC key there is no key", async () => {
    const own = await identityOf(HALVES[kem]).unlock();
    const other = await identityOf(kem === "mlkem768-p256" ? "p384" : "p256").unlock();
    const seed = new Secret(seedOf(kem));
    const wrongSeed = new Secret(new Uint8Array(64));
    const code = { code: "ERR_PRIVATE_KEY" };
    await expect(hybridKey(identity.publicKey, other, seed)).rejects.toMatchObject(code);
    await expect(hybridKey(identity.publicKey, own, wrongSeed)).rejects.toMatchObject(code);
    const short = new Secret(new Uint8Array(32));
    await expect(hybridKey(identity.publicKey, own, short)).rejects.toMatchObject(code);
  });

  const peer = {
    "mlkem768-p256": KEM_MLKEM768_P256,
    "mlkem1024-p384": KEM_MLKEM1024_P384,
    "mlkem768-x25519": KEM_MLKEM768_X25519,
  }[kem];
  const where = itIf(nodeMlKem() !== undefined, "this Node has no ML-KEM");
  where("agrees with the package's own KEM in both directions (WebCrypto)", async () => {
    const suite = new CipherSuite(peer, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
    const seed = new Uint8Array(32).fill(7);
    const theirs = await suite.DeserializePrivateKey(seed, true);
    const identity = await seedIdentity(kem, seed);
    const ours = identity.publicKey;
    const toThem = await hpkeSeal(ours, message, info, aad);
    expect(await suite.Open(theirs, toThem.enc, toThem.ciphertext, { info, aad })).toEqual(message);

    const key = await suite.DeserializePublicKey(concat(ours.mlkem, ours.dh.point));
    const toUs = await suite.Seal(key, message, { info, aad });
    const mine = requireCapability(await identity.unlock(), "decapsulate");
    const [enc, ciphertext] = [toUs.encapsulatedSecret, toUs.ciphertext];
    const wrap = { enc, ciphertext, info, aad };
    expect(await hpkeOpenHybrid(ours, mine, wrap)).toEqual(message);
  });
});
