import { describe, expect, it } from "@jest/globals";
import { fromHex, toHex } from "../../../src/bytes.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { ecParams, kindOf, pointOf } from "../../../src/token/objects/public-half.js";
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
  ])("is understood as %s", (_what, header, bytes) => {
    const value = Buffer.concat([fromHex(header), point(bytes)]);
    expect(toHex(pointOf(value, bytes) ?? new Uint8Array())).toBe(toHex(point(bytes)));
  });

  it.each([
    ["nothing", ""],
    ["a header alone", "0441"],
    ["another length", `0440${toHex(point(64))}`],
    ["a long form that is not minimal", `048141${toHex(point(65))}`],
    ["another tag", `0341${toHex(point(65))}`],
    ["trailing bytes", `0441${toHex(point(65))}00`],
  ])("is refused as %s", (_what, hex) => {
    expect(pointOf(fromHex(hex), 65)).toBeUndefined();
  });
});

describe("a key's kind", () => {
  it.each([
    ["rsa3072", "RSA-3072"],
    ["p521", "P-521"],
    ["x25519", "X25519"],
    ["ed25519", "Ed25519"],
  ] as const)("of %s is %s", (name, kind) => {
    expect(kindOf(publicKeyFromSpki(publicDer(TEST_KEYS[name])))).toBe(kind);
  });
});

it("a curve's parameters are its OID", () => {
  expect(toHex(ecParams("P-256"))).toBe("06082a8648ce3d030107");
});
