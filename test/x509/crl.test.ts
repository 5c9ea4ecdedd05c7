/** What revocation lists say, and how strictly they are read. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import { derAlgorithm } from "../../src/asn1/algorithm-identifier.js";
import { der, TAG } from "../../src/asn1/der.js";
import { derTime } from "../../src/asn1/time.js";
import { ascii, concat, fromHex } from "../../src/bytes.js";
import { FormatError } from "../../src/errors.js";
import { parseCrl } from "../../src/x509/crl.js";
import { EXTENSION } from "../../src/x509/extensions.js";
import { nameText } from "../../src/x509/name.js";
import {
  ECDSA_SHA256,
  extension,
  NOW_MS,
  pemOf,
  rootAuthority,
  signedBytes,
  smallInteger,
} from "../support/certificates.js";
import { crl, crlNumber, deltaOf, reason, revoked, scope } from "../support/revocation.js";

const root = rootAuthority();
const folder = mkdtempSync(join(tmpdir(), "p11seal-crl-"));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("a list of OpenSSL's", () => {
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const index = write(
    "index",
    "R\t300101000000Z\t200102030405Z,keyCompromise\t0A2B\tunknown\t/CN=x\n",
  );
  const config = write(
    "config",
    `[ca]\ndefault_ca=d\n[d]\ndatabase=${index}\ncrlnumber=${write("number", "0100\n")}\n` +
      "default_md=sha256\ndefault_crl_days=30\n",
  );
  const keys = root.keys.privateKey.export({ format: "pem", type: "pkcs8" }) as string;
  const out = join(folder, "out.crl");
  execFileSync(
    "openssl",
    [
      ...["ca", "-gencrl", "-config", config, "-keyfile", write("key", keys)],
      ...["-cert", write("cert", pemOf("CERTIFICATE", root.certificate.der)), "-out", out],
    ],
    { stdio: "ignore" },
  );
  const text = readFileSync(out, "latin1").replace(/-----[^-]+-----|\s/g, "");
  const list = parseCrl(new Uint8Array(Buffer.from(text, "base64")));

  it("is read", () => {
    expect(nameText(list.issuer)).toBe("CN=Root");
    expect(list.number).toEqual(fromHex("0100"));
    expect((list.nextUpdateMs as number) - list.thisUpdateMs).toBe(30 * 86_400_000);
    expect(list.entries.count).toBe(1);
    expect(list.entries.find(list.issuer, fromHex("0a2b"))).toEqual({
      revokedMs: Date.UTC(2020, 0, 2, 3, 4, 5),
      reason: 1,
    });
    expect(list.entries.find(list.issuer, fromHex("0a2c"))).toBeUndefined();
  });
});

it("scope and delta are read", () => {
  const extensions = [
    crlNumber(7),
    deltaOf(5),
    scope({ onlyUsers: true, reasons: [1, 8], indirect: true }),
  ];
  const list = parseCrl(crl(root, { extensions }));
  expect(list.baseNumber).toEqual(Uint8Array.of(5));
  expect(list.scope).toEqual({
    ...{ onlyUserCertificates: true, onlyAuthorities: false, onlyAttributeCertificates: false },
    ...{ indirect: true, onlySomeReasons: 0x102 },
  });
});

const certificate = { serial: Uint8Array.of(9) };
const withEntries = (...entries: Uint8Array[]) => crl(root, { entries });
const fields = (...more: Uint8Array[]) =>
  signedBytes(
    [
      smallInteger(1),
      derAlgorithm(ECDSA_SHA256.identifier),
      root.certificate.subject.der,
      derTime(NOW_MS),
      ...more,
    ],
    root.keys.privateKey,
  );
const time = derTime(NOW_MS);

describe("refused:", () => {
  it.each<[string, Uint8Array]>([
    ["a certificate", root.certificate.der],
    ["a list cut off", crl(root).subarray(0, -1)],
    ["bytes after it", concat(crl(root), Uint8Array.of(0))],
    ["an extension twice", crl(root, { extensions: [crlNumber(1), crlNumber(1)] })],
    [
      "two algorithms",
      signedBytes(
        [smallInteger(1), derAlgorithm({ oid: "1.2.3" }), root.certificate.subject.der, time],
        root.keys.privateKey,
      ),
    ],
    [
      "version 3",
      signedBytes(
        [
          smallInteger(2),
          derAlgorithm(ECDSA_SHA256.identifier),
          root.certificate.subject.der,
          time,
        ],
        root.keys.privateKey,
      ),
    ],
    ["a third time", fields(time, time)],
    [
      "an entry that is no SEQUENCE",
      withEntries(der(TAG.set, der(TAG.integer, Uint8Array.of(1)), time)),
    ],
    ["an entry without a number", withEntries(der(TAG.sequence, time))],
    ["an entry with an empty number", withEntries(der(TAG.sequence, der(TAG.integer), time))],
    ["an entry without a time", withEntries(der(TAG.sequence, der(TAG.integer, Uint8Array.of(1))))],
    [
      "an entry longer than the list",
      withEntries(fromHex("300f020101170d3236303130313030303030305a").subarray(0, -1)),
    ],
    [
      "a time longer than its entry",
      withEntries(fromHex("3005020101170d3236303130313030303030305a")),
    ],
    [
      "a length that is not minimal",
      withEntries(fromHex("30811202010117 0d3236303130313030303030305a".replace(" ", ""))),
    ],
    ["an indefinite length", withEntries(fromHex("3080020101170d3236303130313030303030305a0000"))],
    ["an unknown reason", withEntries(revoked(certificate, reason(7)))],
    ["a reason twice", withEntries(revoked(certificate, reason(1), reason(1)))],
    [
      "empty entry extensions",
      withEntries(der(TAG.sequence, der(TAG.integer, Uint8Array.of(1)), time, der(TAG.sequence))),
    ],
    [
      "an issuer of an entry that is no directory name",
      withEntries(
        revoked(
          certificate,
          extension(EXTENSION.certificateIssuer, der(TAG.sequence, der(0x82, ascii("x"))), true),
        ),
      ),
    ],
    [
      "a negative number",
      crl(root, { extensions: [extension(EXTENSION.crlNumber, fromHex("0201ff"))] }),
    ],
  ])("%s", (_, bytes) => {
    expect(() => parseCrl(bytes)).toThrow(FormatError);
    expect(() => parseCrl(bytes)).toThrow(/^not a certificate revocation list: /);
  });
});

describe("read:", () => {
  it.each<[string, Uint8Array]>([
    ["a list without entries, extensions or an end", fields()],
    [
      "an entry with more than 255 bytes",
      withEntries(revoked(certificate, extension("1.2.3", der(4, new Uint8Array(300))))),
    ],
    [
      "an entry with more than 127 bytes",
      withEntries(revoked(certificate, extension("1.2.3", der(4, new Uint8Array(120))))),
    ],
  ])("%s", (_, bytes) => {
    const { entries, issuer } = parseCrl(bytes);
    expect(entries.unknownCritical.size).toBe(0);
    expect(entries.find(issuer, certificate.serial) === undefined).toBe(entries.count === 0);
  });
});
