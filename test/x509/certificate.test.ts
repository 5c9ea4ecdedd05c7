/** What certificates say, and how strictly they are read. */
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { der, derUnsigned, TAG } from "../../src/asn1/der.js";
import { derOid } from "../../src/asn1/oid.js";
import { derAlgorithm } from "../../src/asn1/algorithm-identifier.js";
import { ascii, concat, fromHex } from "../../src/bytes.js";
import { FormatError } from "../../src/errors.js";
import { parseX509 } from "../../src/x509/certificate.js";
import { EXTENSION } from "../../src/x509/extensions.js";
import { nameText } from "../../src/x509/name.js";
import {
  basicConstraints,
  extendedKeyUsage,
  extension,
  generalName,
  keyUsage,
  nameConstraints,
  policies,
  policyConstraints,
  policyMappings,
  rootAuthority,
  smallInteger,
  subjectAltNames,
} from "../support/certificates.js";

const root = rootAuthority();

function refusal(bytes: Uint8Array): string {
  try {
    parseX509(bytes);
  } catch (error) {
    if (error instanceof FormatError && error.code === "ERR_CERTIFICATE") return error.message;
    throw error;
  }
  return "read";
}

const withExtensions = (...extensions: Uint8Array[]): Uint8Array =>
  root.issueBytes({ extensions, keys: root.keys });

describe("a certificate of OpenSSL's", () => {
  const text = execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
      ...["-keyout", "/dev/null", "-subj", "/C=DE/O=Example/CN=Bob/emailAddress=bob@example.com"],
      ...["-days", "30", "-addext", "subjectAltName=email:b@example.org,DNS:example.com,IP:::1"],
      ...["-addext", "keyUsage=critical,digitalSignature,keyAgreement,decipherOnly"],
      ...["-addext", "extendedKeyUsage=emailProtection"],
      ...["-addext", "certificatePolicies=1.2.3.4"],
      ...["-addext", "crlDistributionPoints=URI:http://crl.example.com/a.crl"],
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const node = new X509Certificate(text);
  const parsed = parseX509(new Uint8Array(node.raw));

  it("is read as Node reads it", () => {
    expect(Buffer.from(parsed.serial).toString("hex").replace(/^00/, "")).toBe(
      node.serialNumber
        .toLowerCase()
        .replace(/^(.(?:..)*)$/, (odd) => (odd.length % 2 === 0 ? odd : `0${odd}`)),
    );
    expect(parsed.notBeforeMs).toBe(Date.parse(node.validFrom));
    expect(parsed.notAfterMs).toBe(Date.parse(node.validTo));
    expect(Buffer.from(parsed.spki)).toEqual(
      node.publicKey.export({ format: "der", type: "spki" }),
    );
    expect(parsed.version).toBe(3);
    expect(node.verify(node.publicKey)).toBe(true);
  });

  it("has names, addresses and uses", () => {
    expect(nameText(parsed.subject)).toBe("emailAddress=bob@example.com,CN=Bob,O=Example,C=DE");
    expect(parsed.mailAddresses).toEqual(["b@example.org", "bob@example.com"]);
    expect(parsed.subjectAltNames).toEqual([
      { type: "email", text: "b@example.org" },
      { type: "dns", text: "example.com" },
      { type: "ip", bytes: fromHex(`${"00".repeat(15)}01`) },
    ]);
    expect([...(parsed.keyUsage ?? [])]).toEqual([
      "digitalSignature",
      "keyAgreement",
      "decipherOnly",
    ]);
    expect([...(parsed.extendedKeyUsage ?? [])]).toEqual(["1.3.6.1.5.5.7.3.4"]);
    expect(parsed.policies).toEqual(["1.2.3.4"]);
    expect(parsed.basicConstraints).toEqual({ ca: true });
    expect(parsed.crlDistributionPoints).toEqual([
      { name: { full: [{ type: "uri", text: "http://crl.example.com/a.crl" }] } },
    ]);
    expect(parsed.subjectKeyId).toHaveLength(20);
    expect(parsed.authorityKeyId?.keyId).toEqual(parsed.subjectKeyId);
    expect(parsed.extensions.get(EXTENSION.keyUsage)?.critical).toBe(true);
    expect(parsed.extensions.get(EXTENSION.subjectAltName)?.critical).toBe(false);
  });
});

it("what constrains a path is read", () => {
  const parsed = parseX509(
    withExtensions(
      basicConstraints(true, 3),
      nameConstraints([generalName.email("example.com")], [generalName.dns("x.example.com")]),
      policies("1.2.3", "2.5.29.32.0"),
      policyMappings(["1.2.3", "1.2.4"]),
      policyConstraints(0, 2),
      extension(EXTENSION.inhibitAnyPolicy, smallInteger(1), true),
    ),
  );
  expect(parsed.basicConstraints).toEqual({ ca: true, pathLength: 3 });
  expect(parsed.nameConstraints).toEqual({
    permitted: [{ type: "email", text: "example.com" }],
    excluded: [{ type: "dns", text: "x.example.com" }],
  });
  expect(parsed.policies).toEqual(["1.2.3", "2.5.29.32.0"]);
  expect(parsed.policyMappings).toEqual([{ issuer: "1.2.3", subject: "1.2.4" }]);
  expect(parsed.policyConstraints).toEqual({ requireExplicit: 0, inhibitMapping: 2 });
  expect(parsed.inhibitAnyPolicy).toBe(1);
});

