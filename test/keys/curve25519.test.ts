/**
 * The one rule for Ed25519 (docs/format.md §5.1): cofactorless, canonical A and R, s below L, no A
 * of small order; and X25519's canonical u. Held against a second reckoning of the rule
 * (`support/edwards.ts`), over published vectors and over what an attacker would make.
 */
import { createHash, createPublicKey, verify } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { concat, fromHex, toBase64, toHex } from "../../src/bytes.js";
import { parsePublicKey } from "../../src/keys/formats/key-file.js";
import { encodeSpki } from "../../src/keys/formats/spki.js";
import { publicKeyFromEd25519, publicKeyFromX25519 } from "../../src/keys/public-key.js";
import { verifySignature } from "../../src/keys/signing.js";
import {
  add,
  BASE,
  bytesOf,
  decode,
  encode,
  judge,
  NEUTRAL,
  smallOrderPoints,
  times,
} from "../support/edwards.mjs";
import { REFUSES_SMALL_ORDER } from "../support/openssl.js";
import { describeVectors, vectorJson, wycheproof } from "../support/vectors.js";
import { codeOf, fixtureDer, testKey } from "./support.js";

const P = 2n ** 255n - 19n;
const SIGN = 2n ** 255n;
const message = fromHex("00112233");

/** True when the library takes both the key and the signature. */
function taken(publicKey: Uint8Array, text: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verifySignature(publicKeyFromEd25519(publicKey), text, signature);
  } catch {
    return false;
  }
}

describeVectors("published Ed25519 signatures", () => {
  it("of speccheck are taken as the rule says, which takes none of small order", () => {
    interface Case {
      readonly message: string;
      readonly pub_key: string;
      readonly signature: string;
    }
    const cases = vectorJson<Case[]>("ed25519-speccheck/cases.json");
    const small = new Set(smallOrderPoints().map((point) => toHex(encode(point))));
    const verdicts = cases.map((one) => {
      const [key, text, signature] = [one.pub_key, one.message, one.signature].map(fromHex) as [
        Uint8Array,
        Uint8Array,
        Uint8Array,
      ];
      const verdict = judge(key, text, signature);
      const isSmall = small.has(toHex(signature.subarray(0, 32)));
      const expected = verdict === "taken" && !(REFUSES_SMALL_ORDER && isSmall);
      expect([verdict, taken(key, text, signature)]).toEqual([verdict, expected]);
      return verdict;
    });
    // Worked out from the rule; the last two have an R beyond the field.
    expect(verdicts).toEqual([
      ...["small A", "small A", "taken", "taken", "equation", "equation"],
      ...["s", "s", "R", "R"],
    ]);
  });

  it("of Wycheproof are taken where they are valid", () => {
    interface Group {
      readonly publicKey: { readonly pk: string };
    }
    interface Test {
      readonly msg: string;
      readonly sig: string;
    }
    const seen = { valid: 0, invalid: 0, acceptable: 0 };
    for (const { group, test } of wycheproof<Group, Test>("ed25519")) {
      const [key, text] = [fromHex(group.publicKey.pk), fromHex(test.msg)];
      const signature = fromHex(test.sig);
      const valid = test.result === "valid";
      expect([test.tcId, taken(key, text, signature)]).toEqual([test.tcId, valid]);
      if (signature.length === 64) {
        expect([test.tcId, judge(key, text, signature) === "taken"]).toEqual([test.tcId, valid]);
      }
      seen[test.result]++;
    }
    expect(seen.valid).toBeGreaterThan(50);
    expect(seen.invalid).toBeGreaterThan(30);
  });
});

