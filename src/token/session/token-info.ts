/**
 * Which tokens are present and how they describe themselves: CK_TOKEN_INFO and CK_SLOT_INFO as
 * plain values. Slot numbers are not among them; they change when a token is initialized.
 */
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import { call } from "../modules/call.js";
import { TOKEN_FLAG } from "../modules/constants.js";
import type { Module } from "../modules/module.js";
import type { PinPolicy, PinState, TokenInfo } from "../values.js";
import { formatUri } from "../uri.js";

/** `TokenInfo` and further details that only `src/token` needs. */
export interface TokenDetails {
  readonly info: TokenInfo;
  readonly slot: {
    readonly description: string;
    readonly manufacturer: string;
    /** CKF_REMOVABLE_DEVICE: a reader, whose token can be pulled. */
    readonly removable: boolean;
  };
  /** Length of a user PIN in bytes; both zero when the token does not say. */
  readonly pinBytes: { readonly min: number; readonly max: number };
  /** The security officer's PIN. */
  readonly soPin: PinState;
  /** CKF_USER_PIN_TO_BE_CHANGED: the PIN is the one that the token came with, or has expired. */
  readonly pinToBeChanged: boolean;
  readonly firmware: { readonly major: number; readonly minor: number };
}

/** A slot whose token is present and initialized. */
export interface PresentToken {
  readonly slot: Buffer;
  readonly details: TokenDetails;
}

/** A slot with a token that the module can't read. */
export interface UnreadSlot {
  /** From CK_SLOT_INFO; the description is most often the reader's name. Empty if unreadable. */
  readonly names: { readonly description: string; readonly manufacturer: string };
  readonly error: TokenError;
}

export interface SlotsSeen {
  /** The initialized tokens. */
  readonly present: readonly PresentToken[];
  readonly unread: readonly UnreadSlot[];
  /** Descriptions of the slots whose token could be read, initialized or not. */
  readonly read: readonly string[];
}

/**
 * The tokens in a module's slots. One that does not answer is left out: a card inserted upside down
 * in one reader must not hide the card in another.
 */
export function tokensInSlots(module: Module): SlotsSeen {
  const slots = call("C_GetSlotList", () => module.native.C_GetSlotList(true));
  const present: PresentToken[] = [];
  const unread: UnreadSlot[] = [];
  const read: string[] = [];
  for (const slot of slots) {
    try {
      const { flags } = call("C_GetTokenInfo", () => module.native.C_GetTokenInfo(slot));
      read.push(slotNames(module, slot).description);
      const details = readDetails(module, slot);
      // SoftHSM always shows one more token, without names, that waits to be initialized. Some HSMs
      // leave the flag out for tokens that are in use, and have names.
      const isInitialized = (flags & TOKEN_FLAG.TOKEN_INITIALIZED) !== 0;
      if (isInitialized || details.info.label !== "") present.push({ slot, details });
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      unread.push({ names: slotNames(module, slot), error });
    }
  }
  return { present, unread, read };
}

function slotNames({ native }: Module, slot: Buffer): UnreadSlot["names"] {
  try {
    const info = call("C_GetSlotInfo", () => native.C_GetSlotInfo(slot));
    return {
      description: trimmed(info.slotDescription),
      manufacturer: trimmed(info.manufacturerID),
    };
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    return { description: "", manufacturer: "" };
  }
}

/** CK_TOKEN_INFO and CK_SLOT_INFO of a slot. */
export function readDetails(module: Module, slot: Buffer): TokenDetails {
  const { native } = module;
  const token = call("C_GetTokenInfo", () => native.C_GetTokenInfo(slot));
  const place = call("C_GetSlotInfo", () => native.C_GetSlotInfo(slot));
  const names = {
    label: trimmed(token.label),
    serial: trimmed(token.serialNumber),
    manufacturer: trimmed(token.manufacturerID),
    model: trimmed(token.model),
  };
  return {
    info: {
      module: module.path,
      ...names,
      pin: pinState(token.flags),
      pinPad: (token.flags & TOKEN_FLAG.PROTECTED_AUTHENTICATION_PATH) !== 0,
      loginRequired: (token.flags & TOKEN_FLAG.LOGIN_REQUIRED) !== 0,
      writeProtected: (token.flags & TOKEN_FLAG.WRITE_PROTECTED) !== 0,
      uri: tokenUri(names),
    },
    slot: {
      description: trimmed(place.slotDescription),
      manufacturer: trimmed(place.manufacturerID),
      removable: (place.flags & REMOVABLE_DEVICE) !== 0,
    },
    soPin: soPinState(token.flags),
    pinToBeChanged: (token.flags & TOKEN_FLAG.USER_PIN_TO_BE_CHANGED) !== 0,
    pinBytes: { min: token.minPinLen, max: token.maxPinLen },
    firmware: token.firmwareVersion,
  };
}

/** What the token says of its PINs, for people. */
export function pinPolicy(details: TokenDetails): PinPolicy {
  const { info, pinBytes, soPin, pinToBeChanged } = details;
  const { min, max } = pinBytes;
  return {
    ...defined({ length: max > 0 && min <= max ? { min, max } : undefined }),
    user: info.pin,
    securityOfficer: soPin,
    toBeChanged: pinToBeChanged,
    pinPad: info.pinPad,
  };
}

/**
 * What the flags say, most serious first (PKCS#11 v2.40 §3.2). That no PIN is set comes last: the
 * flag for it is missing on HSMs whose PIN is set.
 */
export function pinState(flags: number): PinState {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (has(TOKEN_FLAG.USER_PIN_LOCKED)) return "locked";
  if (has(TOKEN_FLAG.USER_PIN_FINAL_TRY)) return "final-try";
  if (has(TOKEN_FLAG.USER_PIN_COUNT_LOW)) return "low";
  return has(TOKEN_FLAG.USER_PIN_INITIALIZED) ? "ok" : "not-set";
}

/** As `pinState`. No flag says whether a security officer's PIN is set. */
function soPinState(flags: number): PinState {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (has(TOKEN_FLAG.SO_PIN_LOCKED)) return "locked";
  if (has(TOKEN_FLAG.SO_PIN_FINAL_TRY)) return "final-try";
  return has(TOKEN_FLAG.SO_PIN_COUNT_LOW) ? "low" : "ok";
}

/**
 * A token is found again by label and serial number; without a serial number, by the other names.
 * One that is not UTF-8 stands in no URI: pkcs11js put U+FFFD in it, and so it is another name.
 */
function tokenUri(names: {
  label: string;
  serial: string;
  manufacturer: string;
  model: string;
}): string {
  const { label, serial, manufacturer, model } = names;
  const isOdd = (text: string): boolean => text.includes("\u{fffd}");
  const isEnough = serial !== "" && !isOdd(serial) && !isOdd(label);
  const told = isEnough ? { token: label, serial } : { token: label, serial, manufacturer, model };
  const exact = Object.entries(told).filter(([name, text]) => {
    return !isOdd(text) && (name !== "serial" || text !== "");
  });
  return formatUri(Object.fromEntries(exact));
}

/** PKCS#11 v2.40 §3.2, CK_SLOT_INFO. */
const REMOVABLE_DEVICE = 0x02;

/**
 * Fields are padded with spaces. Some modules end them with NUL, and leave what was in memory after
 * it. No such text can be shown, nor handed to a PIN command in its environment.
 */
function trimmed(field: string): string {
  return field.replace(/\0[^]*$/, "").replace(/ +$/, "");
}
