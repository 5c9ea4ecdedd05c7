/**
 * The constants of PKCS#11 v2.40 and v3.0 (pkcs11t.h) used by the token code. They are defined here
 * because pkcs11js is loaded only when a token is needed, and because it lacks some of them.
 */

/** Object classes. */
export const CKO = {
  DATA: 0,
  CERTIFICATE: 1,
  PUBLIC_KEY: 2,
  PRIVATE_KEY: 3,
  SECRET_KEY: 4,
} as const;

/** Key types. */
export const CKK = {
  RSA: 0x00,
  EC: 0x03,
  GENERIC_SECRET: 0x10,
  AES: 0x1f,
  EC_EDWARDS: 0x40,
  EC_MONTGOMERY: 0x41,
} as const;

/** CKC_X_509, the only certificate type read here. */
export const CKC_X_509 = 0;

/** Mechanisms. */
export const CKM = {
  RSA_PKCS_KEY_PAIR_GEN: 0x0000,
  RSA_PKCS: 0x0001,
  RSA_X_509: 0x0003,
  RSA_PKCS_OAEP: 0x0009,
  RSA_PKCS_PSS: 0x000d,
  SHA_1: 0x0220,
  SHA256: 0x0250,
  SHA384: 0x0260,
  SHA512: 0x0270,
  EC_KEY_PAIR_GEN: 0x1040,
  ECDSA: 0x1041,
  ECDH1_DERIVE: 0x1050,
  /** SoftHSM makes X25519 keys with it too. */
  EC_EDWARDS_KEY_PAIR_GEN: 0x1055,
  EC_MONTGOMERY_KEY_PAIR_GEN: 0x1056,
  EDDSA: 0x1057,
} as const;

/** Mask generation functions of OAEP. */
export const CKG = { MGF1_SHA1: 1, MGF1_SHA256: 2, MGF1_SHA384: 3, MGF1_SHA512: 4 } as const;

/** CKZ_DATA_SPECIFIED: OAEP's label is given with the parameters. */
export const CKZ_DATA_SPECIFIED = 1;

/** CKD_NULL: C_DeriveKey returns the raw shared secret. */
export const CKD_NULL = 1;

/** User types (CK_USER_TYPE). */
export const CKU = { SO: 0, USER: 1, CONTEXT_SPECIFIC: 2 } as const;

/** Flags of CK_TOKEN_INFO (PKCS#11 v2.40 §3.2). */
export const TOKEN_FLAG = {
  WRITE_PROTECTED: 0x02,
  LOGIN_REQUIRED: 0x04,
  USER_PIN_INITIALIZED: 0x08,
  PROTECTED_AUTHENTICATION_PATH: 0x100,
  TOKEN_INITIALIZED: 0x400,
  USER_PIN_COUNT_LOW: 0x10000,
  USER_PIN_FINAL_TRY: 0x20000,
  USER_PIN_LOCKED: 0x40000,
  USER_PIN_TO_BE_CHANGED: 0x80000,
  SO_PIN_COUNT_LOW: 0x100000,
  SO_PIN_FINAL_TRY: 0x200000,
  SO_PIN_LOCKED: 0x400000,
} as const;

/** Flags of CK_MECHANISM_INFO. */
export const MECHANISM_FLAG = {
  ENCRYPT: 0x100,
  DECRYPT: 0x200,
  SIGN: 0x800,
  VERIFY: 0x2000,
  GENERATE: 0x8000,
  GENERATE_KEY_PAIR: 0x10000,
  WRAP: 0x20000,
  UNWRAP: 0x40000,
  DERIVE: 0x80000,
} as const;

/** Flags of C_OpenSession; every session is serial. */
/** CKF_DONT_BLOCK, of C_WaitForSlotEvent. */
export const DONT_BLOCK = 0x01;

export const SESSION_FLAG = { READ_WRITE: 0x02, SERIAL: 0x04 } as const;

/** CKF_OS_LOCKING_OK: calls come from several threads; the module may use the system's locks. */
export const OS_LOCKING_OK = 0x02;

/** pkcs11js's own tags for mechanism parameters. */
export const PARAMS = { RSA_OAEP: 4, RSA_PSS: 5, EC_DH: 6 } as const;
