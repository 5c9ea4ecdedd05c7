/**
 * Which tokens are there, and what they say of themselves: CK_TOKEN_INFO and CK_SLOT_INFO as plain
 * values. A slot's number stays here; it changes when a token is initialized.
 */
import { TokenError } from "../../errors.js";
import { call } from "../modules/call.js";
import { TOKEN_FLAG } from "../modules/constants.js";
import type { Module } from "../modules/module.js";
import type { PinState, TokenInfo } from "../values.js";
import { formatUri } from "../uri.js";

/** What `TokenInfo` leaves out, because it is of no use beyond this folder. */
export interface TokenDetails {
  readonly info: TokenInfo;
  readonly slot: {
    readonly description: string;
    readonly manufacturer: string;
    /** CKF_REMOVABLE_DEVICE: a reader, whose token can be pulled. */
    readonly removable: boolean;
  };
  /** Length of a user PIN, bytes; both zero where the token does not say. */
  readonly pinBytes: { readonly min: number; readonly max: number };
  readonly firmware: { readonly major: number; readonly minor: number };
}

/** A slot whose token is present and initialized. */
export interface PresentToken {
  readonly slot: Buffer;
  readonly details: TokenDetails;
}

/**
 * The initialized tokens of a module. Slots whose token can't be asked are left out, one line each to
 * `trace`: a card upside down in one reader must not hide the other.
 */
export function presentTokens(module: Module, trace: (line: string) => void): PresentToken[] {
  const slots = call("C_GetSlotList", () => module.native.C_GetSlotList(true));
  const present: PresentToken[] = [];
  for (const slot of slots) {
    try {
      const { flags } = call("C_GetTokenInfo", () => module.native.C_GetTokenInfo(slot));
      // SoftHSM always shows one more token, waiting to be initialized.
      if ((flags & TOKEN_FLAG.TOKEN_INITIALIZED) === 0) continue;
      present.push({ slot, details: readDetails(module, slot) });
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      trace(`module ${module.path}: a token is left out: ${error.message}`);
    }
  }
  return present;
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
    pinBytes: { min: token.minPinLen, max: token.maxPinLen },
    firmware: token.firmwareVersion,
  };
}

/** The flags' meaning, the gravest first (PKCS#11 v2.40 §3.2). */
export function pinState(flags: number): PinState {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (has(TOKEN_FLAG.USER_PIN_LOCKED)) return "locked";
  if (has(TOKEN_FLAG.LOGIN_REQUIRED) && !has(TOKEN_FLAG.USER_PIN_INITIALIZED)) return "not-set";
  if (has(TOKEN_FLAG.USER_PIN_FINAL_TRY)) return "final-try";
  return has(TOKEN_FLAG.USER_PIN_COUNT_LOW) ? "low" : "ok";
}

/** Label and serial number find a token again; without a serial number, all four names. */
function tokenUri(names: {
  label: string;
  serial: string;
  manufacturer: string;
  model: string;
}): string {
  const { label, serial, manufacturer, model } = names;
  return serial === ""
    ? formatUri({ token: label, manufacturer, model })
    : formatUri({ token: label, serial });
}

/** PKCS#11 v2.40 §3.2, CK_SLOT_INFO. */
const REMOVABLE_DEVICE = 0x02;

/** Fields are padded with blanks; some modules pad with NUL. */
function trimmed(field: string): string {
  return field.replace(/[\0 ]+$/, "");
}
