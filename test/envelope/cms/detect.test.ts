/** Which bytes are taken for a CMS message. */
import { describe, expect, it } from "@jest/globals";
import { fromHex } from "../../../src/bytes.js";
import { cms } from "../../../src/envelope/cms/cms.js";

const ENVELOPED = "06092a864886f70d010703a0";
const AUTH_ENVELOPED = "060b2a864886f70d0109100117a0";

describe("a CMS message", () => {
  it.each([
    ["a short one", `3040${ENVELOPED}`],
    ["of an unknown length", `3080${ENVELOPED}`],
    ["of two bytes' length", `30820100${AUTH_ENVELOPED}`],
    ["of five bytes' length", `30850123456789${ENVELOPED}`],
    ["signed", "308006092a864886f70d010702"],
  ])("is known by its first bytes: %s", (_, hex) => {
    expect(cms.detect(fromHex(hex).subarray(0, cms.startBytes))).toBe(true);
  });

  it.each([
    ["nothing", ""],
    ["a SEQUENCE alone", "3080"],
    ["a certificate", "3082030030820200"],
    ["a private key", "308204bd02010030"],
    ["a PKCS#12 file", "30820a0002010330"],
    ["another algorithm's identifier", "301306072a8648ce"],
    ["a SET", `3180${ENVELOPED}`],
  ])("is not seen in %s", (_, hex) => {
    expect(cms.detect(fromHex(hex).subarray(0, cms.startBytes))).toBe(false);
  });
});
