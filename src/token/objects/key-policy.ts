/**
 * The key policy as templates for new keys, the strictest first, and as a comparison of the new key
 * with them. docs/threat-model.md gives the reasons.
 */
import type { EcCurve } from "../../keys/key.js";
import { CKM, MECHANISM_FLAG } from "../modules/constants.js";
import { CURVE25519_PARAMS, ecParams } from "./public-half.js";
import type { AttributeName, AttributeValues } from "../modules/template.js";
import type { Token } from "../session/token.js";
import type { GenerateRequest, KeyType } from "../values.js";

/** One attempt: templates for both halves, and the parts of the policy that it gives up. */
export interface Draft {
  readonly publicHalf: AttributeValues;
  readonly privateHalf: AttributeValues;
  readonly givenUp: readonly string[];
}

/** The NIST curve of each EC key type. */
const KEY_CURVES: Readonly<Partial<Record<KeyType, EcCurve>>> = {
  "ec:p256": "P-256",
  "ec:p384": "P-384",
  "ec:p521": "P-521",
};

export const MODULUS_BITS: Readonly<Partial<Record<KeyType, number>>> = {
  "rsa:2048": 2048,
  "rsa:3072": 3072,
  "rsa:4096": 4096,
};

/** The drafts to try, strictest first. */
export function draftsFor(token: Token, request: GenerateRequest, id: Uint8Array): Draft[] {
  return algorithmsOf(request.type).flatMap((algorithm) => draftsOf(token, request, id, algorithm));
}

/** Attributes that choose the kind of key. Some curves have two forms; tokens may know only one. */
function algorithmsOf(type: KeyType): AttributeValues[] {
  if (type === "x25519" || type === "ed25519") {
    return CURVE25519_PARAMS[type].map((EC_PARAMS) => ({ EC_PARAMS }));
  }
  const curve = KEY_CURVES[type];
  return curve === undefined
    ? [{ MODULUS_BITS: MODULUS_BITS[type], PUBLIC_EXPONENT: Uint8Array.of(1, 0, 1) }]
    : [{ EC_PARAMS: ecParams(curve) }];
}

function draftsOf(
  token: Token,
  { type, label, use, allowDecrypt }: GenerateRequest,
  id: Uint8Array,
  algorithm: AttributeValues,
): Draft[] {
  const draft = (
    purpose: Purpose,
    lessPrivate: readonly AttributeName[],
    lessPublic: readonly AttributeName[],
    givenUp: readonly string[],
  ): Draft => ({
    publicHalf: without(
      { TOKEN: true, PRIVATE: false, LABEL: label, ID: id, ...algorithm, ...purpose.publicHalf },
      lessPublic,
    ),
    privateHalf: without(
      {
        TOKEN: true,
        PRIVATE: true,
        LABEL: label,
        ID: id,
        SENSITIVE: true,
        EXTRACTABLE: false,
        MODIFIABLE: false,
        COPYABLE: false,
        ...purpose.privateHalf,
      },
      lessPrivate,
    ),
    givenUp,
  });
  const ladder = (purpose: Purpose, givenUp: readonly string[]): Draft[] => {
    const noUse = falseOnes(purpose.privateHalf);
    const noPublicUse = [...falseOnes(purpose.publicHalf), "DERIVE"] as const;
    return [
      draft(purpose, [], [], givenUp),
      draft(purpose, ["COPYABLE"], [], givenUp),
      // Some tokens refuse any mention of uses that such a key can't have.
      draft(purpose, noUse, noPublicUse, givenUp),
      draft(purpose, ["COPYABLE", ...noUse], noPublicUse, givenUp),
      draft(purpose, ["COPYABLE", "MODIFIABLE"], [], givenUp),
      draft(purpose, ["COPYABLE", "MODIFIABLE", ...noUse], noPublicUse, givenUp),
    ];
  };

  if (use === "sign") return ladder(SIGNING, []);
  if (MODULUS_BITS[type] === undefined) return ladder(DERIVING, []);
  const decryptOnly = ladder(DECRYPTING, [
    "the token cannot make a key that only unwraps; this key may decrypt",
  ]);
  if (!token.can(CKM.RSA_PKCS_OAEP, MECHANISM_FLAG.UNWRAP)) return decryptOnly;
  if (allowDecrypt) return ladder(UNWRAPPING_AND_DECRYPTING, []);
  return [...ladder(UNWRAPPING, []), ...decryptOnly];
}

