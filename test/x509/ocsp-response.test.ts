/** What OCSP responses say, and how strictly they are read. */
import { describe, expect, it } from "@jest/globals";
import { derAlgorithm } from "../../src/asn1/algorithm-identifier.js";
import { der, TAG } from "../../src/asn1/der.js";
import { concat } from "../../src/bytes.js";
import { FormatError } from "../../src/errors.js";
import { parseOcspResponse } from "../../src/x509/ocsp-response.js";
import { bitString, DAY_MS, extension, NOW_MS, rootAuthority } from "../support/certificates.js";
import { ocspEnvelope, ocspResponse, type OcspOptions } from "../support/revocation.js";

const root = rootAuthority();
const bob = root.issue();
const response = (options: OcspOptions = {}) =>
  ocspResponse(bob.certificate, root.certificate, root, options);

it("a response is read", () => {
  const parsed = parseOcspResponse(
    response({ status: "revoked", certificates: [bob.certificate] }),
  );
  expect(parsed.producedMs).toBe(NOW_MS - DAY_MS);
  expect(parsed.certificates).toHaveLength(1);
  expect(parsed.statuses).toMatchObject([
    {
      serial: bob.certificate.serial,
      status: "revoked",
      revokedMs: NOW_MS - 10 * DAY_MS,
      thisUpdateMs: NOW_MS - DAY_MS,
      nextUpdateMs: NOW_MS + DAY_MS,
    },
  ]);
});

it("a revocation may have a reason", () => {
  const reason = [der(TAG.enumerated, Uint8Array.of(1))];
  const { statuses } = parseOcspResponse(response({ status: "revoked", reason }));
  expect(statuses).toMatchObject([{ status: "revoked" }]);
});

describe("refused:", () => {
  const failed = (status: number) => der(TAG.sequence, der(TAG.enumerated, Uint8Array.of(status)));
  const zero = der(TAG.integer, Uint8Array.of(0));
  const ofVersion = (...version: readonly Uint8Array[]) => {
    const data = der(TAG.sequence, der(0xa0, ...version));
    const signature = bitString(Uint8Array.of(0));
    const basic = der(TAG.sequence, data, derAlgorithm({ oid: "1.2.3" }), signature);
    return ocspEnvelope(0, "1.3.6.1.5.5.7.48.1.1", basic);
  };
  const once = extension("1.2.3", der(TAG.null));
  it.each<[string, Uint8Array, RegExp]>([
    ["an answer to a malformed request", failed(1), /the request is malformed/],
    ["an answer to ask later", failed(3), /asked later/],
    ["an unknown status", failed(4), /nonsense/],
    ["a success without a response", failed(0), /OCSP response/],
    [
      "a failure with a response",
      ocspEnvelope(2, "1.3.6.1.5.5.7.48.1.1", new Uint8Array(2)),
      /internal error/,
    ],
    ["another type of response", ocspEnvelope(0, "1.2.3", new Uint8Array(2)), /type 1\.2\.3/],
    ["a response cut off", response().subarray(0, -1), /ends after/],
    ["another version", ofVersion(der(TAG.integer, Uint8Array.of(1))), /has version 2/],
    ["a version and more", ofVersion(zero, zero), /after the end/],
    ["bytes after it", concat(response(), Uint8Array.of(0)), /after the end/],
    [
      "a malformed certificate",
      response({ certificates: [{ ...bob.certificate, der: der(TAG.sequence) }] }),
      /certificate/,
    ],
    [
      "seventeen certificates",
      response({ certificates: Array.from({ length: 17 }, () => bob.certificate) }),
      /more than 16/,
    ],
    ["a reason that is a number", response({ status: "revoked", reason: [zero] }), /tag 0x02/],
    [
      "two reasons",
      response({ status: "revoked", reason: [der(TAG.enumerated, Uint8Array.of(1)), zero] }),
      /after the end/,
    ],
    ["an extension twice", response({ extensions: [once, once] }), /twice/],
    ["an answer's extension twice", response({ singleExtensions: [once, once] }), /twice/],
    ["more than 1 MiB", new Uint8Array(2 ** 20 + 1), /1048577 bytes/],
  ])("%s", (_, bytes, message) => {
    expect(() => parseOcspResponse(bytes)).toThrow(FormatError);
    expect(() => parseOcspResponse(bytes)).toThrow(message);
  });
});
