import { describe, expect, it } from "@jest/globals";
import { ascii, concat, fromHex, toHex } from "../../../src/bytes.js";
import { der, TAG } from "../../../src/asn1/der.js";
import type { SinglePublicKey } from "../../../src/keys/key.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { CKK } from "../../../src/token/modules/constants.js";
import {
  ecParams,
  kindOf,
  pointOf,
  publicHalfOfKey,
  type PublicHalf,
} from "../../../src/token/objects/public-half.js";
import type { Session } from "../../../src/token/session/session.js";
import { publicDer, TEST_KEYS } from "../../support/keys.js";

const point = (bytes: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => (i === 0 ? 4 : i));

describe("a point out of CKA_EC_POINT", () => {
  it.each([
    ["P-256, DER", "0441", 65],
    ["P-384, DER", "0461", 97],
    ["P-521, DER", "048185", 133],
    ["P-521, with tpm2-pkcs11's one-byte length", "0485", 133],
    ["P-256, bare", "", 65],
    ["P-521, bare", "", 133],
    ["X25519, DER", "0420", 32],
    ["P-256, BIT STRING", "034200", 65],
    ["P-521, BIT STRING", "03818600", 133],
  ])("is understood as %s", (_what, header, bytes) => {
    const value = Buffer.concat([fromHex(header), point(bytes)]);
    expect(toHex(pointOf(value, bytes) ?? new Uint8Array())).toBe(toHex(point(bytes)));
  });

  it.each([
    ["nothing", ""],
    ["a header alone", "0441"],
    ["another length", `0440${toHex(point(64))}`],
    ["a long form that is not minimal", `048141${toHex(point(65))}`],
    ["another tag", `0241${toHex(point(65))}`],
    ["a BIT STRING with bits left over", `034201${toHex(point(65))}`],
    ["trailing bytes", `0441${toHex(point(65))}00`],
  ])("is refused as %s", (_what, hex) => {
    expect(pointOf(fromHex(hex), 65)).toBeUndefined();
  });
});

/** A session with one object, which has these attributes. */
function sessionWith(keyType: number, attributes: Record<string, Uint8Array>): Session {
  const session: Pick<Session, "number" | "bytes"> = {
    number: () => keyType,
    bytes: (_object, name) => attributes[name],
  };
  return session as Session;
}

function halfOf(keyType: number, EC_PARAMS: Uint8Array, EC_POINT: Uint8Array): PublicHalf {
  return publicHalfOfKey(sessionWith(keyType, { EC_PARAMS, EC_POINT }), Buffer.alloc(8));
}

const named = (tag: number, name: string): Uint8Array => der(tag, ascii(name));

describe("an EC key", () => {
  const { spki } = publicKeyFromSpki(publicDer(TEST_KEYS.p256));
  const whole = spki.slice(-65);
  const [x, y] = [whole.subarray(1, 33), whole.subarray(33)];
  const compressed = concat(Uint8Array.of(2 + ((y.at(-1) as number) & 1)), x);

  it.each([
    ["uncompressed, bare", whole],
    ["compressed, in DER", der(TAG.octetString, compressed)],
    ["compressed, bare", compressed],
    ["compressed, in a BIT STRING", der(TAG.bitString, Uint8Array.of(0), compressed)],
    ["as x ‖ y", concat(x, y)],
    ["as x ‖ y in DER", der(TAG.octetString, x, y)],
  ])("is known by its point %s", (_name, value) => {
    expect(halfOf(CKK.EC, ecParams("P-256"), value).publicKey?.spki).toEqual(spki);
  });

  it("with a point that is not on the curve has no public half", () => {
    const off = whole.slice();
    off[64] = (off[64] as number) ^ 1;
    for (const value of [off, off.slice(1)]) {
      expect(halfOf(CKK.EC, ecParams("P-256"), value)).toEqual({ kind: "P-256" });
    }
  });

  it.each(["secp256r1", "prime256v1", "P-256", "NIST P-256", "nistp256"])(
    "is known by its curve's name %s",
    (name) => {
      for (const tag of [0x13, 0x0c]) {
        expect(halfOf(CKK.EC, named(tag, name), whole).publicKey?.spki).toEqual(spki);
      }
    },
  );

  it.each(["secp384r1", "secp256k1", ""])("is not taken for one on %j", (name) => {
    expect(halfOf(CKK.EC, named(0x13, name), whole).publicKey).toBeUndefined();
  });

  it("has a name whose length is right, or none", () => {
    const params = concat(named(0x13, "secp256r1"), Uint8Array.of(0));
    expect(halfOf(CKK.EC, params, whole).publicKey).toBeUndefined();
  });
});

describe("a key on curve25519", () => {
  it.each([
    ["x25519", "curve25519"],
    ["x25519", "X25519"],
    ["x25519", "id-X25519"],
    ["ed25519", "edwards25519"],
    ["ed25519", "id-Ed25519"],
  ] as const)("%s is known by the name %s", (key, name) => {
    const { spki } = publicKeyFromSpki(publicDer(TEST_KEYS[key]));
    const type = key === "x25519" ? CKK.EC_MONTGOMERY : CKK.EC_EDWARDS;
    expect(halfOf(type, named(0x13, name), spki.slice(-32)).publicKey?.spki).toEqual(spki);
  });
});

describe("a key's kind", () => {
  it.each([
    ["rsa3072", "RSA-3072"],
    ["p521", "P-521"],
    ["x25519", "X25519"],
    ["ed25519", "Ed25519"],
  ] as const)("of %s is %s", (name, kind) => {
    expect(kindOf(publicKeyFromSpki(publicDer(TEST_KEYS[name])) as SinglePublicKey)).toBe(kind);
  });
});

it("a curve's parameters are its OID", () => {
  expect(toHex(ecParams("P-256"))).toBe("06082a8648ce3d030107");
});

describe("CKA_PUBLIC_KEY_INFO of a private key", () => {
  const PUBLIC_KEY_INFO = publicDer(TEST_KEYS.p256);

  it("is its public half where its point or its exponent is not shown", () => {
    const params = { EC_PARAMS: ecParams("P-256"), PUBLIC_KEY_INFO };
    const half = publicHalfOfKey(sessionWith(CKK.EC, params), Buffer.alloc(8));
    expect(half.kind).toBe("P-256");
    expect(half.publicKey?.fingerprint).toEqual(publicKeyFromSpki(PUBLIC_KEY_INFO).fingerprint);
    const rsa = { MODULUS: new Uint8Array(256), PUBLIC_KEY_INFO: publicDer(TEST_KEYS.rsa2048) };
    expect(publicHalfOfKey(sessionWith(CKK.RSA, rsa), Buffer.alloc(8)).publicKey?.type).toBe("rsa");
  });

  it.each([
    ["empty", new Uint8Array()],
    ["no key", fromHex("3000")],
  ])("is none if it is %s", (_what, value) => {
    const params = { EC_PARAMS: ecParams("P-256"), PUBLIC_KEY_INFO: value };
    expect(publicHalfOfKey(sessionWith(CKK.EC, params), Buffer.alloc(8))).toEqual({
      kind: "P-256",
    });
  });
});
