/** The library's function: bytes in, an account for a person or a program out. */
import { describe, expect, it } from "@jest/globals";
import { verifyCertificate } from "../../src/trust/verify-certificate.js";
import {
  generalName,
  keyUsage,
  NOW_MS,
  rootAuthority,
  subjectAltNames,
} from "../support/certificates.js";
import { crl, ocspResponse } from "../support/revocation.js";
import { codeOf } from "../keys/support.js";

const root = rootAuthority("Example Root");
const ca = root.authority("Example CA");
const bob = ca.issue({
  subject: { O: "Example", CN: "Bob" },
  serial: 0x1234,
  extensions: [keyUsage("digitalSignature"), subjectAltNames(generalName.email("bob@example.com"))],
});
const der = bob.certificate.der;
const given = {
  anchors: [root.certificate.der],
  others: [ca.certificate.der],
  atMs: NOW_MS,
  use: "sign",
} as const;

describe("the account", () => {
  it("says who, by whom, and what is known about revocation", () => {
    const account = verifyCertificate(der, given);
    expect(JSON.parse(JSON.stringify(account))).toEqual({
      subject: "CN=Bob,O=Example",
      issuer: "CN=Example CA",
      serial: "1234",
      mailAddresses: ["bob@example.com"],
      notAfter: "2027-01-15T00:00:00.000Z",
      path: ["CN=Bob,O=Example", "CN=Example CA", "CN=Example Root"],
      anchor: "CN=Example Root",
      policies: [],
      revocation: [
        { subject: "CN=Bob,O=Example", by: "not checked" },
        { subject: "CN=Example CA", by: "not checked" },
      ],
    });
  });

  it("says by what each certificate is known not to be revoked", () => {
    const { revocation } = verifyCertificate(der, {
      ...given,
      crls: [crl(root)],
      ocsp: [ocspResponse(bob.certificate, ca.certificate, ca)],
    });
    const asOf = "2026-01-14T00:00:00.000Z";
    expect(revocation).toMatchObject([
      { by: "ocsp", asOf },
      { by: "crl", asOf },
    ]);
  });
});

it.each([
  ["a certificate", () => verifyCertificate(der.subarray(1), given), "ERR_CERTIFICATE"],
  [
    "an anchor",
    () => verifyCertificate(der, { ...given, anchors: [new Uint8Array(3)] }),
    "ERR_CERTIFICATE",
  ],
  ["a list", () => verifyCertificate(der, { ...given, crls: [new Uint8Array(3)] }), "ERR_CRL"],
  ["a response", () => verifyCertificate(der, { ...given, ocsp: [new Uint8Array(3)] }), "ERR_OCSP"],
  [
    "a certificate for another use",
    () => verifyCertificate(der, { ...given, use: "encrypt" }),
    "ERR_CERTIFICATE_USAGE",
  ],
])("%s that is no use has a code of its own", (_, verify, code) => {
  expect(codeOf(verify)).toBe(code);
});

it("a message shows a name without what could move a terminal's cursor, and not all of a long one", () => {
  const odd = rootAuthority("Odd").issue({ subject: { CN: `\u001b[2J${"x".repeat(5000)}` } });
  try {
    verifyCertificate(odd.certificate.der, given);
    throw new Error("accepted");
  } catch (error) {
    const { message } = error as Error;
    expect(message).toMatch(/\\u\{1b\}\[2J/);
    expect(message.length).toBeLessThan(500);
  }
});
