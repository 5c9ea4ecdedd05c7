/**
 * Return values of PKCS#11 functions (CK_RV): name, meaning, and remedy. pkcs11js knows most of the
 * names but calls those of v3.0 and a few of v2.40 CKR_VENDOR_DEFINED. Every row has a hint; where
 * the user can do nothing about the failure, the hint asks for a bug report.
 */

/** A return value, explained. */
export interface ReturnValue {
  /** As in `CKR_PIN_INCORRECT`; `CKR_0x…` for values not in the table. */
  readonly name: string;
  /** A fact that reads well after "C_Login: ". */
  readonly sentence: string;
  /** One sentence of advice for the user. */
  readonly hint: string;
}

/** Looks up `code`. */
export function returnValue(code: number): ReturnValue {
  const row = TABLE.get(code);
  if (row === undefined) {
    const name = `CKR_0x${code.toString(16).toUpperCase().padStart(8, "0")}`;
    const sentence =
      code >= 0x8000_0000
        ? "the module failed with an error of its own"
        : "the module failed with an error unknown to this version";
    return { name, sentence, hint: "the module's manual may explain this number" };
  }
  const [name, sentence, hint] = row;
  return { name: `CKR_${name}`, sentence, hint };
}

/** Every code in the table, ascending. */
export function knownReturnValues(): number[] {
  return [...TABLE.keys()];
}

const LOOK_AT_CONFIGURATION =
  "often the module's configuration or its daemon is at fault; `p11seal doctor` may say which";
const INSERT = "insert the token and try again";
const AGAIN = "try again; if it keeps failing, see the token's manual";
const OTHER_MECHANISM = "the token lacks this operation; another kind of key may work";
const OTHER_TYPE = "use a token that can";
const OTHER_MODULE = "try another module for the token with --module";
const OTHER_PROGRAM = "end other programs that use the token, and try again";
const LOGIN = "the login has ended; try again";
const AUDIT = "`p11seal keys audit` shows what the key may do; use a key made for this";
const UNFIT = "the token can't do it this way; `p11seal doctor` lists the ways that it offers";
const GONE = "the key or the token has changed: check with `p11seal keys list`, and try again";
const DAMAGED = "the data may be damaged, or made for another key";
const REPORT = "this is a bug in p11seal: please report it, with the output of -v";

