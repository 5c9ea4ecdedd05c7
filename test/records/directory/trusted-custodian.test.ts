/** Whose re-wrapping counts: a custodian of the directory, accepted by name, valid at that time. */
import { describe, expect, it } from "@jest/globals";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import type { DirectoryEntry } from "../../../src/records/directory/directory.js";
import { trustedCustodian } from "../../../src/records/directory/trusted-custodian.js";
import { publicDer, TEST_KEYS, type TestKeyName } from "../../support/keys.js";
import { DAY, MINUTE, NOW } from "../support/messages.js";

const keyOf = (name: TestKeyName) => publicKeyFromSpki(publicDer(TEST_KEYS[name]));

function entry(
  name: string,
  key: TestKeyName,
  limits: Partial<DirectoryEntry> = {},
): DirectoryEntry {
  return { name, publicKey: keyOf(key), source: "test", addedMs: NOW, ...limits };
}

const vault = entry("vault", "ed25519");
const other = entry("other", "p384");
const record = { publicKey: vault.publicKey, rewrappedMs: NOW - DAY };
const accepting = (...accepted: string[]) => ({ accepted, nowMs: NOW });

function refusal(...call: Parameters<typeof trustedCustodian>): unknown {
  try {
    return trustedCustodian(...call);
  } catch (error) {
    return error;
  }
}

describe("a custodian's record", () => {
  it("counts if the custodian is accepted by name, in either case of letters", () => {
    expect(trustedCustodian([other, vault], record, accepting("OTHER", "Vault"))).toBe(vault);
  });

  it("is refused by default, and by whoever accepts another custodian only", () => {
    for (const options of [accepting(), accepting("other")]) {
      expect(refusal([other, vault], record, options)).toMatchObject({
        code: "ERR_REWRAPPED",
        message: expect.stringContaining('custodian "vault" re-wrapped the message') as unknown,
        hint: expect.stringContaining("--custodian vault") as unknown,
      });
    }
  });

  it("of a key that is no custodian's is refused, with its fingerprint", () => {
    expect(refusal([other], record, accepting("other"))).toMatchObject({
      code: "ERR_REWRAPPED",
      message: expect.stringMatching(/an unknown key, ([0-9a-f]{4} ){15}[0-9a-f]{4},/) as unknown,
      hint: expect.stringContaining("p11seal custodians add") as unknown,
    });
  });

  it("is refused with a hint about an accepted name that nobody has", () => {
    expect(refusal([other], record, accepting("vualt"))).toMatchObject({
      code: "ERR_REWRAPPED",
      hint: expect.stringContaining('no custodian is called "vualt"') as unknown,
    });
  });

  it.each([
    ["ERR_CUSTODIAN_EXPIRED", "had ended", { notAfterMs: NOW - DAY - 1 }],
    ["ERR_CUSTODIAN_NOT_YET_VALID", "had not begun", { notBeforeMs: NOW - DAY + 1 }],
  ])("is refused (%s) if the key's validity %s when it was signed", (code, _what, limits) => {
    const limited = entry("vault", "ed25519", limits);
    expect(refusal([limited], record, accepting("vault"))).toMatchObject({ code });
  });

  it("counts after the key's validity has ended, if it was valid then", () => {
    const limited = entry("vault", "ed25519", { notAfterMs: record.rewrappedMs });
    expect(trustedCustodian([limited], record, accepting("vault"))).toBe(limited);
  });

  it("from the future is refused, beyond what clocks may differ by", () => {
    const later = entry("vault", "ed25519", { notBeforeMs: NOW + DAY });
    const future = { ...record, rewrappedMs: NOW + DAY };
    expect(refusal([later], future, accepting("vault"))).toMatchObject({ code: "ERR_FROM_FUTURE" });
    const soon = { ...record, rewrappedMs: NOW + 5 * MINUTE };
    expect(trustedCustodian([vault], soon, accepting("vault"))).toBe(vault);
    expect(refusal([vault], soon, { ...accepting("vault"), skewMs: 0 })).toMatchObject({
      code: "ERR_FROM_FUTURE",
    });
  });
});