describe("refused:", () => {
  const of = (oid: string, value: Uint8Array): Uint8Array => extension(oid, value);
  it.each<[string, Uint8Array]>([
    ["an extension twice", withExtensions(keyUsage("keyCertSign"), keyUsage("keyCertSign"))],
    ["an unknown extension twice", withExtensions(of("1.2.3", der(5)), of("1.2.3", der(5)))],
    [
      "no extension in the list",
      root.issueBytes({ fields: { extensions: der(0xa3, der(TAG.sequence)) } }),
    ],
    [
      "extensions in version 2",
      root.issueBytes({ fields: { version: der(0xa0, smallInteger(1)) } }),
    ],
    ["version 4", root.issueBytes({ fields: { version: der(0xa0, smallInteger(3)) } })],
    [
      "two algorithms",
      root.issueBytes({ fields: { algorithm: derAlgorithm({ oid: "1.2.840.10045.4.3.3" }) } }),
    ],
    [
      "algorithms that differ in parameters",
      root.issueBytes({
        fields: { algorithm: derAlgorithm({ oid: "1.2.840.10045.4.3.2", parameters: der(5) }) },
      }),
    ],
    ["an empty serial number", root.issueBytes({ fields: { serial: der(TAG.integer) } })],
    [
      "a serial number of 22 bytes",
      root.issueBytes({ fields: { serial: derUnsigned(new Uint8Array(22).fill(1)) } }),
    ],
    [
      "a serial number with needless bytes",
      root.issueBytes({ fields: { serial: der(TAG.integer, fromHex("0001")) } }),
    ],
    [
      "a third time",
      root.issueBytes({
        fields: {
          validity: der(
            TAG.sequence,
            ...["a", "b", "c"].map(() => der(TAG.utcTime, ascii("240101000000Z"))),
          ),
        },
      }),
    ],
    ["a policy twice", withExtensions(policies("1.2.3", "1.2.3"))],
    ["empty policy constraints", withExtensions(policyConstraints())],
    ["empty name constraints", withExtensions(nameConstraints([]))],
    [
      "name constraints with an empty list",
      withExtensions(of(EXTENSION.nameConstraints, der(TAG.sequence, der(0xa0)))),
    ],
    [
      "a subtree with a distance",
      withExtensions(
        of(
          EXTENSION.nameConstraints,
          der(
            TAG.sequence,
            der(0xa0, der(TAG.sequence, generalName.dns("a"), der(0x81, Uint8Array.of(1)))),
          ),
        ),
      ),
    ],
    ["no purpose", withExtensions(extendedKeyUsage())],
    ["no name", withExtensions(subjectAltNames())],
    ["a name of no kind", withExtensions(subjectAltNames(der(0x89, ascii("a"))))],
    [
      "a mail address beyond ASCII",
      withExtensions(subjectAltNames(der(0x81, ascii("b\u00f6b@example.com")))),
    ],
    [
      "a negative path length",
      withExtensions(
        of(
          EXTENSION.basicConstraints,
          der(
            TAG.sequence,
            der(TAG.boolean, Uint8Array.of(255)),
            der(TAG.integer, Uint8Array.of(255)),
          ),
        ),
      ),
    ],
    [
      "a boolean that is not DER",
      withExtensions(
        of(EXTENSION.basicConstraints, der(TAG.sequence, der(TAG.boolean, Uint8Array.of(1)))),
      ),
    ],
    [
      "key usage with bits beyond its end",
      withExtensions(of(EXTENSION.keyUsage, fromHex("03020701"))),
    ],
    [
      "bytes after an extension's value",
      withExtensions(
        of(EXTENSION.subjectKeyId, concat(der(TAG.octetString, fromHex("01")), der(5))),
      ),
    ],
    [
      "a distribution point without a name",
      withExtensions(
        of(
          EXTENSION.crlDistributionPoints,
          der(TAG.sequence, der(TAG.sequence, der(0x81, fromHex("0780")))),
        ),
      ),
    ],
    ["bytes after the certificate", concat(root.certificate.der, Uint8Array.of(0))],
    ["a certificate cut off", root.certificate.der.subarray(0, -1)],
    ["a key instead", new Uint8Array(root.keys.publicKey.export({ format: "der", type: "spki" }))],
    ["more than 1 MiB", new Uint8Array(2 ** 20 + 1)],
    [
      "an OID with needless zeros",
      withExtensions(
        der(TAG.sequence, der(TAG.oid, fromHex("558001")), der(TAG.octetString, der(5))),
      ),
    ],
  ])("%s", (_, bytes) => {
    expect(refusal(bytes)).not.toBe("read");
    expect(refusal(bytes)).toMatch(/^(?:not an X.509 certificate: |certificate has 1048577 bytes)/);
  });
});

describe("read, though odd:", () => {
  it.each<[string, Uint8Array]>([
    [
      "a negative serial number",
      root.issueBytes({ fields: { serial: der(TAG.integer, fromHex("ff7f")) } }),
    ],
    ["serial number zero", root.issueBytes({ serial: 0 })],
    [
      "a version 1 certificate",
      root.issueBytes({ fields: { version: new Uint8Array(0) }, extensions: [] }),
    ],
    [
      "unique identifiers",
      root.issueBytes({
        fields: { extensions: concat(der(0x81, fromHex("00aa")), der(0x82, fromHex("00aa"))) },
      }),
    ],
    ["an unknown critical extension", withExtensions(extension("1.2.3", der(5), true))],
    [
      "a false that is written",
      withExtensions(
        extension(
          EXTENSION.basicConstraints,
          der(TAG.sequence, der(TAG.boolean, Uint8Array.of(0))),
        ),
      ),
    ],
    [
      "an unknown algorithm",
      root.issueBytes({
        fields: {
          spki: der(
            TAG.sequence,
            der(TAG.sequence, derOid("1.2.3")),
            der(TAG.bitString, Uint8Array.of(0)),
          ),
        },
      }),
    ],
  ])("%s", (_, bytes) => {
    expect(refusal(bytes)).toBe("read");
  });
});
