/**
 * Mails with damage. Each is refused with one of our errors or read, and in the same way however it
 * is delivered.
 */
import { describe, expect, it } from "@jest/globals";
import { ascii, equal } from "../../src/bytes.js";
import { P11SealError } from "../../src/errors.js";
import { enterMail, mailAhead } from "../../src/mime/mail.js";
import { chunks, collect, Reader, remaining, type ByteSource } from "../../src/stream.js";
import { fuzz, refusal } from "../support/mutate.js";
import { scaled } from "../support/scale.js";
import { inSteps } from "../support/streams.js";

const B64 = "MIIRpwYJKoZIhvcNAQcDoIIRmDCCEZQCAQA=";
const sealed = [
  "From: Bob (a friend) <bob@example.com>",
  "Subject: folded",
  "  over lines",
  "Content-Type: application/pkcs7-mime; name*0=smime; name*1*=%2ep7m; smime-type=signed-data",
  "Content-Transfer-Encoding: base64",
  "",
  B64.slice(0, 20),
  B64.slice(20),
  "",
].join("\r\n");
const signed = [
  'Content-Type: multipart/signed; protocol="application/pkcs7-signature";',
  '  micalg=sha-256; boundary="b=_1"',
  "",
  "preamble",
  "--b=_1",
  "Content-Type: text/plain",
  "",
  "hello --b=_1",
  "--b=_",
  "",
  "--b=_1",
  "Content-Type: application/pkcs7-signature",
  "Content-Transfer-Encoding: base64",
  "",
  B64,
  "--b=_1--",
  "",
].join("\n");
const seeds = [sealed, signed, signed.replaceAll("\n", "\r\n")].map(ascii);

/** All that a mail holds. */
async function read(source: ByteSource): Promise<Uint8Array> {
  const reader = new Reader(source);
  const mail = await mailAhead(reader);
  if (mail.kind === "other") return ascii(mail.type);
  await enterMail(reader, mail);
  const content = await collect(remaining(reader));
  if (mail.kind === "cms") return content;
  return Buffer.concat([content, Buffer.of(0), await mail.signature()]);
}

async function outcome(source: ByteSource): Promise<Uint8Array | Error | string> {
  try {
    return await read(source);
  } catch (error) {
    return refusal(error);
  }
}

describe("a damaged mail", () => {
  const tries = scaled(1_000_000, 10_000);

  it(`is read alike in any chunks, or refused, ${tries} times`, async () => {
    const report = await fuzz(seeds, tries, 0x3a11, async (input) => {
      const whole = await outcome(chunks(input));
      const cut = await outcome(inSteps(input, 7));
      if (whole instanceof P11SealError && cut instanceof P11SealError) {
        return whole.code === cut.code ? whole : `${whole.code}, and ${cut.code} in pieces`;
      }
      if (!(whole instanceof Uint8Array) || !(cut instanceof Uint8Array)) {
        return `${String(whole)}, and ${String(cut)} in pieces`;
      }
      return equal(whole, cut) || "read differently in pieces";
    });
    expect(report.broken).toEqual([]);
    expect(report.taken).toBeGreaterThan(report.tried / 100);
    expect(report.codes.size).toBeGreaterThan(1);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 3_600_000);
});
