/** OCSP responses: about which certificate, by whom, from when, and what they say. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { der, TAG } from "../../src/asn1/der.js";
import { parseCrl } from "../../src/x509/crl.js";
import { parseOcspResponse } from "../../src/x509/ocsp-response.js";
import {
  DAY_MS,
  extendedKeyUsage,
  extension,
  keyUsage,
  NOW_MS,
  pemOf,
  rootAuthority,
  type CertificateOptions,
  type Issuer,
} from "../support/certificates.js";
import { crl, ocspResponse, revoked, type OcspOptions } from "../support/revocation.js";
import { trusted, verdict } from "./support.js";

const ca = rootAuthority();
const bob = ca.issue();
const OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
const noCheck = extension("1.3.6.1.5.5.7.48.1.5", der(TAG.null));

const REVOKED = /^ERR_CERTIFICATE_REVOKED/;
const UNKNOWN = /^ERR_REVOCATION_UNKNOWN/;

function by(responses: readonly Uint8Array[], crls: readonly Uint8Array[] = []): string {
  return verdict(bob, {
    anchors: [ca],
    crls: crls.map(parseCrl),
    ocsp: responses.map(parseOcspResponse),
  });
}

const response = (options: OcspOptions = {}, signer: Issuer = ca) =>
  ocspResponse(bob.certificate, ca.certificate, signer, options);

describe("a response of the issuer's", () => {
  it("says whether a certificate was revoked, and is reported", () => {
    expect(by([response()])).toBe("trusted");
    expect(by([response({ status: "revoked" })])).toMatch(REVOKED);
    expect(by([response({ status: "unknown" })])).toMatch(UNKNOWN);
    const ocsp = [parseOcspResponse(response())];
    const { unrevoked } = trusted(bob, { anchors: [ca], ocsp });
    expect(unrevoked).toMatchObject([{ by: "ocsp", asOfMs: NOW_MS - DAY_MS }]);
  });

  it("may name its responder by key, and the issuer by other hashes", () => {
    expect(by([response({ byKey: true })])).toBe("trusted");
    const hash = { name: "sha256", oid: "2.16.840.1.101.3.4.2.1" };
    expect(by([response({ hash })])).toBe("trusted");
  });

  it("counts against a list, and a list against it", () => {
    const listed = crl(ca, { entries: [revoked(bob.certificate)] });
    expect(by([response()], [listed])).toMatch(REVOKED);
    expect(by([response({ status: "revoked" })], [crl(ca)])).toMatch(REVOKED);
    expect(by([response({ status: "unknown" })], [crl(ca)])).toBe("trusted");
  });

  it("counts when it is the newest", () => {
    const old = response({ thisUpdateMs: NOW_MS - 2 * DAY_MS });
    const current = response({ status: "revoked" });
    expect(by([old, current])).toMatch(REVOKED);
    expect(by([current, old])).toMatch(REVOKED);
  });

  const other = ca.issue();
  const named = rootAuthority("Root");
  it.each<[string, Uint8Array]>([
    ["is about another certificate", ocspResponse(other.certificate, ca.certificate, ca)],
    ["is about another issuer's", ocspResponse(bob.certificate, named.certificate, ca)],
    ["is out of date", response({ nextUpdateMs: NOW_MS - 1000 })],
    [
      "is a day old and has no end",
      response({ nextUpdateMs: null, thisUpdateMs: NOW_MS - DAY_MS - 1000 }),
    ],
    [
      "is of a later time",
      response({ thisUpdateMs: NOW_MS + 10 * 60_000, nextUpdateMs: NOW_MS + DAY_MS }),
    ],
    ["was made later", response({ producedMs: NOW_MS + 10 * 60_000 })],
    ["is signed by another key", response({}, named)],
    ["names another responder", response({ responder: other.certificate })],
    ["names another responder by key", response({ responder: other.certificate, byKey: true })],
    [
      "has a critical extension",
      response({ extensions: [extension("1.2.3", der(TAG.null), true)] }),
    ],
    [
      "has a critical extension in its answer",
      response({ singleExtensions: [extension("1.2.3", der(TAG.null), true)] }),
    ],
    ["uses MD5", response({ hash: { name: "md5", oid: "1.2.840.113549.2.5" } })],
  ])("leaves it unknown if it %s", (_, bytes) => {
    expect(by([bytes])).toMatch(UNKNOWN);
  });

  it("without an end counts for a day", () => {
    expect(by([response({ nextUpdateMs: null, thisUpdateMs: NOW_MS - 1000 })])).toBe("trusted");
  });
});

describe("a response of a delegate's", () => {
  const delegate = (options: CertificateOptions = {}, issuer = ca) =>
    issuer.issue({ extensions: [extendedKeyUsage(OCSP_SIGNING), noCheck], ...options });
  const from = (signer: Issuer) => response({ certificates: [signer.certificate] }, signer);

  it("counts if the issuer made it one", () => {
    expect(by([from(delegate())])).toBe("trusted");
    const byKey = delegate();
    expect(by([response({ certificates: [byKey.certificate], byKey: true }, byKey)])).toBe(
      "trusted",
    );
  });

  it.each<[string, Issuer]>([
    ["has no such purpose", delegate({ extensions: [noCheck] })],
    ["is for anything", delegate({ extensions: [extendedKeyUsage("2.5.29.37.0"), noCheck] })],
    [
      "may not sign",
      delegate({ extensions: [extendedKeyUsage(OCSP_SIGNING), noCheck, keyUsage("keyAgreement")] }),
    ],
    ["has expired", delegate({ notAfterMs: NOW_MS - 1000 })],
    ["is not valid yet", delegate({ notBeforeMs: NOW_MS + 1000 })],
    [
      "has an unknown critical extension",
      delegate({
        extensions: [
          extendedKeyUsage(OCSP_SIGNING),
          noCheck,
          extension("1.2.3", der(TAG.null), true),
        ],
      }),
    ],
    ["is of another issuer of the same name", delegate({}, rootAuthority())],
    ["is of an authority below", delegate({}, ca.authority("Below"))],
  ])("doesn't if the delegate %s", (_, signer) => {
    expect(by([from(signer)])).toMatch(UNKNOWN);
  });

  it("doesn't without the delegate's certificate", () => {
    expect(by([response({}, delegate())])).toMatch(UNKNOWN);
  });

  it("doesn't if the delegate may have been revoked", () => {
    const checked = delegate({ extensions: [extendedKeyUsage(OCSP_SIGNING)] });
    expect(by([from(checked)])).toMatch(UNKNOWN);
    // A list of the issuer's says it is not; but then the list would say so of Bob as well.
    const onlyLater = crl(ca, { entries: [revoked(checked.certificate)] });
    expect(by([from(checked)], [onlyLater])).toBe("trusted");
  });
});

it("a response of OpenSSL's is understood", () => {
  // OpenSSL answers by the clock.
  const notAfterMs = Date.UTC(2100, 0, 1);
  const ca = rootAuthority("Root", { notAfterMs });
  const bob = ca.issue({ notAfterMs });
  const folder = mkdtempSync(join(tmpdir(), "p11seal-ocsp-"));
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  try {
    const serial = Buffer.from(bob.certificate.serial).toString("hex").toUpperCase();
    const index = `V\t300101000000Z\t\t${serial}\tunknown\t/CN=Bob\n`;
    const issuer = file("ca.crt", pemOf("CERTIFICATE", ca.certificate.der));
    const key = ca.keys.privateKey.export({ format: "pem", type: "pkcs8" }) as string;
    const out = join(folder, "out.der");
    const respond = (line: string): Uint8Array => {
      const args = [
        ...["ocsp", "-index", file("index", line), "-CA", issuer, "-issuer", issuer],
        ...["-rsigner", issuer, "-rkey", file("ca.key", key), "-respout", out],
        ...["-cert", file("bob.crt", pemOf("CERTIFICATE", bob.certificate.der)), "-ndays", "7"],
        ...["-no_nonce", "-noverify"],
      ];
      execFileSync("openssl", args, { stdio: "ignore" });
      return new Uint8Array(readFileSync(out));
    };
    const now = { anchors: [ca], atMs: Date.now() };
    const judge = (line: string) =>
      verdict(bob, { ...now, ocsp: [parseOcspResponse(respond(line))] });
    expect(judge(index)).toBe("trusted");
    expect(judge(index.replace(/^V\t300101000000Z\t/, "R\t300101000000Z\t260101000000Z"))).toMatch(
      REVOKED,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it("the issuer's name and key are hashed as they stand in its certificate", () => {
  const parsed = parseOcspResponse(response());
  const [answer] = parsed.statuses;
  const digest = createHash("sha1").update(ca.certificate.subject.der).digest();
  expect(Buffer.from(answer?.issuerNameHash ?? [])).toEqual(digest);
});