describe("an Ed25519 key", () => {
  const small = smallOrderPoints();

  it("of small order is refused, in every encoding it has", () => {
    expect(new Set(small.map(encode).map(toHex)).size).toBe(8);
    for (const point of small) {
      const canonical = encode(point);
      expect(codeOf(() => publicKeyFromEd25519(canonical))).toBe("ERR_WEAK_KEY");
      const [, y] = point;
      const beyond = y < 19n ? [y + P, (y + P) | SIGN] : [];
      for (const other of [y, y | SIGN, ...beyond]) {
        expect(["ERR_WEAK_KEY", "ERR_POINT"]).toContain(
          codeOf(() => publicKeyFromEd25519(bytesOf(other))),
        );
      }
    }
  });

  it("of small order has signatures that need no private key, which is why", () => {
    // Under the neutral point [s]B = R is all there is to the equation.
    const signature = concat(encode(times(5n, BASE)), bytesOf(5n));
    const neutral = encode(NEUTRAL);
    const spki = Buffer.from(encodeSpki({ type: "ed25519", point: neutral }));
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    expect(verify(null, message, key, signature)).toBe(!REFUSES_SMALL_ORDER);
    expect(taken(neutral, message, signature)).toBe(false);
  });

  it("beyond the field, or off the curve, is refused", () => {
    for (let y = 0n; y < 19n; y++) {
      for (const sign of [0n, SIGN]) {
        expect(["ERR_POINT", "ERR_WEAK_KEY"]).toContain(
          codeOf(() => publicKeyFromEd25519(bytesOf((P + y) | sign))),
        );
      }
    }
    let off = 0;
    for (let y = 2n; y < 200n; y++) {
      const bytes = bytesOf(y);
      const isPoint = decode(bytes) !== null;
      expect([y, codeOf(() => publicKeyFromEd25519(bytes))]).toEqual([
        y,
        isPoint ? "none" : "ERR_POINT",
      ]);
      if (!isPoint) off++;
    }
    expect(off).toBeGreaterThan(50);
  });

  it("is one exactly where the equation of the curve has a solution", () => {
    const verdicts = { none: 0, ERR_POINT: 0 };
    for (let n = 0; n < 400; n++) {
      const bytes = new Uint8Array(createHash("sha256").update(`y ${n}`).digest());
      const expected = decode(bytes) === null ? "ERR_POINT" : "none";
      expect([n, codeOf(() => publicKeyFromEd25519(bytes))]).toEqual([n, expected]);
      verdicts[expected]++;
    }
    expect(verdicts.none).toBeGreaterThan(150);
    expect(verdicts.ERR_POINT).toBeGreaterThan(150);
  });

  it("is judged right where the product of the equation ends in more zeros than a word has", () => {
    // (y² − 1)(d·y² + 1) is a small number times 2^33 or 2^65; these were solved for.
    const solved: readonly (readonly [bigint, string])[] = [
      [0x7284fc102980dd4d12682aa5c843254344696632f2d455e86a532942f238cdc8n, "none"],
      [0x51824f88368ce99e76f308b3adb9006d3be7e9b0ca2fe919284780a16790003cn, "none"],
      [0x28d0295453d1e6d9c0f1183997d8b81ffa761955524425c9cf1ad4f94eabef41n, "ERR_POINT"],
      [0x225b0cc73f31c6c764d8ea2d8d5411c4e1f57cd34b344aa034bc784691d665f6n, "ERR_POINT"],
    ];
    for (const [y, code] of solved) {
      expect(codeOf(() => publicKeyFromEd25519(bytesOf(y)))).toBe(code);
      expect(decode(bytesOf(y)) === null).toBe(code === "ERR_POINT");
    }
  });

  it("of another length is refused", () => {
    for (const length of [0, 31, 33]) {
      expect(codeOf(() => publicKeyFromEd25519(new Uint8Array(length).fill(2)))).toBe("ERR_POINT");
    }
  });

  it("of mixed order is a key: only its holder can sign for it", () => {
    const a = 12345n;
    const [, torsion] = small as [unknown, (typeof small)[number]];
    const publicKey = encode(add(times(a, BASE), torsion));
    expect(codeOf(() => publicKeyFromEd25519(publicKey))).toBe("none");
  });

  it("is refused alike in every form that keys come in", () => {
    const point = encode(small[1] as (typeof small)[number]);
    const spki = encodeSpki({ type: "ed25519", point });
    const ssh = concat(fromHex("0000000b"), Buffer.from("ssh-ed25519"), fromHex("00000020"), point);
    const x = Buffer.from(point).toString("base64url");
    const forms = {
      der: spki,
      pem: `-----BEGIN PUBLIC KEY-----\n${toBase64(spki)}\n-----END PUBLIC KEY-----\n`,
      ssh: `ssh-ed25519 ${toBase64(ssh)} nobody`,
      jwk: JSON.stringify({ kty: "OKP", crv: "Ed25519", x }),
      certificate: certificateWith(spki),
    };
    for (const [form, file] of Object.entries(forms)) {
      const bytes = typeof file === "string" ? Buffer.from(file) : file;
      expect([form, codeOf(() => parsePublicKey(bytes, form))]).toEqual([form, "ERR_WEAK_KEY"]);
    }
  });
});

describe("an X25519 key", () => {
  it("has one encoding: every number from the prime on, and the highest bit, are refused", () => {
    for (let u = 0n; u < 19n; u++) {
      expect(codeOf(() => publicKeyFromX25519(bytesOf(P + u)))).toBe("ERR_POINT");
    }
    for (const u of [9n, P - 1n, P - 2n]) {
      expect(codeOf(() => publicKeyFromX25519(bytesOf(u)))).toBe("none");
      expect(codeOf(() => publicKeyFromX25519(bytesOf(u | SIGN)))).toBe("ERR_POINT");
    }
  });

  it("in another encoding is refused in every form that keys come in", () => {
    const point = bytesOf(9n | SIGN);
    const spki = encodeSpki({ type: "x25519", point });
    const x = Buffer.from(point).toString("base64url");
    const forms = {
      der: spki,
      pem: `-----BEGIN PUBLIC KEY-----\n${toBase64(spki)}\n-----END PUBLIC KEY-----\n`,
      jwk: JSON.stringify({ kty: "OKP", crv: "X25519", x }),
    };
    for (const [form, file] of Object.entries(forms)) {
      const bytes = typeof file === "string" ? Buffer.from(file) : file;
      expect([form, codeOf(() => parsePublicKey(bytes, form))]).toEqual([form, "ERR_POINT"]);
    }
  });
});

/**
 * The Ed25519 fixture with another key in it; its signature no longer holds, which nobody checks.
 */
function certificateWith(spki: Uint8Array): Uint8Array {
  const certificate = fixtureDer("ed25519-sig.crt.pem");
  certificate.set(spki, Buffer.from(certificate).indexOf(testKey("ed25519").spki));
  return certificate;
}
