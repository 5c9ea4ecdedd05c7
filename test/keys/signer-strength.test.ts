/** A key that is too weak to be sealed to is too weak to sign. */
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import type { PublicKey } from "../../src/keys/key.js";
import { publicKeyFromSpki } from "../../src/keys/public-key.js";
import { requireSigner } from "../../src/keys/signer-strength.js";
import { TEST_KEYS } from "../support/keys.js";
import { codeOf, fixtureText, testKey } from "./support.js";

const keyOf = (pem: string): PublicKey =>
  publicKeyFromSpki(new Uint8Array(createPublicKey(pem).export({ format: "der", type: "spki" })));
const generated = (modulusLength: number, publicExponent = 65_537) =>
  keyOf(
    generateKeyPairSync("rsa", { modulusLength, publicExponent }).publicKey.export({
      format: "pem",
      type: "spki",
    }) as string,
  );

describe("a signer's key", () => {
  it.each(["rsa2048", "p256", "p384", "ed25519"] as const)("of %s is strong enough", (name) => {
    expect(requireSigner(testKey(name))).toMatchObject({ spki: keyOf(TEST_KEYS[name]).spki });
  });

  it.each([
    ["RSA of 1,024 bits", generated(1024), "ERR_WEAK_KEY"],
    ["RSA with an exponent of 3", generated(2048, 3), "ERR_WEAK_KEY"],
    ["RSA with ROCA's fingerprint", keyOf(fixtureText("roca.private.pem")), "ERR_ROCA"],
  ])("(%s) is refused, unless weak keys are allowed", (_what, key, code) => {
    expect(codeOf(() => requireSigner(key))).toBe(code);
    expect(codeOf(() => requireSigner(key, { allowWeak: true }))).toBe("none");
  });

  it.each([
    ["RSA of 768 bits", generated(768), "ERR_KEY_SIZE"],
    ["P-521", testKey("p521"), "ERR_SIGNING_KEY"],
    ["X25519", testKey("x25519"), "ERR_SIGNING_KEY"],
  ])("(%s) is refused in any case", (_what, key, code) => {
    expect(codeOf(() => requireSigner(key))).toBe(code);
    expect(codeOf(() => requireSigner(key, { allowWeak: true }))).toBe(code);
  });
});
