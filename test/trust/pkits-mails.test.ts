/**
 * PKITS as it is meant: 224 signed mails, each with the chain and the revocation lists that it
 * needs. The signature is verified, and then the signer's certificate is judged by what the mail
 * itself carries.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "@jest/globals";
import { openSigned } from "../../src/envelope/signatures.js";
import { P11SealError } from "../../src/errors.js";
import { requireTrusted } from "../../src/trust/trust.js";
import { parseX509 } from "../../src/x509/certificate.js";
import { parseCrl } from "../../src/x509/crl.js";
import { ALIASES, AT_MS, describePkits, DSA, outcomesOf, type Outcome } from "./pkits.js";

describePkits("PKITS' mails", (folder) => {
  const certificate = (file: string) =>
    parseX509(new Uint8Array(readFileSync(join(folder, "certs", file))));
  const anchors = [certificate("TrustAnchorRootCertificate.crt")];
  const mails = readdirSync(join(folder, "smime")).map((file) => ({
    name: file.replace(/^Signed|\.eml$/g, ""),
    file: join(folder, "smime", file),
  }));

  const judge = async (file: string, demands: Outcome[0]) => {
    try {
      const message = await openSigned(new Uint8Array(readFileSync(file)));
      await message.content.bytes();
      const { signers, certificates, crls } = await message.signatures();
      for (const signer of signers) {
        requireTrusted(signer.certificate, {
          ...{ atMs: AT_MS, use: "any", revocation: "required", anchors, ...demands },
          others: certificates,
          crls: crls.map(parseCrl),
        });
      }
      return signers.length === 1 ? "valid" : `${signers.length} signers`;
    } catch (error) {
      if (error instanceof P11SealError) return error.message;
      throw error;
    }
  };

  it("are 224", () => {
    expect(mails).toHaveLength(224);
  });

  it.each(mails.map(({ name, file }) => [name, file] as const))("%s", async (name, file) => {
    const outcomes = outcomesOf(ALIASES[name] ?? name);
    expect(outcomes).not.toHaveLength(0);
    for (const [demands, valid] of outcomes) {
      const found = await judge(file, demands);
      if (valid && !DSA.includes(name)) expect(found).toBe("valid");
      else expect(found).not.toBe("valid");
    }
  });
});
