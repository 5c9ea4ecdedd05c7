/**
 * x509-limbo (C2SP): all of its cases that are at hand. Each certificate is judged as for no use in
 * particular, since its purposes are those of TLS servers.
 *
 * What it wants refused and we accept is in `ACCEPTED`, each with the reason. Nothing that it wants
 * accepted is refused.
 */
import { expect, it } from "@jest/globals";
import { P11SealError } from "../../src/errors.js";
import { verifyCertificate } from "../../src/trust/verify-certificate.js";
import { withinSeconds } from "../support/processor-time.js";
import { describeVectors, vectorJson } from "../support/vectors.js";

interface LimboCase {
  readonly id: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly max_chain_depth: number | null;
  readonly crls: readonly string[];
  readonly expected_result: "SUCCESS" | "FAILURE";
}

const HOST = "about host names: none is compared here, a certificate's holder is a mail address";
const PURPOSE = "about the purposes of TLS servers, which no use here asks for";
const KEY_ID = "a rule for issuers: key identifiers only help to find a path";
const ROOT_PROFILE =
  "the CA/Browser Forum's profile of roots; the user chose this one as an anchor";
const LEAF_KEY = "the certificate's own key: refused when it is used, for a message or a signature";

const ACCEPTED: Readonly<Record<string, string>> = {
  "crl::crlnumber-missing":
    "a rule for issuers: the number only tells which delta belongs to a list",
  "rfc5280::aki::leaf-missing-aki": KEY_ID,
  "rfc5280::aki::intermediate-missing-aki": KEY_ID,
  "rfc5280::aki::cross-signed-root-missing-aki": KEY_ID,
  "rfc5280::ski::root-missing-ski": KEY_ID,
  "rfc5280::ski::intermediate-missing-ski": KEY_ID,
  "rfc5280::eku::ee-wrong-eku": PURPOSE,
  "rfc5280::nc::permitted-dns-match-noncritical":
    "constraints hold whether critical or not; webpki::nc::permitted-dns-match-noncritical wants it",
  "rfc5280::pc::ica-noncritical-pc": "policy constraints hold whether critical or not",
  "rfc5280::san::underscore-dns": HOST,
  "rfc5280::san::ip-in-dns": HOST,
  "rfc5280::serial::zero": "a rule for issuers: the number names the certificate all the same",
  "rfc5280::serial::negative": "a rule for issuers; PKITS 4.4.14 wants it accepted",
  "rfc5280::root-non-critical-basic-constraints":
    "a rule for issuers: it holds whether critical or not; PKITS 4.6.4 wants it accepted",
  "rfc5280::ca-as-leaf-wrong-san": HOST,
  "webpki::aki::root-with-aki-missing-keyidentifier": KEY_ID,
  "webpki::aki::root-with-aki-authoritycertissuer": ROOT_PROFILE,
  "webpki::aki::root-with-aki-authoritycertserialnumber": ROOT_PROFILE,
  "webpki::aki::root-with-aki-all-fields": ROOT_PROFILE,
  "webpki::aki::root-with-aki-ski-mismatch": ROOT_PROFILE,
  "webpki::cn::ipv4-hex-mismatch": HOST,
  "webpki::cn::ipv4-leading-zeros-mismatch": HOST,
  "webpki::cn::ipv6-uppercase-mismatch": HOST,
  "webpki::cn::ipv6-uncompressed-mismatch": HOST,
  "webpki::cn::ipv6-non-rfc5952-mismatch": HOST,
  "webpki::cn::punycode-not-in-san": HOST,
  "webpki::cn::utf8-vs-punycode-mismatch": HOST,
  "webpki::cn::not-in-san": HOST,
  "webpki::cn::case-mismatch": HOST,
  "webpki::eku::ee-anyeku": PURPOSE,
  "webpki::eku::ee-critical-eku": PURPOSE,
  "webpki::eku::ee-without-eku": PURPOSE,
  "webpki::eku::root-has-eku": PURPOSE,
  "webpki::san::mismatch-domain-san": HOST,
  "webpki::san::mismatch-subdomain-san": HOST,
  "webpki::san::mismatch-subdomain-apex-san": HOST,
  "webpki::san::mismatch-apex-subdomain-san": HOST,
  "webpki::san::public-suffix-wildcard-san": HOST,
  "webpki::san::public-suffix-multi-label-wildcard-san": HOST,
  "webpki::san::public-suffix-private-namespace-wildcard-san": HOST,
  "webpki::san::wildcard-embedded-leftmost-san": HOST,
  "webpki::san::wildcard-not-in-leftmost-san": HOST,
  "webpki::san::wildcard-match-across-labels-san": HOST,
  "webpki::san::wildcard-embedded-ulabel-san": HOST,
  "webpki::san::no-san": HOST,
  "webpki::san::san-critical-with-nonempty-subject":
    "a rule for issuers: alternative names are processed, so they may be critical",
  "webpki::san::san-wildcard-only": HOST,
  "webpki::san::san-wildcard-only-tld": HOST,
  "webpki::malformed-aia": "where more is to be fetched is of no interest: nothing is",
  "webpki::forbidden-p192-leaf": LEAF_KEY,
  "webpki::forbidden-dsa-leaf": LEAF_KEY,
  "webpki::forbidden-weak-rsa-in-leaf": LEAF_KEY,
  "webpki::forbidden-rsa-not-divisible-by-8-in-root":
    "the CA/Browser Forum's: RSA of 2,048 bits or more is sound whether divisible by 8 or not",
  "webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf": LEAF_KEY,
  "webpki::v1-cert": "RFC 5280 allows it for end entities: without extensions, version 1 is right",
  "webpki::ee-basicconstraints-ca": "the CA/Browser Forum's: rfc5280::ca-as-leaf wants it accepted",
  "webpki::ca-as-leaf": "the CA/Browser Forum's: rfc5280::ca-as-leaf wants it accepted",
};

/** A time that all cases without one are made for. */
const AT_MS = Date.UTC(2024, 5, 1);
const MOST_SECONDS = 1;

describeVectors("x509-limbo", () => {
  const cases = vectorJson<LimboCase[]>("x509-limbo/limbo.json");

  it("has exceptions only for cases that it has", () => {
    const refused = cases.filter((one) => one.expected_result === "FAILURE").map(({ id }) => id);
    expect(refused).toEqual(expect.arrayContaining(Object.keys(ACCEPTED)));
    expect(cases).toHaveLength(193);
  });

  it.each(cases.map((one) => [one.id, one] as const))("%s", (id, one) => {
    const found = withinSeconds(MOST_SECONDS, () => judge(one));
    const accepted = one.expected_result === "SUCCESS" || id in ACCEPTED;
    if (accepted) expect(found).toBe("accepted");
    else expect(found).not.toBe("accepted");
  });
});

function judge(one: LimboCase): string {
  const { max_chain_depth: depth, crls, validation_time: time } = one;
  try {
    verifyCertificate(fromPem(one.peer_certificate), {
      anchors: one.trusted_certs.map(fromPem),
      others: one.untrusted_intermediates.map(fromPem),
      atMs: time === null ? AT_MS : Date.parse(time),
      use: "any",
      crls: crls.map(fromPem),
      ...(depth === null ? {} : { maxIntermediates: depth }),
    });
    return "accepted";
  } catch (error) {
    if (error instanceof P11SealError) return error.code;
    throw error;
  }
}

function fromPem(pem: string): Uint8Array {
  return new Uint8Array(Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64"));
}
