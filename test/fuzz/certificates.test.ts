/**
 * Damaged certificates, revocation lists and OCSP responses, in their bytes and in their values.
 * Each is refused with one error, or read; and what is read is believed only if every byte that was
 * signed is what it was.
 */
import { describe, expect, it } from "@jest/globals";
import { P11SealError, PolicyError } from "../../src/errors.js";
import { requireTrusted } from "../../src/trust/trust.js";
import { parseX509, type Certificate } from "../../src/x509/certificate.js";
import { parseCrl } from "../../src/x509/crl.js";
import { nameText } from "../../src/x509/name.js";
import { parseOcspResponse } from "../../src/x509/ocsp-response.js";
import {
  AUTHORITY_EXTENSIONS,
  extendedKeyUsage,
  extension,
  generalName,
  keyUsage,
  nameConstraints,
  NOW_MS,
  policies,
  policyConstraints,
  policyMappings,
  rootAuthority,
  subjectAltNames,
} from "../support/certificates.js";
import {
  crl,
  crlNumber,
  deltaOf,
  distributionPoints,
  ocspResponse,
  reason,
  revoked,
  scope,
} from "../support/revocation.js";
import { mutatedDer } from "../support/mutate-der.js";
import { fuzz, type FuzzReport } from "../support/mutate.js";
import { scaled } from "../support/scale.js";

const { email, dns, uri, ip, directory, other } = generalName;
const root = rootAuthority();
const ca = root.authority("CA", {
  extensions: [
    ...AUTHORITY_EXTENSIONS,
    nameConstraints([email("example.com"), directory({ O: "X" })], [ip(10, 0, 0, 0, 255, 0, 0, 0)]),
    policies("1.2.3", "2.5.29.32.0"),
    policyMappings(["1.2.3", "1.2.4"]),
    policyConstraints(3, 3),
  ],
});
const bob = ca.issue({
  subject: { O: "X", CN: "Bob", emailAddress: "bob@example.com" },
  extensions: [
    keyUsage("digitalSignature", "decipherOnly"),
    extendedKeyUsage("1.3.6.1.5.5.7.3.4"),
    policies("1.2.4"),
    subjectAltNames(
      email("b@example.com"),
      dns("example.com"),
      uri("http://x/"),
      other("1.2.3", Uint8Array.of(5, 0)),
    ),
    distributionPoints(
      { names: [uri("http://x/")], reasons: [1, 2] },
      { crlIssuer: [directory({ CN: "CA" })] },
    ),
    extension("1.2.3.4", Uint8Array.of(5, 0)),
  ],
});
const eve = ca.issue({ subject: { O: "X", CN: "Eve" } });

/** The root's list, which says that the authority below it was not revoked. */
const rootList = parseCrl(crl(root));

const tries = scaled(1_000_000, 10_000);
const MINUTES = 60_000;

function requireSound(report: FuzzReport, code: string): void {
  expect(report.broken).toEqual([]);
  // Proof that the fuzzer works: the one error occurs, and a good part gets past the parser.
  expect([...report.codes.keys()]).toContain(code);
  expect(report.taken).toBeGreaterThan(report.tried / 50);
  expect(report.slowestMs).toBeLessThan(10_000);
  expect(report.grown).toBeLessThan(300 * 2 ** 20);
}

/** What came of a damaged value: read and judged, refused by `codes`, or a sentence. */
function outcome(act: () => string | undefined, code: string): true | Error | string {
  try {
    return act() ?? true;
  } catch (error) {
    if (!(error instanceof P11SealError)) return `threw ${String(error)}`;
    if (/[^\x20-\x7e…]/.test(error.message)) return "says what can't be printed";
    return error.code === code ? error : `threw ${error.code}`;
  }
}

