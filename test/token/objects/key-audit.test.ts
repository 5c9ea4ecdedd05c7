/** Cases that softhsm.test.ts can't put on a token: weak keys, and undisclosed attributes. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { fromHex } from "../../../src/bytes.js";
import type { SinglePublicKey } from "../../../src/keys/key.js";
import { publicKeyFromRsa, publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { auditKey, auditPublicHalf } from "../../../src/token/objects/key-audit.js";
import type { TokenDetails } from "../../../src/token/session/token-info.js";
import type { Session } from "../../../src/token/session/session.js";
import type { KeyInfo } from "../../../src/token/values.js";
import { describeVectors, vectorJson } from "../../support/vectors.js";

function singleKey(spki: Uint8Array): SinglePublicKey {
  return publicKeyFromSpki(spki) as SinglePublicKey;
}

/** A session on a token with one private key that has these attributes. */
function sessionWith(flags: Readonly<Record<string, boolean>>): Session {
  return {
    find: () => [Buffer.alloc(8)],
    flag: (_object: Buffer, name: string) => flags[name],
    number: () => undefined,
    bytes: () => undefined,
    text: () => "",
  } as unknown as Session;
}

function keyWith(publicKey: KeyInfo["publicKey"]): KeyInfo {
  const about = { label: "k", id: Uint8Array.of(1), uses: ["sign"], token: { label: "t" } };
  return { ...about, publicKey } as unknown as KeyInfo;
}

/** A token of these names. */
function details(names: Names = {}): TokenDetails {
  const { manufacturer = "", model = "", description = "", firmware = [0, 0] } = names;
  const [major, minor] = firmware;
  return {
    info: { manufacturer, model },
    slot: { description, manufacturer: "" },
    firmware: { major, minor },
  } as TokenDetails;
}

interface Names {
  readonly manufacturer?: string;
  readonly model?: string;
  readonly description?: string;
  readonly firmware?: readonly [number, number];
}

function rules(session: Session, publicKey: KeyInfo["publicKey"], names?: Names): string[] {
  const findings = auditKey(session, keyWith(publicKey), details(names));
  return findings.map(({ rule, severity }) => `${severity} ${rule}`);
}

const sound = { SENSITIVE: true, EXTRACTABLE: false };

it("an RSA key below 2,048 bits is a danger", () => {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
  expect(rules(sessionWith(sound), singleKey(spki))).toEqual(["danger weak-rsa"]);
});

it("a token that hides whether a key may leave it is not trusted on that", () => {
  expect(rules(sessionWith({}), undefined)).toEqual(["warning not-told"]);
  expect(rules(sessionWith(sound), undefined)).toEqual([]);
});

describe("EUCLEAK", () => {
  const spki = (key: KeyObject): Uint8Array =>
    new Uint8Array(key.export({ type: "spki", format: "der" }));
  const ec = singleKey(spki(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey));
  const ed25519 = singleKey(spki(generateKeyPairSync("ed25519").publicKey));
  const yubico = "Yubico (www.yubico.com)";

  it.each<[string, Names, boolean]>([
    ["5.4.3, as Yubico writes it", { manufacturer: yubico, firmware: [5, 43] }, true],
    ["5.4", { manufacturer: yubico, model: "YubiKey YK5", firmware: [5, 4] }, true],
    ["4.3.7", { manufacturer: yubico, model: "YubiKey YK4", firmware: [4, 37] }, true],
    ["5.7.1, as Yubico writes it", { manufacturer: yubico, firmware: [5, 71] }, false],
    ["5.7", { manufacturer: yubico, firmware: [5, 7] }, false],
    ["6.0", { manufacturer: yubico, firmware: [6, 0] }, false],
    ["in a reader, of unknown firmware", { description: "Yubico YubiKey OTP+FIDO+CCID 00" }, true],
    ["a YubiHSM 2.3.2", { manufacturer: yubico, model: "YubiHSM", firmware: [2, 32] }, true],
    ["a YubiHSM 2.4.0", { manufacturer: yubico, model: "YubiHSM", firmware: [2, 40] }, false],
    ["a TPM", { manufacturer: "Infineon", model: "SLB9670" }, true],
    ["a TPM by its maker's number", { manufacturer: "IFX", model: "" }, true],
    ["a card by its chip", { manufacturer: "ACME", model: "JCOP SLE 78" }, true],
    ["another TPM", { manufacturer: "STMicro", model: "ST33" }, false],
    ["SoftHSM", { manufacturer: "SoftHSM project", model: "SoftHSM v2" }, false],
  ])("is a warning for a key that signs on a device that leaks: %s", (_what, names, leaks) => {
    const expected = leaks ? ["warning eucleak"] : [];
    expect(rules(sessionWith({ ...sound, SIGN: true }), ec, names)).toEqual(expected);
    // Without a PIN, the public half says what it is for.
    const shown = auditPublicHalf(keyWith(ec), details(names));
    expect(shown.map(({ rule }) => rule)).toEqual(leaks ? ["eucleak"] : []);
  });

  it("is none for keys that derive, or sign with another algorithm", () => {
    const leaking = { manufacturer: yubico, firmware: [5, 43] } as const;
    expect(rules(sessionWith({ ...sound, SIGN: false }), ec, leaking)).toEqual([]);
    expect(rules(sessionWith({ ...sound, SIGN: true }), ed25519, leaking)).toEqual([]);
  });
});

describeVectors("ROCA", () => {
  it("is a danger wherever the fingerprint matches, and nowhere else", () => {
    const { vectors } = vectorJson<{
      vectors: { bits: number; modulus: string; roca: boolean }[];
    }>("roca/roca.json");
    const large = vectors.filter(({ bits }) => bits >= 2048);
    expect(new Set(large.map(({ roca }) => roca)).size).toBe(2);
    for (const { modulus, roca } of large) {
      const publicKey = publicKeyFromRsa(fromHex(modulus), Uint8Array.of(1, 0, 1));
      expect(rules(sessionWith(sound), publicKey)).toEqual(roca ? ["danger roca"] : []);
    }
  });
});
