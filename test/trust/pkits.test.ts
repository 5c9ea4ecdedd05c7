/**
 * NIST's Public Key Interoperability Test Suite (PKITS, version 1.0.1): paths of certificates with
 * revocation lists, valid or not. All 405 certificates and 173 lists are at hand for each of them,
 * so the path has to be found as well.
 *
 * Debian packages the data (python3-cryptography-vectors); `npm test` gets it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "@jest/globals";
import { FormatError, PolicyError } from "../../src/errors.js";
import type { PolicyDemands } from "../../src/trust/path-validation.js";
import { requireTrusted } from "../../src/trust/trust.js";
import { parseX509, type Certificate } from "../../src/x509/certificate.js";
import { parseCrl } from "../../src/x509/crl.js";
import { AT_MS, describePkits, DSA, outcomesOf } from "./pkits.js";

describePkits("PKITS", (folder) => {
  const files = (name: string) =>
    readdirSync(join(folder, name)).map((file) => ({
      name: file.replace(/(?:EE)?\.(?:crt|crl)$/, ""),
      bytes: new Uint8Array(readFileSync(join(folder, name, file))),
    }));
  const named = files("certs");
  const certificates = new Map(
    named.flatMap(({ name, bytes }) => {
      return readable(name, bytes, parseX509).map((certificate) => [name, certificate]);
    }),
  );
  const crls = files("crls").flatMap(({ name, bytes }) => readable(name, bytes, parseCrl));
  const anchors = [certificates.get("TrustAnchorRootCertificate") as Certificate];
  const others = [...certificates.values()];

  const judge = (name: string, demands: PolicyDemands): string => {
    const certificate = certificates.get(name);
    if (certificate === undefined) return "unreadable";
    try {
      requireTrusted(certificate, { atMs: AT_MS, anchors, others, crls, use: "any", ...demands });
      return "valid";
    } catch (error) {
      if (error instanceof PolicyError) return error.message;
      throw error;
    }
  };

  const cases = named.flatMap(({ name }) => {
    return outcomesOf(name).map((outcome) => [name, ...outcome] as const);
  });

  it("has the cases that were counted", () => {
    expect(cases.length).toBe(247);
  });

  it.each(
    cases.map(([name, demands, valid]) => [name, JSON.stringify(demands), valid, demands] as const),
  )("%s with %s: valid is %s", (name, _, valid, demands) => {
    const found = judge(name, demands);
    if (valid && !DSA.includes(name)) expect(found).toBe("valid");
    else expect(found).not.toBe("valid");
    if (DSA.includes(name)) expect(found).toMatch(/DSA/);
  });
});

/** Three signatures were damaged so that they are no BIT STRING of whole bytes. */
function readable<T>(name: string, bytes: Uint8Array, parse: (bytes: Uint8Array) => T): T[] {
  try {
    return [parse(bytes)];
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const damaged = ["BadSignedCACert", "InvalidDSASignatureTest6", "BadCRLSignatureCACRL"];
    expect(damaged).toContain(name);
    return [];
  }
}
