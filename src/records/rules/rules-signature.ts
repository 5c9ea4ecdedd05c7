/**
 * The signature of a rules file, in a file of its own beside it: one line of JSON, made as receipts
 * are. It covers the hash of the rules and their version, so that whoever keeps the highest version
 * seen (`rules-seen.ts`) notices rules that are put back.
 */
import { createHash } from "node:crypto";
import { equal, fromHex, toHex } from "../../bytes.js";
import { PolicyError } from "../../errors.js";
import type { PrivateKey, SigningPublicKey } from "../../keys/key.js";
import { count, HEX_32 } from "../fields.js";
import { readSignedLine, signedLine, type LineForm } from "../signed-line.js";

/** What the name of a signature's file has after the name of the rules. */
export const SIGNATURE_SUFFIX = ".sig";
/** The longest signature, bytes: room for the largest RSA key and signature. */
export const MAX_SIGNATURE_BYTES = 16_384;

export interface RulesSignature {
  /** The rules' own version. */
  readonly version: number;
  /** SHA-256 of the rules file, hexadecimal. */
  readonly rulesSha256: string;
  /** When the rules were signed, milliseconds since 1970-01-01T00:00Z. */
  readonly signedMs: number;
}

/** 32 bytes. */
export function rulesHash(rules: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(rules).digest());
}

/** A line of text. @throws as `signedLine` */
export function signRules(
  rules: Uint8Array,
  statement: Omit<RulesSignature, "rulesSha256">,
  signer: SigningPublicKey,
  key: PrivateKey,
): Promise<Uint8Array> {
  const rulesSha256 = toHex(rulesHash(rules));
  return signedLine(FORM, { ...statement, rulesSha256 }, signer, key);
}

/**
 * What the signature over these rules says. Anyone can sign: whose it is, the caller checks.
 *
 * @throws PolicyError `ERR_RULES_SIGNATURE`
 */
export function verifyRulesSignature(
  signature: Uint8Array,
  rules: Uint8Array,
): RulesSignature & { readonly signer: SigningPublicKey } {
  const signed = readRulesSignature(signature);
  if (!equal(fromHex(signed.rulesSha256), rulesHash(rules))) {
    throw wrong("the rules were changed after they were signed");
  }
  return signed;
}

/**
 * The same, of whichever rules it is.
 *
 * @throws PolicyError `ERR_RULES_SIGNATURE`
 */
export function readRulesSignature(
  signature: Uint8Array,
): RulesSignature & { readonly signer: SigningPublicKey } {
  const { statement, signer } = readSignedLine(FORM, signature);
  return { ...statement, signer };
}

// ── Details ──

const FORM: LineForm<RulesSignature> = {
  type: "p11seal rules v1",
  label: "p11seal/v1 rules",
  fields: [
    ["version", count],
    ["rulesSha256", HEX_32],
    ["signedMs", count],
  ],
  signer: "signer",
  maxBytes: MAX_SIGNATURE_BYTES,
  malformed: (fact) => wrong(`not a signature over rules: ${fact}`),
  forged: () => wrong("the signature over the rules is invalid"),
};

function wrong(fact: string): PolicyError {
  return new PolicyError("ERR_RULES_SIGNATURE", fact, {
    hint: "ask whoever keeps the rules; they sign them with: p11seal rules sign",
  });
}
