/** Published SignedData: RFC 4134's examples, OpenSSL's and RustCrypto's test data. */
import { expect, it } from "@jest/globals";
import type { P11SealError } from "../../../src/errors.js";
import { openSigned, type VerifyOptions } from "../../../src/envelope/signatures.js";
import { describeVectors, vectorFile } from "../../support/vectors.js";

/** What signed a message and how much, or why it is refused. */
async function outcome(path: string, options: VerifyOptions = {}): Promise<string> {
  try {
    const message = await openSigned(vectorFile(path), options);
    const { length } = await message.content.bytes();
    const { signers } = await message.signatures();
    return [length, ...signers.map(({ algorithm }) => algorithm)].join(" ");
  } catch (error) {
    return (error as P11SealError).code;
  }
}

describeVectors("messages that hold", () => {
  it.each([
    ["cms-rustcrypto/cms_ber.bin", "10034 ECDSA SHA-256"],
    ["cms-rustcrypto/cms_der.bin", "10034 ECDSA SHA-256"],
    ["cms-rustcrypto/scep_der.bin", "1060 RSA SHA-256"],
  ])("%s", async (path, expected) => {
    expect(await outcome(path)).toBe(expected);
  });
});

describeVectors("OpenSSL's messages with a fault", () => {
  it.each([
    ["no_ct_attr.cms", "ERR_ATTRIBUTES"],
    ["no_md_attr.cms", "ERR_ATTRIBUTES"],
    ["ct_multiple_attr.cms", "ERR_ATTRIBUTES"],
    // Its signing time is not signed.
    ["bad_signtime_attr.cms", "ERR_ATTRIBUTES"],
    ["pkcs7-md4.pem", "ERR_WEAK_SIGNATURE"],
  ])("%s", async (name, expected) => {
    expect(await outcome(`cms-openssl/${name}`, { allowLegacy: true })).toBe(expected);
  });
});

describeVectors("RFC 4134's examples, all of 1999's algorithms", () => {
  it.each([
    // DSA; without attributes.
    ["4.1", "ERR_NO_SIGNED_ATTRIBUTES"],
    // RSA; without attributes.
    ["4.2", "ERR_NO_SIGNED_ATTRIBUTES"],
    // Apart from its content.
    ["4.3", "ERR_DETACHED"],
    // DSA, with attributes.
    ["4.4", "ERR_SIGNATURE_ALGORITHM"],
    ["4.5", "ERR_NO_SIGNED_ATTRIBUTES"],
    ["4.6", "ERR_NO_SIGNED_ATTRIBUTES"],
    ["4.7", "ERR_NO_SIGNED_ATTRIBUTES"],
    ["4.10", "ERR_SIGNATURE_ALGORITHM"],
    // Certificates alone.
    ["4.11", "ERR_NOT_SIGNED_DATA"],
    // Enveloped.
    ["5.1", "ERR_NOT_SIGNED_DATA"],
  ])("%s", async (name, expected) => {
    const path = `cms-rfc4134/${name}.bin`;
    expect(await outcome(path, { allowLegacy: true })).toBe(expected);
    if (expected.endsWith("ATTRIBUTES")) expect(await outcome(path)).toBe("ERR_WEAK_SIGNATURE");
  });
});
