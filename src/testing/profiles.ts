/**
 * Kinds of tokens: what each refuses that SoftHSM would do, and how it presents itself. A profile
 * only takes away or rewrites; it adds no mechanism that SoftHSM lacks. Each entry names its
 * source: "measured" is docs/tokens.md.
 */
import { CKM, CKD_NULL, MECHANISM_FLAG, TOKEN_FLAG } from "../token/modules/constants.js";
import { attributeType } from "../token/modules/template.js";
import type { PkcsFunction } from "./functions.js";
import type { ProfileName } from "./profile-names.js";

export type { ProfileName } from "./profile-names.js";

/** What makes a token unlike SoftHSM's. Numbers are those of pkcs11t.h. */
export interface Profile {
  /** Where this is known from. */
  readonly source: string;
  /** What CK_INFO and CK_TOKEN_INFO say. */
  readonly identity?: {
    readonly libraryManufacturer?: string;
    readonly libraryDescription?: string;
    readonly manufacturer?: string;
    readonly model?: string;
  };
  readonly shows?: {
    /** Flags of CK_TOKEN_INFO that are not set. */
    readonly hiddenFlags?: number;
    /** Flags of CK_SLOT_INFO that are set besides. */
    readonly slotFlags?: number;
    /**
     * CKF_PROTECTED_AUTHENTICATION_PATH: the reader has a PIN pad, and takes no PIN from the host
     * (CKR_ARGUMENTS_BAD). A person types it, as `faults.pad` says.
     */
    readonly pinPad?: boolean;
    /** No slot without a token. */
    readonly oneSlot?: boolean;
    /** No object at all before a login, not even a public one. */
    readonly nothingUntilLogin?: boolean;
    /** How CKA_EC_POINT is encoded; by default a DER OCTET STRING. */
    readonly ecPoint?: "bare" | "bits" | "xy" | "compressed";
    /** CKA_EC_PARAMS names the curve in a PrintableString. */
    readonly ecParams?: "name";
    /** What is added to CKA_LABEL, by the object's class. */
    readonly labelEndings?: Readonly<Partial<Record<"certificate" | "public" | "private", string>>>;
  };
  readonly mechanisms?: {
    /** Tokens whose label begins so list no mechanism, and have them all the same. */
    readonly unlistedOn?: string;
    readonly missing?: readonly number[];
    /** Uses (CKF_…) that a mechanism does not have. */
    readonly uses?: readonly { readonly mechanism: number; readonly without: number }[];
    /** The largest key, in bits. */
    readonly largest?: readonly { readonly mechanism: number; readonly size: number }[];
  };
  readonly refuses?: {
    /** Functions that always fail, with the return value. */
    readonly functions?: Readonly<Partial<Record<PkcsFunction, number>>>;
    readonly templates?: readonly TemplateRule[];
    /** Key derivation functions of CKM_ECDH1_DERIVE. */
    readonly kdfs?: readonly { readonly kdf: number; readonly rv: number }[];
    /** Hashes of CKM_RSA_PKCS_OAEP, as mechanisms. */
    readonly oaepHashes?: readonly number[];
    /** A peer's point in a DER OCTET STRING. */
    readonly derPeer?: boolean;
    /** Key pairs whose private key may neither sign nor decrypt. */
    readonly keysWithoutPurpose?: boolean;
    /** All further decryption in a session where one failed. */
    readonly afterFailedDecrypt?: boolean;
  };
}

/** What a function demands of its template. */
export interface TemplateRule {
  readonly fn: "C_UnwrapKey" | "C_DeriveKey" | "C_GenerateKeyPair" | "C_CreateObject";
  /** `drop`: accepted, and not passed on to SoftHSM, which would refuse it. */
  readonly rule: "need" | "refuse" | "drop";
  readonly attribute: number;
  readonly rv?: number;
}

/** The profile of that name, or the one given. */
export function profileOf(chosen: ProfileName | Profile): Profile {
  return typeof chosen === "string" ? PROFILES[chosen] : chosen;
}

const CKR = {
  GENERAL_ERROR: 0x05,
  ATTRIBUTE_TYPE_INVALID: 0x12,
  FUNCTION_NOT_SUPPORTED: 0x54,
  MECHANISM_INVALID: 0x70,
  MECHANISM_PARAM_INVALID: 0x71,
  TEMPLATE_INCOMPLETE: 0xd0,
} as const;

/** A hardware slot with a removable token (CK_SLOT_INFO). */
const CARD_READER = 0x2 | 0x4;

const CLOUDHSM_FLAGS = TOKEN_FLAG.LOGIN_REQUIRED | TOKEN_FLAG.TOKEN_INITIALIZED;

const VALUE_LEN = attributeType("VALUE_LEN");