interface Purpose {
  readonly publicHalf: AttributeValues;
  readonly privateHalf: AttributeValues;
}

/** Listed in full, because SoftHSM allows whatever is not forbidden. */
const NO_PRIVATE_USE = {
  UNWRAP: false,
  DECRYPT: false,
  SIGN: false,
  SIGN_RECOVER: false,
  DERIVE: false,
} as const;
const NO_PUBLIC_USE = {
  WRAP: false,
  ENCRYPT: false,
  VERIFY: false,
  VERIFY_RECOVER: false,
  DERIVE: false,
} as const;

const UNWRAPPING: Purpose = {
  publicHalf: { ...NO_PUBLIC_USE, WRAP: true },
  privateHalf: { ...NO_PRIVATE_USE, UNWRAP: true },
};
const UNWRAPPING_AND_DECRYPTING: Purpose = {
  publicHalf: { ...NO_PUBLIC_USE, WRAP: true, ENCRYPT: true },
  privateHalf: { ...NO_PRIVATE_USE, UNWRAP: true, DECRYPT: true },
};
const DECRYPTING: Purpose = {
  publicHalf: { ...NO_PUBLIC_USE, ENCRYPT: true },
  privateHalf: { ...NO_PRIVATE_USE, DECRYPT: true },
};
/** DERIVE on the public half has no effect, but shows the key's use without a PIN. */
const DERIVING: Purpose = {
  publicHalf: { ...NO_PUBLIC_USE, DERIVE: true },
  privateHalf: { ...NO_PRIVATE_USE, DERIVE: true },
};
const SIGNING: Purpose = {
  publicHalf: { ...NO_PUBLIC_USE, VERIFY: true },
  privateHalf: { ...NO_PRIVATE_USE, SIGN: true },
};

function falseOnes(values: AttributeValues): AttributeName[] {
  return (Object.keys(values) as AttributeName[]).filter((name) => values[name] === false);
}

/** The values without those of some names. */
export function without(values: AttributeValues, names: readonly AttributeName[]): AttributeValues {
  return Object.fromEntries(
    Object.entries(values).filter(([name]) => !names.includes(name as AttributeName)),
  );
}

/** What the new key lacks of what was requested, one sentence each. */
export function differences(
  flag: (attribute: AttributeName) => boolean | undefined,
  draft: Draft,
): string[] {
  const mayDecrypt = draft.privateHalf.DECRYPT === true;
  return WANTED.filter(({ name }) => !(name === "DECRYPT" && mayDecrypt)).flatMap(
    ({ name, value, otherwise }) => {
      const found = flag(name);
      if (found === value) return [];
      if (draft.privateHalf[name] === true) return [];
      // A token that does not report an operation does not have it.
      if (found === undefined)
        return OPERATIONS.has(name) ? [] : [`${otherwise} (CKA_${name} is not told)`];
      return [`${otherwise} (CKA_${name})`];
    },
  );
}

const WANTED: readonly { name: AttributeName; value: boolean; otherwise: string }[] = [
  { name: "PRIVATE", value: true, otherwise: "the private key object can be seen without a PIN" },
  { name: "SENSITIVE", value: true, otherwise: "the key may not be sensitive" },
  { name: "EXTRACTABLE", value: false, otherwise: "the key may be extractable" },
  {
    name: "ALWAYS_SENSITIVE",
    value: true,
    otherwise: "the token does not vouch that the key was always sensitive",
  },
  {
    name: "NEVER_EXTRACTABLE",
    value: true,
    otherwise: "the token does not vouch that the key was never extractable",
  },
  { name: "LOCAL", value: true, otherwise: "the token does not vouch that the key was made on it" },
  { name: "MODIFIABLE", value: false, otherwise: "the key's attributes can be changed later" },
  { name: "COPYABLE", value: false, otherwise: "the key can be copied with other attributes" },
  { name: "UNWRAP", value: false, otherwise: "the key may also unwrap" },
  { name: "DECRYPT", value: false, otherwise: "the key may also decrypt" },
  { name: "SIGN", value: false, otherwise: "the key may also sign" },
  { name: "SIGN_RECOVER", value: false, otherwise: "the key may also sign with recovery" },
  { name: "DERIVE", value: false, otherwise: "the key may also derive" },
];

const OPERATIONS: ReadonlySet<AttributeName> = new Set<AttributeName>([
  "UNWRAP",
  "DECRYPT",
  "SIGN",
  "SIGN_RECOVER",
  "DERIVE",
]);
