/** The plan, case by case: flags, attributes and manufacturer in, ways out (docs/tokens.md). */
import { describe, expect, it } from "@jest/globals";
import { planFor, planLines, type Situation, stepsToTry } from "../../../src/token/use/plan.js";
import { type Maker, type Quirk, quirksOf } from "../../../src/token/use/quirks.js";

const DECRYPT = 0x200;
const SIGN = 0x800;
const UNWRAP = 0x4_0000;
const DERIVE = 0x8_0000;

function maker(library: string, manufacturer: string, model: string, version = [0, 0]): Maker {
  const [major = 0, minor = 0] = version;
  return {
    library: { manufacturer: library, description: "" },
    manufacturer,
    model,
    firmware: { major, minor },
  };
}

/** How the libraries on Debian 12 name themselves and their tokens. */
const MAKERS = {
  softhsm: maker("SoftHSM", "SoftHSM project", "SoftHSM v2", [2, 6]),
  ock: maker("IBM", "IBM", "Soft"),
  tpm: maker("tpm2-software.github.io", "IBM", "SW   TPM"),
  nss: maker("Mozilla Foundation", "Mozilla Foundation", "NSS 3"),
  opensc: maker("OpenSC Project", "piv_II", "PKCS#15 emulated"),
  "p11-kit": maker("PKCS#11 Kit", "SoftHSM project", "SoftHSM v2", [2, 6]),
} as const;

/** docs/tokens.md: mechanisms, as reported. */
const MECHANISMS: Readonly<Record<keyof typeof MAKERS, Situation["mechanisms"]>> = {
  softhsm: {
    RSA_PKCS_OAEP: DECRYPT | UNWRAP,
    RSA_X_509: DECRYPT | SIGN,
    ECDH1_DERIVE: DERIVE,
    ECDSA: SIGN,
    EDDSA: SIGN,
    RSA_PKCS_PSS: SIGN,
  },
  ock: {
    RSA_PKCS_OAEP: DECRYPT | UNWRAP,
    RSA_X_509: DECRYPT | UNWRAP | SIGN,
    RSA_PKCS_PSS: SIGN,
  },
  tpm: { RSA_PKCS_OAEP: DECRYPT, RSA_X_509: DECRYPT, ECDSA: SIGN },
  nss: {
    RSA_PKCS_OAEP: DECRYPT | UNWRAP,
    RSA_X_509: DECRYPT | UNWRAP | SIGN,
    ECDH1_DERIVE: DERIVE,
    ECDSA: SIGN,
    RSA_PKCS_PSS: SIGN,
  },
  opensc: {
    RSA_PKCS_OAEP: DECRYPT,
    RSA_X_509: DECRYPT | SIGN,
    ECDH1_DERIVE: DERIVE,
    ECDSA: SIGN,
    RSA_PKCS_PSS: SIGN,
  },
  "p11-kit": { RSA_PKCS_OAEP: DECRYPT | UNWRAP, RSA_X_509: DECRYPT | SIGN, RSA_PKCS_PSS: SIGN },
};

type Stack = keyof typeof MAKERS;

function situation(
  stack: Stack,
  type: Situation["type"],
  attributes: Situation["attributes"],
  seen: Situation["seen"] = "private key",
): Situation {
  const quirks = quirksOf(MAKERS[stack]);
  return { key: "pkcs11:object=k", type, mechanisms: MECHANISMS[stack], attributes, seen, quirks };
}

const unwrapOnly = { UNWRAP: true, DECRYPT: false, DERIVE: false, SIGN: false };
const decryptOnly = { ...unwrapOnly, UNWRAP: false, DECRYPT: true };
const both = { ...unwrapOnly, DECRYPT: true };
const derives = { UNWRAP: false, DECRYPT: false, DERIVE: true, SIGN: false };
const signs = { UNWRAP: false, DECRYPT: false, DERIVE: false, SIGN: true };

const U = "C_UnwrapKey CKM_RSA_PKCS_OAEP";
const D = "C_Decrypt CKM_RSA_PKCS_OAEP";
const raw = (hash: string): string => `C_Decrypt CKM_RSA_X_509, OAEP ${hash} on the host`;
const E = "C_DeriveKey CKM_ECDH1_DERIVE";

