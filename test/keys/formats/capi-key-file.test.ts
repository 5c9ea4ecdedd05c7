/** CryptoAPI's PUBLICKEYBLOB as a key file like any other. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { concat, fromHex, toHex } from "../../../src/bytes.js";
import {
  formatPublicKey,
  parsePublicKey,
  requireRecipient,
} from "../../../src/keys/formats/key-file.js";
import { fixture, keyPair, manifest } from "../../capi/support.js";
import { describeVectors } from "../../support/vectors.js";
import { codeOf, testKey } from "../support.js";

const key = testKey("rsa2048");
const exchange = formatPublicKey(key, "capi");
const signature = formatPublicKey(key, "capi", { signOnly: true });

const read = (bytes: Uint8Array) => parsePublicKey(bytes, "key.blob");

/** The blob with other bytes at `offset`. */
function changed(offset: number, ...bytes: number[]): Uint8Array {
  const blob = exchange.slice();
  blob.set(bytes, offset);
  return blob;
}

describe("a PUBLICKEYBLOB", () => {
  it("starts as CryptoAPI's, and is read again as the same key", () => {
    expect(toHex(exchange.subarray(0, 20))).toBe("0602000000a40000525341310008000001000100");
    expect(toHex(signature.subarray(0, 8))).toBe("0602000000240000");
    for (const blob of [exchange, signature]) expect(read(blob).publicKey.spki).toEqual(key.spki);
    expect(requireRecipient(read(exchange)).spki).toEqual(key.spki);
  });

  it("of a signature key (CALG_RSA_SIGN) is no recipient", () => {
    expect(codeOf(() => requireRecipient(read(signature)))).toBe("ERR_SIGN_ONLY");
  });

  it("has no room for other keys, and none for the OAEP record", () => {
    for (const name of ["p256", "x25519", "ed25519"] as const) {
      expect(codeOf(() => formatPublicKey(testKey(name), "capi"))).toBe("ERR_KEY_FORMAT");
    }
    expect(formatPublicKey(key, "capi", { oaep: "sha1" })).toEqual(exchange);
    expect(read(exchange).oaep).toBeUndefined();
  });

  it.each<[string, Uint8Array, string]>([
    ["a private key blob", changed(0, 7), "ERR_PRIVATE_KEY_AS_RECIPIENT"],
    ["a SIMPLEBLOB", changed(0, 1), "ERR_BLOB"],
    ["a PLAINTEXTKEYBLOB", changed(0, 8), "ERR_BLOB"],
    ["another version", changed(1, 3), "ERR_KEY_FORMAT"],
    ["reserved bytes that are not zero", changed(2, 1), "ERR_KEY_FORMAT"],
    ["the ALG_ID of a session key", changed(4, 0x10, 0x66), "ERR_BLOB"],
    ["the magic of a private key", changed(11, 0x32), "ERR_BLOB"],
    ["a bitlen that is not the modulus's", changed(12, 0xf8, 7), "ERR_TRAILING"],
    ["a modulus with a zero byte on top", changed(exchange.length - 1, 0), "ERR_BLOB"],
    ["an even exponent", changed(16, 0), "ERR_KEY"],
    ["a byte cut off", exchange.subarray(0, -1), "ERR_TRUNCATED"],
    ["a byte left over", concat(exchange, Uint8Array.of(0)), "ERR_TRAILING"],
    ["its header alone", fromHex("0602000000a40000"), "ERR_TRUNCATED"],
  ])("with %s is refused", (_, blob, code) => {
    expect(codeOf(() => read(blob))).toBe(code);
  });

  it("that is changed anywhere is refused, or writes the same bytes again", () => {
    fc.assert(
      fc.property(fc.nat(exchange.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const blob = changed(at, (exchange[at] as number) ^ flip);
        let file;
        try {
          file = read(blob);
        } catch (error) {
          expect((error as { code: string }).code).toMatch(/^ERR_/);
          return;
        }
        const again = formatPublicKey(file.publicKey, "capi", {
          signOnly: file.signOnly === true,
        });
        expect(toHex(again)).toBe(toHex(blob));
      }),
    );
  });
});

describeVectors("a real CryptoAPI's PUBLICKEYBLOBs", () => {
  const vectors = manifest();
  it.each(Object.keys(vectors.keys))("of %s are key files, and written alike", (name) => {
    for (const spec of ["exchange", "signature"] as const) {
      const blob = fixture(keyPair(vectors, name, spec).publicKeyBlob);
      const file = read(blob);
      expect(file.signOnly).toBe(spec === "signature" ? true : undefined);
      const again = formatPublicKey(file.publicKey, "capi", { signOnly: spec === "signature" });
      expect(toHex(again)).toBe(toHex(blob));
    }
  });
});
