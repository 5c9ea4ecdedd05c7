import { describe, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { der, TAG } from "../../src/asn1/der.js";
import { derOid } from "../../src/asn1/oid.js";
import { FormatError } from "../../src/errors.js";
import { certificatesIn } from "../../src/x509/certificate-file.js";
import { pemOf, pkcs7, rootAuthority } from "../support/certificates.js";

const root = rootAuthority();
const [a, b] = [root.certificate.der, root.issue().certificate.der];
const read = (bytes: Uint8Array) => certificatesIn(bytes).map((certificate) => certificate.der);

describe("certificates are taken from", () => {
  it.each<[string, Uint8Array, readonly Uint8Array[]]>([
    ["PEM with a chain", ascii(pemOf("CERTIFICATE", a, b)), [a, b]],
    ["PEM with text before it", ascii(`subject=Root\n${pemOf("X509 CERTIFICATE", a)}`), [a]],
    ["PEM with a key beside it", ascii(pemOf("PRIVATE KEY", b) + pemOf("CERTIFICATE", a)), [a]],
    ["DER", a, [a]],
    ["PKCS#7 in DER", pkcs7([b, a]), [b, a]],
    ["PKCS#7 in PEM", ascii(pemOf("PKCS7", pkcs7([b, a]))), [b, a]],
    [
      "a certificate of version 1",
      root.issueBytes({
        fields: { version: new Uint8Array(0) },
        extensions: [],
        keys: root.keys,
        serial: 1,
      }),
      [],
    ],
  ])("%s", (_, bytes, certificates) => {
    if (certificates.length === 0) expect(read(bytes)).toEqual([bytes]);
    else expect(read(bytes)).toEqual(certificates);
  });
});

describe("refused:", () => {
  it.each<[string, Uint8Array]>([
    ["no certificate in PEM", ascii(pemOf("PUBLIC KEY", a))],
    ["PKCS#7 without any", pkcs7([])],
    ["another content type", der(TAG.sequence, derOid("1.2.840.113549.1.7.1"), der(0xa0, der(4)))],
    ["text", ascii("Bob's certificate")],
    ["nothing", new Uint8Array(0)],
    ["a damaged one among others", ascii(pemOf("CERTIFICATE", a, b.subarray(1)))],
    ["PKCS#7 cut off", pkcs7([a]).subarray(0, 50)],
  ])("%s", (_, bytes) => {
    expect(() => read(bytes)).toThrow(FormatError);
  });
});
