/** NIST's PKITS: where it is, and what each of its tests asks and wants. */
import { describe } from "@jest/globals";
import type { PolicyDemands } from "../../src/trust/path-validation.js";
import { skipped } from "../support/missing.js";

/**
 * A suite over the folder with `certs`, `crls` and `smime`; where it is missing, one skipped test
 * that says so.
 */
export function describePkits(name: string, suite: (folder: string) => void): void {
  const { TEST_PKITS: folder, TEST_PKITS_MISSING: why = "TEST_PKITS is not set" } = process.env;
  if (folder === undefined) skipped(name, why);
  else {
    describe(name, () => {
      suite(folder);
    });
  }
}

/** A time when all that is meant to be valid is. */
export const AT_MS = Date.UTC(2015, 0, 1);

const POLICY = (number: number): string => `2.16.840.1.101.3.2.1.48.${number}`;
const only = (...numbers: number[]): PolicyDemands => ({
  policies: numbers.map(POLICY),
  requirePolicy: true,
});
const explicit: PolicyDemands = { requirePolicy: true };

export type Outcome = readonly [demands: PolicyDemands, valid: boolean];

/** Tests with settings of their own, or whose names don't say what comes out (§4.8 to §4.12). */
const SETTINGS: Readonly<Record<string, readonly Outcome[]>> = {
  ValidCertificatePathTest1: [
    [{}, true],
    [explicit, true],
    [only(1), true],
    [only(2), false],
    [only(1, 2), true],
  ],
  AllCertificatesNoPoliciesTest2: [
    [{}, true],
    [explicit, false],
  ],
  DifferentPoliciesTest3: [
    [{}, true],
    [explicit, false],
    [only(1, 2), false],
  ],
  DifferentPoliciesTest4: [[{}, false]],
  DifferentPoliciesTest5: [[{}, false]],
  OverlappingPoliciesTest6: [
    [{}, true],
    [only(1), true],
    [only(2), false],
  ],
  DifferentPoliciesTest7: [[{}, false]],
  DifferentPoliciesTest8: [[{}, false]],
  DifferentPoliciesTest9: [[{}, false]],
  AllCertificatesSamePoliciesTest10: [
    [{}, true],
    [only(1), true],
    [only(2), true],
  ],
  AllCertificatesanyPolicyTest11: [
    [{}, true],
    [only(1), true],
  ],
  DifferentPoliciesTest12: [[{}, false]],
  AllCertificatesSamePoliciesTest13: [
    [only(1), true],
    [only(2), true],
    [only(3), true],
  ],
  AnyPolicyTest14: [
    [only(1), true],
    [only(2), false],
  ],
  UserNoticeQualifierTest15: [[{}, true]],
  UserNoticeQualifierTest16: [[{}, true]],
  UserNoticeQualifierTest17: [[{}, true]],
  UserNoticeQualifierTest18: [
    [only(1), true],
    [only(2), true],
  ],
  UserNoticeQualifierTest19: [[{}, true]],
  CPSPointerQualifierTest20: [[{}, true]],
  ValidPolicyMappingTest1: [
    [only(1), true],
    [only(2), false],
    [{ ignoreMappings: true, requirePolicy: true }, false],
  ],
  InvalidPolicyMappingTest2: [
    [{}, false],
    [{ ignoreMappings: true }, false],
  ],
  ValidPolicyMappingTest3: [
    [only(1), false],
    [only(2), true],
  ],
  ValidPolicyMappingTest5: [
    [only(1), true],
    [only(6), false],
  ],
  ValidPolicyMappingTest6: [
    [only(1), true],
    [only(6), false],
  ],
  ValidPolicyMappingTest12: [
    [only(1), true],
    [only(2), true],
  ],
  inhibitAnyPolicyTest3: [
    [{}, true],
    [{ ignoreAnyPolicy: true }, false],
  ],
};

/** DSA: refused, so the two valid ones count as exceptions, and no other test is lost. */
export const DSA = ["ValidDSASignaturesTest4", "ValidDSAParameterInheritanceTest5"];

/** What a test asks and wants, by its certificate's name; nothing for other certificates. */
export function outcomesOf(name: string): readonly Outcome[] {
  const [, validity] = /^(Valid|Invalid).*Test\d+$/.exec(name) ?? [];
  return SETTINGS[name] ?? (validity === undefined ? [] : [[{}, validity === "Valid"]]);
}

/** Mails whose names are not those of their certificates. */
export const ALIASES: Readonly<Record<string, string>> = {
  AllCertificatesAnyPolicyTest11: "AllCertificatesanyPolicyTest11",
  AllCertificatesSamePolicyTest1: "ValidCertificatePathTest1",
  MissingCRLTest1: "InvalidMissingCRLTest1",
};