describe.each([
  ["softhsm", "an unwrap-only key", unwrapOnly, "sha1", [`${U} sha1`]],
  ["softhsm", "an unwrap-only key", unwrapOnly, "sha256", [`${U} sha256 ?`]],
  ["softhsm", "a key that may do both", both, "sha1", [`${U} sha1`, `${D} sha1`, raw("sha1")]],
  [
    "softhsm",
    "a key that may do both",
    both,
    "sha256",
    [raw("sha256"), `${U} sha256 ?`, `${D} sha256 ?`],
  ],
  ["softhsm", "a decrypt-only key", decryptOnly, "sha1", [`${D} sha1`, raw("sha1")]],
  ["softhsm", "a signing key", signs, "sha1", []],
  ["ock", "an unwrap-only key", unwrapOnly, "sha256", [`${U} sha256`]],
  ["ock", "a key that may do both", both, "sha512", [`${U} sha512`, `${D} sha512`, raw("sha512")]],
  ["nss", "an unwrap-only key", unwrapOnly, "sha384", [`${U} sha384`]],
  ["nss", "a decrypt-only key", decryptOnly, "sha384", [`${D} sha384`, raw("sha384")]],
  [
    "tpm",
    "a key that may do both",
    both,
    "sha256",
    [`${D} sha256`, raw("sha256"), `${U} sha256 ?`],
  ],
  ["tpm", "an unwrap-only key", unwrapOnly, "sha256", [`${U} sha256 ?`]],
  [
    "opensc",
    "a card's key, said to unwrap",
    both,
    "sha256",
    [`${D} sha256`, raw("sha256"), `${U} sha256 ?`],
  ],
  [
    "p11-kit",
    "a key that may do both",
    both,
    "sha256",
    [raw("sha256"), `${U} sha256 ?`, `${D} sha256 ?`],
  ],
] as const)("on %s, %s", (stack, _what, attributes, hash, ways) => {
  it(`with ${hash} goes ${ways.join(", then ") || "nowhere"}`, () => {
    const plan = planFor("open", situation(stack, "rsa", attributes));
    const tried = stepsToTry(plan, hash).map(
      ({ way, standing }) => way + (standing === "doubted" ? " ?" : ""),
    );
    expect(tried).toEqual(ways);
  });
});

describe.each([
  ["softhsm", "ec", derives, [E, `${E}, point in DER`]],
  ["softhsm", "x25519", derives, [E, `${E}, point in DER`]],
  ["softhsm", "ec", signs, []],
  ["nss", "ec", derives, [E, `${E}, point in DER`]],
  ["opensc", "ec", derives, [E]],
  ["tpm", "ec", derives, [`${E} ?`, `${E}, point in DER ?`]],
  ["tpm", "ec", signs, []],
  ["ock", "ec", derives, [`${E} ?`, `${E}, point in DER ?`]],
  ["p11-kit", "ec", derives, []],
] as const)("on %s, an %s key", (stack, type, attributes, ways) => {
  it(`goes ${ways.join(", then ") || "nowhere"}`, () => {
    const plan = planFor("open", situation(stack, type, attributes));
    const tried = stepsToTry(plan).map(
      ({ way, standing }) => way + (standing === "doubted" ? " ?" : ""),
    );
    expect(tried).toEqual(ways);
  });
});

describe("OAEP hashes proposed without a try", () => {
  it.each([
    ["softhsm", unwrapOnly, ["sha1"]],
    ["softhsm", both, ["sha256", "sha384", "sha512", "sha1"]],
    ["softhsm", signs, []],
    ["nss", unwrapOnly, ["sha256", "sha384", "sha512", "sha1"]],
    ["tpm", decryptOnly, ["sha256", "sha384", "sha512", "sha1"]],
    // None is offered: those of ways that are not listed.
    ["tpm", unwrapOnly, ["sha256", "sha384", "sha512", "sha1"]],
  ] as const)("on %s for %j are %j", (stack, attributes, hashes) => {
    expect(planFor("open", situation(stack, "rsa", attributes)).oaep).toEqual(hashes);
  });

  it.each([
    [2, 6, "sha1"],
    [2, 7, "sha1"],
    [2, 8, undefined],
    [3, 0, undefined],
  ] as const)("by SoftHSM %d.%d are surely %s", (major, minor, hash) => {
    const quirks = quirksOf({ ...MAKERS.softhsm, firmware: { major, minor } });
    const plan = planFor("open", { ...situation("softhsm", "rsa", unwrapOnly), quirks });
    expect(plan.sureOaep).toBe(hash);
  });

  it("are not sure for a key that cannot open", () => {
    expect(planFor("open", situation("softhsm", "rsa", signs)).sureOaep).toBeUndefined();
  });
});

