import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  type AttributeValues,
  ecdhMechanism,
  oaepMechanism,
  plainMechanism,
  template,
} from "../../../src/token/modules/template.js";

/** As JavaScript would call it, without type checks. */
function loosely(values: unknown): () => unknown {
  return () => template(values as AttributeValues);
}

describe("a template", () => {
  it("has the number and the native form of every attribute, in order", () => {
    expect(
      template({
        CLASS: 4,
        TOKEN: false,
        LABEL: "schlüssel",
        ID: Uint8Array.of(1, 2),
        SIGN: undefined,
      }),
    ).toEqual([
      { type: 0x000, value: 4 },
      { type: 0x001, value: false },
      { type: 0x003, value: Buffer.from("schlüssel") },
      { type: 0x102, value: Buffer.from([1, 2]) },
    ]);
  });

  it("copies bytes, so that nobody changes them under the module", () => {
    const id = Uint8Array.of(1);
    const [attribute] = template({ ID: id });
    id[0] = 9;
    expect(attribute?.value).toEqual(Buffer.from([1]));
  });

  // Each of these would abort the process if it reached pkcs11js.
  it.each<[string, unknown]>([
    ["a null value", { VALUE: null }],
    ["an object as value", { VALUE: {} }],
    ["a Date", { VALUE: new Date() }],
    ["an attribute that does not exist", { START_DATE: "20260101" }],
    ["an inherited name", { constructor: 1 }],
    ["text for bytes", { ID: "01" }],
    ["bytes for text", { LABEL: Uint8Array.of(1) }],
    ["a number for a boolean", { TOKEN: 1 }],
    ["a boolean for a number", { CLASS: true }],
    ["a fraction", { CLASS: 1.5 }],
    ["NaN", { CLASS: Number.NaN }],
    ["a negative number", { CLASS: -1 }],
    ["more than 32 bits", { CLASS: 2 ** 32 }],
    ["a bigint", { CLASS: 1n }],
    ["an array", { ID: [1, 2] }],
  ])("with %s is refused before native code sees it", (_what, values) => {
    expect(loosely(values)).toThrow(TypeError);
  });

  it("of anything at all is either refused or well formed", () => {
    const names = fc.constantFrom(
      "CLASS",
      "TOKEN",
      "LABEL",
      "ID",
      "VALUE",
      "MODULUS_BITS",
      "nonsense",
    );
    fc.assert(
      fc.property(fc.dictionary(names, fc.anything()), (values) => {
        let attributes: { type: unknown; value?: unknown }[];
        try {
          attributes = template(values);
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
          return;
        }
        for (const { type, value } of attributes) {
          expect(typeof type).toBe("number");
          const isNative = ["boolean", "number"].includes(typeof value) || Buffer.isBuffer(value);
          expect(isNative).toBe(true);
        }
      }),
    );
  });
});

describe("mechanism parameters", () => {
  it("for OAEP always have a hash, its MGF, and a specified, empty label", () => {
    expect(oaepMechanism({ hash: "sha384" })).toEqual({
      mechanism: 9,
      parameter: { type: 4, hashAlg: 0x260, mgf: 3, source: 1 },
    });
  });

  it("for OAEP may have another hash for MGF1, and a label", () => {
    const label = Uint8Array.of(1, 2);
    const made = oaepMechanism({ hash: "sha256", mgfHash: "sha1", label });
    label.fill(0);
    expect(made).toEqual({
      mechanism: 9,
      parameter: { type: 4, hashAlg: 0x250, mgf: 1, source: 1, sourceData: Buffer.from([1, 2]) },
    });
    expect(oaepMechanism({ hash: "sha1", label: new Uint8Array(0) })).toEqual(
      oaepMechanism({ hash: "sha1" }),
    );
  });

  it("for ECDH never name a KDF", () => {
    expect(ecdhMechanism(Uint8Array.of(4, 1))).toEqual({
      mechanism: 0x1050,
      parameter: { type: 6, kdf: 1, publicData: Buffer.from([4, 1]) },
    });
  });

  it("of the wrong type are refused before native code sees them", () => {
    for (const hash of ["md5", "", "__proto__", undefined]) {
      expect(() => oaepMechanism({ hash: hash as "sha1" })).toThrow(TypeError);
      if (hash === undefined) continue;
      expect(() => oaepMechanism({ hash: "sha1", mgfHash: hash as "sha1" })).toThrow(TypeError);
    }
    for (const label of ["text", [1], 7, null]) {
      const parameters = { hash: "sha1", label: label as unknown as Uint8Array } as const;
      expect(() => oaepMechanism(parameters)).toThrow(TypeError);
    }
    for (const peer of [undefined, "04", [4], new Uint8Array(), new Uint8Array(2000)]) {
      expect(() => ecdhMechanism(peer as Uint8Array)).toThrow(TypeError);
    }
    expect(() => plainMechanism(Number.NaN)).toThrow(TypeError);
  });
});