/** PKCS#11 v2.40 §5.1, with the additions of v3.0, v3.1 and v3.2. */
const TABLE: ReadonlyMap<number, readonly [name: string, sentence: string, hint: string]> = new Map(
  [
    [0x001, ["CANCEL", "the operation was cancelled", AGAIN]],
    [
      0x002,
      [
        "HOST_MEMORY",
        "the module ran out of memory",
        "free some memory, or seal to fewer keys at once",
      ],
    ],
    [0x003, ["SLOT_ID_INVALID", "the slot does not exist any more", INSERT]],
    [0x005, ["GENERAL_ERROR", "the module failed without saying why", LOOK_AT_CONFIGURATION]],
    [0x006, ["FUNCTION_FAILED", "the module failed without saying why", LOOK_AT_CONFIGURATION]],
    [0x007, ["ARGUMENTS_BAD", "the module refuses the arguments", UNFIT]],
    [0x008, ["NO_EVENT", "no slot has changed", REPORT]],
    [0x009, ["NEED_TO_CREATE_THREADS", "the module wants threads of its own", OTHER_MODULE]],
    [0x00a, ["CANT_LOCK", "the module cannot be used by several threads", OTHER_MODULE]],
    [0x010, ["ATTRIBUTE_READ_ONLY", "an attribute cannot be set", UNFIT]],
    [0x011, ["ATTRIBUTE_SENSITIVE", "an attribute is secret and stays on the token", UNFIT]],
    [0x012, ["ATTRIBUTE_TYPE_INVALID", "the token does not know an attribute", UNFIT]],
    [0x013, ["ATTRIBUTE_VALUE_INVALID", "the token refuses an attribute's value", UNFIT]],
    [0x01b, ["ACTION_PROHIBITED", "the object's policy forbids this", AUDIT]],
    [0x020, ["DATA_INVALID", "the token refuses the data", DAMAGED]],
    [0x021, ["DATA_LEN_RANGE", "the data has the wrong length", DAMAGED]],
    [0x030, ["DEVICE_ERROR", "the token or its connection failed", AGAIN]],
    [0x031, ["DEVICE_MEMORY", "the token has no room left", "delete keys that are not needed"]],
    [0x032, ["DEVICE_REMOVED", "the token was removed", INSERT]],
    [0x040, ["ENCRYPTED_DATA_INVALID", "the token refuses the encrypted data", DAMAGED]],
    [0x041, ["ENCRYPTED_DATA_LEN_RANGE", "the encrypted data has the wrong length", DAMAGED]],
    [
      0x042,
      ["AEAD_DECRYPT_FAILED", "the token reports that the encrypted data was altered", DAMAGED],
    ],
    [0x050, ["FUNCTION_CANCELED", "the operation was cancelled on the token", AGAIN]],
    [0x051, ["FUNCTION_NOT_PARALLEL", "no operation runs in this session", REPORT]],
    [0x054, ["FUNCTION_NOT_SUPPORTED", "the module does not offer this function", OTHER_MECHANISM]],
    [0x060, ["KEY_HANDLE_INVALID", "the key is not on the token any more", GONE]],
    [0x062, ["KEY_SIZE_RANGE", "the key has a length the token does not take", OTHER_MECHANISM]],
    [
      0x063,
      [
        "KEY_TYPE_INCONSISTENT",
        "the key is of another type than the operation needs",
        OTHER_MECHANISM,
      ],
    ],
    [0x064, ["KEY_NOT_NEEDED", "the operation takes no key", REPORT]],
    [0x065, ["KEY_CHANGED", "the key has changed meanwhile", AGAIN]],
    [0x066, ["KEY_NEEDED", "the operation needs a key", REPORT]],
    [0x067, ["KEY_INDIGESTIBLE", "the key cannot be digested", REPORT]],
    [0x068, ["KEY_FUNCTION_NOT_PERMITTED", "the key may not be used for this", AUDIT]],
    [0x069, ["KEY_NOT_WRAPPABLE", "the key may not be wrapped", AUDIT]],
    [0x06a, ["KEY_UNEXTRACTABLE", "the key may not leave the token", AUDIT]],
    [0x070, ["MECHANISM_INVALID", "the token does not have this mechanism", OTHER_MECHANISM]],
    [
      0x071,
      ["MECHANISM_PARAM_INVALID", "the token refuses the mechanism's parameters", OTHER_MECHANISM],
    ],
    [0x082, ["OBJECT_HANDLE_INVALID", "the object is not on the token any more", GONE]],
    [0x090, ["OPERATION_ACTIVE", "another operation runs in this session", AGAIN]],
    [0x091, ["OPERATION_NOT_INITIALIZED", "no operation was begun in this session", AGAIN]],
    [0x0a0, ["PIN_INCORRECT", "the PIN is wrong", "give the right PIN; each wrong one may count"]],
    [
      0x0a1,
      [
        "PIN_INVALID",
        "the PIN has characters the token does not take",
        "give a PIN of characters the token takes, mostly digits",
      ],
    ],
    [
      0x0a2,
      [
        "PIN_LEN_RANGE",
        "the PIN is too short or too long",
        "give a PIN of the length the token takes",
      ],
    ],
    [0x0a3, ["PIN_EXPIRED", "the PIN has expired", "set a new one with the token's own tool"]],
    [0x0a4, ["PIN_LOCKED", "the PIN is locked", "unlock it with the SO PIN or the token's PUK"]],
    [0x0b0, ["SESSION_CLOSED", "the session was closed meanwhile", AGAIN]],
    [0x0b1, ["SESSION_COUNT", "the token has no session left", OTHER_PROGRAM]],
    [0x0b3, ["SESSION_HANDLE_INVALID", "the session ended, as when a token is pulled", INSERT]],
    [
      0x0b4,
      ["SESSION_PARALLEL_NOT_SUPPORTED", "the module wants another kind of session", OTHER_MODULE],
    ],
    [
      0x0b5,
      [
        "SESSION_READ_ONLY",
        "the session may not change the token",
        "the token may be write-protected; otherwise use its own tool",
      ],
    ],
    [0x0b6, ["SESSION_EXISTS", "a session is open already", OTHER_PROGRAM]],
    [0x0b7, ["SESSION_READ_ONLY_EXISTS", "a read-only session is open already", OTHER_PROGRAM]],
    [
      0x0b8,
      ["SESSION_READ_WRITE_SO_EXISTS", "the security officer is logged in already", OTHER_PROGRAM],
    ],
    [0x0c0, ["SIGNATURE_INVALID", "the signature does not verify", REPORT]],
    [0x0c1, ["SIGNATURE_LEN_RANGE", "the signature has the wrong length", REPORT]],
    [0x0d0, ["TEMPLATE_INCOMPLETE", "the token wants more attributes", UNFIT]],
    [0x0d1, ["TEMPLATE_INCONSISTENT", "the token refuses the attributes together", UNFIT]],
    [0x0e0, ["TOKEN_NOT_PRESENT", "no token is in the slot", INSERT]],
    [
      0x0e1,
      [
        "TOKEN_NOT_RECOGNIZED",
        "the module does not know this token",
        "try another module with --module",
      ],
    ],
    [
      0x0e2,
      [
        "TOKEN_WRITE_PROTECTED",
        "the token is write-protected",
        "take the write protection off with the token's own tool",
      ],
    ],
    [0x0f0, ["UNWRAPPING_KEY_HANDLE_INVALID", "the key is not on the token any more", GONE]],
    [
      0x0f1,
      [
        "UNWRAPPING_KEY_SIZE_RANGE",
        "the key has a length the token does not unwrap with",
        OTHER_MECHANISM,
      ],
    ],
    [0x0f2, ["UNWRAPPING_KEY_TYPE_INCONSISTENT", "the key's type cannot unwrap", OTHER_MECHANISM]],
    [0x100, ["USER_ALREADY_LOGGED_IN", "the user is logged in already", OTHER_PROGRAM]],
    [0x101, ["USER_NOT_LOGGED_IN", "nobody is logged in", LOGIN]],
    [
      0x102,
      [
        "USER_PIN_NOT_INITIALIZED",
        "the user PIN was never set",
        "set it with the SO PIN, using the token's own tool",
      ],
    ],
    [0x103, ["USER_TYPE_INVALID", "the token does not know this kind of user", OTHER_MODULE]],
    [0x104, ["USER_ANOTHER_ALREADY_LOGGED_IN", "another user is logged in already", OTHER_PROGRAM]],
    [0x105, ["USER_TOO_MANY_TYPES", "too many kinds of user are logged in", OTHER_PROGRAM]],
    [0x110, ["WRAPPED_KEY_INVALID", "the wrapped key cannot be unwrapped", DAMAGED]],
    [0x112, ["WRAPPED_KEY_LEN_RANGE", "the wrapped key has the wrong length", DAMAGED]],
    [0x113, ["WRAPPING_KEY_HANDLE_INVALID", "the key is not on the token any more", GONE]],
    [
      0x114,
      [
        "WRAPPING_KEY_SIZE_RANGE",
        "the key has a length the token does not wrap with",
        OTHER_MECHANISM,
      ],
    ],
    [0x115, ["WRAPPING_KEY_TYPE_INCONSISTENT", "the key's type cannot wrap", OTHER_MECHANISM]],
    [0x120, ["RANDOM_SEED_NOT_SUPPORTED", "the token takes no seed", REPORT]],
    [0x121, ["RANDOM_NO_RNG", "the token makes no random numbers", OTHER_TYPE]],
    [0x130, ["DOMAIN_PARAMS_INVALID", "the token refuses the curve", OTHER_MECHANISM]],
    [0x140, ["CURVE_NOT_SUPPORTED", "the token does not have this curve", OTHER_MECHANISM]],
    [0x150, ["BUFFER_TOO_SMALL", "the result is longer than it should be", REPORT]],
    [0x160, ["SAVED_STATE_INVALID", "the saved state is not valid", REPORT]],
    [0x170, ["INFORMATION_SENSITIVE", "the information stays on the token", UNFIT]],
    [0x180, ["STATE_UNSAVEABLE", "the state cannot be saved", REPORT]],
    [0x190, ["CRYPTOKI_NOT_INITIALIZED", "the module was shut down meanwhile", AGAIN]],
    [0x191, ["CRYPTOKI_ALREADY_INITIALIZED", "the module is initialized already", REPORT]],
    [0x1a0, ["MUTEX_BAD", "the module's lock failed", AGAIN]],
    [0x1a1, ["MUTEX_NOT_LOCKED", "the module's lock failed", AGAIN]],
    [
      0x1b0,
      ["NEW_PIN_MODE", "the token wants a new PIN", "set a new PIN with the token's own tool"],
    ],
    [
      0x1b1,
      [
        "NEXT_OTP",
        "the token wants the next one-time password",
        "log in with the token's own tool once, and try again",
      ],
    ],
    [0x1b5, ["EXCEEDED_MAX_ITERATIONS", "the token did not find suitable numbers", AGAIN]],
    [
      0x1b6,
      [
        "FIPS_SELF_TEST_FAILED",
        "the token's self-test failed",
        "the token considers itself broken; ask its manufacturer",
      ],
    ],
    [
      0x1b7,
      [
        "LIBRARY_LOAD_FAILED",
        "the module could not load a library it needs",
        "install what the module needs; `p11seal doctor` may say what that is",
      ],
    ],
    [
      0x1b8,
      [
        "PIN_TOO_WEAK",
        "the token considers the PIN too weak",
        "choose a longer or less simple PIN",
      ],
    ],
    [0x1b9, ["PUBLIC_KEY_INVALID", "the token refuses the public key", DAMAGED]],
    [
      0x200,
      [
        "FUNCTION_REJECTED",
        "the request was declined on the token",
        "confirm the request on the token or its reader",
      ],
    ],
    [0x201, ["TOKEN_RESOURCE_EXCEEDED", "the token has no resources left", OTHER_PROGRAM]],
    [0x202, ["OPERATION_CANCEL_FAILED", "the operation could not be cancelled", AGAIN]],
    [
      0x203,
      [
        "KEY_EXHAUSTED",
        "the key may not be used any more",
        "make a new key, and give its public key to the senders",
      ],
    ],
    [0x204, ["PENDING", "the operation is still under way", AGAIN]],
    [0x205, ["SESSION_ASYNC_NOT_SUPPORTED", "the token does not work in the background", REPORT]],
    [
      0x206,
      [
        "SEED_RANDOM_REQUIRED",
        "the token's random generator wants a seed first",
        "seed it with the token's own tool",
      ],
    ],
    [
      0x207,
      ["OPERATION_NOT_VALIDATED", "the token's validation does not cover this operation", UNFIT],
    ],
    [
      0x208,
      [
        "TOKEN_NOT_INITIALIZED",
        "the token was never initialized",
        "initialize it with its own tool, or make one with `p11seal token init`",
      ],
    ],
    [
      0x209,
      ["PARAMETER_SET_NOT_SUPPORTED", "the token does not have this kind of key", OTHER_MECHANISM],
    ],
  ],
);