describe("a reason", () => {
  const reasonOf = (of: Situation, fn: string): string | undefined =>
    planFor("open", of).steps.find((step) => step.fn === fn)?.reason;

  it.each([
    ["tpm", both, "C_UnwrapKey", "the token does not list CKM_RSA_PKCS_OAEP to unwrap with"],
    ["nss", unwrapOnly, "C_Decrypt", "the key may not decrypt (CKA_DECRYPT is false)"],
    ["nss", both, "C_UnwrapKey", "token and key may unwrap"],
  ] as const)("on %s for %j and %s is: %s", (stack, attributes, fn, reason) => {
    expect(reasonOf(situation(stack, "rsa", attributes), fn)).toBe(reason);
  });

  it("for a mechanism that is missing says so", () => {
    const plan = planFor("open", situation("ock", "ec", derives));
    expect(planLines(plan)).toEqual([
      `doubted: ${E}: the token does not list CKM_ECDH1_DERIVE`,
      `doubted: ${E}, point in DER: the token does not list CKM_ECDH1_DERIVE`,
    ]);
  });
});

describe("a plan made without a PIN", () => {
  it("says what it assumes, and does not rule out what it was not told", () => {
    const plan = planFor("open", situation("nss", "rsa", {}, "nothing"));
    expect(stepsToTry(plan, "sha256")).toHaveLength(3);
    expect(plan.assumed).toHaveLength(1);
    expect(planFor("open", situation("nss", "rsa", both)).assumed).toEqual([]);
  });
});

describe("templates of the new secret", () => {
  const first = (stack: Stack, type: Situation["type"]): string | undefined =>
    stepsToTry(planFor("open", situation(stack, type, { ...both, ...derives, UNWRAP: true })))[0]
      ?.templates?.[0];

  it.each([
    ["softhsm", "rsa", "generic readable"],
    ["nss", "rsa", "generic readable"],
    ["ock", "rsa", "generic bare"],
    ["softhsm", "ec", "generic readable, with length"],
  ] as const)("on %s for %s begin with: %s", (stack, type, name) => {
    expect(first(stack, type)).toBe(name);
  });
});

describe("signing", () => {
  it.each([
    ["softhsm", "ed25519", ["C_Sign CKM_EDDSA"]],
    ["softhsm", "ec", ["C_Sign CKM_ECDSA"]],
    ["nss", "rsa", ["C_Sign CKM_RSA_PKCS_PSS"]],
    ["tpm", "rsa", ["C_Sign CKM_RSA_PKCS_PSS"]],
    ["nss", "ed25519", ["C_Sign CKM_EDDSA"]],
  ] as const)("on %s with %s: %j", (stack, type, ways) => {
    const plan = planFor("sign", situation(stack, type, signs));
    expect(stepsToTry(plan).map(({ way }) => way)).toEqual(ways);
    expect(stepsToTry(planFor("sign", situation(stack, type, derives)))).toEqual([]);
  });
});

const PKCS1 = { RSA_PKCS: DECRYPT | UNWRAP | SIGN, RSA_X_509: DECRYPT } as const;

