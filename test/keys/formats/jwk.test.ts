import { createPrivateKey } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { formatJwk, parseJwk } from "../../../src/keys/formats/jwk.js";
import { requireExchange } from "../../../src/keys/recipient-strength.js";
import { TEST_KEYS } from "../../support/keys.js";
import { describeVectors, wycheproof } from "../../support/vectors.js";
import { ALL_KEY_NAMES, codeOf, refusal, testKey } from "../support.js";

type Json = Record<string, unknown>;

function jwkOf(name: keyof typeof TEST_KEYS): Json {
  return testKey(name).object.export({ format: "jwk" });
}

function parse(jwk: unknown): ReturnType<typeof parseJwk> {
  return parseJwk(JSON.stringify(jwk));
}

describe("a JWK that is no public key", () => {
  it.each(ALL_KEY_NAMES)(
    "%s with its private members is refused, and they are not quoted",
    (name) => {
      const jwk = createPrivateKey(TEST_KEYS[name]).export({ format: "jwk" }) as Json;
      const { code, text } = refusal(() => parse(jwk));
      expect(code).toBe("ERR_PRIVATE_KEY_AS_RECIPIENT");
      expect(text).not.toContain((jwk["d"] as string).slice(0, 8));
    },
  );

  it.each(["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])(
    "a private member %s is refused, even when it is empty",
    (member) => {
      expect(codeOf(() => parse({ ...jwkOf("rsa2048"), [member]: "" }))).toBe(
        "ERR_PRIVATE_KEY_AS_RECIPIENT",
      );
    },
  );

  it("is one, though every member that it lacks is there as null or an empty list", () => {
    const absent = [null, []];
    const names = ["alg", "use", "key_ops", "keys", "d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    for (const value of absent) {
      const members = Object.fromEntries(names.map((name) => [name, value]));
      const found = parse({ ...jwkOf("rsa2048"), ...members });
      expect(found).toEqual({ publicKey: testKey("rsa2048"), signOnly: false });
    }
    expect(codeOf(() => parse({ ...jwkOf("rsa2048"), n: null }))).toBe("ERR_JWK");
    expect(codeOf(() => parse({ ...jwkOf("p256"), d: [null] }))).toBe(
      "ERR_PRIVATE_KEY_AS_RECIPIENT",
    );
  });

  it("broken JSON with a private key in it is not quoted", () => {
    const { code, text } = refusal(() => parseJwk('{"kty":"EC","d":"c2VjcmV0LXNlY3JldA", }x'));
    expect(code).toBe("ERR_JWK");
    expect(text).not.toMatch(/c2Vj|kty/);
  });

  it.each([
    ["a list", "[]"],
    ["null", "null"],
    ["a text", '"EC"'],
    ["a JWK with something after it", `${JSON.stringify(jwkOf("p256"))} {}`],
  ])("%s is refused", (_, text) => {
    expect(codeOf(() => parseJwk(text))).toBe("ERR_JWK");
  });

  it("a set of keys is refused as one", () => {
    expect(codeOf(() => parse({ keys: [jwkOf("p256")] }))).toBe("ERR_KEY_TYPE");
  });
});

describe("a JWK's members", () => {
  it.each([
    ["no kty", { kty: undefined }],
    ["kty that is no text", { kty: 1 }],
    ["no y", { y: undefined }],
    ["y as a list", { y: ["a"] }],
    ["padding", { x: `${String(jwkOf("p256")["x"])}=` }],
    ["plain base64 characters", { x: `${String(jwkOf("p256")["x"]).slice(0, -2)}+/` }],
    ["a coordinate a byte short", { x: "AAAA" }],
    ["a coordinate with a zero in front", { x: Buffer.alloc(33, 1).toString("base64url") }],
  ])("an EC key with %s is refused", (_, change) => {
    expect(codeOf(() => parse({ ...jwkOf("p256"), ...change }))).toBe("ERR_JWK");
  });

  it("bits left over at the end of base64url are refused", () => {
    // 32 bytes leave two bits of the last character unused.
    const x = String(jwkOf("x25519")["x"]);
    const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const sloppy = x.slice(0, -1) + (last[last.indexOf(x.at(-1) as string) + 1] as string);
    expect(codeOf(() => parse({ ...jwkOf("x25519"), x: sloppy }))).toBe("ERR_JWK");
  });

  it("an RSA number with a zero in front is refused", () => {
    const n = Buffer.from(String(jwkOf("rsa2048")["n"]), "base64url");
    const padded = Buffer.concat([Buffer.alloc(1), n]).toString("base64url");
    expect(codeOf(() => parse({ ...jwkOf("rsa2048"), n: padded }))).toBe("ERR_JWK");
    expect(codeOf(() => parse({ ...jwkOf("rsa2048"), e: "AAEAAQ" }))).toBe("ERR_JWK");
  });

  it("a point off the curve is refused", () => {
    const { x, ...rest } = jwkOf("p256");
    expect(codeOf(() => parse({ ...rest, x: rest["y"], y: x }))).toBe("ERR_POINT");
  });

  it.each([
    ["an unknown kty", { kty: "AKP" }],
    ["a symmetric kty", { kty: "oct" }],
    ["secp256k1", { crv: "secp256k1" }],
    ["a curve of another kty", { crv: "X25519" }],
  ])("%s is refused by its kind", (_, change) => {
    expect(codeOf(() => parse({ ...jwkOf("p256"), ...change }))).toBe("ERR_KEY_TYPE");
  });

  it("a key type with control characters never reaches the message", () => {
    expect(refusal(() => parse({ kty: "\u001b[2J" })).text).not.toContain("\u001b");
  });

  it("members inherited from Object don't count", () => {
    expect(codeOf(() => parseJwk('{"__proto__":{"kty":"EC"}}'))).toBe("ERR_JWK");
  });

  it("a shuffled or mistyped JWK is refused with a code, never with another kind of error", () => {
    const members = fc.record(
      {
        kty: fc.constantFrom("RSA", "EC", "OKP", 1, null),
        crv: fc.constantFrom("P-256", "P-384", "X25519", "Ed25519", {}, []),
        n: fc.base64String(),
        e: fc.constantFrom("AQAB", "", "AQ", 65537),
        x: fc.base64String(),
        y: fc.base64String(),
        alg: fc.constantFrom("RSA-OAEP", 1, "toString"),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(members, (jwk) => {
        expect(codeOf(() => parse(jwk))).toMatch(/^ERR_|^none$/);
      }),
    );
  });
});

describe("a JWK's public key", () => {
  it.each(ALL_KEY_NAMES)("%s as OpenSSL writes it is read", (name) => {
    expect(parse(jwkOf(name)).publicKey.spki).toEqual(testKey(name).spki);
  });

  it.each([
    ["RSA-OAEP", "sha1"],
    ["RSA-OAEP-256", "sha256"],
    ["RSA-OAEP-384", "sha384"],
    ["RSA-OAEP-512", "sha512"],
  ] as const)("alg %s is the OAEP record %s, both ways", (alg, oaep) => {
    expect(parse({ ...jwkOf("rsa2048"), alg }).oaep).toBe(oaep);
    expect(JSON.parse(formatJwk(testKey("rsa2048"), oaep))).toMatchObject({ alg });
  });

  it.each(["RSA1_5", "RS256", "constructor"])("alg %s is no OAEP record", (alg) => {
    expect(parse({ ...jwkOf("rsa2048"), alg })).not.toHaveProperty("oaep");
  });

  it.each([
    ["use sig", { use: "sig" }, true],
    ["key_ops verify", { key_ops: ["verify"] }, true],
    ["alg ES256", { alg: "ES256" }, true],
    ["use enc", { use: "enc" }, false],
    ["key_ops deriveBits", { key_ops: ["deriveBits"] }, false],
    ["alg ECDH-ES", { alg: "ECDH-ES" }, false],
    ["nothing", {}, false],
  ])("%s tells what the key is for", (_, change, signOnly) => {
    expect(parse({ ...jwkOf("p256"), ...change }).signOnly).toBe(signOnly);
  });

  it("is written without private members and on one line", () => {
    for (const name of ALL_KEY_NAMES) {
      const text = formatJwk(testKey(name));
      expect(text).not.toContain("\n");
      expect(Object.keys(JSON.parse(text) as Json).sort()).toEqual(
        [...Object.keys(jwkOf(name)), "kid", "use"].sort(),
      );
    }
  });

  it("the thumbprint is RFC 7638's", () => {
    // RFC 7638 §3.1.
    const n =
      "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
      "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
      "SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    const { publicKey } = parse({ kty: "RSA", n, e: "AQAB", alg: "RS256", kid: "2011-04-29" });
    expect(JSON.parse(formatJwk(publicKey))).toHaveProperty(
      "kid",
      "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
    );
  });
});

describeVectors("Wycheproof, JSON Web Keys", () => {
  interface Group {
    readonly private: { readonly keys: readonly Json[] };
    readonly public?: { readonly keys: readonly Json[] };
  }
  const keys = wycheproof<Group, object>("json_web_key").map(({ group, test }) => ({
    name: `${test.tcId} ${test.comment}`,
    comment: test.comment,
    result: test.result,
    group,
  }));

  it.each(keys)("$name: no private or symmetric key is taken for a recipient", ({ group }) => {
    for (const jwk of group.private.keys) {
      const secret = "d" in jwk || "k" in jwk;
      if (secret) expect(codeOf(() => parse(jwk))).toBe("ERR_PRIVATE_KEY_AS_RECIPIENT");
    }
  });

  it.each(["rejects1024bitRsaKey", "rejectsPublicExponent1"])("%s", (comment) => {
    const found = keys.find((key) => key.comment === comment);
    const jwk = found?.group.public?.keys[0];
    expect(codeOf(() => requireExchange(parse(jwk).publicKey))).toMatch(/^ERR_(?:KEY|WEAK_KEY)$/);
  });

  it("a key whose point is not on its curve, or of another curve or type, is refused", () => {
    const modified = keys.filter(
      ({ group }) => group.public !== undefined && isModified(group.public.keys[0]),
    );
    expect(modified.length).toBeGreaterThanOrEqual(3);
    for (const { group } of modified) {
      expect(codeOf(() => parse(group.public?.keys[0]))).toMatch(/^ERR_(?:JWK|POINT)$/);
    }
  });

  /** The suite's P-256 key with another y, curve or kty. */
  function isModified(jwk: Json | undefined): boolean {
    const original = { kty: "EC", crv: "P-256", y: "UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw" };
    if (jwk?.["x"] !== "04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY") return false;
    return Object.entries(original).some(([member, value]) => jwk[member] !== value);
  }
});
