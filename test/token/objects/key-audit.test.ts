/** Cases that softhsm.test.ts can't put on a token: weak keys, and undisclosed attributes. */
import { generateKeyPairSync } from "node:crypto";
import { expect, it } from "@jest/globals";
import { fromHex } from "../../../src/bytes.js";
import { publicKeyFromRsa, publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { auditKey } from "../../../src/token/objects/key-audit.js";
import type { Session } from "../../../src/token/session/session.js";
import type { KeyInfo } from "../../../src/token/values.js";
import { describeVectors, vectorJson } from "../../support/vectors.js";

/** A session on a token with one private key that has these attributes. */
function sessionWith(flags: Readonly<Record<string, boolean>>): Session {
  return {
    find: () => [Buffer.alloc(8)],
    flag: (_object: Buffer, name: string) => flags[name],
    number: () => undefined,
  } as unknown as Session;
}

function keyWith(publicKey: KeyInfo["publicKey"]): KeyInfo {
  return { label: "k", id: Uint8Array.of(1), publicKey, token: { label: "t" } } as KeyInfo;
}

function rules(session: Session, publicKey: KeyInfo["publicKey"]): string[] {
  return auditKey(session, keyWith(publicKey)).map(({ rule, severity }) => `${severity} ${rule}`);
}

const sound = { SENSITIVE: true, EXTRACTABLE: false };

it("an RSA key below 2,048 bits is a danger", () => {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
  expect(rules(sessionWith(sound), publicKeyFromSpki(spki))).toEqual(["danger weak-rsa"]);
});

it("a token that hides whether a key may leave it is not trusted on that", () => {
  expect(rules(sessionWith({}), undefined)).toEqual(["warning not-told"]);
  expect(rules(sessionWith(sound), undefined)).toEqual([]);
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
