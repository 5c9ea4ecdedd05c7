/** Which keys can serve which purpose, and what is said of those that can't. */
import { describe, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { around } from "../../src/keys/around.js";
import type { PrivateKey } from "../../src/keys/key.js";
import {
  type Capability,
  type Purpose,
  requireCapability,
  requireKind,
} from "../../src/keys/purpose.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { identityOf } from "../support/identities.js";
import { TEST_KEYS } from "../support/keys.js";
import { decryptOaep, decryptPkcs1, sign, signPkcs1 } from "../support/private-key.js";
import { oaepEncrypt } from "../../src/wrap/rsa-oaep.js";
import { pkcs1Encrypt } from "../../src/wrap/rsa-pkcs1.js";

const NAMES = ["rsa2048", "p256", "p384", "p521", "x25519", "ed25519"] as const;

async function keyOf(name: (typeof NAMES)[number]): Promise<PrivateKey> {
  const purpose = name === "ed25519" ? "sign" : "open";
  return softwareIdentity(TEST_KEYS[name], name, { purpose }).unlock();
}

function codeOf(act: () => unknown): string {
  try {
    act();
    return "";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe.each<[Purpose, Partial<Record<(typeof NAMES)[number], string>>]>([
  ["open", { ed25519: "ERR_SIGN_ONLY" }],
  ["sign", { p521: "ERR_SIGNING_KEY", x25519: "ERR_SIGNING_KEY" }],
  ["capi-open", Object.fromEntries(NAMES.slice(1).map((name) => [name, "ERR_KEY_TYPE"]))],
  ["capi-sign", Object.fromEntries(NAMES.slice(1).map((name) => [name, "ERR_KEY_TYPE"]))],
])("a key to %s", (purpose, refusals) => {
  it.each(NAMES)("may be of the kind %s, or is refused with its code", async (name) => {
    const { publicKey } = await keyOf(name);
    expect(codeOf(() => requireKind(publicKey, purpose, "the key"))).toBe(refusals[name] ?? "");
  });

  it.each(NAMES)("in a file is held to the same: %s", (name) => {
    const expected = (refusals[name] ?? "").replace("ERR_KEY_TYPE", "ERR_PRIVATE_KEY");
    expect(codeOf(() => softwareIdentity(TEST_KEYS[name], "f.pem", { purpose }))).toBe(expected);
  });
});

describe("a private key in memory", () => {
  const CAN: Readonly<Record<(typeof NAMES)[number], readonly Capability[]>> = {
    rsa2048: ["oaep", "decryptPkcs1", "sign", "signPkcs1"],
    p256: ["agree", "sign"],
    p384: ["agree", "sign"],
    p521: ["agree"],
    x25519: ["agree"],
    ed25519: ["sign"],
  };
  const all: readonly Capability[] = ["oaep", "decryptPkcs1", "agree", "sign", "signPkcs1"];

  it.each(NAMES)("of kind %s has a member for what it can do, and no other", async (name) => {
    const key = await keyOf(name);
    expect(all.filter((capability) => key[capability] !== undefined)).toEqual(CAN[name]);
    for (const capability of all) {
      const code = codeOf(() => requireCapability(key, capability));
      const wanted = capability === "sign" ? "ERR_SIGNING_KEY" : "ERR_KEY_TYPE";
      expect([capability, code]).toEqual([
        capability,
        CAN[name].includes(capability) ? "" : wanted,
      ]);
    }
  });

  it("whose holder lacks what its kind could do is told apart", async () => {
    const { publicKey } = await keyOf("rsa2048");
    const lame: PrivateKey = { publicKey };
    for (const capability of ["oaep", "decryptPkcs1", "sign", "signPkcs1"] as const) {
      expect(codeOf(() => requireCapability(lame, capability))).toBe("ERR_MECHANISM");
    }
  });
});

describe("what happens around an unlock", () => {
  it("comes in order: before, the unlock itself, after; a failure before stops it", async () => {
    const events: string[] = [];
    const inner = {
      ...identityOf("p256"),
      unlock: () => (events.push("unlock"), identityOf("p256").unlock()),
    };
    const waiting = around(inner, {
      before: async () => {
        await Promise.resolve();
        events.push("before");
      },
      after: () => {
        events.push("after");
      },
    });
    await waiting.unlock();
    expect(events).toEqual(["before", "unlock", "after"]);
    const refused = around(inner, { before: () => Promise.reject(new Error("no")) });
    await expect(refused.unlock()).rejects.toThrow("no");
    expect(events.length).toBe(3);
  });

  it("is watched for every decryption and agreement, and changes no result", async () => {
    const paths: string[] = [];
    const inner = await identityOf("rsa2048").unlock();
    const told: PrivateKey = {
      ...inner,
      oaep: {
        ...requireCapability(inner, "oaep"),
        decrypt: (ciphertext, parameters, options) => {
          options?.using?.("by oaep");
          return requireCapability(inner, "oaep").decrypt(ciphertext, parameters, options);
        },
      },
      decryptPkcs1: (ciphertext, options) => {
        options?.using?.("by pkcs1");
        return requireCapability(inner, "decryptPkcs1")(ciphertext, options);
      },
    };
    const { publicKey } = inner;
    const identity = { publicKey, name: "told", unlock: () => Promise.resolve(told) };
    const key = await around(identity, { using: (path) => paths.push(path) }).unlock();
    const { object } = publicKey;
    const secret = ascii("sixteen bytes...");
    const sealed = oaepEncrypt(object, secret, { hash: "sha256" });
    expect(new Uint8Array((await decryptOaep(key, sealed, "sha256"))?.expose() ?? [])).toEqual(
      secret,
    );
    expect((await decryptPkcs1(key, pkcs1Encrypt(object, secret)))?.expose()).toEqual(secret);
    expect(paths).toEqual(["by oaep", "by pkcs1"]);
    expect((await sign(key, secret)).length).toBe(256);
    expect((await signPkcs1(key, secret)).length).toBe(256);
  });
});