const EDWARDS = [CKM.EC_EDWARDS_KEY_PAIR_GEN, CKM.EDDSA];

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  softhsm: { source: "SoftHSM itself" },

  piv: {
    source: "measured on OpenSC 0.23 and a PIV card",
    identity: {
      libraryManufacturer: "OpenSC Project",
      libraryDescription: "OpenSC smartcard framework",
      manufacturer: "piv_II",
      model: "PKCS#15 emulated",
    },
    shows: {
      slotFlags: CARD_READER,
      oneSlot: true,
      labelEndings: { private: " key", public: " pubkey", certificate: " certificate" },
    },
    mechanisms: {
      missing: [...EDWARDS, CKM.RSA_PKCS_KEY_PAIR_GEN, CKM.EC_KEY_PAIR_GEN],
      uses: [
        { mechanism: CKM.RSA_PKCS, without: MECHANISM_FLAG.UNWRAP },
        { mechanism: CKM.RSA_PKCS_OAEP, without: MECHANISM_FLAG.UNWRAP },
      ],
      largest: [{ mechanism: CKM.RSA_PKCS_OAEP, size: 3072 }],
    },
    refuses: {
      functions: {
        C_GenerateKeyPair: CKR.FUNCTION_NOT_SUPPORTED,
        C_CreateObject: CKR.FUNCTION_NOT_SUPPORTED,
      },
      templates: (["CLASS", "KEY_TYPE", "TOKEN"] as const).map((name) => ({
        ...{ fn: "C_DeriveKey", rule: "need", attribute: attributeType(name) },
        rv: CKR.TEMPLATE_INCOMPLETE,
      })),
      derPeer: true,
    },
  },

  pad: {
    source:
      "PKCS#11 v2.40 §5.5 and §5.6 (no PIN is given where CKF_PROTECTED_AUTHENTICATION_PATH is set); OpenSC returns CKR_FUNCTION_CANCELED for a PIN that was cancelled, and for one that did not come in time",
    shows: { slotFlags: CARD_READER, oneSlot: true, pinPad: true },
  },

  tpm: {
    source: "measured on tpm2-pkcs11 1.9.0 and swtpm",
    identity: {
      libraryManufacturer: "tpm2-software.github.io",
      libraryDescription: "TPM2.0 Cryptoki",
      manufacturer: "IBM",
      model: "SW   TPM",
    },
    shows: { oneSlot: true },
    mechanisms: {
      missing: [...EDWARDS, CKM.RSA_PKCS_PSS, CKM.ECDH1_DERIVE],
      uses: [
        { mechanism: CKM.RSA_PKCS, without: MECHANISM_FLAG.UNWRAP },
        { mechanism: CKM.RSA_PKCS_OAEP, without: MECHANISM_FLAG.UNWRAP },
      ],
      largest: [{ mechanism: CKM.RSA_PKCS_KEY_PAIR_GEN, size: 3072 }],
    },
    refuses: {
      functions: {
        C_UnwrapKey: CKR.FUNCTION_NOT_SUPPORTED,
        C_DeriveKey: CKR.FUNCTION_NOT_SUPPORTED,
      },
      keysWithoutPurpose: true,
      afterFailedDecrypt: true,
    },
  },

  cloudhsm: {
    source:
      "reported: OpenSC/libp11 issue 242 (flags 0x404); AWS CloudHSM User Guide, PKCS #11 mechanisms of Client SDK 5",
    identity: {
      libraryManufacturer: "Marvell Semiconductors, Inc.",
      libraryDescription: "CloudHSM PKCS#11",
      manufacturer: "Marvell Semiconductors, Inc.",
      model: "LS2",
    },
    shows: { hiddenFlags: 0xffff_ffff - CLOUDHSM_FLAGS, oneSlot: true },
    mechanisms: {
      missing: EDWARDS,
      // RSA without padding only signs, and PKCS#1 v1.5 wraps nothing.
      uses: [
        { mechanism: CKM.RSA_X_509, without: MECHANISM_FLAG.DECRYPT },
        { mechanism: CKM.RSA_PKCS, without: MECHANISM_FLAG.UNWRAP },
      ],
    },
    // ECDH only with one of X9.63's key derivation functions.
    refuses: { kdfs: [{ kdf: CKD_NULL, rv: CKR.MECHANISM_PARAM_INVALID }] },
  },

  yubihsm: {
    source: "reported: YubiHSM 2 User Guide (algorithms); OpenSC issue 2363 (decrypts only)",
    identity: {
      libraryManufacturer: "Yubico (www.yubico.com)",
      libraryDescription: "YubiHSM PKCS#11 Library",
      manufacturer: "Yubico (www.yubico.com)",
      model: "YubiHSM",
    },
    shows: { slotFlags: CARD_READER, oneSlot: true, nothingUntilLogin: true },
    mechanisms: {
      missing: [CKM.RSA_X_509],
      uses: [
        { mechanism: CKM.RSA_PKCS, without: MECHANISM_FLAG.UNWRAP },
        { mechanism: CKM.RSA_PKCS_OAEP, without: MECHANISM_FLAG.UNWRAP },
      ],
    },
  },

  luna: {
    source:
      "reported: opencryptoki issue 897 (CKA_VALUE_LEN); its encodings of curves and points stand for those of many tokens (OpenSC issues 898 and 901, PKCS#11 v3.0 §2.3.3)",
    identity: {
      libraryManufacturer: "SafeNet",
      libraryDescription: "Chrystoki",
      manufacturer: "SafeNet",
      model: "Luna K7",
    },
    shows: { oneSlot: true, ecPoint: "bare", ecParams: "name" },
    refuses: {
      templates: [
        {
          ...{ fn: "C_UnwrapKey", rule: "need", attribute: VALUE_LEN },
          rv: CKR.ATTRIBUTE_TYPE_INVALID,
        },
        { fn: "C_UnwrapKey", rule: "drop", attribute: VALUE_LEN },
        {
          ...{ fn: "C_DeriveKey", rule: "need", attribute: VALUE_LEN },
          rv: CKR.TEMPLATE_INCOMPLETE,
        },
      ],
    },
  },
};