function isTrusted(certificate: Certificate, more: object = {}): boolean {
  const others = [ca.certificate];
  const demands = { anchors: [root.certificate], others, atMs: NOW_MS, use: "any" } as const;
  try {
    requireTrusted(certificate, { ...demands, ...more });
    return true;
  } catch (error) {
    if (error instanceof PolicyError) return false;
    throw error;
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe("damage", () => {
  it(
    `of certificates, ${tries} times`,
    async () => {
      const seeds = [bob, ca, root].map(({ certificate }) => certificate.der);
      const report = await fuzz(
        seeds,
        tries,
        0x509,
        (input) =>
          outcome(() => {
            const certificate = parseX509(input);
            nameText(certificate.subject);
            const isGenuine = [bob, ca, root].some((one) =>
              same(one.certificate.tbs, certificate.tbs),
            );
            return isTrusted(certificate) && !isGenuine ? "is believed" : undefined;
          }, "ERR_CERTIFICATE"),
        mutatedDer,
      );
      requireSound(report, "ERR_CERTIFICATE");
    },
    30 * MINUTES,
  );

  it(
    `of authorities, ${tries / 10} times`,
    async () => {
      const report = await fuzz(
        [ca.certificate.der, root.certificate.der],
        tries / 10,
        0x510,
        (input) =>
          outcome(() => {
            const authority = parseX509(input);
            const isGenuine = [ca, root].some((one) => same(one.certificate.tbs, authority.tbs));
            // As an intermediate it is not believed; as an anchor, anything may come of it.
            const believed = isTrusted(bob.certificate, { others: [authority] });
            isTrusted(bob.certificate, {
              anchors: [authority],
              others: [ca.certificate, authority],
            });
            return believed && !isGenuine ? "is believed" : undefined;
          }, "ERR_CERTIFICATE"),
        mutatedDer,
      );
      requireSound(report, "ERR_CERTIFICATE");
    },
    30 * MINUTES,
  );

  it(
    `of revocation lists, ${tries} times`,
    async () => {
      const entries = [revoked(eve.certificate, reason(1)), revoked(bob.certificate)];
      const named = scope({ names: [uri("http://x/")], reasons: [1, 2], indirect: true });
      const seeds = [
        crl(ca, { entries }),
        crl(ca, { entries, extensions: [crlNumber(4), named] }),
        crl(ca, { entries, extensions: [crlNumber(6), deltaOf(4)] }),
      ];
      const genuine = seeds.map((seed) => parseCrl(seed).tbs);
      const report = await fuzz(
        seeds,
        tries,
        0xc41,
        (input) =>
          outcome(() => {
            const list = parseCrl(input);
            list.entries.find(list.issuer, bob.certificate.serial);
            const crls = [rootList, list];
            // Bob was revoked by every list. A damaged one must never say that he was not.
            const good = isTrusted(bob.certificate, { crls, revocation: "required" });
            return good && !genuine.some((tbs) => same(tbs, list.tbs)) ? "is believed" : undefined;
          }, "ERR_CRL"),
        mutatedDer,
      );
      requireSound(report, "ERR_CRL");
    },
    30 * MINUTES,
  );

  it(
    `of OCSP responses, ${tries} times`,
    async () => {
      const delegate = ca.issue({
        subject: { O: "X" },
        extensions: [extendedKeyUsage("1.3.6.1.5.5.7.3.9")],
      });
      const [of, by] = [bob.certificate, ca.certificate];
      const seeds = [
        ocspResponse(of, by, ca, { status: "revoked", byKey: true }),
        ocspResponse(of, by, delegate, { status: "revoked", certificates: [delegate.certificate] }),
        ocspResponse(of, by, ca, { status: "unknown" }),
      ];
      const report = await fuzz(
        seeds,
        tries,
        0x0c5,
        (input) =>
          outcome(() => {
            const response = parseOcspResponse(input);
            const good = isTrusted(of, { crls: [rootList], ocsp: [response] });
            return good ? "is believed" : undefined;
          }, "ERR_OCSP"),
        mutatedDer,
      );
      requireSound(report, "ERR_OCSP");
    },
    30 * MINUTES,
  );
});
