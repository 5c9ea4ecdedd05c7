/** Kept `KeyObject`s of public keys: how many there are, whose they are, and what is never kept. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import { PublicObjects } from "../../src/keys/public-objects.js";
import { codeOf } from "./support.js";

const [a, b, c] = [newSpki(), newSpki(), newSpki()];

describe("kept public keys", () => {
  it("are made once for the same bytes, and only for the same", () => {
    const objects = new PublicObjects(2);
    expect(objects.of(new Uint8Array(a))).toBe(objects.of(a));
    expect(objects.of(b)).not.toBe(objects.of(a));
    expect(exported(objects.of(a))).toEqual(a);
    expect(exported(objects.of(b))).toEqual(b);
  });

  it("are no more than said: the one that was not asked for longest goes", () => {
    const objects = new PublicObjects(2);
    const [first, second] = [objects.of(a), objects.of(b)];
    expect(objects.of(a)).toBe(first);
    objects.of(c);
    expect(objects.of(a)).toBe(first);
    expect(objects.of(b)).not.toBe(second);
  });

  it("do not change when the bytes that they were made from do", () => {
    const objects = new PublicObjects(2);
    const bytes = new Uint8Array(a);
    const object = objects.of(bytes);
    bytes.set(b);
    expect(exported(object)).toEqual(a);
    expect(exported(objects.of(bytes))).toEqual(b);
  });

  it("are public, and never one that was refused", () => {
    const objects = new PublicObjects(2);
    expect(objects.of(a).type).toBe("public");
    for (let time = 0; time < 2; time++) expect(() => objects.of(offCurve(a))).toThrow();
  });
});

describe("a key read again", () => {
  it("has the object of the first time and bytes of its own", () => {
    const [first, second] = [publicKeyFromSpki(a), publicKeyFromSpki(a)];
    if (first.type !== "ec" || second.type !== "ec") throw new Error("not an EC key");
    expect(second.object).toBe(first.object);
    first.spki.fill(0);
    first.fingerprint.fill(0);
    first.point.fill(0);
    expect(publicKeyFromSpki(a)).toEqual(second);
  });

  it("is refused each time if its point is not on the curve", () => {
    for (let time = 0; time < 2; time++) {
      publicKeyFromSpki(a);
      expect(codeOf(() => publicKeyFromSpki(offCurve(a)))).toBe("ERR_POINT");
    }
  });
});

function newSpki(): Uint8Array {
  return exported(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey);
}

function exported(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: "der", type: "spki" }));
}

/** One bit of y is another. */
function offCurve(spki: Uint8Array): Uint8Array {
  const altered = new Uint8Array(spki);
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
  return altered;
}
