import { constants, privateEncrypt, sign } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { toBase64, toHex } from "../../src/bytes.js";
import { signData, type SignatureForm } from "../../src/capi/index.js";
import { doesNotHold } from "../../src/capi/signature-doubts.js";
import { bobObject, bobSigner, text } from "./support.js";

const FORM: SignatureForm = { hash: "sha256" };
const little = await signData(bobSigner, text, FORM);
const big = new Uint8Array(sign("sha256", text, bobObject));
const padding = constants.RSA_PKCS1_PADDING;
const bare = new Uint8Array(
  privateEncrypt({ key: bobObject, padding }, new Uint8Array(32).fill(1)),
).reverse();
const bytesOf = (said: string) => new Uint8Array(Buffer.from(said));
const lines = (said: string) => said.replaceAll(/.{64}/g, "$&\r\n");

function saidOf(bytes: Uint8Array, form = FORM): string {
  const { code, message, hint } = doesNotHold("it does not hold", "the default", {
    ...{ bytes, by: bobSigner.publicKey, form },
  });
  expect(code).toBe("ERR_SENDER_SIGNATURE");
  return `${message}; ${hint}`;
}

describe("a signature that does not hold", () => {
  it.each([
    ["big-endian", big, "it is big-endian, as OpenSSL", " cat SIG | xxd -p -c1 | tac | xxd -r -p"],
    ["base64", bytesOf(lines(toBase64(little))), "it is base64;", "base64 -d SIG > NEW"],
    ["base64 of a big-endian one", bytesOf(toBase64(big)), "base64, big-endian", "-d SIG | xxd -p"],
    [
      "base64 between lines of dashes",
      bytesOf(`-----BEGIN SIGNATURE-----\n${toBase64(little)}\n-----END SIGNATURE-----\n`),
      "it is base64",
      "grep -v -- ----- SIG",
    ],
    [
      "hexadecimal",
      bytesOf(toHex(little).toUpperCase()),
      "it is hexadecimal;",
      "xxd -r -p SIG > NEW",
    ],
    [
      "of another length",
      little.subarray(1),
      "has 255 bytes, and one by this key has 256",
      "alone",
    ],
    ["nothing", new Uint8Array(0), "it has 0 bytes", "alone"],
    ["without the hash's name", bare, "names no hash", "--no-hash-oid"],
  ])("is called %s", (_name, bytes, fact, hint) => {
    const said = saidOf(bytes);
    expect(said).toMatch(/^it does not hold: /);
    expect(said).toContain(fact);
    expect(said).toContain(hint);
  });

  it.each(["sha1", "sha384", "sha512", "md5"] as const)("is called one over %s", (hash) => {
    const bytes = new Uint8Array(sign(hash, text, bobObject)).reverse();
    expect(saidOf(bytes)).toContain(`it is over ${hash}; give --hash ${hash}`);
  });

  it("over other data, or by another key, is called nothing", () => {
    expect(saidOf(little)).toBe("it does not hold; the default");
    expect(saidOf(new Uint8Array(256).fill(7))).toBe("it does not hold; the default");
    expect(saidOf(bare, { ...FORM, noHashOid: true })).toBe("it does not hold; the default");
  });
});