describe("PKCS#1 v1.5", () => {
  const ways = (attributes: Situation["attributes"], mechanisms: Situation["mechanisms"]) => {
    const known = { ...situation("softhsm", "rsa", attributes), mechanisms };
    return stepsToTry(planFor("decrypt-pkcs1", known)).map(({ way }) => way);
  };
  const [unwrap, decrypt] = ["C_UnwrapKey CKM_RSA_PKCS", "C_Decrypt CKM_RSA_PKCS"];
  const raw = "C_Decrypt CKM_RSA_X_509, PKCS#1 v1.5 on the host";

  it.each([
    [unwrapOnly, PKCS1, [unwrap]],
    [decryptOnly, PKCS1, [decrypt, raw]],
    [both, PKCS1, [unwrap, decrypt, raw]],
    [{}, PKCS1, [unwrap, decrypt, raw]],
    [both, { RSA_PKCS: SIGN, RSA_X_509: DECRYPT }, [raw, unwrap, decrypt]],
    [signs, PKCS1, []],
    [signs, {}, []],
    [both, {}, [unwrap, decrypt, raw]],
  ] as const)("with %j on %j goes by %j", (attributes, mechanisms, expected) => {
    expect(ways(attributes, mechanisms)).toEqual(expected);
  });

  it("is signed with where the token can, whatever the key says: the token answers", () => {
    for (const attributes of [signs, both]) {
      const known = { ...situation("softhsm", "rsa", attributes), mechanisms: PKCS1 };
      const steps = stepsToTry(planFor("sign-pkcs1", known));
      expect(steps.map(({ way }) => way)).toEqual(["C_Sign CKM_RSA_PKCS"]);
      const [unlisted] = stepsToTry(planFor("sign-pkcs1", { ...known, mechanisms: {} }));
      expect(unlisted).toMatchObject({ standing: "doubted", unlisted: true });
    }
  });
});

describe("an OAEP label, or an MGF1 hash of its own,", () => {
  it.each([
    ["softhsm", unwrapOnly, []],
    ["softhsm", both, [raw("sha256")]],
    ["nss", unwrapOnly, [`${U} sha256`]],
    ["tpm", both, [`${D} sha256`, raw("sha256"), `${U} sha256`]],
  ] as const)("on %s goes by what is known to take it: %j", (stack, attributes, expected) => {
    const known = situation(stack, "rsa", attributes);
    for (const parameters of [
      { hash: "sha256", label: Uint8Array.of(1) },
      { hash: "sha256", mgfHash: "sha1" },
    ] as const) {
      const tried = stepsToTry(planFor("open", known, parameters), "sha256");
      expect(tried.map(({ way }) => way)).toEqual(expected);
    }
    const usual = { hash: "sha256", mgfHash: "sha256", label: new Uint8Array(0) } as const;
    expect(planFor("open", known, usual)).toEqual(planFor("open", known));
  });
});

describe("quirks", () => {
  const names = (stack: Stack): string[] => quirksOf(MAKERS[stack]).map(({ name }) => name);

  it("are recognised on the stacks they were seen on, and on no other", () => {
    expect(Object.fromEntries(Object.keys(MAKERS).map((s) => [s, names(s as Stack)]))).toEqual({
      softhsm: [
        "oaep-sha1-only",
        "unwraps-any-length",
        "unwrap-without-second-login",
        "never-locks",
      ],
      ock: ["bare-template"],
      tpm: ["stuck-session", "attributes-on-paper"],
      nss: ["never-locks", "implicit-rejection", "wraps-unextractable"],
      opensc: ["raw-point", "derived-objects-stay", "hangs-when-pulled"],
      "p11-kit": [
        "oaep-sha1-only",
        "unwraps-any-length",
        "unwrap-without-second-login",
        "never-locks",
        "no-derive-remotely",
      ],
    });
    expect(
      quirksOf(maker("Yubico (www.yubico.com)", "Yubico (www.yubico.com)", "YubiKey YK5")),
    ).toEqual([]);
  });

  it.each(Object.entries(MAKERS))(
    "of %s have a fact and a source, and are plain values",
    (_s, by) => {
      for (const quirk of quirksOf(by)) {
        expect(quirk.fact).toMatch(/^[A-Za-z].{10,}[^.]$/);
        expect(quirk.source).not.toBe("");
        expect(JSON.parse(JSON.stringify(quirk)) as Quirk).toEqual(quirk);
      }
    },
  );

  it("stand in a plan as text", () => {
    const plan = planFor("open", situation("softhsm", "rsa", both));
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
    expect(Object.keys(plan.quirks[0] ?? {})).toEqual(["name", "fact", "source"]);
  });
});
